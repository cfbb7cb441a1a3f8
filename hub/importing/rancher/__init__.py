"""Rancher Fleet: fleet.yaml and the bundles that directories make, GitRepo, ClusterGroup, Cluster."""
