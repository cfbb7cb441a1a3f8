"""What applications are made of: gathered from Git, chart repositories and registries, named before it is rendered."""
