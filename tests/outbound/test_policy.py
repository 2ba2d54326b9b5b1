"""Where the hub may connect to: a table of addresses and of the ways to write them."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloud_hub.settings
from cloud_hub.errors import HubSettingsError
from cloud_hub.outbound.addresses import is_public
from cloud_hub.outbound.errors import OutboundRefusedError
from cloud_hub.outbound.policy import judge, parse_allowed, target_of
from cloud_hub.outbound.ports import SystemResolver

PUBLIC = ["93.184.216.34", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
HIDDEN = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "192.0.0.8",
    "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "100::1", "2001:db8::1", "2001::1", "5f00::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:93.184.216.34", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::", "3fff::1",
]  # fmt: skip
NOWHERE = ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "ff02::1"]


def rule(url: str, *addresses: str, allowed: tuple[str, ...] = ()) -> str:
    return judge(target_of(url), tuple(map(ip_address, addresses)), parse_allowed(allowed)).rule


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert rule("https://example.org", address) == ""


@pytest.mark.parametrize("address", HIDDEN)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert rule("https://example.org", address) == "not-public"
    assert rule("https://example.org", "93.184.216.34", address) == "not-public"
    assert rule("https://example.org", address, "93.184.216.34") == "not-public"


@pytest.mark.parametrize("address", NOWHERE)
def test_what_is_no_machine_cannot_even_be_allowed(address: str) -> None:
    assert rule("https://example.org", address, allowed=("0.0.0.0/0", "::/0", "example.org")) == "no-machine"


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_global_unicast_is_public(address: object) -> None:
    assert not is_public(ip_address(str(address))) or str(address)[0] in "23"


@pytest.mark.parametrize(
    ("entry", "url", "address", "expected"),
    [
        ("10.0.0.0/8", "http://store", "10.1.2.3", ""),
        ("10.0.0.0/8", "http://store:9000", "10.1.2.3", ""),
        ("10.0.0.0/8", "http://store", "11.0.0.1", ""),
        ("10.0.0.0/8", "http://store:9000", "11.0.0.1", "port"),
        ("10.0.0.0/8", "http://store", "192.168.0.1", "not-public"),
        ("10.0.0.0/8", "http://store", "::ffff:10.1.2.3", "not-public"),
        ("10.1.2.3", "http://store", "10.1.2.3", ""),
        ("10.1.2.3:9000", "http://store:9000", "10.1.2.3", ""),
        ("10.1.2.3:9000", "http://store", "10.1.2.3", "not-public"),
        ("store.lan", "http://store.lan:9000", "10.1.2.3", ""),
        ("store.lan", "http://STORE.lan", "10.1.2.3", ""),
        ("store.lan", "http://evil.store.lan", "10.1.2.3", "not-public"),
        ("store.lan:9000", "http://store.lan:9001", "10.1.2.3", "not-public"),
        ("fd00::/8", "http://store", "fd00::5", ""),
        ("[fd00::5]:9000", "http://store:9000", "fd00::5", ""),
        ("[fd00::5]:9000", "http://store", "fd00::5", "not-public"),
    ],
)
def test_an_owner_s_list(entry: str, url: str, address: str, expected: str) -> None:
    assert rule(url, address, allowed=(entry,)) == expected


def test_a_name_with_one_bad_address_is_refused_whoever_allows_the_other() -> None:
    assert rule("http://store", "10.0.0.1", "127.0.0.1", allowed=("10.0.0.0/8",)) == "not-public"


@pytest.mark.parametrize("port", [22, 25, 6379, 8443])
def test_ports_that_do_not_speak_http_are_refused(port: int) -> None:
    assert rule(f"https://example.org:{port}", PUBLIC[0]) == ("" if port == 8443 else "port")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://example.org", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.org", "scheme"),
        ("unix:///run/docker.sock", "scheme"),
        ("//example.org", "scheme"),
        ("example.org", "scheme"),
        ("http://", "url"),
        ("http://ana:secret@example.org", "user-info"),
        ("http://@example.org", ""),
        ("http://0177.0.0.1/", "url"),
        ("http://[::1", "url"),
        ("http://[fe80::1%25eth0]/", "url"),
        ("http://example.org:99999", "url"),
        ("http://example.org:0", ""),
        ("http://example.org/\x00", "url"),
        ("http://exa mple.org", "url"),
        ("http://example.org/" + "a" * 5000, "url"),
        ("http://\ud800.org", "url"),
        ("", "scheme"),
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str, expected: str) -> None:
    if expected == "":
        target_of(url)
        return
    with pytest.raises(OutboundRefusedError) as caught:
        target_of(url)
    assert caught.value.rule == expected
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "0"]
)
def test_other_ways_to_write_loopback_are_seen_through(host: str) -> None:
    target = target_of(f"http://{host}/")
    verdict = judge(target, SystemResolver().resolve(target.host, target.port), ())
    assert verdict.addresses == ()
    assert verdict.rule in {"not-public", "no-machine"}


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.0/33", "a b", "host:port", "host:0", "[::1", "http://x", "1.2.3", "*"]
)
def test_a_wrong_entry_is_a_wrong_setting(entry: str, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(f'outbound_allow = ["{entry}"]\n')
    with pytest.raises(HubSettingsError):
        cloud_hub.settings.load(path)
    path.write_text('outbound_allow = ["10.0.0.0/8", "minio.lan:9000"]\n')
    assert cloud_hub.settings.load(path).outbound_allow == ("10.0.0.0/8", "minio.lan:9000")
