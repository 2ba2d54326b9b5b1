"""One hub for one place: a hub sweeps what its own rows do not name, so it must own all that is there."""

import secrets
from pathlib import Path

from cloud_hub.blobs.errors import StoreConfigError
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.pki.durable_file import PRIVATE_MODE, write_durably

CLAIM = "hub-id"
STORE_ID = "object-store-id"
"""The file in the data folder; hubs that share the store have the same."""


def claim(store: ObjectStore, data_dir: Path, where: str) -> None:
    """Mark the store as this data folder's; raises `StoreConfigError` where it is another's.

    The mark is written before the first object. Two hubs that claim an empty place at the same
    instant are not told apart: make the second one later.
    """
    file = data_dir / STORE_ID
    if not file.exists():
        write_durably(file, secrets.token_hex(16).encode(), mode=PRIVATE_MODE)
    ours = file.read_bytes()
    if not store.exists(CLAIM):
        store.put_bytes(CLAIM, ours)
    with store.open(CLAIM) as mark:
        theirs = mark.read(64)
    if theirs != ours:
        raise StoreConfigError(
            "the bytes of another hub are there",
            where=where,
            fix="Choose another bucket or prefix; for a restored hub, restore object-store-id with it.",
        )
