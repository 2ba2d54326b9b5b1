"""What telemetry costs a device: bytes on the wire in each encoding, and bytes written to flash.

`python -m benchmarks.outbox [--write]`. The samples are those that the scoring server makes of scikit-learn's
handwritten digits: its own code summarises each image and the class probabilities of a logistic regression.
"""

import argparse
import dataclasses
import functools
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from backports import zstd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from agent.outbox.sqlite import SqliteOutbox
from benchmarks.figures import machine, spread, table
from benchmarks.hub import PAGE, refreshed
from contract.encoding import encode
from contract.messages import Batch
from modules.serving.samples import Origin, encode_sample, summarise_input, summarise_prediction
from simulators.disk import Disk, why_not

BATCH_SAMPLES = (1, 10, 100, 500)
ROUNDS = 15
START_US = 1_767_323_045_000_000
STREAM = "inference"
SECTOR_BYTES = 512
MIB = 1 << 20


def samples(count: int, *, with_id: bool) -> list[bytes]:
    """Return bodies of ``inference``; with an id counted by the caller, or with a random one."""
    digits = load_digits()
    images = digits.data.astype(np.float32)
    model = LogisticRegression(max_iter=100).fit(images / 16, digits.target)
    probabilities = model.predict_proba(images / 16).astype(np.float32)
    origin = Origin("digits", "digits", "1", "digits:1")
    latency = np.random.default_rng(1).gamma(8, 30, count).astype(int)
    return [
        encode_sample(
            origin,
            f"cam-1-{number}" if with_id else None,
            int(latency[number]),
            summarise_prediction(probabilities[number % len(images)][None]),
            summarise_input(images[number % len(images)][None]),
        )
        for number in range(count)
    ]


def batches(bodies: list[bytes], size: int) -> list[bytes]:
    """Return the JSON of batches of ``size`` samples, ten a second with some jitter."""
    jitter = np.random.default_rng(2).integers(0, 2000, len(bodies))
    found = []
    for first in range(0, len(bodies) - size + 1, size):
        part = bodies[first : first + size]
        times = tuple(START_US + 100_000 * i + int(jitter[i]) for i in range(first, first + size))
        raws = tuple(msgspec.Raw(body) for body in part)
        batch = Batch(epoch="e" * 32, after=first, first=first + 1, sampled_at_us=times, bodies=raws)
        found.append(encode(batch))
    return found


def encodings(training: list[bytes]) -> dict[str, Callable[[bytes], bytes]]:
    """Return ways to make a message shorter; the dictionary is trained on other batches."""
    dictionary = zstd.train_dict(training, 16 * 1024)
    return {
        "none": lambda plain: plain,
        "zlib, level 6": lambda plain: zlib.compress(plain, 6),
        "zstd, level 1": lambda plain: zstd.compress(plain, 1),
        "zstd, level 3": lambda plain: zstd.compress(plain, 3),
        "zstd, level 9": lambda plain: zstd.compress(plain, 9),
        "zstd, level 1, dictionary of 16 KiB": lambda plain: zstd.compress(
            plain, 1, zstd_dict=dictionary.as_digested_dict
        ),
    }


def wire_tables() -> str:
    """Measure every encoding on batches of several sizes."""
    bodies = samples(6000, with_id=False)
    training = samples(4000, with_id=True)[2000:]
    rows = []
    ways = encodings(batches(training, 10))
    for name, way in ways.items():
        cells = [name]
        for size in BATCH_SAMPLES:
            plain = batches(bodies[: max(200, size * 12)], size)
            sent = sum(len(way(each)) for each in plain)
            costs = []
            for _ in range(ROUNDS):
                began = time.thread_time()
                for each in plain:
                    way(each)
                costs.append((time.thread_time() - began) / (len(plain) * size) * 1e6)
            cells += [f"{sent / (len(plain) * size):.0f}", spread(costs).told(1)]
        rows.append(cells)
    head = ["encoding"]
    for size in BATCH_SAMPLES:
        head += [f"{size} in a batch: bytes a sample", "µs a sample"]
    return "\n".join([f"{ROUNDS} rounds, {machine()}; median (smallest-largest)", "", *table(head, rows)])


@dataclasses.dataclass(frozen=True)
class Load:
    """Samples come in hand-overs of ``handover_samples``; ``drained``: each is acknowledged at once."""

    name: str
    handover_samples: int
    drained: bool = False
    full: bool = False


