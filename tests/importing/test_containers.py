"""Options of a container: each key that has a counterpart, and each that has none."""

from typing import Any

import pytest

from cloud_hub.importing.reasons import OF_CONTAINER, OF_HOST
from tests.importing.importing import edge, from_edge, left, module, only, said

NODE = {"PathOnHost": "/dev/a"}
MOUNT = {"Type": "bind", "Source": "/a", "Target": "/a"}
CARRIED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "environment": ({"Env": ["A=1", "B=x=y"]}, {"env": {"A": "1", "B": "x=y"}}),
    "command": ({"Cmd": ["-v", "2"]}, {"command": ["-v", "2"]}),
    "command of one word": ({"Cmd": "serve"}, {"command": ["serve"]}),
    "grace": ({"StopTimeout": 30}, {"stopGraceSeconds": 30}),
    "memory": ({"HostConfig": {"Memory": 33554432}}, {"limits": {"memory": 33554432}}),
    "cpus": ({"HostConfig": {"NanoCpus": 1500000000}}, {"limits": {"cpus": 1.5}}),
    "quota": ({"HostConfig": {"CpuQuota": 50000}}, {"limits": {"cpus": 0.5}}),
    "quota and period": ({"HostConfig": {"CpuQuota": 50000, "CpuPeriod": 25000}}, {"limits": {"cpus": 2.0}}),
    "processes": ({"HostConfig": {"PidsLimit": 100}}, {"limits": {"pids": 100}}),
    "host network": ({"HostConfig": {"NetworkMode": "host"}}, {"access": {"hostNetwork": True}}),
    "host network twice": (
        {"NetworkingConfig": {"EndpointsConfig": {"host": {}}}, "HostConfig": {"NetworkMode": "host"}},
        {"access": {"hostNetwork": True}},
    ),
    "no network": ({"HostConfig": {"NetworkMode": "none"}}, {}),
    "privileged": ({"HostConfig": {"Privileged": True}}, {"access": {"privileged": True}}),
    "not privileged": ({"HostConfig": {"Privileged": False}}, {}),
    "capabilities": (
        {"HostConfig": {"CapAdd": ["NET_ADMIN", "CAP_SYS_TIME", "net_admin"]}},
        {"access": {"capabilities": ["NET_ADMIN", "SYS_TIME"]}},
    ),
    "no capabilities": ({"HostConfig": {"CapDrop": ["ALL"]}}, {}),
    "device": (
        {"HostConfig": {"Devices": [{"PathOnHost": "/dev/ttyS0", "PathInContainer": "/dev/ttyS0"}]}},
        {"access": {"devices": [{"path": "/dev/ttyS0", "access": "rwm"}]}},
    ),
    "device of another order": (
        {"HostConfig": {"Devices": [{"PathOnHost": "/dev/ttyS0", "CgroupPermissions": "wr"}]}},
        {"access": {"devices": [{"path": "/dev/ttyS0", "access": "rw"}]}},
    ),
    "mounts": (
        {
            "HostConfig": {
                "Mounts": [
                    {"Type": "bind", "Source": "/srv", "Target": "/srv/", "ReadOnly": True},
                    {"Type": "volume", "Source": "My_Data", "Target": "/data"},
                ]
            }
        },
        {
            "access": {
                "volumes": [
                    {"target": "/srv", "hostPath": "/srv", "readOnly": True},
                    {"target": "/data", "name": "my-data"},
                ]
            }
        },
    ),
    "port": (
        {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080", "HostIp": "127.0.0.1"}]}}},
        {"access": {"ports": [{"name": "tcp-80-8080", "port": 8080, "address": "127.0.0.1"}]}},
    ),
    "port of all addresses": (
        {"HostConfig": {"PortBindings": {"80": [{"HostPort": "80"}]}}},
        {"access": {"ports": [{"name": "tcp-80-80", "port": 80, "address": "0.0.0.0"}]}},
    ),
    "no check": ({"Healthcheck": {"Test": ["NONE"]}}, {}),
    "nothing": ({"HostConfig": {}, "Env": [], "Labels": {}, "Tty": False, "Entrypoint": None}, {}),
    "read-only root": ({"HostConfig": {"ReadonlyRootfs": True, "Memory": None}}, {}),
}
ALONE = {"host network", "host network twice", "privileged", "device", "device of another order", "mounts"}
"""Two containers of a module cannot share that, so the old one is stopped first."""
LEFT: dict[str, tuple[dict[str, Any], str]] = {
    "Entrypoint[0]": ({"Entrypoint": ["sh"]}, "entry point"),
    "Labels.a": ({"Labels": {"a": "b"}}, "labels"),
    "ExposedPorts['80/tcp']": ({"ExposedPorts": {"80/tcp": {}}}, "listens"),
    "Env[0]": ({"Env": ["HEADLAND_X=1"]}, "not used by Headland"),
    "Env[1]": ({"Env": ["A=1", "A=2"]}, "already"),
    "StopTimeout": ({"StopTimeout": -1}, "greater than 0"),
    "Memory": ({"HostConfig": {"Memory": 1024}}, "16777216"),
    "PidsLimit": ({"HostConfig": {"PidsLimit": -1}}, "always has a limit"),
    "NanoCpus": ({"HostConfig": {"NanoCpus": 10**500}}, "1024"),
    "CpuPeriod": ({"HostConfig": {"CpuPeriod": 5}}, "limits"),
    "CapAdd[0]": ({"HostConfig": {"CapAdd": ["ALL"]}}, "no capability"),
    "NetworkMode": ({"HostConfig": {"NetworkMode": "azure-iot-edge"}}, "network"),
    "EndpointsConfig.host": ({"NetworkingConfig": {"EndpointsConfig": {"host": {}}}}, "network"),
    "Devices[0]": ({"HostConfig": {"Devices": [{**NODE, "PathInContainer": "/dev/b"}]}}, "one path"),
    "Devices[0].X": ({"HostConfig": {"Devices": [{**NODE, "X": 1}]}}, "no such setting"),
    "Binds[0]": ({"HostConfig": {"Binds": ["/:/host"]}}, "absolute path"),
    "Binds[1]": ({"HostConfig": {"Binds": ["a:/a", "/b:/a"]}}, "twice"),
    "Mounts[0]": ({"HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/t"}]}}, "counterpart"),
    "Propagation": (
        {"HostConfig": {"Mounts": [{**MOUNT, "BindOptions": {"Propagation": "x"}}]}},
        "no such setting",
    ),
    "Retries": ({"Healthcheck": {"Test": ["CMD", "a"], "Retries": 1000}}, "100"),
    "ReadonlyRootfs": ({"HostConfig": {"ReadonlyRootfs": False}}, "always read-only"),
    "Whatever": ({"HostConfig": {"Whatever": 1}}, "no counterpart"),
    "HostConfig": ({"HostConfig": "x"}, "no counterpart"),
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIED)
def test_what_has_a_counterpart_is_carried_over(name: str) -> None:
    options, expected = CARRIED[name]
    found = from_edge(edge({"a": module(options)}))
    assert found.not_carried == ()
    alone = {"lifecycle": {"update": "stop-first"}} if name in ALONE else {}
    assert only(found) == {"image": "camera:1", **alone, **expected}


