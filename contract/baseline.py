"""Statistics of the data that a model was trained on, kept with the model to measure drift against."""

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from contract.errors import HeadlandError

MOST_FEATURES: Final = 2_000
MOST_BINS: Final = 100
MOST_QUANTILES: Final = 101
MOST_BYTES: Final = 2 * 1024 * 1024
FORMAT: Final = "headland.baseline/1"

Count = Annotated[int, Meta(ge=0, le=2**53)]


class InvalidBaselineError(HeadlandError):
    """A baseline is not one, or its figures contradict each other."""

    code = "baseline-invalid"


class Quantile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value below which the fraction ``p`` (0 to 1) of a feature's values lie."""

    p: Annotated[float, Meta(ge=0, le=1)]
    value: float


class FeatureBaseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feature: ``count`` values that are numbers, ``missing`` that are not (NaN or infinite).

    ``std`` is the population's. ``counts[i]`` values lie in ``edges[i] <= x < edges[i + 1]``, the last
    edge included; without any value the other figures are None and the lists are empty.
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    count: Count
    missing: Count
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    quantiles: Annotated[tuple[Quantile, ...], Meta(max_length=MOST_QUANTILES)] = ()
    edges: Annotated[tuple[float, ...], Meta(max_length=MOST_BINS + 1)] = ()
    counts: Annotated[tuple[Count, ...], Meta(max_length=MOST_BINS)] = ()


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All features in the order of the model's input; ``rows`` is how many rows were looked at."""

    format: str
    rows: Count
    features: Annotated[tuple[FeatureBaseline, ...], Meta(min_length=1, max_length=MOST_FEATURES)]


def read_baseline(data: bytes) -> Baseline:
    """Return a baseline read from JSON; raises `InvalidBaselineError` that names the field."""
    if len(data) > MOST_BYTES:
        raise InvalidBaselineError(f"a baseline may have {MOST_BYTES} bytes", where="baseline")
    try:
        baseline = msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBaselineError(
            f"not a baseline: {error}", where="baseline", fix="Make it with `cloud_hub.sdk.baseline`."
        ) from error
    fault = _fault(baseline)
    if fault:
        raise InvalidBaselineError(fault, where="baseline", fix="Make it with `cloud_hub.sdk.baseline`.")
    return baseline


def _fault(baseline: Baseline) -> str:
    if baseline.format != FORMAT:
        return f"the format is not {FORMAT}"
    if len({feature.name for feature in baseline.features}) != len(baseline.features):
        return "two features have the same name"
    for number, feature in enumerate(baseline.features):
        fault = _feature_fault(feature, baseline.rows)
        if fault:
            return f"features[{number}]: {fault}"
    return ""


def _feature_fault(feature: FeatureBaseline, rows: int) -> str:
    figures = (feature.mean, feature.std, feature.min, feature.max)
    if feature.count + feature.missing != rows:
        return "count and missing do not add up to rows"
    if feature.count == 0:
        told = feature.quantiles or feature.edges or feature.counts
        return "figures without a value" if told or any(f is not None for f in figures) else ""
    if any(figure is None or not math.isfinite(figure) for figure in figures):
        return "mean, std, min and max must be finite numbers"
    values = [quantile.value for quantile in feature.quantiles]
    if not all(map(math.isfinite, (*values, *feature.edges))):
        return "quantiles and edges must be finite numbers"
    ps = [quantile.p for quantile in feature.quantiles]
    if ps != sorted(set(ps)) or values != sorted(values):
        return "quantiles are not in order"
    if len(feature.edges) != len(feature.counts) + 1 or list(feature.edges) != sorted(feature.edges):
        return "edges must be in order and one more than counts"
    return "" if sum(feature.counts) == feature.count else "counts do not add up to count"
