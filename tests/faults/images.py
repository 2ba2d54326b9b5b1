"""Images of a tiny static program that answers each connection with the version that is in its image."""

import functools
import io
import os
import random
import subprocess
import tarfile
import tempfile
from pathlib import Path

from contract.desired import ImageRef
from contract.digests import sha256
from contract.oci import architecture_of
from tests.artifacts.registry import Registry

PAYLOAD_BYTES = 200_000
PROGRAM = r"""
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t ends;
static void end(int number) { (void)number; ends = 1; }

/* Say that we serve; whoever was killed is told again. */
static int said(const char *path) {
  static const char words[] = "POST /v1/ready HTTP/1.1\r\nHost: agent\r\nContent-Length: 2\r\n\r\n{}";
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  struct timeval patience = {.tv_sec = 2};
  char answer[64] = "", rest[256];
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  int line = socket(AF_UNIX, SOCK_STREAM, 0);
  setsockopt(line, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  int good = connect(line, (struct sockaddr *)&to, sizeof to) == 0
             && write(line, words, sizeof words - 1) == (ssize_t)sizeof words - 1
             && read(line, answer, sizeof answer - 1) > 0 && strstr(answer, " 200 ");
  shutdown(line, SHUT_WR);
  while (read(line, rest, sizeof rest) > 0) continue;
  close(line);
  return good;
}

int main(int count, char **words) {
  char version[64];
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN); /* its agent may be killed in the middle of a word */
  fcntl(3, F_SETFL, O_NONBLOCK);
  int file = count > 1 ? open(words[1], O_RDONLY) : -1;
  ssize_t size = read(file, version, sizeof version);
  if (size <= 0) return 9;
  for (int ready = 0; !ends;) {
    struct pollfd wait = {.fd = 3, .events = POLLIN};
    if (!ready) ready = said(getenv("HEADLAND_AGENT_SOCKET"));
    if (poll(&wait, 1, ready ? 1000 : 50) > 0) {
      int client = accept(3, NULL, NULL);
      if (client >= 0 && write(client, version, size) < 0) continue;
      close(client);
    }
  }
  return 0;
}
"""


@functools.cache
def compiled(text: str) -> bytes:
    """Return a static program of C, compiled once."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "module.c"), Path(folder, "module")
        source.write_text(text)
        subprocess.run(["cc", "-Os", "-s", "-static", "-o", str(made), str(source)], check=True)
        return made.read_bytes()


def add_version(registry: Registry, version: int, *, payload_bytes: int = PAYLOAD_BYTES) -> ImageRef:
    """Serve an image of ``version``: a layer that all versions share, and one of its own."""
    noise = random.Random(version).randbytes(payload_bytes)
    layers = [_layer({"bin/x": (compiled(PROGRAM), 0o755)})]
    layers.append(_layer({"version": (b"%d\n" % version, 0o644), "payload": (noise, 0o644)}))
    return registry.add_image(
        layers, architecture_of(os.uname().machine), args=("/bin/x", "/version"), name=f"m:{version}"
    )


def _layer(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (data, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def layers_of(registry: Registry) -> dict[str, bytes]:
    """Return every layer that is served, unpacked, by its diff id."""
    import gzip

    plain = [gzip.decompress(data) for data in registry.content.values() if data[:2] == b"\x1f\x8b"]
    return {sha256(data): data for data in plain}
