"""Decisions of the agent as pure functions over values: no I/O, no clock, no logging."""
