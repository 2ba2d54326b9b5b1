"""Pulls through a real proxy: what it is told, what it is not, and what goes past it."""

import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.artifacts.delta import Savings
from agent.artifacts.errors import FetchError
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.places import Source, registry_of
from agent.artifacts.pull import pull_image
from agent.errors import SettingsError
from agent.network.bypass import bypassed
from agent.network.line import Network, ProxyError, open_network
from agent.network.proxies import Proxy as ProxySettings
from agent.settings import load
from tests.agent.settings_file import refused
from tests.artifacts.conftest import Site, site  # noqa: F401  a fixture
from tests.artifacts.registry import Registry, make_tar, serve
from tests.network.proxy import Proxy, running

PASSWORD = "device:s3cret-canary"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that is running."""
    with running(Proxy()) as proxy:
        yield proxy


def network(proxy: Proxy, **settings: object) -> Network:
    return open_network(ProxySettings(http=proxy.url, https=proxy.url, **settings))  # type: ignore[arg-type]


def pull(site: Site, through: Network) -> None:  # noqa: F811
    ref = site.served.add_image([make_tar({"f": b"data" * 1000})], site.architecture)
    pull_image(ref, HttpsRegistry(site.served.url, site.context, network=through, timeout_s=5), site.store)


@pytest.mark.parametrize(
    ("host", "rules", "direct"),
    [
        ("hub.example", [], False),
        ("hub.example", ["*"], True),
        ("hub.example", ["example"], True),
        ("HUB.example.", [".Example"], True),
        ("hub.example", ["hub.example"], True),
        ("myhub.example", ["hub.example"], False),
        ("hub.example.org", ["hub.example"], False),
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["10.1.2.3"], True),
        ("fd00::1", ["10.0.0.0/8", "fd00::/8"], True),
        ("10.example", ["10.0.0.0/8"], False),
    ],
)
def test_which_hosts_are_reached_directly(host: str, rules: list[str], direct: bool) -> None:
    assert bypassed(host, rules) is direct


def test_a_pull_goes_through_the_proxy_which_sees_the_address_alone(site: Site, proxy: Proxy) -> None:  # noqa: F811
    pull(site, network(proxy))
    target = site.served.url.removeprefix("https://")
    assert set(proxy.connects) == {target}
    assert len(proxy.connects) == len(site.served.asked)
    assert {tuple(head.items()) for head in proxy.heads} == {(("Host", target),)}
    assert "Proxy-Authorization" not in {name for head in site.served.heads for name in head}


def test_no_proxy_goes_past_it(site: Site, proxy: Proxy) -> None:  # noqa: F811
    pull(site, network(proxy, no_proxy=("127.0.0.0/8",)))
    assert proxy.connects == []


def test_the_password_goes_to_the_proxy_alone(
    site: Site,  # noqa: F811
    proxy: Proxy,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.password = PASSWORD
    with pytest.raises(FetchError, match="the proxy answered 407") as caught:
        pull(site, network(proxy))
    assert caught.value.retriable
    assert site.served.asked == []
    file = tmp_path / "proxy-password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    through = network(proxy, credentials_file=str(file))
    pull(site, through)
    assert site.served.asked
    sent = str(site.served.heads)
    assert "Proxy-Authorization" not in sent
    proxy.password = "another"
    site.store.sweep([], [])
    with pytest.raises(FetchError) as caught:
        pull(site, network(proxy, credentials_file=str(file)))
    for words in (str(caught.value), caplog.text, repr(through)):
        assert "s3cret-canary" not in words
        assert proxy.heads[-1]["Proxy-Authorization"].split()[1] not in words


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000]
)
def test_a_proxy_that_answers_nonsense(proxy: Proxy, answer: bytes) -> None:
    proxy.answer = answer or b"HTTP/1.1 403 no\r\n\r\n"
    with pytest.raises(ProxyError):
        network(proxy).tcp("127.0.0.1", 9, 5)


def test_a_mirror_without_tls_takes_the_proxy_for_http(site: Site, proxy: Proxy) -> None:  # noqa: F811
    ref = site.served.add_image([make_tar({"f": b"data" * 1000})], site.architecture)
    mirror = Registry(content=dict(site.served.content))
    server, _ = serve(mirror, site.folder, plain=True)
    for no_proxy, plain in (((), True), (("127.0.0.1",), False)):
        proxy.plain.clear()
        site.store.sweep([], [])
        through = network(proxy, no_proxy=no_proxy)
        registry = registry_of(site.client, [Source(at=mirror.url)], Savings(), through)
        pull_image(ref, registry, site.store)
        assert bool(proxy.plain) is plain
        assert all(url.startswith(mirror.url) for url in proxy.plain)
        assert site.served.asked == []
    assert mirror.asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("believed", [True, False])
def test_a_proxy_that_opens_tls_is_believed_for_mirrors_if_its_ca_is_named_and_never_for_the_hub(
    site: Site,  # noqa: F811
    proxy: Proxy,
    believed: bool,
) -> None:
    ref = site.served.add_image([make_tar({"f": b"data" * 1000})], site.architecture)
    (site.folder / "proxy").mkdir()
    opened = Registry(content=dict(site.served.content))
    server, _ = serve(opened, site.folder / "proxy")
    place = ("127.0.0.1", server.server_address[1])
    proxy.elsewhere["127.0.0.1:9"] = place  # the mirror
    ca_file = str(site.folder / "proxy/ca.pem") if believed else ""
    through = network(proxy, ca_file=ca_file)
    savings = Savings()
    registry = registry_of(site.client, [Source(at="https://127.0.0.1:9")], savings, through)
    pull_image(ref, registry, site.store, savings)
    assert bool(opened.asked) is believed
    assert bool(site.served.asked) is not believed
    # The hub is known by its own CA, whatever the proxy says.
    opened.asked.clear()
    site.store.sweep([], [])
    proxy.elsewhere[site.served.url.removeprefix("https://")] = place
    with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
        pull(site, through)
    assert opened.asked == []
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "line",
    [
        'https = "https://proxy:3128"', 'https = "proxy:3128"', 'https = "http://proxy"',
        'http = "http://user:s3cret@proxy:3128"', 'https = "http://proxy:3128/s3cret"',
        'no_proxy = ["a b"]', 'no_proxy = ["http://hub"]', 'no_proxy = ["*.example"]', 'no_proxy = [""]',
        'password = "s3cret"',
    ],
)  # fmt: skip
def test_settings_that_are_wrong(tmp_path: Path, line: str) -> None:
    assert "s3cret" not in refused(tmp_path, f"[proxy]\n{line}\n")


def test_settings_that_are_right(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[proxy]\nhttps = "http://[fd00::1]:3128"\nno_proxy = ["10.0.0.0/8", ".example"]\n')
    assert load(path).proxy.no_proxy == ("10.0.0.0/8", ".example")


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("no-colon\n", 0o600, "one line"),
        ("a:s3cret\nb:s3cret\n", 0o600, "one line"),
        (f"a:{'s3cret' * 300}", 0o600, "one line"),
        ("a:s3cret\n", 0o644, "everybody"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_credentials_that_are_none(tmp_path: Path, text: str | None, mode: int, words: str) -> None:
    path = tmp_path / "password"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(SettingsError, match=words) as caught:
        open_network(ProxySettings(credentials_file=str(path)))
    assert "s3cret" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"proxy\.ca_file"):
        open_network(ProxySettings(ca_file=str(path)))


def test_the_control_a_registry_with_a_stranger_as_its_ca_is_refused_without_a_proxy_too(site: Site) -> None:  # noqa: F811
    ref = site.served.add_image([make_tar({"f": b""})], site.architecture)
    with pytest.raises(FetchError):
        pull_image(ref, HttpsRegistry(site.served.url, ssl.create_default_context()), site.store)
