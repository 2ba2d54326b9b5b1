"""The hub beside its peers: runs the three benchmarks and prints their tables.

`python -m benchmarks.hub [--write]`; with ``--write`` the tables replace those of the page, between the marks
``<!-- NAME -->`` and ``<!-- /NAME -->``.
"""

import argparse
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("README.md")
PARTS = ("model_transfer", "api_requests", "hub_footprint")


def refreshed(page: str, name: str, tables: str) -> str:
    """Return the page with ``tables`` between the marks of ``name``; raises `ValueError` without marks."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, behind = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the page has no marks {begin} and {end}")
    return f"{before}{begin}\n\n{tables.strip()}\n\n{end}{behind}"


def main() -> int:
    """Run each part with its defaults; return non-zero where one failed, whose tables stay as they were."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hub", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    options = parser.parse_args()
    failed = []
    for name in PARTS:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True, check=False
        )
        sys.stdout.write(f"{name}\n\n{done.stdout}\n")
        sys.stdout.flush()
        if done.returncode:
            failed.append(name)
        elif options.write:
            PAGE.write_text(refreshed(PAGE.read_text(), name, done.stdout))
    if failed:
        sys.stderr.write(f"error: {', '.join(failed)} failed; see what it said above\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
