"""A real hub with a kind of activity for tests: `python -m tests.activities.hub_process DATA_DIR`."""

import asyncio
import logging
import sys
from pathlib import Path

from cloud_hub.app import run
from cloud_hub.init import SETTINGS_FILE
from cloud_hub.settings import load
from tests.activities import journal

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = Path(sys.argv[1])
    asyncio.run(run(load(folder / SETTINGS_FILE, data_dir=folder), kinds=[journal.kind()]))
