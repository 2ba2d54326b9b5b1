"""A scoring script with AzureML's contract: ``init()`` once, then ``run(raw_data)`` for each request."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import cast

import msgspec
import numpy as np

from modules.serving.errors import BodyInvalidError, ModelFailedError, ScriptUnusableError
from modules.serving.log import describe_failure, log_event


class Script:
    """A loaded script whose ``init()`` has run."""

    def __init__(self, run: Callable[[str], object]) -> None:
        self._run = run

    def score(self, body: bytes) -> bytes:
        """Return ``run(body as str)`` as JSON; a str becomes a JSON string, as AzureML's server does.

        Raises `BodyInvalidError` for a body that is not UTF-8 and `ModelFailedError` for anything
        that ``run`` raises or returns without it being JSON-able.
        """
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise BodyInvalidError("the body is not UTF-8 text", where="body") from error
        try:
            return msgspec.json.encode(self._run(text), enc_hook=_encode_numpy)
        except (Exception, SystemExit) as error:
            log_event(f"run() of the script failed on a request: {describe_failure(error)}")
            raise ModelFailedError(
                "the scoring script failed on this input", where="run()", fix="Read the module's log."
            ) from error


def load_script(path: Path) -> Script:
    """Import the script at ``path`` and run its ``init()``; raises `ScriptUnusableError`.

    The script's folder is put on the import path, as for a script that is run by hand.
    """
    spec = importlib.util.spec_from_file_location("headland_score", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ScriptUnusableError("there is no such Python file", where=str(path), fix="Set HEADLAND_SCRIPT.")
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        run = _init(module)
    except (Exception, SystemExit) as error:
        raise ScriptUnusableError(
            f"the script raised at its start: {error!r}, {describe_failure(error)}", where=str(path)
        ) from error
    if run is None:
        raise ScriptUnusableError("the script does not define init() and run(raw_data)", where=str(path))
    return Script(run)


def _init(module: ModuleType) -> Callable[[str], object] | None:
    """Run ``init()`` and return ``run``, or None where one of the two is missing."""
    init, run = getattr(module, "init", None), getattr(module, "run", None)
    if not callable(init) or not callable(run):
        return None
    init()
    return cast(Callable[[str], object], run)


def _encode_numpy(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise NotImplementedError(type(value).__name__)
