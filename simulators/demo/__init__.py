"""The main job, end to end, through the public CLI and SDK: `make demo`."""

import os

# One process is enough to train on; where there is no /dev/shm, joblib would warn about several.
os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")
