"""Faults that the agent has to survive (docs/decisions/0157): the judges stand outside of it."""
