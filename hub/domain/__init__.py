"""Decisions of the hub as pure functions over values: no I/O, no clock, no logging."""
