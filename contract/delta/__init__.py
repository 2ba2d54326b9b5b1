"""Deltas: from the tar of a layer that a device has to the tar of the one that it is to have (docs/wire.md).

Always true here: nothing is loaded for its claim. Every length is bounded before memory is taken for it,
every offset is judged against the old tar's size, and what comes out counts only by its digest, which the
caller checks. The device has no numpy: its arithmetic on tensors is `lanes`, on Python's own integers, and
`scaled`, on Python's own floats.
"""
