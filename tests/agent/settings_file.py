"""Settings files of the agent that are to be refused."""

from pathlib import Path

import pytest

from agent.errors import SettingsError
from agent.settings import load


def refused(folder: Path, text: str) -> str:
    """Return what is said of a settings file."""
    path = folder / "agent.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    return str(caught.value)
