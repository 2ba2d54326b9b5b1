"""Bytes on the wire for updates of a device, beside other ways: `make bench-updates`.

``python -m benchmarks.updates --prepare`` makes the inputs (trains a ResNet-18: some minutes, once); without
it they are made when they are missing. ``--only NAME`` measures the updates whose name holds that.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from benchmarks.figures import machine, table
from benchmarks.peers import ROOT
from benchmarks.updates_inputs import PEERS, Case, cases, prepare
from benchmarks.updates_ways import OF_PEERS, OURS, WAYS
from cloud_hub.images.deltas.making import parts_of
from cloud_hub.images.deltas.tensors import tensors_in
from cloud_hub.rounding.updating import RoundingReport
from contract.delta.lanes import differences, planes

TIMEOUT_S = 3600
WAYS_SCRIPT = ROOT / "benchmarks" / "updates_ways.py"


@dataclass(frozen=True)
class Figure:
    """What one way took for one update."""

    size_bytes: int
    make_s: float
    make_mb: float
    apply_s: float
    apply_mb: float


def measured(case: Case, way: str, folder: Path) -> Figure:
    """Make and apply, each in a process of its own."""
    delta = folder / "delta"
    made, applied = (_child(way, action, case, delta) for action in ("make", "apply"))
    size = delta.stat().st_size
    return Figure(size, made["seconds"], made["peak_mb"], applied["seconds"], applied["peak_mb"])


def floor_bytes(case: Case) -> float:
    """Return the entropy floor: order 0, of each byte plane of the differences of each tensor by itself.

    Bytes between tensors are not counted, nor are tensors that did not change.
    """
    total = 0.0
    with case.old.open("rb") as old, case.new.open("rb") as new:
        before, after = tensors_in(old), tensors_in(new)
        for part in parts_of(case.new.stat().st_size, before, after):
            if part.tensor is None:
                continue
            then, now = _bytes(old, part.old_at, part.size_bytes), _bytes(new, part.at, part.size_bytes)
            residual = differences(then, now, part.tensor.width, is_float=part.tensor.is_float)
            total += sum(entropy_bytes(plane) for plane in planes(residual, part.tensor.width))
    return total


def entropy_bytes(plane: bytes) -> float:
    """Return the order-0 entropy of bytes, in bytes."""
    counts = np.bincount(np.frombuffer(plane, np.uint8))
    shares = counts[counts > 0] / len(plane)
    return max(0.0, float(-(shares * np.log2(shares)).sum()) * len(plane) / 8)


def report(chosen: str, ways: str) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{machine()}; % of the new layer's tar; seconds and peak MB of the process to make and to apply"
    yield ""
    rows, changes = [], []
    for case in cases():
        if chosen not in case.name:
            continue
        whole = case.new.stat().st_size
        with tempfile.TemporaryDirectory() as folder:
            for way in (each for each in _ways(case) if ways in each):
                figure = measured(case, way, Path(folder))
                share = f"{100 * figure.size_bytes / whole:.3f}"
                making = f"{figure.make_s:.1f} s, {figure.make_mb:.0f} MB"
                applying = f"{figure.apply_s:.2f} s, {figure.apply_mb:.0f} MB"
                rows.append([f"{case.name}: {way}", f"{figure.size_bytes:,}", share, making, applying])
                sys.stderr.write(" | ".join(rows[-1]) + "\n")
        if case.rounding is not None:
            changes += list(_changes(case.name, case.rounding))
        elif case.is_model:
            floor = floor_bytes(case)
            rows.append(
                [f"{case.name}: entropy floor", f"{floor:,.0f}", f"{100 * floor / whole:.3f}", "", ""]
            )
    yield from table(["update: way", "bytes", "%", "to make", "to apply"], rows)
    if changes:
        yield ""
        columns = ["rounded update", "% of the new file", "exact", "largest change", "mean", "range", "top 1"]
        yield from table(columns, changes)


def _ways(case: Case) -> list[str]:
    """Return the ways to measure; of a rounded model its own alone: for the others it is as any update."""
    return [OURS] if case.rounding is not None else list(WAYS)


def _changes(name: str, report: RoundingReport) -> Iterator[list[str]]:
    comparison = report.comparison
    shares = [100 * each / report.file_bytes for each in (report.update_bytes, report.exact_update_bytes)]
    for each in comparison.outputs:
        figures = [f"{each.largest_change:.4f}", f"{each.mean_change:.4f}", f"{each.high - each.low:.1f}"]
        other = f"{each.changed_rows} of {comparison.rows} changed"
        yield [name, *(f"{share:.1f}" for share in shares), *figures, other]


def _bytes(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _child(way: str, action: str, case: Case, delta: Path) -> dict[str, float]:
    python = str(PEERS) if way in OF_PEERS else sys.executable
    command = [python, str(WAYS_SCRIPT), way, action, str(case.old), str(case.new), str(delta)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT_S, env=environment
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--prepare", action="store_true", help="make the inputs and nothing else")
    parser.add_argument("--only", default="", help="measure the updates whose name holds this")
    parser.add_argument("--ways", default="", help="measure only the ways whose name holds this")
    options = parser.parse_args()
    prepare()
    if not options.prepare:
        sys.stdout.write("\n".join(report(options.only, options.ways)) + "\n")


if __name__ == "__main__":
    main()
