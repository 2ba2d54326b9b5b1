"""What differs between two models: signature, files, labels, and the run, its parameters and metrics."""

from collections.abc import Iterator

import msgspec

from cloud_hub.sdk.types import Lineage, Model


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that is not the same of both; None where one has no such fact."""

    fact: str
    first: str | None
    second: str | None


def differences(first: tuple[Model, Lineage], second: tuple[Model, Lineage]) -> list[Difference]:
    """Return what differs, in the order in which `headland model show` tells it.

    Name, version and the time of registration, which always differ, are left out.
    """
    one, other = dict(_facts(*first)), dict(_facts(*second))
    differ = [fact for fact in {**one, **other} if one.get(fact) != other.get(fact)]
    kinds = list(dict.fromkeys(fact.partition(" ")[0] for fact in {**one, **other}))
    differ.sort(key=lambda fact: kinds.index(fact.partition(" ")[0]))
    return [Difference(fact=fact, first=one.get(fact), second=other.get(fact)) for fact in differ]


def _facts(model: Model, lineage: Lineage) -> Iterator[tuple[str, str]]:
    """Yield (fact, value); a number is written as `headland model show` writes it."""
    yield "framework", model.framework
    yield "description", model.description
    for side in ("inputs", "outputs"):
        for value in model.signature.get(side, ()):
            yield f"{side[:-1]} {value['name']}", f"{value['type']} {value.get('shape', '')}"
    for file in model.files:
        yield f"file {file.path}", file.digest
    for word, labels in (("tag", model.tags), ("property", model.properties)):
        for key, text in labels.items():
            yield f"{word} {key}", text
    yield "registered by", model.created_by
    run = lineage.run
    if run is not None:
        yield "run", run.id
        yield "experiment", run.experiment
        for word, logged in (("parameter", run.parameters), ("metric", run.metrics), ("source", run.source)):
            for key, number in logged.items():
                yield f"{word} {key}", f"{number:g}" if isinstance(number, float) else str(number)
    if lineage.images:
        yield "images", ", ".join(lineage.images)
    if lineage.devices:
        yield "devices", ", ".join(dict.fromkeys(use.device for use in lineage.devices))
