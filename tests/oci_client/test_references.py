"""References as Docker reads them; the cases are those of its own grammar's tests."""

import pytest

from cloud_hub.oci_client.challenges import Challenge, challenges_of
from cloud_hub.oci_client.errors import InvalidReferenceError
from cloud_hub.oci_client.references import host_of, parse_reference
from cloud_hub.oci_client.rules import parse_rules

DIGEST = "sha256:" + "a" * 64
GOOD = {
    "debian": "docker.io/library/debian:latest",
    "debian:12": "docker.io/library/debian:12",
    "ana/tool": "docker.io/ana/tool:latest",
    "docker.io/debian": "docker.io/library/debian:latest",
    "index.docker.io/ana/tool:1": "docker.io/ana/tool:1",
    "localhost/x": "localhost/x:latest",
    "localhost:5000/x": "localhost:5000/x:latest",
    "registry.test/a/b/c:V1.0_x-y": "registry.test/a/b/c:V1.0_x-y",
    "Registry.Test/a": "registry.test/a:latest",
    "registry.test:5000/a__b/c--d.e": "registry.test:5000/a__b/c--d.e:latest",
    f"registry.test/a@{DIGEST}": f"registry.test/a@{DIGEST}",
    f"registry.test/a:1@{DIGEST}": f"registry.test/a:1@{DIGEST}",
    "[::1]:5000/a": "[::1]:5000/a:latest",
    "10.0.0.1/a": "10.0.0.1/a:latest",
}
WRONG = [
    "", ":1", "/a", "a/", "a//b", "A", "a/B", "registry.test/A", "registry.test/", "a:", "a:-x", "a:x y",
    "a b",
    "-a", "a-", "a..b", "a___b", "../a", "registry.test/../a", "a@sha256:abc", "a@md5:" + "a" * 32,
    "https://registry.test/a", "ana:pw@registry.test/a", "registry.test:port/a", "registry.test:123456/a",
    "a:" + "x" * 129, "a" * 300, "registry.test/a?x", "registry.test/a#x", "registry..test/a", "a\n", "a:1\n",
    "registry.test\r\nx/a", "registry.test\\x/a", "-x.test/a",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_reference_is_read_and_written(text: str) -> None:
    found = parse_reference(text)
    assert str(found) == GOOD[text]
    assert parse_reference(str(found)) == found


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        parse_reference(text)
    assert text[:20] not in caught.value.what or not text


def test_a_digest_counts_before_a_tag() -> None:
    assert parse_reference(f"registry.test/a:1@{DIGEST}").asked == DIGEST
    assert parse_reference("debian").at(DIGEST).asked == DIGEST


def test_docker_hub_answers_under_another_name() -> None:
    assert host_of(parse_reference("debian").registry) == "registry-1.docker.io"
    assert host_of("registry.test:5000") == "registry.test:5000"


def test_challenges_are_read() -> None:
    values = [
        'Bearer realm="https://a.test/t?x=1,2",service="s \\"q\\"", scope=abc',
        "Basic realm=x, Negotiate",
    ]
    assert challenges_of(values) == [
        Challenge("bearer", {"realm": "https://a.test/t?x=1,2", "service": 's "q"', "scope": "abc"}),
        Challenge("basic", {"realm": "x"}),
        Challenge("negotiate", {}),
    ]


@pytest.mark.parametrize(
    "value", ["", "=", ",,,", 'Bearer realm="', "Bearer =x", '"', "Bearer " + "a=b," * 100_000]
)
def test_challenges_that_are_none_are_passed_over(value: str) -> None:
    assert all(not one.get("realm") for one in challenges_of([value]))


def test_a_parameter_that_comes_twice_counts_once() -> None:
    assert challenges_of(["Bearer realm=a, realm=b"])[0].get("realm") == "a"


def test_rules_name_origins() -> None:
    rules = parse_rules(
        ("registry.test=https://token.test/x", "registry.test=https://b.test:8443"), ("x.test:5000",)
    )
    assert rules.may_see("registry.test", "https://token.test:443")
    assert rules.may_see("registry.test", "https://b.test:8443")
    assert rules.may_see("registry.test", "https://registry.test:443")
    assert not rules.may_see("registry.test", "https://b.test:443")
    assert not rules.may_see("other.test", "https://token.test:443")
    assert not rules.may_see("registry.test", "http://registry.test:80")
    assert rules.origin_of("x.test:5000") == "http://x.test:5000"
    assert rules.origin_of("x.test") == "https://x.test"


@pytest.mark.parametrize("entry", ["", "x", "x=", "x=http://a.test", "=https://a.test", "x/y=https://a.test"])
def test_rules_that_are_none_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="registry=https"):
        parse_rules((entry,), ())


@pytest.mark.parametrize("entry", ["", "http://x", "x/y"])
def test_plain_registries_are_hosts(entry: str) -> None:
    with pytest.raises(ValueError, match="host or host:port"):
        parse_rules((), (entry,))
