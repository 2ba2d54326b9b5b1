"""A ResNet-18, trained and then really fine-tuned; run in the environment of `updates_peers.txt`, for jax.

``python updates_training.py FOLDER`` writes ``base.npz`` and one file for each fine-tuning: the weights by
their names, as float32, kernels as ONNX has them (out, in, height, width). What is there already is not
trained anew.

The task: scikit-learn's handwritten digits, 10 classes, drawn large: below 64 x 64 the last stage sees but
one place, and most of its weights never change. The base learns 1,200 of them as they are; the updates go on
with the 597 others, which a worse camera took (moved, dimmed, noisy).
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

WIDTHS = (64, 128, 256, 512)
CLASSES = 10
BATCH = 8
BASE_STEPS, TUNE_STEPS = 240, 80
MOMENTUM, DECAY = 0.9, 0.9
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
BN_EPSILON = 1e-5

Weights = dict[str, Any]
Step = Callable[[Weights, Any, Any, Any], tuple[Weights, Any, Any]]


def initial(seed: int) -> Weights:
    """Return the weights of a new network, kernels as (height, width, in, out)."""
    random = np.random.default_rng(seed)
    weights: Weights = {}

    def conv(name: str, size: int, inside: int, outside: int) -> None:
        spread = (2.0 / (size * size * outside)) ** 0.5
        kernel = random.normal(0.0, spread, (size, size, inside, outside))
        weights[f"{name}.weight"] = kernel.astype(np.float32)
        norm = f"{name}.norm"
        weights[f"{norm}.scale"] = np.ones(outside, np.float32)
        for part in ("bias", "mean"):
            weights[f"{norm}.{part}"] = np.zeros(outside, np.float32)
        weights[f"{norm}.var"] = np.ones(outside, np.float32)

    conv("stem", 7, 3, 64)
    inside = 64
    for stage, width in enumerate(WIDTHS, start=1):
        for block in range(2):
            conv(f"layer{stage}.{block}.conv1", 3, inside, width)
            conv(f"layer{stage}.{block}.conv2", 3, width, width)
            if inside != width:
                conv(f"layer{stage}.{block}.shortcut", 1, inside, width)
            inside = width
    bound = inside**-0.5
    weights["fc.weight"] = random.uniform(-bound, bound, (inside, CLASSES)).astype(np.float32)
    weights["fc.bias"] = np.zeros(CLASSES, np.float32)
    return weights


def forward(weights: Weights, images: Any, live: Callable[[str], bool]) -> tuple[Any, Weights]:
    """Return the logits of (batch, 64, 64, 3), and the running statistics of norms that are ``live``."""
    statistics: Weights = {}

    def conv(x: Any, name: str, stride: int) -> Any:
        kernel = weights[f"{name}.weight"]
        pad = (kernel.shape[0] - 1) // 2
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(pad, pad), (pad, pad)], dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        mean, var = weights[f"{name}.norm.mean"], weights[f"{name}.norm.var"]
        if live(f"{name}.norm.mean"):
            seen, spread = x.mean((0, 1, 2)), x.var((0, 1, 2))
            statistics[f"{name}.norm.mean"] = DECAY * mean + (1 - DECAY) * seen
            statistics[f"{name}.norm.var"] = DECAY * var + (1 - DECAY) * spread
            mean, var = seen, spread
        scale = weights[f"{name}.norm.scale"] * jax.lax.rsqrt(var + BN_EPSILON)
        return (x - mean) * scale + weights[f"{name}.norm.bias"]

    x = jax.nn.relu(conv(images, "stem", 2))
    x = jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)]
    )
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}.{block}"
            stride = 2 if block == 0 and stage > 1 else 1
            straight = conv(x, f"{name}.shortcut", stride) if f"{name}.shortcut.weight" in weights else x
            y = jax.nn.relu(conv(x, f"{name}.conv1", stride))
            x = jax.nn.relu(conv(y, f"{name}.conv2", 1) + straight)
    x = x.mean((1, 2))
    return x @ weights["fc.weight"] + weights["fc.bias"], statistics


def digits() -> tuple[Any, Any]:
    """Return all images as (count, 64, 64, 3) in 0 to 1, and their classes, in a fixed random order."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    large = np.kron(found.images[order] / 16.0, np.ones((8, 8)))
    return np.repeat(large[..., None], 3, axis=3).astype(np.float32), found.target[order].astype(np.int32)


def worse(images: Any, random: np.random.Generator) -> Any:
    """Return the images as a worse camera takes them."""
    moved = np.roll(images, (int(random.integers(-6, 7)), int(random.integers(-6, 7))), (1, 2))
    dimmed = moved * random.uniform(0.6, 0.9, (len(images), 1, 1, 1))
    return (dimmed + random.normal(0.0, 0.1, images.shape)).astype(np.float32)


def batches(images: Any, classes: Any, steps: int, *, spoil: bool) -> Iterator[tuple[Any, Any]]:
    """Yield random batches."""
    random = np.random.default_rng(1)
    for _ in range(steps):
        chosen = random.integers(0, len(images), BATCH)
        yield (worse(images[chosen], random) if spoil else images[chosen]), classes[chosen]


