"""How many requests a second the hub answers, beside a bare FastAPI app with the same routes.

`python -m benchmarks.api_requests [--rounds 3] [--seconds 1.5] [--connections 1 16]`; prints Markdown.
Both speak HTTPS with the same certificate. Nothing is asserted.
"""

import argparse
import itertools
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bare_app import ANSWERS
from benchmarks.figures import in_turn, machine, ratios, spread, table
from benchmarks.load import Call, Load, put_under_load
from benchmarks.peers import Tls, wait_for_answer
from benchmarks.running_hub import running_hub, tls_of
from cloud_hub.sdk import Hub
from cloud_hub.sdk.context import Context, load_context
from simulators.demo.stage import free_port

API = "/api/v1"
SHOP = f"{API}/workspaces/shop"
MODELS = 100
HUB, BARE = "hub", "bare"
Found = dict[str, list[Load]]


def fill(folder: Path) -> str:
    """Register `MODELS` models of one small file, two tags each; return the id of an open run."""
    file = folder / "model.bin"
    file.write_bytes(b"a model" * 100)
    with Hub.connect() as hub:
        shop = hub.workspace("shop")
        for number in range(MODELS):
            tags = {"site": f"site-{number % 7}", "stage": "trial"}
            shop.register_model(f"model-{number:03}", file, framework="custom", tags=tags)
        return shop.start_run("load").id


def calls(run: str) -> dict[str, Call]:
    """Return the requests by what a table calls them."""
    metric = json.dumps({"name": "loss", "value": 0.25, "step": 1}).encode()
    return {
        "list workspaces": Call("GET", f"{API}/workspaces"),
        "list 100 models": Call("GET", f"{SHOP}/models?limit={MODELS}"),
        "show a model": Call("GET", f"{SHOP}/models/model-050:1"),
        "log a metric (write)": Call("POST", f"{SHOP}/runs/{run}/metrics", metric, 204),
    }


@contextmanager
def bare(folder: Path, context: Context, tls: Tls) -> Iterator[str]:
    """Run the bare app with the hub's own answers; yield its address."""
    folder.mkdir()
    ask = partial(httpx.get, headers={"Authorization": f"Bearer {context.token}"}, verify=_verified(tls))
    answers: dict[str, Any] = {
        "workspaces": ask(f"{context.hub}{API}/workspaces").json(),
        "models": ask(f"{context.hub}{SHOP}/models?limit={MODELS}").json()["items"],
    }
    (folder / ANSWERS).write_text(json.dumps(answers))
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "benchmarks.bare_app", "--port", str(port), "--folder", str(folder),
            "--certificate", str(tls.certificate), "--key", str(tls.key),
        ]
    )  # fmt: skip
    try:
        wait_for_answer(f"https://localhost:{port}{API}/workspaces", {}, tls.ca, process)
        yield f"https://localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def _verified(tls: Tls) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=tls.ca)


def measure(
    folder: Path, rounds: int, seconds: float, connections: Sequence[int]
) -> Iterator[tuple[str, int, Found]]:
    """Yield each request and number of connections with the loads of hub and bare app, one a round."""
    with running_hub(folder / "headland") as stage:
        run, tls = fill(folder), tls_of(stage)
        context = load_context()
        with bare(folder / "bare", context, tls) as bare_url:
            for (words, call), number in itertools.product(calls(run).items(), connections):
                under_load = partial(
                    put_under_load,
                    ca=tls.ca,
                    token=context.token,
                    call=call,
                    connections=number,
                    seconds=seconds,
                )
                ways = {HUB: partial(under_load, context.hub), BARE: partial(under_load, bare_url)}
                yield words, number, in_turn(ways, rounds)


def row_of(words: str, connections: int, found: Found) -> list[str]:
    """Return a row of the table."""
    rates = {name: [load.per_s for load in loads] for name, loads in found.items()}
    cells = [words, str(connections)]
    cells += [spread(rates[name]).told(0) for name in (HUB, BARE)]
    cells.append(ratios(rates[HUB], rates[BARE]).told(2))
    for name in (HUB, BARE):
        latencies = [spread([load.latency_ms(share) for load in found[name]]).median for share in (0.5, 0.99)]
        cells.append(" / ".join(f"{latency:.1f}" for latency in latencies))
    busiest = max(load.client_share for loads in found.values() for load in loads)
    return [*cells, f"{busiest:.0%}"]


HEAD = (
    "request", "connections", "hub, 1/s", "bare, 1/s", "hub / bare",
    "hub p50 / p99, ms", "bare p50 / p99, ms", "client at most",
)  # fmt: skip


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_requests", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), options.rounds, options.seconds, options.connections)
        rows = [row_of(*one) for one in found]
    head = f"{options.rounds} rounds of {options.seconds:g} s, {machine()}; median (smallest-largest)"
    sys.stdout.write("\n".join([head, "", *table(HEAD, rows)]) + "\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
