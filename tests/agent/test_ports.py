"""Ports of modules: bound once, taken back from their holder, and a clear word where they are in use."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.endpoints.ports import PortBusyError, Ports
from contract.access import Port
from simulators.demo.stage import free_port

HOLDER = """
import socket, sys, time
held = socket.socket(fileno=int(sys.argv[1]))
print("holds", flush=True)
time.sleep(600)
"""


@pytest.fixture
def ports() -> Iterator[Ports]:
    made = Ports()
    yield made
    made.close()


def test_a_port_is_bound_once_and_reached(ports: Ports) -> None:
    port = Port(name="http", port=free_port())
    first = ports.get("m", [port])
    assert ports.get("m", [port]) == first
    with socket.create_connection(port.place):
        pass
    assert not os.get_inheritable(first["http"])


def test_a_port_in_use_is_told_and_nothing_is_kept_bound(ports: Ports) -> None:
    free = Port(name="free", port=free_port())
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Port(name="taken", port=other.getsockname()[1])
        with pytest.raises(PortBusyError, match="another program") as caught:
            ports.get("m", [free, taken])
        assert str(taken.port) in str(caught.value)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(free.place)
    assert ports.get("m", [free, taken])


def test_another_module_is_told_whose_it_is(ports: Ports) -> None:
    port = Port(name="http", port=free_port())
    ports.get("m", [port])
    with pytest.raises(PortBusyError, match="module m has it"):
        ports.get("n", [port])
    ports.keep("m", [port])
    ports.keep("n", [])
    with pytest.raises(PortBusyError):
        ports.get("n", [port])
    ports.keep("m", [])
    assert ports.get("n", [port])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_every_kind_of_address_can_be_bound(ports: Ports, address: str) -> None:
    if ":" in address and not Path("/proc/net/if_inet6").read_text():
        pytest.skip("this machine has no IPv6")
    assert ports.get("m", [Port(name="a", port=free_port(), address=address)])


def test_the_next_agent_takes_a_port_back_from_the_container(ports: Ports) -> None:
    port, other = Port(name="http", port=free_port()), Port(name="b", port=free_port())
    descriptor = ports.get("m", [port])["http"]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(descriptor)], pass_fds=[descriptor], stdout=subprocess.PIPE
    )
    following = Ports()
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        ports.close()  # the agent died; what it had bound lives on in the container
        with pytest.raises(PortBusyError):
            following.get("m", [port])
        assert not following.take_back("m", [port, other], os.getpid()), "the control: here is nothing"
        assert following.take_back("m", [port], holder.pid)
        assert not following.take_back("m", [port, other], holder.pid)
        taken = following.get("m", [port])["http"]
        waiting = socket.create_connection(port.place)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        # It is the same socket: who waits in its queue is met by the next container.
        with socket.socket(fileno=os.dup(taken)) as mine:
            mine.settimeout(5)
            mine.accept()[0].close()
        waiting.close()
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout is not None:
            holder.stdout.close()
        following.close()
