"""Who hears a credential: the registry that it is for, and nobody else; who is connected to at all."""

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud_hub.oci_client.documents import Descriptor
from cloud_hub.oci_client.errors import (
    CredentialWithheldError,
    RegistryContentError,
    RegistryDeniedError,
    RegistryError,
)
from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.pull import fetch_blob, fetch_manifest
from cloud_hub.oci_client.push import put_blob
from cloud_hub.oci_client.requests import RegistryRequests
from cloud_hub.outbound.errors import OutboundFailedError, OutboundRefusedError
from cloud_hub.secrets.text import SecretText
from contract import oci
from tests.bases.pictures import digest_of
from tests.oci_client.scripted import (
    EVIL,
    GOOD,
    LOGIN,
    OTHER,
    PASSWORD,
    PUBLIC,
    Answer,
    Request,
    Told,
    bearer,
    stage,
)

MANIFEST = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
BASIC = "Basic " + base64.b64encode(f"ana:{PASSWORD}".encode()).decode()
DATA = b"layer" * 100
BLOB = Descriptor(mediaType=oci.LAYER_GZIP, digest=digest_of(DATA), size=len(DATA))


def guarded(challenge: Told, good_for: str) -> Answer:
    """A registry with a challenge until it is shown ``good_for``; its own token service is /token."""

    def answer(request: Request) -> Told:
        if request.path.startswith("/token"):
            right = request.headers.get("authorization") in {BASIC, None}
            return Told(200 if right else 401, b'{"token":"tok"}')
        if request.headers.get("authorization") != good_for:
            return challenge
        return Told(200, MANIFEST)

    return answer


