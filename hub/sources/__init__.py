"""Where input comes from: Git mirrors, webhooks, polling."""
