"""What the image specification asks of the documents that are written here."""

import msgspec

from contract import oci


def test_a_platform_says_its_operating_system_too() -> None:
    """Tools choose by both: an index without ``os`` has no image for anyone."""
    written = msgspec.json.decode(msgspec.json.encode(oci.Platform(architecture="arm64")))
    assert written == {"architecture": "arm64", "os": "linux"}


def test_an_index_of_an_earlier_release_is_still_read() -> None:
    assert msgspec.json.decode(b'{"architecture": "amd64"}', type=oci.Platform).os == "linux"
