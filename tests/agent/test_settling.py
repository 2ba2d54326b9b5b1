"""Names that come and go, of files, processes and containers, do not make a settled process larger."""

import subprocess
import sys

PASSING = """
import sys
import agent.app
from agent.settling import settle

def rss_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4

{first}
began, most = rss_kib(), 0
for number in range(200_000):
    sys.intern(f"name-{{number}}")
    if number % 100 == 0:
        most = max(most, rss_kib())
print(most - began)
"""
BOUND_KIB = 200


def grown_kib(first: str) -> int:
    """Return by how much a process with the agent's modules grew at most after it did ``first``."""
    program = [sys.executable, "-c", PASSING.format(first=first)]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


def test_names_that_come_and_go_take_no_more_memory() -> None:
    assert grown_kib("settle()") < BOUND_KIB


def test_negative_control_without_it_they_do() -> None:
    assert grown_kib("") > BOUND_KIB
