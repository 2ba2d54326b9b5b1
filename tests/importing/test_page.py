"""docs/importing.md: its commands run on the files that it names, and its tables have what is read."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from cloud_hub.importing import create_options, greengrass_strategy, host_config, iot_edge
from tests.docs.pages import FENCE, page, tables
from tests.importing.importing import CONFIGS

TEXT = page("importing.md")


def blocks(kind: str) -> list[str]:
    """Return the code blocks of a kind."""
    return [body for found, body in FENCE.findall(TEXT) if found == kind]


def words_of_tables() -> set[str]:
    """Return what stands in backticks in the first columns of the page's tables."""
    return {word for _, rows in tables(TEXT) for row in rows for word in re.findall(r"`([^`]+)`", row[0])}


def test_the_first_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    shutil.copy(CONFIGS / "iot-edge-deployment.json", tmp_path / "deployment.json")
    command = blocks("sh")[0].splitlines()[0]
    program = str(Path(sys.executable).parent / "headland")
    done = subprocess.run(
        [program, *command.split()[1:]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    printed = done.stdout.splitlines()
    shown = [line for line in blocks("text")[0].splitlines() if line.strip() != "..."]
    assert len(shown) >= 12
    assert [line for line in shown if line not in printed] == []


def test_every_option_of_a_container_that_is_read_is_in_the_page() -> None:
    read = {
        *create_options._READERS,
        *host_config._READERS,
        "NanoCpus",
        "CpuQuota",
        "CpuPeriod",
        "PortBindings",
    }
    assert read - words_of_tables() == set()


def test_every_key_of_a_deployment_that_is_listed_by_name_is_in_the_page() -> None:
    keys = {*iot_edge.OF_HUB, "priority", "labels", "metrics", "registryCredentials", "startupOrder"}
    assert keys - words_of_tables() == set()
    assert {"failureHandlingPolicy", "maximumPerMinute", "exponentialRate"} <= words_of_tables()
    assert greengrass_strategy.NOTIFY_S == 60


def test_a_key_that_is_missing_would_be_found() -> None:
    assert "Whatever" not in words_of_tables()
    assert "Binds" in words_of_tables()
