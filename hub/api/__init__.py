"""The HTTP API and the status page: shows the read model, takes webhooks, changes nothing."""
