"""Jsonnet files among plain manifests: what they read, and what they come to."""
