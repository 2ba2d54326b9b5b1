"""What containers print: rotated, capped, kept after a container's end, and read.

A container appends to ``containers/{id}/log`` by itself, also while no agent runs: nothing stands
between, so nothing between can fail (docs/decisions/0040). Older parts are ``log.1``, ``log.2``, ...
"""
