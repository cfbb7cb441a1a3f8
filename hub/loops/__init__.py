"""The loops that drive the hub. They meet in the composition root, never each other."""