@pytest.mark.parametrize("ending", LEFT)
def test_what_has_none_is_listed_with_its_reason(ending: str) -> None:
    options, why = LEFT[ending]
    assert why in left(from_edge(edge({"a": module(options)})), ending).why


@pytest.mark.parametrize("key", OF_CONTAINER)
def test_each_known_key_of_a_container_has_its_reason(key: str) -> None:
    assert left(from_edge(edge({"a": module({key: "x"})})), key).why == OF_CONTAINER[key][0]


@pytest.mark.parametrize("key", OF_HOST)
def test_each_known_key_of_a_host_has_its_reason(key: str) -> None:
    assert left(from_edge(edge({"a": module({"HostConfig": {key: "x"}})})), key).why == OF_HOST[key][0]


def test_a_health_check_is_readiness_and_liveness() -> None:
    check = {
        "Test": ["CMD-SHELL", "ok"],
        "Interval": 5 * 10**9,
        "Timeout": 0,
        "Retries": 4,
        "StartPeriod": 10**11,
    }
    found = only(from_edge(edge({"a": module({"Healthcheck": check})})))
    probe = {"exec": ["/bin/sh", "-c", "ok"], "periodSeconds": 5.0, "timeoutSeconds": 30, "failures": 4}
    assert found["lifecycle"] == {"readiness": probe, "liveness": probe}
    assert found["readyTimeoutSeconds"] == 120.0


