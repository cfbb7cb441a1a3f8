"""Who signed a commit or a tag, and whether that is enough: pure but for the libraries that do the mathematics."""
