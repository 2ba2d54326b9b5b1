"""Statistics of training data, computed here: the data stays, only figures go to the hub.

Reads the array in pieces, so a `numpy.memmap` may be larger than memory. numpy is imported when it is
called; the SDK does without it otherwise.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cloud_hub.sdk.errors import SdkError
from contract.baseline import FORMAT, MOST_BINS, MOST_FEATURES, Baseline, FeatureBaseline, Quantile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Column = npt.NDArray[np.float64]

CHUNK_ROWS = 65_536
SAMPLE = 1_000_000
QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def baseline(array: Any, names: Sequence[str] | None = None, *, bins: int = 20) -> Baseline:  # noqa: ANN401
    """Return the baseline of training data: ``array`` is (rows, features), or (rows,) for one feature.

    ``names`` are the features', else ``f0``, ``f1`` and so on; a pandas frame brings its own. NaN and
    infinite values count as missing. Quantiles, and the edges between them, are exact up to a million
    values of a feature, beyond that of a million evenly spread ones; counts are always of all values. A
    feature with at most ``bins`` different values has a bin for each.

    Raises `SdkError` where the data is not numbers of that shape.
    """
    import numpy as np  # noqa: PLC0415

    known = names if names is not None else getattr(array, "columns", None)
    table = array if isinstance(array, np.ndarray) else np.asarray(array)
    if table.ndim == 1:
        table = table[:, np.newaxis]
    if table.ndim != 2 or not (np.issubdtype(table.dtype, np.number) or table.dtype == np.bool_):
        raise SdkError("the data is not a table of numbers", where="baseline", fix="Give (rows, features).")
    if np.iscomplexobj(table) or not 1 <= table.shape[1] <= MOST_FEATURES or not 1 <= bins <= MOST_BINS:
        raise SdkError(
            f"a baseline has 1 to {MOST_FEATURES} features of real numbers, and 1 to {MOST_BINS} bins",
            where="baseline",
        )
    labels = [f"f{i}" for i in range(table.shape[1])] if known is None else [str(name) for name in known]
    if len(labels) != table.shape[1] or len(set(labels)) != len(labels):
        raise SdkError("there must be one name, of its own, for each feature", where="baseline")
    features = tuple(_feature(table, i, label, bins) for i, label in enumerate(labels))
    return Baseline(format=FORMAT, rows=table.shape[0], features=features)


def _feature(table: Any, index: int, name: str, bins: int) -> FeatureBaseline:  # noqa: ANN401
    import numpy as np  # noqa: PLC0415

    count, mean, spread, low, high = 0, 0.0, 0.0, np.inf, -np.inf
    for values in _values(table, index):
        size, here = len(values), float(values.mean())
        # Chan's way of joining two parts: no sum of squares that loses its digits.
        step = here - mean
        spread += float(((values - here) ** 2).sum()) + step**2 * count * size / (count + size)
        mean += step * size / (count + size)
        count += size
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    missing = table.shape[0] - count
    if count == 0:
        return FeatureBaseline(name=name, count=0, missing=missing, mean=None, std=None, min=None, max=None)
    sample = _sample(table, index)
    edges = _edges(sample, low, high, bins)
    counts = np.zeros(len(edges) - 1, np.int64)
    for values in _values(table, index):
        counts += _counted(values, edges)
    quantiles = np.quantile(sample, QUANTILES)
    quantiles[0], quantiles[-1] = low, high
    return FeatureBaseline(
        name=name,
        count=count,
        missing=missing,
        mean=mean,
        std=float(np.sqrt(spread / count)),
        min=low,
        max=high,
        quantiles=tuple(Quantile(p=p, value=float(v)) for p, v in zip(QUANTILES, quantiles, strict=True)),
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(one) for one in counts),
    )


def _values(table: Any, index: int) -> "Iterator[Column]":  # noqa: ANN401
    """Yield the numbers of a feature, some rows at a time."""
    import numpy as np  # noqa: PLC0415

    for start in range(0, table.shape[0], CHUNK_ROWS):
        values = np.asarray(table[start : start + CHUNK_ROWS, index], np.float64)
        values = values[np.isfinite(values)]
        if len(values):
            yield values


def _sample(table: Any, index: int) -> "Column":  # noqa: ANN401
    import numpy as np  # noqa: PLC0415

    step = -(-table.shape[0] // SAMPLE)
    values = np.asarray(table[::step, index], np.float64)
    values = values[np.isfinite(values)]
    return values if len(values) else next(_values(table, index))


def _edges(sample: "Column", low: float, high: float, bins: int) -> "Column":
    """Return edges from the least to the greatest value, so that bins hold about equally many."""
    import numpy as np  # noqa: PLC0415

    different = np.unique(sample)
    if len(different) == 1:
        return np.array([low, high])
    if len(different) <= bins:
        inner = different[:-1] + (different[1:] - different[:-1]) / 2
    else:
        inner = np.unique(np.quantile(sample, np.linspace(0, 1, bins + 1)[1:-1]))
    inner = inner[(inner > low) & (inner < high)]
    return np.concatenate(([low], inner, [high]))


def _counted(values: "Column", edges: "Column") -> "npt.NDArray[np.int64]":
    import numpy as np  # noqa: PLC0415

    if len(edges) == 2:
        return np.array([len(values)])
    places = np.searchsorted(edges, values, side="right") - 1
    return np.bincount(np.clip(places, 0, len(edges) - 2), minlength=len(edges) - 1)