def trainer(kind: str, rate: float, trains: Callable[[str], bool]) -> Step:
    """Return one compiled step of ``adam`` or ``sgd`` on the weights that ``trains`` names."""

    def loss_of(free: Weights, fixed: Weights, images: Any, classes: Any) -> tuple[Any, Weights]:
        logits, statistics = forward({**fixed, **free}, images, trains)
        chosen = jax.nn.log_softmax(logits)[jnp.arange(len(classes)), classes]
        return -chosen.mean(), statistics

    def step(weights: Weights, state: Any, images: Any, classes: Any) -> tuple[Weights, Any, Any]:
        free = {name: each for name, each in weights.items() if trains(name) and not running(name)}
        fixed = {name: each for name, each in weights.items() if name not in free}
        (loss, seen), slopes = jax.value_and_grad(loss_of, has_aux=True)(free, fixed, images, classes)
        count = state["count"] + 1
        new, first, second = {}, {}, {}
        for name, slope in slopes.items():
            if kind == "adam":
                first[name] = BETA_1 * state["first"][name] + (1 - BETA_1) * slope
                second[name] = BETA_2 * state["second"][name] + (1 - BETA_2) * slope**2
                mean = first[name] / (1 - BETA_1**count)
                size = second[name] / (1 - BETA_2**count)
                new[name] = free[name] - rate * mean / (jnp.sqrt(size) + EPSILON)
            else:
                first[name] = MOMENTUM * state["first"][name] + slope
                second[name] = state["second"][name]
                new[name] = free[name] - rate * first[name]
        return {**fixed, **new, **seen}, {"count": count, "first": first, "second": second}, loss

    return jax.jit(step)  # type: ignore[no-any-return]


def running(name: str) -> bool:
    """Is it a running statistic?"""
    return name.endswith((".norm.mean", ".norm.var"))


def train(weights: Weights, kind: str, rate: float, trains: Callable[[str], bool], data: Any) -> Weights:
    """Train and say how it goes."""
    step = trainer(kind, rate, trains)
    zeros = {
        name: np.zeros_like(each) for name, each in weights.items() if trains(name) and not running(name)
    }
    state: Any = {"count": 0.0, "first": zeros, "second": zeros}
    began_s = time.perf_counter()
    for number, (images, classes) in enumerate(data):
        weights, state, loss = step(weights, state, images, classes)
        if number % 20 == 0:
            print(f"  step {number} loss {float(loss):.4f} {time.perf_counter() - began_s:.0f} s", flush=True)
    return {name: np.asarray(each) for name, each in weights.items()}


def accuracy(weights: Weights, images: Any, classes: Any) -> float:
    """Return the share of right answers."""
    logits, _ = jax.jit(lambda w, x: forward(w, x, lambda _: False))(weights, images)
    return float((np.asarray(logits).argmax(1) == classes).mean())


TUNINGS: dict[str, tuple[str, float, Callable[[str], bool]]] = {
    "last-layer": ("adam", 1e-3, lambda name: name.startswith("fc.")),
    "last-block": ("adam", 1e-4, lambda name: name.startswith(("fc.", "layer4.1."))),
    "adam": ("adam", 1e-5, lambda _: True),
    "sgd": ("sgd", 1e-3, lambda _: True),
}


def as_onnx(weights: Weights) -> Weights:
    """Return kernels as (out, in, height, width) and the last layer as (classes, features)."""
    turned = {}
    for name, each in weights.items():
        turned[name] = each.transpose(3, 2, 0, 1) if each.ndim == 4 else each.T if each.ndim == 2 else each
    return {name: np.ascontiguousarray(each) for name, each in turned.items()}


def from_onnx(weights: Weights) -> Weights:
    """Return what `as_onnx` was given."""
    turned = {}
    for name, each in weights.items():
        turned[name] = each.transpose(2, 3, 1, 0) if each.ndim == 4 else each.T if each.ndim == 2 else each
    return turned


def save(folder: Path, name: str, weights: Weights) -> None:
    """Write one set of weights; it is there whole or not at all."""
    beside = folder / f".{name}.npz"
    np.savez(beside, **as_onnx(weights))
    beside.rename(folder / f"{name}.npz")


def main() -> None:
    """Train what is not there yet."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    images, classes = digits()
    old, new = slice(0, 1200), slice(1200, None)
    seen = worse(images[new], np.random.default_rng(7))
    if not (folder / "data.npz").exists():
        np.savez(folder / "data.npz", images=seen.transpose(0, 3, 1, 2), classes=classes[new])
    if not (folder / "base.npz").exists():
        print("base", flush=True)
        data = batches(images[old], classes[old], BASE_STEPS, spoil=False)
        save(folder, "base", train(initial(0), "adam", 1e-3, lambda _: True, data))
    base = from_onnx(dict(np.load(folder / "base.npz")))
    print(f"base: {accuracy(base, seen, classes[new]):.3f} right on the new camera", flush=True)
    for name, (kind, rate, trains) in TUNINGS.items():
        if (folder / f"{name}.npz").exists():
            continue
        print(name, flush=True)
        data = batches(images[new], classes[new], TUNE_STEPS, spoil=True)
        tuned = train(dict(base), kind, rate, trains, data)
        print(f"{name}: {accuracy(tuned, seen, classes[new]):.3f} right on the new camera", flush=True)
        save(folder, name, tuned)


if __name__ == "__main__":
    main()
