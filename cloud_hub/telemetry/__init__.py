"""Samples from devices: stored exactly once, read back with SQL."""
