"""The policy's file: read when it changed, and when it cannot be read nothing new is allowed."""

import logging
import os
import stat
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.errors import AgentError
from agent.policy.judge import Denial, judge, judge_all
from agent.policy.rules import Policy
from contract.desired import Desired, Module

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024


class PolicyError(AgentError):
    """The owner's policy cannot be read; nothing new is allowed until it can."""

    code = "policy-unreadable"


class PolicyFile:
    """The policy in ``path`` (None: the strictest), looked at anew each time that it is asked for.

    ``changed`` is called, from whoever asks, when another policy holds than before. While the file cannot be
    read no document is acceptable, and what is in force is judged by the strictest policy.
    """

    def __init__(self, path: Path | None, changed: Callable[[], None] = lambda: None) -> None:
        self._path, self._changed = path, changed
        self._lock = threading.Lock()
        self._mark: object = None
        self._policy, self._fault = Policy(), ""
        self.current()

    def current(self) -> Policy:
        """Return the policy that holds now."""
        if self._path is None:
            return self._policy
        mark = _mark(self._path)
        with self._lock:
            if mark == self._mark:
                return self._policy
            first, self._mark = self._mark is None, mark
            try:
                self._policy, self._fault = read(self._path), ""
                log.info("the policy in %s holds", self._path)
            except PolicyError as error:  # said once for each change of the file
                self._policy, self._fault = Policy(), str(error)
                log.error("nothing new is allowed on this device: %s", error)  # noqa: TRY400  no trace needed
        if not first:
            self._changed()
        return self._policy

    def refuses(self, desired: Desired) -> Denial | None:
        """Return why a document is not acceptable here."""
        policy = self.current()
        return Denial("policy-unreadable", self._fault) if self._fault else judge_all(desired, policy)

    def forbids(self, module: Module) -> str:
        """Return why a module that is in force may not be started now, or an empty text."""
        denials = judge(module, self.current())
        if not denials:
            return ""
        return f"{denials[0].reason}, which this device's policy does not allow [{denials[0].code}]"


def read(path: Path) -> Policy:
    """Read a policy; raises `PolicyError` that names the file and the reason."""
    where = str(path)
    try:
        # Not blocking: a pipe would keep whoever opens it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & stat.S_IWOTH or not stat.S_ISREG(mode):
                raise PolicyError(
                    "it is not a file that its owner alone may write",
                    where=where,
                    fix="chmod o-w, or correct policy_file.",
                )
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise PolicyError(f"a policy has at most {MAX_BYTES} bytes", where=where, fix="Shorten it.")
        return msgspec.convert(tomllib.loads(data.decode()), Policy)
    except OSError as error:
        raise PolicyError(
            f"cannot read the policy ({error.strerror})",
            where=where,
            fix="Correct policy_file, or its rights.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"not TOML: {error}", where=where, fix="Correct that line.") from error
    except msgspec.ValidationError as error:
        raise PolicyError(str(error), where=where, fix="See configs/policy.toml for every key.") from error


def _mark(path: Path) -> object:
    """Return what is another when the file is."""
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
