"""Argo CD: Application, ApplicationSet, AppProject, and the Secrets that clusters are registered by."""
