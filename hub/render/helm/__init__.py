"""Charts to manifests, as `helm template` does it. Runs in worker processes: templates are other people's programs."""
