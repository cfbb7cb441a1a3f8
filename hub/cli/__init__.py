"""The `yardarm` command: reads its arguments, asks the hub's API or the offline code, and prints.

Nothing is decided here. Modules import what they need inside their functions, so that `yardarm --help` is quick.
"""
