"""Where an image comes from: an in-toto statement (v1) with SLSA's provenance (v1); pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cloud_hub.images.build.bases import SystemPackage
from cloud_hub.images.build.ports import BuiltImage, Wheel
from cloud_hub.version import VERSION
from contract.digests import hex_of
from contract.encoding import canonical

MEDIA_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:headland:image-build:v1"


@dataclass(frozen=True)
class Origin:
    """What is told of a build: by whom and when, of what, with which options.

    ``files`` are the inputs that people gave, by name with their digests.
    """

    name: str
    invocation: str
    started_at: datetime
    finished_at: datetime
    asked: dict[str, Any]
    files: dict[str, str]


def provenance_of(
    image: BuiltImage, origin: Origin, wheels: Sequence[Wheel], system: Sequence[SystemPackage]
) -> bytes:
    """Return the statement; its subjects are the index and the manifest of each platform."""
    subjects = [_resource(origin.name, image.index_digest)]
    subjects += [_resource(f"{origin.name} {one.platform}", one.manifest_digest) for one in image.manifests]
    inputs = {f"file:{name}": digest for name, digest in origin.files.items()}
    inputs |= {wheel.filename: wheel.digest for wheel in wheels}
    for source in filter(None, (wheel.source for wheel in wheels)):
        inputs |= {source.filename: source.digest}
        inputs |= {f"build requirement {one.filename}": one.digest for one in source.requirements}
    inputs |= {f"{one.name}_{one.version}_{one.architecture}": one.digest for one in system if one.digest}
    return canonical(
        {
            "_type": STATEMENT,
            "subject": subjects,
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": origin.asked,
                    "internalParameters": {},
                    "resolvedDependencies": [_resource(name, inputs[name]) for name in sorted(inputs)],
                },
                "runDetails": {
                    "builder": {"id": "urn:headland:hub", "version": {"headland": VERSION}},
                    "metadata": {
                        "invocationId": origin.invocation,
                        "startedOn": _time(origin.started_at),
                        "finishedOn": _time(origin.finished_at),
                    },
                },
            },
        }
    )


def _resource(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": hex_of(digest)}}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
