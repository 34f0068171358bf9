"""Finds and reads checkpoints and data sets, in a folder, on the hub, or in the hub's cache on this machine."""
