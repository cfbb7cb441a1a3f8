"""`yardarm demo`: a whole Yardarm on one machine, with a sample fleet unless a repository is given.

It composes what production runs (hub, NATS, agents) and watches it through the hub's own API; nothing of the product
depends on it.
"""
