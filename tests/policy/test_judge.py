"""What a policy allows and denies, and that a planted hole in it is seen."""

import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.policy.file import read
from agent.policy.judge import judge, judge_all, judge_user
from agent.policy.rules import DeviceRule, HostPath, Most, Policy, PortRule
from cloud_hub.rollouts.manifest import read_manifest
from contract.access import Access, Device, Port, Volume, faults, is_plain, within
from contract.desired import ImageRef, Limits, Module
from tests.agent.test_acceptance import GOOD
from tests.docs.pages import page, rows_under
from tests.docs.test_settings import keys_of as example_keys

CONFIGS = Path(__file__).parents[2] / "configs"


def asking(limits: Limits | None = None, repository: str = "shop/digits", **asks: Any) -> Module:
    return Module(
        name="m",
        image=ImageRef(repository=repository, digest="sha256:" + "0" * 64, name="digits:1"),
        limits=limits or Limits(),
        access=Access(**asks),
    )


def codes(module: Module, policy: Policy | None = None) -> list[str]:
    return [denial.code for denial in judge(module, policy or Policy())]


ALL: list[tuple[Module, str, Policy]] = [
    (asking(privileged=True), "policy-privileged", Policy(privileged=True)),
    (asking(host_network=True), "policy-host-network", Policy(host_network=True)),
    (asking(capabilities=("NET_ADMIN",)), "policy-capability", Policy(capabilities=("NET_ADMIN",))),
    (
        asking(volumes=(Volume(target="/d", path="/srv/a/b", read_only=True),)),
        "policy-host-path",
        Policy(host_paths=(HostPath(path="/srv/a"),)),
    ),
    (
        asking(volumes=(Volume(target="/d", path="/srv/a"),)),
        "policy-host-path",
        Policy(host_paths=(HostPath(path="/srv/a", read_only=False),)),
    ),
    (
        asking(devices=(Device(path="/dev/video0"),)),
        "policy-device",
        Policy(devices=(DeviceRule(path="/dev/video*"),)),
    ),
    (
        asking(ports=(Port(name="http", port=80),)),
        "policy-port",
        Policy(ports=(PortRule(first=80, last=80),)),
    ),
    (
        asking(ports=(Port(name="http", port=8080, address="0.0.0.0"),)),
        "policy-port",
        Policy(ports=(PortRule(addresses=("0.0.0.0",)),)),
    ),
]


@pytest.mark.parametrize(("module", "code", "policy"), ALL, ids=[f"{a[1]}-{i}" for i, a in enumerate(ALL)])
def test_what_is_not_allowed_is_denied_and_what_is_allowed_is_not(
    module: Module, code: str, policy: Policy
) -> None:
    assert codes(module) == [code]
    assert codes(module, policy) == []


def test_the_strictest_allows_what_ever_worked() -> None:
    ports = (Port(name="a", port=8080), Port(name="b", port=8080, address="::1"))
    assert codes(asking(volumes=(Volume(target="/d", name="d"),), ports=ports)) == []


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(memory_bytes=101), Most(memory_bytes=100)),
        (Limits(cpus=1.5), Most(cpus=1.0)),
        (Limits(pids=65), Most(pids=64)),
    ],
)
def test_limits_have_a_bound_where_the_owner_sets_one(limits: Limits, most: Most) -> None:
    assert codes(asking(limits)) == []
    assert codes(asking(limits), Policy(limits=most)) == ["policy-limit"]


def test_repositories_users_and_volumes_can_be_closed() -> None:
    assert codes(asking(), Policy(repositories=("shop/digits",))) == []
    assert codes(asking(repository="shop/evil"), Policy(repositories=("shop/digits",))) == ["policy-image"]
    assert judge_user(0, Policy()) is None
    assert judge_user(0, Policy(root=False)) is not None
    assert judge_user(65532, Policy(root=False)) is None
    closed = Policy(named_volumes=False)
    assert codes(asking(volumes=(Volume(target="/d", name="d"),)), closed) == ["policy-volume"]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/srv/a", "/srv/ab"),
        ("/srv/a", "/srv"),
        ("/srv/a", "/"),
        ("/srv/a/b", "/srv/a"),
    ],
)
def test_a_path_beside_or_above_what_is_allowed_is_denied(rule: str, path: str) -> None:
    module = asking(volumes=(Volume(target="/d", path=path, read_only=True),))
    assert codes(module, Policy(host_paths=(HostPath(path=rule),))) == ["policy-host-path"]


