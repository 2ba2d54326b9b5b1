"""The launcher and `boot` as real processes, with versions of a few lines that say how they were started."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.selfupdate import record
from agent.selfupdate.choice import TRIES, State, Trial
from tests.selfupdate.releases import ROOT

SAYS = """
import json, os, pathlib, sys

def main(words):
    told = json.loads(os.environ["HEADLAND_AGENT_LAUNCH"])
    print(json.dumps({{"name": {name!r}, "pid": os.getpid(), "words": words, "slot": told["slot"],
                       "argv": sys.argv[1:], "notify": os.environ.get("NOTIFY_SOCKET")}}), flush=True)
    {then}
    return 0
"""


@dataclass
class Machine:
    """A package with the true launcher and a stub of an agent, and a state folder."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state_dir.mkdir()
        self.install("1")

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def program(self) -> Path:
        return self.folder / "package/bin/headland-agent"

    def install(self, version: str) -> None:
        """Put a package of that version in place of the one before."""
        lib = self.folder / "package/lib"
        shutil.rmtree(lib, ignore_errors=True)
        (lib / "agent").mkdir(parents=True)
        shutil.copytree(ROOT / "agent/selfupdate", lib / "agent/selfupdate")
        for name in ("__init__.py", "durable.py"):
            shutil.copy(ROOT / "agent" / name, lib / "agent" / name)
        (lib / "agent/cli.py").write_text(SAYS.format(name="packaged", then=""))
        (lib / "release.json").write_text(json.dumps({"digest": f"sha256:{version}"}))
        self.program.parent.mkdir(exist_ok=True)
        source = (ROOT / "configs/deb/headland-agent").read_text()
        self.program.write_text(source.replace("#!/usr/bin/python3", f"#!{sys.executable}", 1))
        self.program.chmod(0o755)

    def slot(self, name: str, then: str = "", cli: str | None = None) -> None:
        """Make a slot whose agent does ``then`` after it said its name."""
        lib = record.slots_of(self.state_dir) / name / "lib"
        (lib / "agent/selfupdate").mkdir(parents=True)
        (lib / "agent/__init__.py").touch()
        for module in ("__init__", "choice", "record"):
            shutil.copy(ROOT / f"agent/selfupdate/{module}.py", lib / "agent/selfupdate")
        shutil.copy(ROOT / "agent/durable.py", lib / "agent")
        (lib / "agent/cli.py").write_text(SAYS.format(name=name, then=then) if cli is None else cli)

    def write(self, **state: object) -> None:
        record.write(self.state_dir, State(**({"package": "sha256:1"} | state)))  # type: ignore[arg-type]

    @property
    def state(self) -> State:
        state = record.read(self.state_dir)
        assert state is not None
        return state

    def command(self, *words: str) -> list[str]:
        return [str(self.program), *words, "--state-dir", str(self.state_dir)]

    def run(self, *words: str) -> tuple[list[dict[str, object]], int]:
        """Run a command; return what each version that ran said, and the exit code."""
        done = subprocess.run(
            self.command(*(words or ("run",))), capture_output=True, text=True, check=False,
            env=os.environ | self.env, timeout=120,
        )  # fmt: skip
        self.printed = done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.returncode

    def names(self, *words: str) -> list[object]:
        return [said["name"] for said in self.run(*words)[0]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


TRIAL = Trial("new", "2", 5, deadline_s=60.0)
CONFIRM = "from agent.selfupdate import choice, record; from pathlib import Path as P; " + (
    "d = P(words[words.index('--state-dir') + 1]); record.write(d, choice.confirmed(record.read(d)))"
)


def test_without_a_state_the_package_runs_in_the_launcher_s_own_process(machine: Machine) -> None:
    (said,), code = machine.run("run", "--driver", "process")
    assert (said["name"], said["slot"], code) == ("packaged", "", 0)
    assert said["words"] == ["run", "--driver", "process", "--state-dir", str(machine.state_dir)]
    assert not record.folder_of(machine.state_dir).exists(), "nothing is written"


def test_a_version_on_trial_runs_in_the_same_process_with_what_systemd_gave(machine: Machine) -> None:
    machine.slot("new", CONFIRM)
    machine.write(trial=TRIAL)
    machine.env = {"NOTIFY_SOCKET": "/run/somewhere"}
    with subprocess.Popen(
        machine.command("run"), stdout=subprocess.PIPE, text=True, env=os.environ | machine.env
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.read())
    assert (said["name"], said["slot"], said["pid"]) == ("new", "new", process.pid)
    assert said["notify"] == "/run/somewhere"
    assert said["argv"] == said["words"] == machine.command("run")[1:]
    assert (machine.state.confirmed, machine.state.trial) == ("new", None)
    assert machine.names() == ["new"]


WAYS = {
    "a syntax error": ("def (", "SyntaxError"),
    "an error at its import": ("raise ValueError('no')", "ValueError: no"),
    "a library that is missing": ("import paho.mqtt", "ModuleNotFoundError"),
    "an exit at its import": ("raise SystemExit(3)", "exit code 3"),
    "an error as it runs": ("def main(words):\n    raise OSError('broken')", "OSError: broken"),
    "an exit code": ("def main(words):\n    return 1", "exit code 1"),
    "no agent at all": ("", "cannot import name 'main'"),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_that_ends_badly_gives_way_in_the_same_process(machine: Machine, way: str) -> None:
    cli, reason = WAYS[way]
    machine.slot("old", CONFIRM)
    machine.slot("new", cli=cli)
    machine.write(confirmed="old", trial=TRIAL)
    said, code = machine.run()
    assert ([one["name"] for one in said], code) == (["old"], 0)
    state = machine.state
    assert (state.confirmed, state.trial, state.settled) == ("old", None, 0)
    assert state.failed is not None
    assert (state.failed.slot, state.failed.generation) == ("new", 5)
    assert reason in state.failed.reason


def test_one_that_hangs_at_its_import_gives_way_too(machine: Machine) -> None:
    machine.slot("new", cli="import time\ntime.sleep(3600)")
    machine.write(trial=Trial("new", "2", 5, deadline_s=1.0))
    assert machine.names() == ["packaged"]
    assert machine.state.failed is not None
    assert "not imported within 1 s" in machine.state.failed.reason


def test_one_that_hangs_out_of_python_s_reach_is_ended_by_the_kernel(machine: Machine) -> None:
    """Signals are blocked, as in a library that never comes back: who starts it again meets the next try."""
    blocked = (
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\ntime.sleep(3600)"
    )
    machine.slot("new", cli=blocked)
    machine.write(trial=Trial("new", "2", 5, deadline_s=1.0))
    said, code = machine.run()
    assert (said, code) == ([], 1)
    assert "time.sleep" in machine.printed or "File" in machine.printed, "the log says where it stands"
    assert machine.state.trial is not None
    assert machine.state.trial.tries_left == TRIES - 1


def test_one_that_is_killed_each_time_is_tried_so_often_and_no_more(machine: Machine) -> None:
    machine.slot("new", "os.kill(os.getpid(), 9)")
    machine.write(trial=TRIAL)
    seen = [machine.names() for _ in range(TRIES + 2)]
    assert seen == [["new"]] * TRIES + [["packaged"]] * 2
    assert machine.state.failed is not None
    assert "3 times" in machine.state.failed.reason


def test_a_stop_during_a_trial_is_a_stop(machine: Machine) -> None:
    machine.slot("new")
    machine.write(trial=TRIAL)
    assert machine.names() == ["new"]
    assert machine.state.trial is not None
    assert machine.state.trial.tries_left == TRIES - 1


def test_a_confirmed_version_that_ends_badly_ends_as_ever(machine: Machine) -> None:
    machine.slot("good", "raise OSError('as ever')")
    machine.write(confirmed="good")
    said, code = machine.run()
    assert ([one["name"] for one in said], code) == (["good"], 1)
    assert machine.state.confirmed == "good"


def test_a_confirmed_version_whose_files_were_lost_gives_way_to_the_one_before(machine: Machine) -> None:
    machine.slot("good", cli="import agent.gone")
    machine.slot("older")
    machine.write(confirmed="good", previous="older")
    assert machine.names() == ["older"]
    assert machine.state.failed is not None
    assert "agent.gone" in machine.state.failed.reason
    shutil.rmtree(record.slots_of(machine.state_dir) / "older")
    assert machine.names() == ["packaged"]


def test_other_commands_run_the_confirmed_version_and_change_nothing(machine: Machine) -> None:
    machine.slot("good")
    machine.slot("new", "raise OSError('never')")
    machine.write(confirmed="good", trial=TRIAL)
    before = record.file_of(machine.state_dir).read_bytes()
    assert machine.names("status") == ["good"]
    (record.slots_of(machine.state_dir) / "good/lib/agent/cli.py").write_text("raise OSError('broken')")
    assert machine.names("status") == ["packaged"]
    assert record.file_of(machine.state_dir).read_bytes() == before


def test_beside_a_daemon_that_works_nothing_is_tried(machine: Machine) -> None:
    machine.slot("new", "raise OSError('never')")
    machine.write(trial=TRIAL)
    holder = "import fcntl, sys, time\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
    holder += "print(1, flush=True)\ntime.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(machine.state_dir / "agent.lock")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert machine.names() == ["packaged"]
            assert machine.state.trial == TRIAL
        finally:
            process.kill()


def test_a_package_that_was_installed_since_takes_over(machine: Machine) -> None:
    machine.slot("good")
    machine.write(confirmed="good", settled=4)
    assert machine.names() == ["good"]
    machine.install("2")
    assert machine.names("status") == ["packaged"]
    assert machine.names() == ["packaged"]
    assert (machine.state.confirmed, machine.state.new_package, machine.state.settled) == ("", True, 4)
    machine.install("1")
    assert machine.names() == ["packaged"], "also where the old package comes again"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 99}', b'{"format": 1}', b"\xff"])
def test_a_state_that_cannot_be_read_means_the_package(machine: Machine, data: bytes) -> None:
    machine.slot("good")
    machine.write(confirmed="good")
    record.file_of(machine.state_dir).write_bytes(data)
    assert machine.names() == ["packaged"]
    assert record.file_of(machine.state_dir).read_bytes() == data


def test_a_try_that_cannot_be_counted_is_none(machine: Machine) -> None:
    machine.slot("good")
    machine.slot("new")
    machine.write(confirmed="good", trial=TRIAL)
    (record.folder_of(machine.state_dir) / ".versions.json.new").mkdir()  # the write fails, also for root
    assert machine.names() == ["good"]
    assert machine.state.trial == TRIAL


def test_the_state_folder_of_the_settings_counts(machine: Machine, tmp_path: Path) -> None:
    machine.slot("good")
    machine.write(confirmed="good")
    config = tmp_path / "agent.toml"
    config.write_text(f'state_dir = "{machine.state_dir}"\n')
    done = subprocess.run(
        [machine.program, "run", "--config", config], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["name"] == "good"


@pytest.mark.system
@pytest.mark.parametrize("call", ["write", "fsync", "rename,renameat,renameat2", "execve"])
def test_killed_at_any_call_it_ends_on_the_old_version_or_the_new_one(machine: Machine, call: str) -> None:
    """The launcher is killed at the N-th call of a kind, for growing N, until a start gets through."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    machine.slot("old")
    machine.slot("new", CONFIRM)
    outcomes, command = [], machine.command("run")
    for number in range(1, 60):
        machine.write(confirmed="old", trial=TRIAL)
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        killed = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *command],
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        state = machine.state
        assert state.confirmed in {"old", "new"}
        if state.trial is not None:
            assert TRIES - 1 <= state.trial.tries_left <= TRIES
        (after,) = machine.names()
        assert after in {"old", "new"}
        outcomes.append(after)
        if killed.returncode != -signal.SIGKILL and killed.returncode != 128 + signal.SIGKILL:
            break
    assert len(outcomes) > 1, "it was killed at least once"
