"""Uploads over HTTPS: in parts, cut off, twice at once, by strangers, and what the hub then holds."""

import hashlib
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from cloud_hub.blobs import writing
from cloud_hub.blobs.rows import BlobLinkRow, UploadRow
from cloud_hub.blobs.service import key_of
from tests.api.conftest import ADMIN, World, bearer

UPLOADS = "/api/v1/workspaces/shop/uploads"
BLOBS = "/api/v1/workspaces/shop/blobs"
DATA = bytes(range(256)) * 4096 * 20  # 20 MiB, so more than one block


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def ana(world: World) -> str:
    return world.token("ana", {"shop": "Contributor"})


def begin(world: World, token: str, data: bytes, path: str = UPLOADS) -> httpx.Response:
    body = {"digest": digest_of(data), "size_bytes": len(data)}
    return world.client.post(path, json=body, headers=bearer(token))


def send(
    world: World, token: str, digest: str, offset: int, part: bytes, path: str = UPLOADS
) -> httpx.Response:
    headers = bearer(token) | {"Upload-Offset": str(offset), "Content-Type": "application/partial-upload"}
    return world.client.patch(f"{path}/{digest}", content=part, headers=headers)


def where(world: World, token: str, digest: str) -> httpx.Response:
    return world.client.head(f"{UPLOADS}/{digest}", headers=bearer(token))


def has(world: World, token: str, digest: str, workspace: str = "shop") -> bool:
    path = f"/api/v1/workspaces/{workspace}/blobs/{digest}"
    return world.client.head(path, headers=bearer(token)).status_code == 204


def stored(world: World, digest: str) -> bytes:
    return b"".join(world.services.blobs.read(digest))


def parts(world: World) -> list[Path]:
    return list((world.services.settings.data_dir / "uploads").glob("*"))


def test_a_file_comes_in_parts_and_is_there_when_the_last_has_come(world: World, ana: str) -> None:
    digest, cut = digest_of(DATA), 9_000_001
    began = begin(world, ana, DATA)
    assert (began.status_code, began.json()["offset_bytes"]) == (201, 0)
    assert began.headers["Location"] == f"{UPLOADS}/{digest}"
    first = send(world, ana, digest, 0, DATA[:cut])
    assert (first.status_code, first.headers["Upload-Complete"]) == (204, "?0")
    assert where(world, ana, digest).headers["Upload-Offset"] == str(cut)
    assert not has(world, ana, digest)
    last = send(world, ana, digest, cut, DATA[cut:])
    assert (last.headers["Upload-Complete"], last.headers["Upload-Offset"]) == ("?1", str(len(DATA)))
    assert has(world, ana, digest)
    assert stored(world, digest) == DATA
    assert parts(world) == []
    assert begin(world, ana, DATA).json()["complete"] is True


