"""What an unpacked layer's folder looks like: between those who unpack it and those who stack it.

It is the layer's tar as it stands, whiteouts too: as the empty files ``.wh.name`` and ``.wh..wh..opq``
(OCI image specification 1.1, "Whiteouts"). Names that begin so are never shown to a container. A layer
that has whiteouts says so by one more such file in its root, so that nobody has to look through it.
"""

from pathlib import Path

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
MARK = ".wh..wh.headland"


def has_whiteouts(layer: Path) -> bool:
    """Does this layer hide anything of those below it?"""
    return (layer / MARK).exists()
