"""The status page: static files, served by `hub.api.routes.pages`."""
