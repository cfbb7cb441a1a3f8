"""An in-memory Kubernetes API over HTTP, for the demo, for tests and for large pretend fleets."""
