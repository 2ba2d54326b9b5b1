"""How fast a large model goes up to a hub and down again, beside `cp` and MLflow's tracking server.

`python -m benchmarks.model_transfer [--mib 256 1024] [--rounds 3] [--folder DIR]`; prints Markdown.
Nothing is asserted: the machine's disk and its other work decide.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.figures import in_turn, machine, ratios, spread, table
from benchmarks.peers import MlflowServer, Tls, mlflow_server, peer_environment, peer_program
from benchmarks.running_hub import running_hub, tls_of
from cloud_hub.sdk import Hub
from cloud_hub.sdk.transfer import look_at

MIB = 1024 * 1024
UP, DOWN = "register (up)", "download"
MLFLOW_UP, MLFLOW_DOWN = "MLflow up", "MLflow down"


class BigFile:
    """A file of random bytes that is another one for each use, so that no store knows it already."""

    def __init__(self, path: Path, mib: int) -> None:
        self.path = path
        self.size_bytes = mib * MIB
        self.changes = 0
        with path.open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))

    def anew(self) -> Path:
        """Change its first bytes; nothing that was written before still waits for the disk."""
        with self.path.open("r+b") as file:
            file.write(os.urandom(64))
        os.sync()
        self.changes += 1
        return self.path

    def mb_per_s(self, work: Callable[[], object]) -> float:
        """Do ``work``; return how fast the file's bytes went through."""
        began_s = time.perf_counter()
        work()
        return self.size_bytes / (time.perf_counter() - began_s) / 1e6


class HeadlandMoves:
    """Registers and downloads the file with the SDK."""

    def __init__(self, hub: Hub, big: BigFile, folder: Path) -> None:
        self._shop = hub.workspace("shop")
        self._big = big
        self._folder = folder
        self._sent = 0

    def up(self) -> float:
        """Register new bytes; MB/s."""
        path = self._big.anew()
        self._sent = self._big.changes
        return self._big.mb_per_s(lambda: self._shop.register_model("big", path, framework="custom"))

    def again(self) -> float:
        """Register bytes that the hub has; MB/s."""
        if self._sent != self._big.changes:
            self.up()
        path = self._big.path
        return self._big.mb_per_s(lambda: self._shop.register_model("big", path, framework="custom"))

    def down(self) -> float:
        """Download the newest version into an empty folder; MB/s."""
        if not self._sent:
            self.up()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.sync()
        return self._big.mb_per_s(lambda: self._shop.download_model("big", self._folder))


class MlflowMoves:
    """Logs and downloads the file with MLflow's own client, in a process of MLflow's environment."""

    def __init__(self, process: "subprocess.Popen[str]", big: BigFile, folder: Path) -> None:
        self._process = process
        self._big = big
        self._folder = folder
        self._run = ""

    def up(self) -> float:
        """Log the file as an artifact; MB/s."""
        answer = self._ask("upload", self._big.anew())
        self._run = str(answer["run"])
        return self._big.size_bytes / float(str(answer["seconds"])) / 1e6

    def down(self) -> float:
        """Download the last artifact into an empty folder; MB/s."""
        if not self._run:
            self.up()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        os.sync()
        answer = self._ask("download", self._folder / self._big.path.name)
        return self._big.size_bytes / float(str(answer["seconds"])) / 1e6

    def _ask(self, do: str, path: Path) -> dict[str, object]:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the client has no pipes")
        self._process.stdin.write(json.dumps({"do": do, "path": str(path), "run": self._run}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def mlflow_moves(server: MlflowServer, big: BigFile, folder: Path, tls: Tls | None) -> Iterator[MlflowMoves]:
    """Run MLflow's client against a server."""
    environment = {"MLFLOW_TRACKING_URI": server.url}
    if tls is not None:
        environment["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(tls.ca)
    process = subprocess.Popen(
        [str(peer_program("python")), str(Path(__file__).with_name("mlflow_moves.py"))],
        env=peer_environment(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield MlflowMoves(process, big, folder)
    finally:
        process.communicate()


def local_ways(big: BigFile, copy: Path) -> dict[str, Callable[[], float]]:
    """Return what needs no server: copies, and the digest."""

    def copied(command: Sequence[str | Path]) -> float:
        copy.unlink(missing_ok=True)
        big.anew()
        return big.mb_per_s(lambda: subprocess.run(command, check=True))

    return {
        "`cp`": lambda: copied(["cp", big.path, copy]),
        "`cp` and `sync`": lambda: copied(["sh", "-c", 'cp "$0" "$1" && sync "$1"', big.path, copy]),
        "SHA-256": lambda: big.mb_per_s(lambda: look_at(big.path)),
    }


def measure(
    folder: Path, sizes_mib: Sequence[int], rounds: int
) -> Iterator[tuple[int, dict[str, list[float]]]]:
    """Yield each size with MB/s by way, one figure a round."""
    with ExitStack() as stack:
        stage = stack.enter_context(running_hub(folder / "headland"))
        hub, tls = stack.enter_context(Hub.connect()), tls_of(stage)
        servers = {
            words: (
                stack.enter_context(mlflow_server(folder / words, workers=1, jobs=False, tls=way_tls)),
                way_tls,
            )
            for words, way_tls in (("HTTP", None), ("HTTPS", tls))
        }
        for mib in sizes_mib:
            big = BigFile(folder / "big.bin", mib)
            headland = HeadlandMoves(hub, big, folder / "down")
            ways = local_ways(big, folder / "copy.bin")
            ways |= {UP: headland.up, "register again": headland.again, DOWN: headland.down}
            with ExitStack() as clients:
                for words, (server, way_tls) in servers.items():
                    moves = clients.enter_context(mlflow_moves(server, big, folder / "mlflow-down", way_tls))
                    ways |= {f"{MLFLOW_UP}, {words}": moves.up, f"{MLFLOW_DOWN}, {words}": moves.down}
                yield mib, in_turn(ways, rounds)


def lines_of(found: dict[str, list[float]], mib: int) -> Iterator[str]:
    """Yield the table of one size."""
    rounds = len(found[UP])
    yield f"{mib} MiB, {rounds} rounds, {machine()}; median (smallest-largest)"
    yield ""
    rows = [
        [
            words,
            spread(values).told(0),
            ratios(found[UP], values).told(2),
            ratios(found[DOWN], values).told(2),
        ]
        for words, values in found.items()
    ]
    yield from table(
        ["way", "MB/s", "register is so many times as fast", "download is so many times as fast"], rows
    )
    yield ""


def main() -> int:
    """Measure each size and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_transfer", description=__doc__)
    parser.add_argument("--mib", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where files are made; the disk is what is measured"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for mib, found in measure(Path(name), options.mib, options.rounds):
            sys.stdout.write("\n".join(lines_of(found, mib)) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
