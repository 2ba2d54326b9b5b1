"""What the confined child does: unpacks two layers to tars, makes the deltas between them, and proves one."""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from backports import zstd

from cloud_hub.images.deltas.making import PATCH, SCALED, make_delta
from contract.delta.applying import pieces
from contract.delta.container import Header, read_header

CHUNK_BYTES: Final = 1 << 20
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
WINDOW_LOG_MAX: Final = 27


class DeltaUnprovedError(Exception):
    """A delta does not give the new layer: a fault of the maker, so nothing is kept."""


def confined(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the smallest delta from the layer file ``old`` to ``new``; ``folder`` is for tars and deltas.

    Where that one has scaled tensors, another without them is made too, for agents that do not know
    those. Answers ``{"file", "kind", "size_bytes", "digest"}`` of each that is under ``most_bytes``.
    """
    folder = Path(request["folder"])
    old, new = folder / "old.tar", folder / "new.tar"
    header = Header(
        from_diff_id=_unpack(Path(request["old"]), old, request["max_bytes"]),
        to_diff_id=_unpack(Path(request["new"]), new, request["max_bytes"]),
        from_bytes=old.stat().st_size,
        to_bytes=new.stat().st_size,
    )
    if (header.from_diff_id, header.to_diff_id) != (request["from"], request["to"]):
        raise DeltaUnprovedError
    made = [(folder / "delta", _make(old, new, header, folder / "delta"))]
    if made[0][1] == SCALED:
        plain = folder / "plain"
        made.append((plain, _make(old, new, header, plain, with_scaled=False)))
    return [
        _proved(delta, kind, old, header)
        for delta, kind in made
        if delta.stat().st_size < request["most_bytes"]
    ]


def _proved(delta: Path, kind: str, old: Path, header: Header) -> dict[str, Any]:
    prove(delta, old, header)
    with delta.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return {"file": delta.name, "kind": kind, "size_bytes": delta.stat().st_size, "digest": digest}


def prove(delta: Path, old: Path, wanted: Header) -> None:
    """Apply a delta; raises `DeltaUnprovedError` unless it gives what it shall."""
    seen = hashlib.sha256()
    with delta.open("rb") as file, old.open("rb") as before:

        def read(at: int, size: int) -> bytes:
            before.seek(at)
            return before.read(size)

        header = read_header(file)
        for piece in pieces(file, header, read):
            seen.update(piece)
    if header != wanted or f"sha256:{seen.hexdigest()}" != wanted.to_diff_id:
        raise DeltaUnprovedError


def _make(old: Path, new: Path, header: Header, target: Path, *, with_scaled: bool = True) -> str:
    """Make the delta, and where tensors gained little a mere patch too: the smaller is kept."""
    with old.open("rb") as before, new.open("rb") as after:
        with target.open("wb") as file:
            made = make_delta(before, after, header, file, with_scaled=with_scaled)
        if made.kind == PATCH or target.stat().st_size < header.to_bytes // 2:
            return made.kind
        other = target.with_name(f"{target.name}.patch")
        with other.open("wb") as file:
            patch = make_delta(before, after, header, file, with_tensors=False)
    if other.stat().st_size < target.stat().st_size:
        other.replace(target)
        return patch.kind
    other.unlink()
    return made.kind


def _unpack(layer: Path, target: Path, most_bytes: int) -> str:
    seen, left = hashlib.sha256(), most_bytes
    with layer.open("rb") as raw, _plain(raw) as stream, target.open("wb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise DeltaUnprovedError
            seen.update(chunk)
            file.write(chunk)
    return f"sha256:{seen.hexdigest()}"


@contextmanager
def _plain(raw: BinaryIO) -> Iterator[Any]:
    magic = raw.read(len(ZSTD))
    raw.seek(0)
    if magic.startswith(GZIP):
        with gzip.GzipFile(fileobj=raw) as unzipped:
            yield unzipped
    elif magic == ZSTD:
        options = {int(zstd.DecompressionParameter.window_log_max): WINDOW_LOG_MAX}
        with zstd.ZstdFile(raw, "r", options=options) as opened:
            yield opened
    else:
        yield raw
