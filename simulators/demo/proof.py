"""What the demo proves, computed from the hub's storage alone."""

from dataclasses import dataclass
from pathlib import Path

from cloud_hub.sdk import Workspace
from simulators.demo.digits import Digits, predict
from simulators.sensors.digits import Tally

SAMPLES_SQL = """
SELECT body->>'request_id' AS request, body->>'model_version' AS version,
       CAST(body->>'prediction' AS INTEGER) AS prediction, CAST(body->>'latency_us' AS INTEGER) AS latency_us
FROM inference ORDER BY seq
"""
MAX_SAMPLES = 100_000


@dataclass(frozen=True)
class Check:
    """One thing that must hold: what, the two figures that must be equal, and whether they are."""

    what: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        """Are they equal?"""
        return self.expected == self.found


@dataclass(frozen=True)
class VersionFigures:
    """What is stored of one model version: samples, accuracy (0 to 1) and median latency."""

    version: str
    samples: int
    accuracy: float
    offline_accuracy: float
    p50_latency_us: int


@dataclass(frozen=True)
class Sample:
    """One stored inference."""

    request: str
    version: str
    prediction: int
    latency_us: int

    @property
    def number(self) -> int:
        """Which request of the sensor it was."""
        return int(self.request.rpartition("-")[2])


def stored_samples(workspace: Workspace) -> list[Sample]:
    """Return every inference in the hub's storage, in the order of its sequence."""
    result = workspace.query(SAMPLES_SQL, MAX_SAMPLES)
    return [
        Sample(str(request), str(version), int(label), int(us)) for request, version, label, us in result.rows
    ]


def figures(samples: list[Sample], digits: Digits, model_files: dict[str, Path]) -> list[VersionFigures]:
    """Return, by model version, the accuracy as stored and as computed offline on the same rows."""
    labels = digits.held_out_labels
    by_version = []
    for version, path in sorted(model_files.items()):
        mine = [sample for sample in samples if sample.version == version]
        if not mine:
            continue
        rows = [sample.number % len(labels) for sample in mine]
        offline = predict(path, digits.held_out_images[rows])
        truth = labels[rows].tolist()
        latencies = sorted(sample.latency_us for sample in mine)
        by_version.append(
            VersionFigures(
                version=version,
                samples=len(mine),
                accuracy=sum(s.prediction == t for s, t in zip(mine, truth, strict=True)) / len(mine),
                offline_accuracy=sum(o == t for o, t in zip(offline, truth, strict=True)) / len(mine),
                p50_latency_us=latencies[len(latencies) // 2],
            )
        )
    return by_version


def checks(samples: list[Sample], tally: Tally, by_version: list[VersionFigures]) -> list[Check]:
    """Return all that must hold."""
    found = [
        Check("samples sent = samples stored", tally.sent, len(samples)),
        Check("no sample twice", len(samples), len({sample.request for sample in samples})),
        Check("requests refused", 0, len(tally.refused)),
        Check("both versions scored", ["1", "2"], [figure.version for figure in by_version]),
    ]
    found += [
        Check(f"accuracy of v{figure.version}, stored = offline", figure.offline_accuracy, figure.accuracy)
        for figure in by_version
    ]
    return found
