"""Runs pip for a Python that is not the one that runs it; started by `pip_run`, by path.

``pip --platform`` chooses wheels for another machine, but judges markers (``platform_machine ==
"aarch64"``) by the running one. Here they are judged by the first argument, the JSON of the target's
environment; the rest is pip's. Standard library and pip only.
"""

import json
import sys
from typing import Any


def main() -> int:
    """Run pip; its exit code is returned."""
    markers: dict[str, str] = json.loads(sys.argv[1])
    if markers:
        from pip._vendor.packaging import markers as judged  # noqa: PLC0415  not needed without markers

        # A pip that judges them elsewhere must not go on and choose for the wrong machine.
        if not callable(getattr(judged, "default_environment", None)):
            sys.stderr.write("ERROR: this pip judges markers in an unknown way\n")
            return 3
        real = judged.default_environment

        def environment() -> Any:  # noqa: ANN401  a TypedDict of pip's own
            return {**real(), **markers}

        judged.default_environment = environment
    from pip._internal.cli.main import main as pip  # noqa: PLC0415  after the markers are in place

    return int(pip(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
