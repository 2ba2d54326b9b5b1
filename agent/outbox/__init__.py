"""What is not yet known to be stored in the hub, on disk.

Always true here: a sample leaves only by the hub's acknowledgement or by the stated drop policy,
and what was dropped is counted. Sequences of a stream grow by one and are never used twice within
one epoch.
"""
