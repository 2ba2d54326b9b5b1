"""Simulated sensors: they send real data to a device's scoring endpoint, as a machine beside it would."""
