"""Making deltas between the layers of an image's versions (docs/updates.md).

What always holds: a delta is kept only after it was applied and gave the new layer's diff id, and
only where it is clearly smaller than the layer. All work on layers is done in a confined child.
"""
