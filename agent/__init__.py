"""The agent: keeps one cluster in line with what the hub has published for it."""
