"""A module's word to its agent, as its container says it."""

from pathlib import Path

from agent.endpoints.unix_client import UnixHttpConnection
from contract.agent_api import READY_PATH


def say_ready(run_folder: Path) -> None:
    """Say that the module is ready; nobody may be listening yet."""
    line = UnixHttpConnection(run_folder / "agent.sock")
    try:
        line.request("POST", READY_PATH, b"{}")
        line.getresponse().read()
    except OSError:
        return
    finally:
        line.close()
