"""Tests of how images get onto a device: hostile archives, bad registries, and kills in between."""
