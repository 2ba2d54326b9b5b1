"""Tests of what the owner of a device allows."""