def test_a_password_is_shown_to_the_registry_that_asks_for_it() -> None:
    challenge = Told(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
    with stage(guarded(challenge, BASIC)) as at:
        assert fetch_manifest(at.requests(), "a/b", "1").data == MANIFEST
        assert [one.headers.get("authorization") for one in at.heard(at.good)] == [None, BASIC]


def test_a_token_of_the_registrys_own_service_is_fetched_once_and_for_what_is_needed() -> None:
    with stage(
        guarded(bearer(f"http://{GOOD}/token?account=x", scope="repository:a/b:*"), "Bearer tok")
    ) as at:
        requests = at.requests()
        for _ in range(2):
            assert fetch_manifest(requests, "a/b", "1").data == MANIFEST
        heard = at.heard(at.good)
        assert [one.path.partition("?")[0] for one in heard] == [
            "/v2/a/b/manifests/1", "/token", "/v2/a/b/manifests/1", "/v2/a/b/manifests/1",
        ]  # fmt: skip
        asked = parse_qs(urlsplit(heard[1].path).query)
        assert asked == {"account": ["x"], "service": ["registry"], "scope": ["repository:a/b:pull"]}
        assert [one.headers.get("authorization") for one in heard] == [
            None,
            BASIC,
            "Bearer tok",
            "Bearer tok",
        ]


def test_a_token_secret_is_shown_as_it_is() -> None:
    with stage(guarded(bearer(f"http://{EVIL}/token"), "Bearer abc")) as at:
        requests = at.requests(Login(SecretText("abc")))
        assert fetch_manifest(requests, "a/b", "1").data == MANIFEST
        assert at.evil.connections == 0


@pytest.mark.parametrize(
    "realm",
    [
        f"https://{EVIL}/token",
        f"http://{EVIL}/token",
        f"http://{GOOD}.{EVIL}/token",
        f"http://{GOOD}:8080/token",
        f"https://{GOOD}/token",
        "https://inside.test/token",
        "http://127.0.0.1/token",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_a_realm_elsewhere_is_not_shown_the_credential(realm: str) -> None:
    with stage(guarded(bearer(realm), "Bearer tok")) as at:
        with pytest.raises(CredentialWithheldError) as caught:
            fetch_manifest(at.requests(), "a/b", "1")
        assert (at.evil.connections, at.trap.connections) == (0, 0)
        assert PASSWORD not in str(caught.value)
        assert not any("authorization" in one.headers for one in at.heard(at.good))


@pytest.mark.parametrize(
    "realm", ["https://inside.test/t", "https://127.0.0.1/t", "https://169.254.169.254/t", "https://[::1]/t"]
)
def test_a_realm_inside_is_not_connected_to_without_a_credential_either(realm: str) -> None:
    with stage(guarded(bearer(realm), "Bearer tok")) as at:
        with pytest.raises(OutboundRefusedError):
            fetch_manifest(at.requests(None), "a/b", "1")
        assert at.trap.connections == 0


@pytest.mark.parametrize("realm", ["", "nothing", "file:///etc/passwd", "http://ana:x@evil.test/"])
def test_a_realm_that_is_none_is_told(realm: str) -> None:
    with (
        stage(guarded(bearer(realm), "Bearer tok")) as at,
        pytest.raises(RegistryContentError, match="no address"),
    ):
        fetch_manifest(at.requests(), "a/b", "1")


def test_a_realm_that_the_owner_names_is_shown_it() -> None:
    """Negative control of the above: what is named is connected to, over TLS, which this host does not do."""
    with stage(guarded(bearer(f"https://{EVIL}/token"), "Bearer tok")) as at:
        with pytest.raises(OutboundFailedError):
            fetch_manifest(at.requests(realms=(f"https://{EVIL}:443",)), "a/b", "1")
        assert at.evil.connections == 1


def test_a_token_service_sees_no_credential_along_a_redirect() -> None:
    def good(request: Request) -> Told:
        if request.path.startswith("/token"):
            return Told(302, b"", {"Location": f"http://{EVIL}/token"})
        return bearer(f"http://{GOOD}/token")

    with stage(good) as at:
        with pytest.raises(RegistryError):
            fetch_manifest(at.requests(), "a/b", "1")
        assert at.evil.connections == 0


def redirecting(location: str) -> Answer:
    def answer(request: Request) -> Told:
        if "authorization" not in request.headers:
            return Told(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        return Told(307, b"", {"Location": location})

    return answer


def test_a_blob_elsewhere_is_fetched_without_the_credential(tmp_path: Path) -> None:
    with stage(redirecting(f"http://{EVIL}/storage?sig=1"), lambda _: Told(200, DATA)) as at:
        fetch_blob(at.requests(), "a/b", BLOB, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == DATA
        assert at.evil.connections == 1
        assert "authorization" not in at.heard(at.evil)[0].headers
        assert at.leaked() == []


def test_a_storage_that_asks_for_a_login_gets_none(tmp_path: Path) -> None:
    asking = Told(401, b"", {"WWW-Authenticate": "Basic realm=x"})
    with stage(redirecting(f"http://{EVIL}/storage"), lambda _: asking) as at:
        with pytest.raises(RegistryError):
            fetch_blob(at.requests(), "a/b", BLOB, tmp_path / "x", pause=lambda _: None)
        assert at.evil.connections == 4, "once a try: what storage asks for is no challenge of the registry"
        assert at.leaked() == []
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "location", ["http://inside.test/x", "http://127.0.0.1/x", "http://169.254.169.254/", "http://10.1.2.3/"]
)
def test_a_redirect_inside_is_refused(location: str, tmp_path: Path) -> None:
    with stage(redirecting(location)) as at:
        with pytest.raises(OutboundRefusedError):
            fetch_blob(at.requests(), "a/b", BLOB, tmp_path / "x")
        with pytest.raises(OutboundRefusedError):
            fetch_manifest(at.requests(), "a/b", "1")
        assert at.trap.connections == 0


def test_a_name_that_is_rebound_between_requests_is_judged_anew() -> None:
    challenge = Told(401, b"", {"WWW-Authenticate": "Basic realm=x"})
    with stage(guarded(challenge, BASIC), addresses=[[PUBLIC], ["127.0.0.1"]]) as at:
        with pytest.raises(OutboundRefusedError):
            fetch_manifest(at.requests(), "a/b", "1")
        assert (at.good.connections, at.trap.connections) == (1, 0)


def test_plain_http_needs_the_owners_word() -> None:
    """Over https the certificate stands for the name; else nothing but https is spoken."""
    with stage(lambda _: Told(200, MANIFEST), addresses=[[OTHER]]) as at:
        with pytest.raises(OutboundFailedError):
            fetch_manifest(RegistryRequests(at.outbound, GOOD, LOGIN), "a/b", "1")
        assert at.leaked() == []


def test_an_upload_goes_to_the_registry_alone() -> None:
    def good(request: Request) -> Told:
        if "authorization" not in request.headers:
            return Told(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        return Told(404 if request.method == "HEAD" else 202, b"", {"Location": f"http://{EVIL}/up?x=1"})

    with stage(good) as at:
        with pytest.raises(RegistryContentError, match="another host"):
            put_blob(at.requests(), "a/b", BLOB.digest, BLOB.size, lambda: iter([DATA]))
        assert at.evil.connections == 0


def test_a_wrong_password_is_told_without_it() -> None:
    challenge = Told(401, b'{"errors":[{"message":"<script>"}]}', {"WWW-Authenticate": "Basic realm=x"})
    with stage(guarded(challenge, "nothing")) as at:
        with pytest.raises(RegistryDeniedError) as caught:
            fetch_manifest(at.requests(), "a/b", "1")
        assert PASSWORD not in str(caught.value)
        assert "script" not in str(caught.value)
        assert at.good.connections == 2


@pytest.mark.parametrize(
    "token", ['{"token":"a\\r\\nX: y"}', '{"token":""}', "[]", "{", '{"token":7}', "[" * 10_000]
)
def test_a_token_that_is_none_is_refused(token: str) -> None:
    def good(request: Request) -> Told:
        if request.path.startswith("/token"):
            return Told(200, token.encode())
        return bearer(f"http://{GOOD}/token")

    with stage(good) as at, pytest.raises(RegistryContentError, match="gave no token"):
        fetch_manifest(at.requests(), "a/b", "1")
