"""Puts one file, and may be killed at it: url, key and path as arguments, credentials on standard input."""

import json
import sys
from pathlib import Path

from cloud_hub.blobs.opening import open_store

if __name__ == "__main__":
    url, key, path = sys.argv[1:]
    open_store(url, json.load(sys.stdin)).put_file(key, Path(path))
