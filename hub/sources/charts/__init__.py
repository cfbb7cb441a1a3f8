"""Charts: in repositories over HTTP, in OCI registries, and in Git; which version is meant, and its bytes."""
