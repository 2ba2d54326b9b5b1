"""Runs and what they logged."""