LOADS = (
    Load("1 sample a hand-over, acknowledged at once", 1, drained=True),
    Load("1 sample, offline", 1),
    Load("10 samples, acknowledged at once", 10, drained=True),
    Load("10 samples, offline", 10),
    Load("100 samples, acknowledged at once", 100, drained=True),
    Load("100 samples, offline", 100),
    Load("100 samples, offline, full: the oldest are dropped", 100, full=True),
)
FLASH_SAMPLES = 3000


def own_write_bytes() -> int:
    """Return what this process has given to the block layer, as the kernel counts it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def sectors_written(device: str) -> int:
    """Return the sectors written to a block device."""
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[6])


@contextmanager
def disk() -> Iterator[tuple[Path, str]]:
    """Yield the root of a fresh ext4 on a loop device, and the device's name."""
    with tempfile.TemporaryDirectory() as folder:
        made = Disk(Path(folder))
        try:
            mounts = Path("/proc/mounts").read_text().splitlines()
            (device,) = (line.split()[0] for line in mounts if line.split()[1] == str(made.root))
            yield made.root, Path(device).name
        finally:
            made.unmount()


def through_outbox(load: Load, root: Path, bodies: list[bytes]) -> None:
    """Hand the samples over as the load says."""
    limit = sum(map(len, bodies)) // 4 if load.full else 256 * MIB
    outbox = SqliteOutbox(root / "outbox.db", max_bytes=limit)
    step = load.handover_samples
    for number, first in enumerate(range(0, len(bodies), step), start=1):
        part = tuple(msgspec.Raw(body) for body in bodies[first : first + step])
        outbox.put(STREAM, "p" * 32, number, (START_US + first,) * len(part), part)
        if load.drained:
            outbox.acknowledge(STREAM, first + len(part))
    outbox.close()


def appended(handover_samples: int, root: Path, bodies: list[bytes]) -> None:
    """Append the bodies to a plain file and sync it after each hand-over: the least that is durable."""
    with (root / "plain").open("wb") as file:
        for first in range(0, len(bodies), handover_samples):
            file.write(b"".join(bodies[first : first + handover_samples]))
            file.flush()
            os.fdatasync(file.fileno())


def written(store: Callable[[Path, list[bytes]], None], bodies: list[bytes]) -> tuple[float, float]:
    """Return bytes written at the device, and by the process, each by byte of bodies."""
    payload = sum(map(len, bodies))
    with disk() as (root, device):
        begun, own = sectors_written(device), own_write_bytes()
        store(root, bodies)
        device_bytes = (sectors_written(device) - begun) * SECTOR_BYTES
        return device_bytes / payload, (own_write_bytes() - own) / payload


def flash_tables() -> str:
    """Measure what each load writes."""
    bodies = samples(FLASH_SAMPLES, with_id=False)
    size_bytes = sum(map(len, bodies)) / len(bodies)
    ways: dict[str, Callable[[Path, list[bytes]], None]] = {}
    for load in LOADS:
        ways[load.name] = functools.partial(through_outbox, load)
    for step in (1, 10, 100):
        ways[f"no outbox: a plain file, synced each {step}"] = functools.partial(appended, step)
    rows = []
    for name, store in ways.items():
        of_device, of_process = written(store, bodies)
        rows.append([name, f"{of_device:.1f}", f"{of_process:.1f}", f"{of_device * size_bytes:,.0f}"])
    intro = f"{FLASH_SAMPLES} samples of {size_bytes:.0f} bytes, ext4 on a loop device; {machine()}"
    head = [
        "load",
        "written at the device, by byte of bodies",
        "by the process",
        "bytes a sample at the device",
    ]
    return "\n".join([intro, "", *table(head, rows)])


def main() -> int:
    """Print the tables; with ``--write`` put them into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    options = parser.parse_args()
    parts = {"outbox_wire": wire_tables}
    if reason := why_not():
        sys.stderr.write(f"writes to flash are not measured: {reason}\n")
    else:
        parts["outbox_flash"] = flash_tables
    for name, measure in parts.items():
        tables = measure()
        sys.stdout.write(f"{name}\n\n{tables}\n\n")
        sys.stdout.flush()
        if options.write:
            PAGE.write_text(refreshed(PAGE.read_text(), name, tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
