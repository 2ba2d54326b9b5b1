"""`docker run` as options of a container."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.importing.docker_run import NotPlainError, read_run

READ: dict[str, dict[str, Any]] = {
    "docker run x:1": {},
    "sudo docker container run -dit --rm x:1": {"HostConfig": {}, "OpenStdin": True, "Tty": True},
    "docker run -e A=1 --env B='x y' x:1 a -b": {
        "HostConfig": {},
        "Env": ["A=1", "B=x y"],
        "Cmd": ["a", "-b"],
    },
    "docker run -p8080:80/udp -p [::1]:1:2 x:1": {
        "HostConfig": {
            "PortBindings": {
                "80/udp": [{"HostIp": "", "HostPort": "8080"}],
                "2/tcp": [{"HostIp": "::1", "HostPort": "1"}],
            }
        }
    },
    "docker run --memory=1g --cpus .5 x:1": {"HostConfig": {"Memory": 1073741824, "NanoCpus": 500000000}},
    "docker run --cpus 0.5 --pids-limit 9 x:1": {"HostConfig": {"NanoCpus": 500000000, "PidsLimit": 9}},
    "docker run --device /dev/a:/dev/b:r x:1": {
        "HostConfig": {
            "Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}]
        }
    },
    "docker run --mount type=bind,src=/a,dst=/b,readonly x:1": {
        "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}]}
    },
    "docker run --health-cmd ok --health-interval 1m30s --stop-timeout 5 x:1": {
        "HostConfig": {},
        "Healthcheck": {"Test": ["CMD-SHELL", "ok"], "Interval": 90000000000},
        "StopTimeout": 5,
    },
    "docker run --privileged --network host -l a=b \\\n  -v /a:/b x:1": {
        "HostConfig": {"Privileged": True, "NetworkMode": "host", "Binds": ["/a:/b"]},
        "Labels": {"a": "b"},
    },
}


@pytest.mark.parametrize("script", READ)
def test_a_command_is_options(script: str) -> None:
    run = read_run(script)
    assert run.image == "x:1"
    assert run.body == READ[script]


@pytest.mark.parametrize(
    "script",
    [
        "",
        "docker",
        "docker run",
        "docker run -z x",
        "docker run --rm=7 x",
        "docker run x; rm",
        "docker run `x`",
    ],
)
def test_what_is_no_plain_command_is_refused(script: str) -> None:
    with pytest.raises(NotPlainError):
        read_run(script)


WORDS = st.sampled_from(
    [
        "-e",
        "--env",
        "A=1",
        "-p",
        "80:80",
        "-it",
        "--rm",
        "x:1",
        "--",
        "-",
        "--memory=5",
        "--mount",
        "type=",
        ":",
        "",
    ]
)


@given(st.lists(WORDS | st.text(max_size=8), max_size=8))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        read_run("docker run " + " ".join(words))
    except NotPlainError:
        return
