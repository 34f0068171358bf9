"""Where checkpoints and data sets come from: a folder, the hub, or the hub's cache on this machine."""
