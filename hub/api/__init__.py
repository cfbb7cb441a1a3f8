"""The HTTP side: routes by resource over the read model."""
