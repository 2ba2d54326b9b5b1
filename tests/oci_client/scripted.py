"""A registry that does as it is told, and keeps what it hears."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.requests import RegistryRequests
from cloud_hub.oci_client.rules import RegistryRules, parse_rules
from cloud_hub.outbound.client import Outbound
from cloud_hub.secrets.text import SecretText
from tests.outbound.servers import Canary, FakeDialer, FakeResolver, canary

PUBLIC, OTHER = "93.184.216.34", "151.101.1.1"
GOOD, EVIL = "good.test", "evil.test"
PASSWORD = "canary-password"
LOGIN = Login(SecretText(f"ana:{PASSWORD}"))


@dataclass(frozen=True)
class Request:
    """One request as it was heard."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, heard: bytes) -> "Request":
        head, _, body = heard.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        pairs = (line.partition(": ") for line in lines)
        return cls(method, path, {name.lower(): value for name, _, value in pairs}, body)


@dataclass(frozen=True)
class Told:
    """An answer; ``length`` is what it claims, and ``times`` how often the body comes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    def wire(self) -> bytes:
        length = len(self.body) if self.length is None else self.length
        lines = [f"HTTP/1.1 {self.status} X", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


Answer = Callable[[Request], Told]


def bearer(realm: str, service: str = "registry", scope: str = "repository:all:*") -> Told:
    value = f'Bearer realm="{realm}",service="{service}",scope="{scope}"'
    return Told(401, b"{}", {"WWW-Authenticate": value})


def ranged(data: bytes) -> Answer:
    """Serve bytes, in part where that is asked for."""

    def answer(request: Request) -> Told:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if asked is None:
            return Told(200, data)
        first, last = int(asked[1]), int(asked[2])
        return Told(206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    return answer


@dataclass
class Stage:
    """A registry (``good.test``), another host (``evil.test``), and a trap behind every other address."""

    good: Canary
    evil: Canary
    trap: Canary
    outbound: Outbound

    def requests(self, login: Login | None = LOGIN, *, realms: tuple[str, ...] = ()) -> RegistryRequests:
        return RegistryRequests(self.outbound, GOOD, login, plain_rules(realms))

    def heard(self, which: Canary) -> list[Request]:
        return [Request.of(one) for one in which.heard]

    def leaked(self) -> list[bytes]:
        """What others than the registry heard of the credential."""
        secrets = (PASSWORD.encode(), b"YW5hOmNhbmFyeS1wYXNzd29yZA==")
        return [one for one in self.evil.heard + self.trap.heard if any(secret in one for secret in secrets)]


def plain_rules(realms: tuple[str, ...] = ()) -> RegistryRules:
    rules = parse_rules((), (GOOD,))
    named = {GOOD: frozenset(realms)} if realms else {}
    return RegistryRules(named, rules.plain)


@contextmanager
def stage(
    good: Answer, evil: Answer = lambda _: Told(), addresses: list[list[str]] | None = None
) -> Iterator[Stage]:
    with (
        canary(lambda heard: good(Request.of(heard)).wire()) as registry,
        canary(lambda heard: evil(Request.of(heard)).wire()) as other,
        canary(lambda _: Told(200, b"secret").wire()) as trap,
    ):
        resolver = FakeResolver(
            good_test=addresses or [[PUBLIC]], evil_test=[[OTHER]], inside_test=[["10.1.2.3"]]
        )
        dialer = FakeDialer({PUBLIC: registry, OTHER: other}, trap)
        yield Stage(registry, other, trap, Outbound(resolver=resolver, dialer=dialer))
