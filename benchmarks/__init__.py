"""Figures with the command that repeats them. Timings are never asserted."""
