"""The main job, end to end, through the public CLI and SDK: `make demo`."""
