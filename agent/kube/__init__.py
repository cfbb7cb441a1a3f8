"""The agent's only way to Kubernetes: raw JSON over HTTP, no generated models.

`access` says where the API is and who we are, `client` sends requests, `discovery` knows what is served, `watch`
follows changes, `errors` is all that ever comes out when something fails. Nothing here retries, limits concurrency
or knows what Yardarm wants of a cluster: that is the caller's.
"""
