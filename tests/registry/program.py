"""A static program that needs nothing else, and an image of it."""

import gzip
import io
import json
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from contract import oci
from contract.digests import sha256
from tests.registry.content import Content, image

PROGRAM = """
#include <unistd.h>
int main(void) { write(1, "it runs\\n", 8); return 7; }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program, so that an image needs nothing else."""
    if shutil.which("cc") is None:
        pytest.skip("needs cc (apt-get install gcc libc6-dev)")
    folder = tmp_path_factory.mktemp("program")
    (folder / "main.c").write_text(PROGRAM)
    subprocess.run(["cc", "-static", "-o", str(folder / "main"), str(folder / "main.c")], check=True)
    return folder / "main"


def program_image(program: Path) -> Content:
    """Return an image of nothing but the program."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.add(program, "main")
    config = {
        "architecture": oci.architecture_of(platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/main"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(plain.getvalue())]},
    }
    return image(gzip.compress(plain.getvalue()), config=json.dumps(config).encode())
