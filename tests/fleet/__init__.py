"""Fleets of simulated devices: their core in virtual time, and at a real hub."""
