"""Who asks, whether they may, and how much: callers, the guard before every route, limits, and headers for browsers."""
