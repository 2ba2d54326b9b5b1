"""`round_update`: the door of this room."""

import hashlib
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from cloud_hub.images.deltas.making import make_delta
from cloud_hub.images.deltas.scaling import BITS, BLOCK
from cloud_hub.rounding.comparing import Comparison, compare
from cloud_hub.rounding.onnx_weights import Counts, round_file
from contract.delta.container import Header

# A property has a bound; ONNX has none for a name.
LONGEST_NAME: Final = 200


class RoundingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What rounding an update saves and what it changes.

    ``update_bytes`` and ``exact_update_bytes`` are those of deltas from the old file to the rounded and to
    the new one, made as the hub makes them; ``file_bytes`` are the new file's. Digests are of files.
    """

    bits: int
    block: int
    weights: Counts
    file_bytes: int
    update_bytes: int
    exact_update_bytes: int
    comparison: Comparison
    old_digest: str
    new_digest: str
    samples_digest: str


def round_update(old: Path, new: Path, samples: Path, target: Path) -> RoundingReport:
    """Write the rounded model to ``target`` and try it on ``samples``; blocks, for a large model minutes.

    ``target`` is not kept where an error is raised: a `RoundingError`.
    """
    try:
        weights = round_file(old, new, target)
        comparison = compare(new, target, samples)
        return RoundingReport(
            bits=BITS,
            block=BLOCK,
            weights=weights,
            file_bytes=new.stat().st_size,
            update_bytes=_update_bytes(old, target),
            exact_update_bytes=_update_bytes(old, new),
            comparison=comparison,
            old_digest=_digest(old),
            new_digest=_digest(new),
            samples_digest=_digest(samples),
        )
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def properties_of(report: RoundingReport, old: str) -> dict[str, str]:
    """Return the properties of a model that was rounded from ``old`` (``name:version``)."""
    outputs = report.comparison.outputs
    worst = max(outputs, key=lambda each: each.largest_change / ((each.high - each.low) or 1.0))
    span = f"{worst.high - worst.low:.3g} ({worst.name[:LONGEST_NAME]})"
    found = {
        "rounded.from": old,
        "rounded.from_digest": report.old_digest,
        "rounded.float_digest": report.new_digest,
        "rounded.bits": str(report.bits),
        "rounded.block": str(report.block),
        "rounded.update_bytes": str(report.update_bytes),
        "rounded.exact_update_bytes": str(report.exact_update_bytes),
        "rounded.data_digest": report.samples_digest,
        "rounded.data_rows": str(report.comparison.rows),
        "rounded.largest_change": f"{worst.largest_change:.3g} of {span}",
        "rounded.mean_change": f"{worst.mean_change:.3g}",
    }
    changed = [each.changed_rows for each in outputs if each.changed_rows is not None]
    return found | ({"rounded.changed_rows": str(max(changed))} if changed else {})


def _update_bytes(old: Path, new: Path) -> int:
    """Return the bytes of a delta between layers that hold nothing but the files."""
    with TemporaryDirectory(prefix="headland-rounding-") as name:
        folder = Path(name)
        before, after = (_tar(folder / part, path) for part, path in (("old", old), ("new", new)))
        header = Header(
            from_diff_id=_digest(before),
            to_diff_id=_digest(after),
            from_bytes=before.stat().st_size,
            to_bytes=after.stat().st_size,
        )
        with before.open("rb") as first, after.open("rb") as second, (folder / "delta").open("wb") as target:
            make_delta(first, second, header, target)
        return (folder / "delta").stat().st_size


def _tar(target: Path, model: Path) -> Path:
    with tarfile.open(target, "w") as tar, model.open("rb") as file:
        member = tarfile.TarInfo("model.onnx")
        member.size = model.stat().st_size
        tar.addfile(member, file)
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
