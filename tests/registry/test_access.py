"""Who may do what in the registry, and how it is told: tokens, challenges, the form of errors."""

import base64
import re
import time
from functools import partial

import httpx
import pytest

from cloud_hub.access.limits import MOST
from cloud_hub.audit.service import Filters
from cloud_hub.registry.scopes import parse_scopes
from cloud_hub.registry.tokens import LIFETIME_S, RegistryTokens
from contract.digests import sha256
from tests.api.conftest import ADMIN, PASSWORD, World
from tests.registry.content import image
from tests.registry.wire import Wire, code, said

SHOP = "shop/access"


def basic(user: str, secret: str) -> dict[str, str]:
    """Return the header of Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def fetch(world: World, secret: str, *scopes: str, user: str = "any") -> str:
    """Get a token of the registry."""
    answer = world.client.get(
        "/v2/token", params={"service": "headland", "scope": list(scopes)}, headers=basic(user, secret)
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == LIFETIME_S <= 300
    return str(answer.json()["token"])


@pytest.fixture
def pushed(wire: Wire) -> str:
    return wire.push(SHOP, image(b"of shop"), "one")


def test_the_challenge_says_where_a_token_is_got_and_for_what(world: World) -> None:
    host = f"localhost:{world.client.base_url.port}"
    for method, path, wanted in (
        ("GET", "/v2/", None),
        ("GET", f"/v2/{SHOP}/manifests/one", "pull"),
        ("GET", f"/v2/{SHOP}/blobs/{sha256(b'x')}", "pull"),
        ("HEAD", f"/v2/{SHOP}/blobs/{sha256(b'x')}", "pull,push"),
        ("GET", f"/v2/{SHOP}/tags/list", "pull"),
        ("POST", f"/v2/{SHOP}/blobs/uploads/", "pull,push"),
        ("GET", f"/v2/{SHOP}/blobs/uploads/abc", "pull,push"),
        ("PUT", f"/v2/{SHOP}/manifests/one", "pull,push"),
        ("DELETE", f"/v2/{SHOP}/manifests/one", "delete"),
    ):
        answer = world.client.request(method, path)
        assert answer.status_code == 401
        scope = f',scope="repository:{SHOP}:{wanted}"' if wanted else ""
        assert answer.headers["WWW-Authenticate"] == (
            f'Bearer realm="https://{host}/v2/token",service="headland"{scope}'
        )
        if method != "HEAD":
            assert code(answer) == "UNAUTHORIZED"


def test_a_host_that_could_break_out_of_the_challenge_is_not_repeated(world: World) -> None:
    answer = world.client.get("/v2/", headers={"Host": 'x",realm="https://elsewhere'})
    assert answer.headers["WWW-Authenticate"] == 'Bearer service="headland"'


def test_a_token_is_for_its_scopes_and_no_more(world: World, token: str, pushed: str) -> None:
    puller = Wire(world.client, fetch(world, token, f"repository:{SHOP}:pull"))
    assert puller.ask("GET", "/v2/").status_code == 200
    assert puller.ask("GET", f"{SHOP}/manifests/{pushed}").status_code == 200
    refused = puller.ask("POST", f"{SHOP}/blobs/uploads/")
    assert said(refused) == (401, "UNAUTHORIZED")
    assert refused.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')
    assert puller.ask("GET", "shop/other/manifests/one").status_code == 401
    assert (
        world.client.get("/api/v1/me", headers={"Authorization": f"Bearer {puller.token}"}).status_code == 401
    )

    pusher = Wire(world.client, fetch(world, token, f"repository:{SHOP}:pull,push"))
    assert pusher.push(SHOP, image(b"by a scoped token"), "two")
    assert pusher.ask("DELETE", f"{SHOP}/manifests/two").status_code == 401
    deleter = Wire(world.client, fetch(world, token, f"repository:{SHOP}:*"))
    assert deleter.ask("DELETE", f"{SHOP}/manifests/two").status_code == 202


def test_a_reader_pulls_and_does_not_push(world: World, pushed: str) -> None:
    reader = world.token("rita", {"shop": "Reader"})
    for shown in (reader, fetch(world, reader, f"repository:{SHOP}:pull,push,delete")):
        wire = Wire(world.client, shown)
        assert wire.ask("GET", f"{SHOP}/manifests/{pushed}").status_code == 200
        for method, path in (
            ("POST", f"{SHOP}/blobs/uploads/"),
            ("PUT", f"{SHOP}/manifests/new"),
            ("DELETE", f"{SHOP}/manifests/one"),
            ("DELETE", f"{SHOP}/blobs/{pushed}"),
        ):
            assert said(wire.ask(method, path)) == (403, "DENIED"), (method, path)


def test_another_workspace_is_not_there(world: World, token: str, pushed: str) -> None:
    stranger = world.token("zoe", {"lab": "Owner"})
    elsewhere = Wire(world.client, stranger)
    answers = [
        (answer.status_code, answer.json()["errors"][0]["code"], answer.json()["errors"][0]["message"])
        for path in (SHOP, "nowhere/access")
        for answer in (
            elsewhere.ask("GET", f"{path}/manifests/{pushed}"),
            elsewhere.ask("GET", f"{path}/tags/list"),
            elsewhere.ask("POST", f"{path}/blobs/uploads/"),
        )
    ]
    assert answers == [(404, "NAME_UNKNOWN", "no such repository")] * 6
    scoped = Wire(world.client, fetch(world, stranger, f"repository:{SHOP}:pull,push"))
    assert said(scoped.ask("GET", f"{SHOP}/manifests/{pushed}")) == (404, "NAME_UNKNOWN")
    # Neither by mounting what one has guessed the digest of, nor with one's own blob of that digest.
    digest = sha256(b"of shop")
    start = elsewhere.ask("POST", "lab/thief/blobs/uploads/", params={"mount": digest, "from": SHOP})
    assert start.status_code == 202
    assert elsewhere.ask("GET", f"lab/thief/blobs/{digest}").status_code == 404
    # The negative control: who reads both may.
    both = Wire(world.client, token)
    assert (
        both.ask("POST", "lab/thief/blobs/uploads/", params={"mount": digest, "from": SHOP}).status_code
        == 201
    )


def test_a_scoped_token_mounts_only_from_what_it_may_pull(world: World, token: str, pushed: str) -> None:
    mount = {"mount": sha256(b"of shop"), "from": SHOP}
    narrow = Wire(world.client, fetch(world, token, "repository:lab/b:pull,push"))
    assert narrow.ask("POST", "lab/b/blobs/uploads/", params=mount).status_code == 202
    wide = fetch(world, token, "repository:lab/b:pull,push", f"repository:{SHOP}:pull")
    assert Wire(world.client, wide).ask("POST", "lab/b/blobs/uploads/", params=mount).status_code == 201


def test_an_upload_is_its_owners(world: World, wire: Wire) -> None:
    location = wire.begin(SHOP)
    other = Wire(world.client, world.token("otto", {"shop": "Contributor"}))
    for method in ("GET", "PATCH", "DELETE"):
        assert said(other.ask(method, location)) == (404, "BLOB_UPLOAD_UNKNOWN")
    moved = location.replace(SHOP, "shop/another")
    assert said(wire.ask("GET", moved)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert wire.ask("GET", location).status_code == 204


def test_a_password_gives_tokens_until_it_is_changed(world: World, pushed: str) -> None:
    invitation = world.services.people.create("paul", admin=False, by=ADMIN)
    accepted = {"token": invitation, "password": PASSWORD}
    session = world.client.post("/api/v1/session/invitation", json=accepted).json()["token"]
    world.services.members.share("shop", "paul", "Reader", ADMIN)
    scope = f"repository:{SHOP}:pull"
    wire = Wire(world.client, fetch(world, PASSWORD, scope, user="paul"))
    assert wire.ask("GET", f"{SHOP}/manifests/{pushed}").status_code == 200
    wrong = world.client.get("/v2/token", headers=basic("paul", "not that one"))
    assert said(wrong) == (401, "UNAUTHORIZED")
    assert wrong.headers["WWW-Authenticate"] == 'Basic realm="headland"'
    world.client.put(
        "/api/v1/me/password",
        json={"old": PASSWORD, "new": PASSWORD + " anew"},
        headers={"Authorization": f"Bearer {session}"},
    ).raise_for_status()
    assert wire.ask("GET", f"{SHOP}/manifests/{pushed}").status_code == 401


def test_oauth2s_form_gives_the_same(world: World, token: str, pushed: str) -> None:
    form = {"grant_type": "password", "service": "headland", "username": "x", "password": token}
    answer = world.client.post("/v2/token", data=form | {"scope": f"repository:{SHOP}:pull"})
    wire = Wire(world.client, answer.json()["access_token"])
    assert wire.ask("GET", f"{SHOP}/manifests/{pushed}").status_code == 200
    refused = world.client.post("/v2/token", data=form | {"grant_type": "refresh_token"})
    assert said(refused) == (400, "UNSUPPORTED")


def test_a_token_ends_with_what_it_was_got_with(world: World, pushed: str) -> None:
    own = world.token("tess", {"shop": "Reader"})
    wire = Wire(world.client, fetch(world, own, f"repository:{SHOP}:pull"))
    assert wire.ask("GET", f"{SHOP}/manifests/{pushed}").status_code == 200
    for listed in world.services.tokens.of("tess"):
        if listed.purpose == "access":
            world.services.tokens.revoke("tess", listed.id, ADMIN)
    assert said(wire.ask("GET", f"{SHOP}/manifests/{pushed}")) == (401, "UNAUTHORIZED")


def _clock_behind(age_s: float) -> float:
    return time.time() - age_s


def test_a_token_ends_after_its_time_and_another_hubs_is_none(world: World, token: str) -> None:
    services = world.services
    key = world.core.master_keys.derive("registry-tokens")
    asked = parse_scopes([f"repository:{SHOP}:pull"])
    for age_s, secret, status in (
        (0, key, 200),
        (LIFETIME_S - 30, key, 200),
        (LIFETIME_S + 1, key, 401),
        (0, b"another key", 401),
    ):
        earlier = partial(_clock_behind, age_s)
        made = RegistryTokens(services.tokens, services.people, services.limits, secret, earlier)
        wire = Wire(world.client, made.issue("any", token, asked, "").token)
        assert wire.ask("GET", "/v2/").status_code == status
    good = fetch(world, token, f"repository:{SHOP}:pull")
    body, _, mac = good.partition(".")
    forged = base64.urlsafe_b64decode(body[4:] + "==").replace(b'"pull"', b'"push"')
    changed = "hlr_" + base64.urlsafe_b64encode(forged).decode().rstrip("=") + "." + mac
    for shown in (changed, good + "AA", "hlr_", "hlr_.", "hlr_é"):
        answer = world.client.get("/v2/", headers={b"Authorization": f"Bearer {shown}".encode()})
        assert answer.status_code == 401
    world.forget_attempts()


def test_wrong_credentials_are_counted(world: World) -> None:
    answers: list[httpx.Response] = []
    for _ in range(MOST["token"] + 2):
        answers.append(world.client.get("/v2/token", headers=basic("any", "hlp_" + "x" * 43)))
    assert {answer.status_code for answer in answers[:-2]} == {401}
    assert said(answers[-1]) == (429, "TOOMANYREQUESTS")
    assert int(answers[-1].headers["Retry-After"]) > 0
    world.forget_attempts()


def test_every_error_has_the_specifications_form(world: World, wire: Wire, pushed: str) -> None:
    digest, bad = pushed, "sha256:zz"
    for method, path, more, expected in (
        ("GET", "nowhere-at-all", {}, (404, "NAME_UNKNOWN")),
        ("GET", "shop/a/b/manifests/one", {}, (404, "NAME_UNKNOWN")),
        ("POST", f"{SHOP}/manifests/one", {}, (405, "UNSUPPORTED")),
        ("GET", f"{SHOP}/manifests/nothere", {}, (404, "MANIFEST_UNKNOWN")),
        ("GET", f"{SHOP}/blobs/{bad}", {}, (404, "BLOB_UNKNOWN")),
        ("GET", f"{SHOP}/referrers/{bad}", {}, (400, "DIGEST_INVALID")),
        ("POST", "shop/Bad_Name/blobs/uploads/", {}, (400, "NAME_INVALID")),
        ("POST", f"{SHOP}/blobs/uploads/?digest={bad}", {}, (400, "DIGEST_INVALID")),
        ("POST", f"{SHOP}/blobs/uploads/?digest={digest}", {"content": b"x"}, (400, "DIGEST_INVALID")),
        ("GET", f"{SHOP}/blobs/uploads/{'0' * 32}", {}, (404, "BLOB_UPLOAD_UNKNOWN")),
        ("PATCH", f"{SHOP}/blobs/uploads/..%2F..%2Fx", {}, (404, "NAME_UNKNOWN")),
        ("PATCH", f"{SHOP}/blobs/uploads/no-id", {}, (404, "BLOB_UPLOAD_UNKNOWN")),
        ("PUT", f"{SHOP}/manifests/{digest}", {"content": b"{}"}, (400, "DIGEST_INVALID")),
        ("PUT", f"{SHOP}/manifests/-no-tag", {"content": b"{}"}, (400, "NAME_INVALID")),
        ("PUT", f"{SHOP}/manifests/x", {"content": b"x" * (4 << 20) + b"x"}, (413, "SIZE_INVALID")),
        ("GET", f"{SHOP}/tags/list?n=-1", {}, (400, "UNSUPPORTED")),
        ("GET", "?x=%00", {}, (422, "UNSUPPORTED")),
    ):
        answer = wire.ask(method, path, **more)
        assert said(answer) == expected, (method, path, answer.text)
        detail = answer.json()["errors"][0]["detail"]
        assert detail["status"] == answer.status_code
        assert re.fullmatch(r"[a-z-]+", detail["code"])
    # The negative control: elsewhere an error has the hub's own form.
    assert wire.client.get("/api/v1/nowhere").headers["Content-Type"] == "application/problem+json"


def test_manifests_that_are_wrong_are_refused(wire: Wire) -> None:
    whole = image(b"a layer that nobody pushed")
    assert said(wire.put_manifest(SHOP, whole)) == (404, "MANIFEST_BLOB_UNKNOWN")
    for data, media_type in (
        (b"not json", whole.media_type),
        (b"[]", whole.media_type),
        (whole.data, "text/plain"),
        (whole.data.replace(b'"schemaVersion": 2', b'"schemaVersion": 1'), whole.media_type),
        (whole.data, "application/vnd.oci.image.index.v1+json"),
        (whole.data.replace(b"sha256:", b"sha999:"), whole.media_type),
    ):
        headers = {"Content-Type": media_type}
        answer = wire.ask("PUT", f"{SHOP}/manifests/wrong", content=data, headers=headers)
        assert said(answer) == (400, "MANIFEST_INVALID"), data


def test_changes_are_in_the_audit_log(world: World, wire: Wire) -> None:
    content = image(b"audited")
    wire.push("shop/audited", content, "first")
    wire.ask("DELETE", "shop/audited/manifests/first")
    wire.ask("DELETE", f"shop/audited/manifests/{content.digest}")
    wire.ask("DELETE", f"shop/audited/blobs/{sha256(b'audited')}")
    rows = [row for row in world.services.audit.page("shop", Filters(), 50) if "audited" in row.target]
    assert [(row.principal, row.action, row.target) for row in reversed(rows)] == [
        ("carla", "manifest.push", "shop/audited:first"),
        ("carla", "tag.delete", "shop/audited:first"),
        ("carla", "manifest.delete", f"shop/audited@{content.digest}"),
        ("carla", "blob.delete", f"shop/audited@{sha256(b'audited')}"),
    ]
