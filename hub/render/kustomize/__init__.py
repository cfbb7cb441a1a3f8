"""Kustomizations: what they read, what may be read, and the program that builds them."""