@pytest.mark.parametrize(
    ("rule", "access", "device"),
    [
        ("/dev/*", "rw", Device(path="/dev/input/event0")),
        ("/dev/video*", "r", Device(path="/dev/video0", access="rw")),
        ("/dev/video*", "rw", Device(path="/dev/video0", access="rwm")),
        ("/dev/video?", "rw", Device(path="/dev/video10")),
    ],
)
def test_a_pattern_reaches_no_further_than_it_says(rule: str, access: str, device: Device) -> None:
    policy = Policy(devices=(DeviceRule(path=rule, access=access),))
    assert codes(asking(devices=(device,)), policy) == ["policy-device"]


def test_all_addresses_are_not_among_those_of_the_loopback() -> None:
    for address in ("0.0.0.0", "::", "::ffff:127.0.0.1", "10.0.0.1"):
        assert codes(asking(ports=(Port(name="a", port=8080, address=address),))) == ["policy-port"]


def test_a_document_tells_all_that_is_denied_and_is_short() -> None:
    many = tuple(Device(path=f"/dev/x{number}") for number in range(20))
    document = msgspec.structs.replace(GOOD, modules=(asking(privileged=True, devices=many),))
    denial = judge_all(document, Policy())
    assert denial is not None
    assert denial.code == "policy-privileged"
    assert "module m" in denial.reason
    assert "and 16 more" in denial.reason


BROKEN: list[dict[str, Any]] = [
    {"volumes": (Volume(target="/d"),)},
    {"volumes": (Volume(target="/d", name="a", path="/b"),)},
    {"volumes": (Volume(target="/d", name="../b"),)},
    {"volumes": (Volume(target="/d", path="/a/../b"),)},
    {"volumes": (Volume(target="/d", path="/a", keep=False),)},
    {"volumes": (Volume(target="/dev/x", name="a"),)},
    {"volumes": (Volume(target="/proc", name="a"),)},
    {"volumes": (Volume(target="/", name="a"),)},
    {"volumes": (Volume(target="/run/headland", name="a"),)},
    {"volumes": (Volume(target="/d", name="a"), Volume(target="/d", name="b"))},
    {"ports": (Port(name="socket", port=80),)},
    {"ports": (Port(name="a", port=0),)},
    {"ports": (Port(name="a", port=80, address="localhost"),)},
    {"ports": (Port(name="a", port=80), Port(name="b", port=80))},
    {"ports": (Port(name="a", port=80), Port(name="a", port=81))},
    {"devices": (Device(path="/dev/../etc/passwd"),)},
    {"devices": (Device(path="/dev/shm/x"),)},
    {"devices": (Device(path="/etc/passwd"),)},
    {"devices": (Device(path="/dev/x", access="wr"),)},
    {"devices": (Device(path="/dev/x", access=""),)},
    {"capabilities": ("CAP_NET_ADMIN",)},
    {"devices": tuple(Device(path=f"/dev/x{number}") for number in range(65))},
]


@pytest.mark.parametrize("asks", BROKEN, ids=str)
def test_what_cannot_be_asked_for_is_no_document(asks: dict[str, Any]) -> None:
    assert next(faults(Access(**asks)), "")


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "a/b"]), max_size=6))
def test_a_plain_path_within_a_folder_stays_there_as_the_kernel_reads_it(parts: list[str]) -> None:
    path = "/srv/" + "/".join(parts)
    if is_plain(path) and within(path, ("/srv/a",)):
        assert Path(path).resolve().is_relative_to("/srv/a")


def test_the_example_policy_allows_what_the_example_rollout_asks_for_and_the_strictest_does_not() -> None:
    manifest, _ = read_manifest((CONFIGS / "rollout-access.yaml").read_text())
    policy = read(CONFIGS / "policy.toml")
    for name, spec in manifest.spec.modules.items():
        module = msgspec.structs.replace(asking(), name=name, access=spec.access.told())
        assert codes(module, policy) == []
        assert codes(module)


def keys_of(kind: type[msgspec.Struct], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        inner = next(iter(get_args(field.type)), None) if get_origin(field.type) is tuple else field.type
        many = get_origin(field.type) is tuple
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            found |= {f"{prefix}{field.name}": ""} if many else {}
            found |= keys_of(inner, f"{prefix}{field.name}.{'N.' if many else ''}")
        else:
            missing = field.default is msgspec.NODEFAULT
            plain = list(field.default) if isinstance(field.default, tuple) else field.default
            found[f"{prefix}{field.name}"] = "required" if missing else str(plain)
    return found


def test_every_key_is_in_its_page_with_its_default() -> None:
    rows = rows_under(page("device-policy.md"), "key", "default")
    keys = keys_of(Policy)
    assert set(rows) == set(keys)
    assert {key: rows[key][1].strip("`") for key in rows if keys[key]} == {k: v for k, v in keys.items() if v}


def test_every_key_is_in_the_example() -> None:
    shown = set(example_keys(tomllib.loads((CONFIGS / "policy.toml").read_text())))
    assert shown == {key for key, default in keys_of(Policy).items() if default}