def test_a_part_that_does_not_begin_where_the_upload_stands_changes_nothing(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    send(world, ana, digest, 0, DATA[:100])
    for offset in (0, 99, 101):
        refused = send(world, ana, digest, offset, DATA[offset:])
        assert (refused.status_code, refused.json()["code"]) == (409, "upload-offset")
    assert where(world, ana, digest).headers["Upload-Offset"] == "100"
    assert send(world, ana, digest, 100, DATA[100:]).headers["Upload-Complete"] == "?1"


@contextmanager
def sending(world: World, token: str, digest: str, part: bytes) -> Iterator[None]:
    """Send a part of all that is promised; break the connection when the block ends."""
    ca = world.core.certificate.parent / "ca.pem"
    with socket.create_connection(("127.0.0.1", world.client.base_url.port or 0)) as plain:
        tls = ssl.create_default_context(cafile=str(ca)).wrap_socket(plain, server_hostname="localhost")
        head = (
            f"PATCH {UPLOADS}/{digest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            f"Upload-Offset: 0\r\nContent-Type: application/partial-upload\r\n"
            f"Content-Length: {len(DATA)}\r\n\r\n"
        )
        tls.sendall(head.encode() + part)
        yield
        tls.close()


def test_what_came_before_a_cut_is_kept(world: World, ana: str) -> None:
    digest, sent = digest_of(DATA), 12_000_000
    begin(world, ana, DATA)
    with sending(world, ana, digest, DATA[:sent]):
        while int(where(world, ana, digest).headers["Upload-Offset"]) == 0:
            time.sleep(0.01)
        busy = send(world, ana, digest, writing.BLOCK_BYTES, b"x")
        assert busy.json()["code"] in {"upload-busy", "upload-offset"}
    while True:  # the cut request may only just be coming to its end
        reached = int(where(world, ana, digest).headers["Upload-Offset"])
        assert writing.BLOCK_BYTES <= reached <= sent
        done = send(world, ana, digest, reached, DATA[reached:])
        if done.status_code != 409:
            break
        time.sleep(0.01)
    assert done.headers["Upload-Complete"] == "?1"
    assert stored(world, digest) == DATA


def test_a_hub_that_forgot_everything_but_its_disk_goes_on(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    send(world, ana, digest, 0, DATA[:10_000_000])
    world.services.uploads._writers._writers.clear()  # as a new process
    (part,) = parts(world)
    with part.open("ab") as file:
        file.write(b"a block whose offset was never committed")
    assert where(world, ana, digest).headers["Upload-Offset"] == "10000000"
    assert send(world, ana, digest, 10_000_000, DATA[10_000_000:]).headers["Upload-Complete"] == "?1"
    assert stored(world, digest) == DATA


def test_a_lost_part_file_begins_anew(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    send(world, ana, digest, 0, DATA[:1000])
    parts(world)[0].unlink()
    assert send(world, ana, digest, 1000, DATA[1000:]).json()["code"] == "upload-offset"
    assert where(world, ana, digest).headers["Upload-Offset"] == "0"
    assert send(world, ana, digest, 0, DATA).headers["Upload-Complete"] == "?1"


def test_bytes_with_another_digest_never_count(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    wrong = send(world, ana, digest, 0, DATA[:-1] + b"x")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid-input")
    assert not has(world, ana, digest)
    assert not world.core.store.exists(key_of(digest))
    assert where(world, ana, digest).status_code == 404
    assert parts(world) == []


def test_more_than_was_announced_or_allowed_is_refused(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    assert send(world, ana, digest, 0, DATA + b"x").status_code == 413
    body = {"digest": digest, "size_bytes": world.services.settings.max_model_bytes + 1}
    assert world.client.post(UPLOADS, json=body, headers=bearer(ana)).status_code == 413
    other = {"digest": digest, "size_bytes": 5}
    assert world.client.post(UPLOADS, json=other, headers=bearer(ana)).status_code == 422


@pytest.mark.parametrize("offset", ["", "-1", "1.5", "x", "9" * 30])
def test_an_offset_that_is_no_number_is_refused(world: World, ana: str, offset: str) -> None:
    headers = bearer(ana) | {"Upload-Offset": offset, "Content-Type": "application/partial-upload"}
    answer = world.client.patch(f"{UPLOADS}/{digest_of(DATA)}", content=b"x", headers=headers)
    assert answer.status_code == 422


def test_that_others_have_a_file_does_not_show(world: World, ana: str) -> None:
    lars = world.token("lars", {"lab": "Contributor"})
    lab = "/api/v1/workspaces/lab/uploads"
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    send(world, ana, digest, 0, DATA)
    unknown = digest_of(b"nobody has this")
    answers = [
        world.client.head(f"/api/v1/workspaces/lab/blobs/{d}", headers=bearer(lars))
        for d in (digest, unknown)
    ]
    assert {(a.status_code, a.content) for a in answers} == {(404, b"")}
    assert begin(world, lars, DATA, lab).json()["offset_bytes"] == 0
    assert send(world, lars, digest, 0, DATA[:50], lab).headers["Upload-Complete"] == "?0"
    assert not has(world, lars, digest, "lab")
    assert send(world, lars, digest, 50, DATA[50:], lab).headers["Upload-Complete"] == "?1"
    assert has(world, lars, digest, "lab")


def test_nobody_writes_into_anothers_upload(world: World, ana: str) -> None:
    bo = world.token("bo", {"shop": "Contributor"})
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    send(world, ana, digest, 0, DATA[:100])
    assert send(world, bo, digest, 100, b"x" * 10).status_code == 404
    assert begin(world, bo, DATA).json()["offset_bytes"] == 0
    assert world.client.delete(f"{UPLOADS}/{digest}", headers=bearer(bo)).status_code == 204
    assert where(world, ana, digest).headers["Upload-Offset"] == "100"


def test_eight_at_once_send_the_same_file(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    tokens = [ana, *(world.token(name, {"shop": "Contributor"}) for name in ("bo", "cy", "di"))] * 2

    def whole(token: str) -> str:
        while True:
            state = begin(world, token, DATA).json()
            if state["complete"]:
                return "complete"
            answer = send(world, token, digest, state["offset_bytes"], DATA[state["offset_bytes"] :])
            if answer.status_code not in {204, 404, 409}:
                return answer.text

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(whole, tokens)) == {"complete"}
    assert stored(world, digest) == DATA
    with world.core.database.transaction() as session:
        links = session.scalars(select(BlobLinkRow.owner)).all()
    assert list(links) == ["uploads:shop"]


def test_a_stalled_request_loses_the_upload_to_a_new_one(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    with world.core.database.transaction() as session:
        upload = session.scalars(select(UploadRow.id)).one()
    writer = world.services.uploads._writers._claim(upload, object())
    assert send(world, ana, digest, 0, DATA).json()["code"] == "upload-busy"
    writer.last_at -= writing.STALLED_S
    assert send(world, ana, digest, 0, DATA).headers["Upload-Complete"] == "?1"


def test_a_disk_that_takes_nothing_is_said_and_the_upload_goes_on_after(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    with world.core.database.transaction() as session:
        upload = session.scalars(select(UploadRow.id)).one()
    part = (world.services.settings.data_dir / "uploads") / f"{upload}.part"
    part.mkdir()
    failed = send(world, ana, digest, 0, DATA)
    assert (failed.status_code, failed.json()["code"]) == (507, "storage-failed")
    assert failed.json()["retriable"] is True
    part.rmdir()
    assert send(world, ana, digest, 0, DATA).headers["Upload-Complete"] == "?1"


def test_put_goes_on_with_what_has_arrived(world: World, ana: str) -> None:
    digest = digest_of(DATA)
    begin(world, ana, DATA)
    send(world, ana, digest, 0, DATA[:5_000_000])
    for _ in range(2):
        put = world.client.put(f"{BLOBS}/{digest}", content=DATA, headers=bearer(ana))
        assert (put.status_code, put.json()["size_bytes"]) == (201, len(DATA))
    assert stored(world, digest) == DATA


def test_an_empty_file_can_be_uploaded(world: World, ana: str) -> None:
    assert world.client.put(f"{BLOBS}/{digest_of(b'')}", content=b"", headers=bearer(ana)).status_code == 201
    assert has(world, ana, digest_of(b""))


def test_uploads_that_nobody_goes_on_with_are_swept(world: World, ana: str) -> None:
    begin(world, ana, DATA)
    send(world, ana, digest_of(DATA), 0, DATA[:1000])
    world.services.sweeper.sweep()
    assert where(world, ana, digest_of(DATA)).headers["Upload-Offset"] == "1000"
    keep = timedelta(seconds=world.services.settings.keep_uploads_s + 1)
    with world.core.database.transaction() as session:
        session.execute(update(UploadRow).values(updated_at=datetime.now(UTC) - keep))
    world.services.sweeper.sweep()
    assert where(world, ana, digest_of(DATA)).status_code == 404
    assert parts(world) == []
    assert send(world, ana, digest_of(DATA), 1000, DATA[1000:]).status_code == 404


def test_a_person_has_so_many_unfinished_uploads_and_no_more(world: World, ana: str) -> None:
    answers = [begin(world, ana, str(number).encode()).status_code for number in range(65)]
    assert answers == [201] * 64 + [409]


def test_a_repository_of_a_workspace_named_uploads_is_not_the_uploads_of_another(
    world: World, ana: str
) -> None:
    world.services.workspaces.create("uploads", ADMIN)
    begin(world, ana, DATA)
    send(world, ana, digest_of(DATA), 0, DATA)
    path = f"/v2/uploads/shop/blobs/{digest_of(DATA)}"
    assert world.client.get(path, headers=bearer(world.admin_token)).status_code == 404
