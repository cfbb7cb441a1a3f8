"""The HTTP API and the status page: shows the read model, takes webhooks and what people ask; carries out nothing."""