def test_the_check_of_the_image_is_not_carried() -> None:
    found = from_edge(edge({"a": module({"Healthcheck": {"Interval": 5}})}))
    assert "image's own" in left(found, "Interval").why


def test_one_port_of_a_device_goes_to_one_module() -> None:
    options = {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}}
    found = from_edge(edge({"a": module(options), "b": module(options)}))
    assert "already" in left(found, "['80/tcp'][0]").why
    assert ".b." in left(found, "['80/tcp'][0]").path


@pytest.mark.parametrize(
    ("binding", "key", "why"),
    [
        ({"HostPort": "53"}, "53/udp", "only TCP"),
        ({"HostPort": "8000-8010"}, "80/tcp", "one port"),
        ({}, "80/tcp", "one port"),
        ({"HostPort": "80", "HostIp": "here"}, "80/tcp", "address"),
        ({"HostPort": "0"}, "80/tcp", "greater than or equal to 1"),
    ],
)
def test_ports_that_are_not_handed_over_are_listed(binding: dict[str, str], key: str, why: str) -> None:
    found = from_edge(edge({"a": module({"HostConfig": {"PortBindings": {key: [binding]}}})}))
    assert "access" not in only(found)
    assert any(why in one.why for one in found.not_carried)


def test_a_port_beside_the_hosts_network_is_listed() -> None:
    host = {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}, "NetworkMode": "host"}
    found = from_edge(edge({"a": module({"HostConfig": host})}))
    assert only(found)["access"] == {"hostNetwork": True}
    assert "binds its ports itself" in left(found, "[0]").why


def test_a_socket_of_the_device_is_no_volume() -> None:
    found = from_edge(edge({"a": module({"HostConfig": {"Binds": ["/var/run/docker.sock:/s"]}})}))
    assert "no socket" in left(found, "Binds[0]").why


def test_more_volumes_than_a_module_may_have_are_listed_each() -> None:
    found = from_edge(edge({"a": module({"HostConfig": {"Binds": [f"/s{n}:/t{n}" for n in range(40)]}})}))
    assert len(only(found)["access"]["volumes"]) == 32
    assert len(found.not_carried) == 8


@pytest.mark.parametrize(
    "line",
    ["DB_PASSWORD=hunter2", "API_KEY=hunter2", "TOKEN=hunter2", "DB=postgres://me:hunter2@db/x",
     "C=HostName=h;SharedAccessKey=hunter2", "A=-----BEGIN EC PRIVATE KEY-----hunter2"],
)  # fmt: skip
def test_what_looks_like_a_secret_is_kept_back(line: str) -> None:
    found = from_edge(edge({"a": module({"Env": [line]})}))
    assert "secret" in left(found, "Env[0]").why
    assert "hunter2" not in said(found)


def test_what_only_sounds_like_a_secret_is_carried() -> None:
    lines = ["TOKENIZER=bpe", "KEYFRAMES=3", "MAX_TOKENS=9", "PWD=/"]
    assert list(only(from_edge(edge({"a": module({"Env": lines})})))["env"]) == [
        line.partition("=")[0] for line in lines
    ]


def test_a_secret_in_an_argument_is_kept_back() -> None:
    found = from_edge(edge({"a": module({"Cmd": ["--c", "AccountKey=hunter2"]})}))
    assert "command" not in only(found)
    assert "hunter2" not in said(found)


def test_numbers_that_nobody_can_count_with_are_listed() -> None:
    endless = float("inf")
    host = {"Memory": endless, "NanoCpus": endless, "CpuQuota": 1, "CpuPeriod": endless, "PidsLimit": endless}
    check = {"Test": ["CMD", "a"], "Interval": endless, "StartPeriod": endless, "Retries": endless}
    one = module()
    one["settings"]["createOptions"] = {"HostConfig": host, "Healthcheck": check, "StopTimeout": endless}
    found = from_edge(edge({"a": one}))
    assert len(found.not_carried) == 9
    assert "limits" not in only(found)
