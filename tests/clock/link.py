"""A link between a device and its hub that can be cut, unplugged, lossy and slow: a network namespace.

The device's daemon runs in a namespace of its own, which reaches this machine over a pair of virtual
interfaces. A connection to a port of its own loopback goes to a relay here, and from there to the hub's: so
the hub's name is the same on both ends. Nothing of this machine's own network is changed.
"""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import threading

CHUNK_BYTES = 64 * 1024
NUMBERS = itertools.count(1)


def why_not() -> str:
    """Return why there can be no such link here, or nothing."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    missing = [program for program in ("ip", "iptables", "tc", "sysctl") if shutil.which(program) is None]
    return (
        f"there is no {missing[0]} (Debian, Ubuntu: apt install iproute2 iptables procps)" if missing else ""
    )


class Link:
    """One link, whole from the start; ``ports`` are those of the hub on the loopback."""

    def __init__(self, *ports: int) -> None:
        mine = f"{os.getpid() % 100_000}{next(NUMBERS)}"
        self._space, self._near, self._far = f"hl-{mine}", f"hln{mine}", f"hlf{mine}"
        net = f"10.213.{os.getpid() % 250 + 1}"
        _run("ip", "netns", "add", self._space)
        _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._space)
        _run("ip", "address", "add", f"{net}.1/30", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        self._inside("ip", "address", "add", f"{net}.2/30", "dev", self._far)
        for name in ("lo", self._far):
            self._inside("ip", "link", "set", name, "up")
        self._inside("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
        nat = ("iptables", "-t", "nat", "-A")
        self._inside(*nat, "POSTROUTING", "-o", self._far, "-j", "MASQUERADE")
        self._listeners = []
        for port in ports:
            to = ("-j", "DNAT", "--to", f"{net}.1:{port}")
            self._inside(*nat, "OUTPUT", "-p", "tcp", "-d", "127.0.0.1", "--dport", str(port), *to)
            listener = socket.create_server((f"{net}.1", port))
            self._listeners.append(listener)
            threading.Thread(target=_accept, args=(listener, port), daemon=True).start()

    @property
    def words(self) -> tuple[str, ...]:
        """What stands before a command that shall run at the other end."""
        # Not `ip netns exec`: it takes all mounts into a namespace, and holds disks of other tests.
        return ("nsenter", f"--net=/run/netns/{self._space}")

    def cut(self) -> None:
        """Lose every packet, somewhere on the way: neither end is told."""
        self._rules("-I", "-j", "DROP")

    def mend(self) -> None:
        """Lose none any more."""
        self._rules("-D", "-j", "DROP")

    def unplug(self) -> None:
        """Pull the cable out."""
        _run("ip", "link", "set", self._near, "down")

    def plug(self) -> None:
        """Put the cable in."""
        _run("ip", "link", "set", self._near, "up")

    def make_lossy(self, share: float) -> None:
        """Lose a share of the packets, either way, by chance."""
        self._rules("-A", "-m", "statistic", "--mode", "random", "--probability", f"{share:g}", "-j", "DROP")

    def make_slow(self, kbit_per_s: int) -> None:
        """Carry so much and no more, either way, with room for a second of it."""
        shape = ("root", "tbf", "rate", f"{kbit_per_s}kbit", "burst", "4kb", "latency", "1s")
        _run("tc", "qdisc", "replace", "dev", self._near, *shape)
        self._inside("tc", "qdisc", "replace", "dev", self._far, *shape)

    def make_good(self) -> None:
        """Be neither slow nor lossy."""
        self._inside("iptables", "-F", "INPUT")
        self._inside("iptables", "-F", "OUTPUT")
        for run, name in ((_run, self._near), (self._inside, self._far)):
            with contextlib.suppress(subprocess.CalledProcessError):
                run("tc", "qdisc", "del", "dev", name, "root")

    def close(self) -> None:
        """Take it down."""
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        _run("ip", "link", "del", self._near)
        _run("ip", "netns", "del", self._space)

    def _rules(self, how: str, *rule: str) -> None:
        self._inside("iptables", how, "INPUT", "-i", self._far, *rule)
        self._inside("iptables", how, "OUTPUT", "-o", self._far, *rule)

    def _inside(self, *words: str) -> None:
        _run(*self.words, *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _accept(listener: socket.socket, port: int) -> None:
    while True:
        try:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            if listener.fileno() < 0:
                return
            continue
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(CHUNK_BYTES):
            other.sendall(data)
    for each in (one, other):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    one.close()
