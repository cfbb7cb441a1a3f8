"""Checks of rollouts at work: measured over HTTP, again and again, many at once."""
