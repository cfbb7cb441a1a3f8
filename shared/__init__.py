"""What hub and agent have in common: vocabulary, wire messages, and the edges both need."""

__version__ = "0.1.0"
