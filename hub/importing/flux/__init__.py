"""Flux: sources, Kustomization, HelmRelease, and HelmReleases among rendered objects."""
