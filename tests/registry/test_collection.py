"""What no manifest reaches is collected: after its grace, not under a push, and after a kill at any point."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud_hub.audit.actor import Actor
from cloud_hub.blobs.rows import BlobRow
from cloud_hub.errors import NotFoundError
from cloud_hub.images.rows import ImageRow
from cloud_hub.registry.errors import ImageKeptError, ManifestBlobUnknownError
from cloud_hub.registry.rows import ManifestRow, TagRow, UnreachedRow
from contract.digests import sha256
from tests.hub.databases import Place
from tests.registry.content import Content, image, index, referrer
from tests.registry.stage import GRACE, REPOSITORY, Killed, KilledDatabase, Stage, body

NOW, LATER = timedelta(0), GRACE * 2
BY = Actor("ana")


def test_forgetting_an_image_leaves_what_others_name(stage: Stage) -> None:
    shared, own = b"a layer of both", b"a layer of the first"
    first, second = image(shared, own), image(shared, b"a layer of the second")
    one, two = index(first), index(second)
    attached = referrer(first, b"an SBOM", "application/spdx+json")
    for content, tags in ((first, ()), (second, ()), (one, ("1",)), (two, ("2",)), (attached, ())):
        stage.keep(content, *tags)
    stays = stage.links() - {sha256(own), sha256(b"an SBOM"), first.digest, one.digest, attached.digest}

    with stage.database.transaction() as session:
        stage.registry.forget_image(session, REPOSITORY, one.digest)
    with stage.database.reading() as session:
        assert set(session.scalars(select(ManifestRow.digest))) == {second.digest, two.digest}
        assert set(session.scalars(select(TagRow.tag))) == {"2"}
    assert stage.marked() == {sha256(own), sha256(b"an SBOM")}
    assert stage.collect(NOW) == 0
    assert stage.collect(LATER) == 2
    assert stage.links() == stays
    assert stage.broken() == []
    with stage.database.transaction() as session:
        assert session.get_one(BlobRow, sha256(own)).unlinked_at is not None
    assert stage.sweeper.delete_bytes(datetime.now(UTC) + LATER * 2) > 0
    assert not stage.blobs.exists(sha256(own))
    assert stage.blobs.exists(sha256(shared))


async def test_a_blob_that_nothing_names_goes_after_the_grace(stage: Stage) -> None:
    digest = await stage.push_blob(b"pushed, and no manifest came")
    assert stage.collect(NOW, GRACE / 2) == 0
    assert stage.links() == {digest}
    assert stage.collect(LATER) == 1
    assert stage.links() == set()


async def test_a_blob_that_was_asked_for_has_the_grace_anew(stage: Stage) -> None:
    """A client that was told that a blob is there pushes only the manifest."""
    content = image(b"found by HEAD", config=b'{"found": "by mount"}')
    stage.keep(content, "old")
    stage.keep(content, repository="lab/source")
    with stage.database.transaction() as session:
        stage.registry.forget_image(session, REPOSITORY, content.digest)
    stage.collect(NOW)
    _age(stage, LATER)
    for digest in content.blobs:
        assert stage.registry.blob(REPOSITORY, digest).digest == digest
    assert stage.collect(NOW) == 0
    stage.changes.push_manifest(REPOSITORY, "new", content.data, content.media_type, BY)
    assert stage.collect(LATER, LATER) == 0
    assert stage.broken() == []


async def test_negative_control_one_that_nobody_asked_for_is_gone(stage: Stage) -> None:
    content = image(b"not asked for")
    stage.keep(content, "old")
    with stage.database.transaction() as session:
        stage.registry.forget_image(session, REPOSITORY, content.digest)
    _age(stage, LATER)
    assert stage.collect(NOW) == 2
    with pytest.raises(ManifestBlobUnknownError):
        stage.changes.push_manifest(REPOSITORY, "new", content.data, content.media_type, BY)


async def test_the_first_layer_of_a_push_that_takes_long_stays(stage: Stage) -> None:
    first, second = b"the first layer", b"the second, over a thin line"
    await stage.push_blob(first)
    key = stage.pushes.begin(REPOSITORY, "ana")
    await stage.pushes.append(key, 0, body(second[:5]))
    _age(stage, LATER)
    assert stage.collect(NOW) == 0, "an upload goes on in the repository"
    await stage.pushes.finish(key, sha256(second), None, body(second[5:]))
    assert stage.collect(NOW, GRACE / 2) == 0, "what came before has the grace of what came last"
    content = image(first, second)
    await stage.push_blob(b"{}")
    stage.changes.push_manifest(REPOSITORY, "long", content.data, content.media_type, BY)
    assert stage.collect(LATER) == 0
    assert stage.broken() == []


async def test_a_mount_renews_too(stage: Stage) -> None:
    stage.keep(image(b"mounted"), repository="lab/source")
    digest = sha256(b"mounted")
    assert stage.pushes.mount(REPOSITORY, digest, "lab/source")
    assert stage.collect(GRACE / 2) == 0
    _age(stage, LATER)
    assert stage.pushes.mount(REPOSITORY, digest, "lab/source")
    assert stage.collect(NOW) == 0
    assert stage.collect(LATER) == 1
    assert stage.links("lab/source") >= {digest}


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
def test_a_kill_at_any_point_of_the_collection(place: Place, tmp_path: Path, committed: bool) -> None:
    """Killed at each of its transactions: no manifest lacks anything, and the next round ends the work."""
    database = place.open(KilledDatabase)
    assert isinstance(database, KilledDatabase)
    stage = Stage(database, tmp_path)
    stage.make_workspaces()
    keeps = image(b"kept", b"shared")
    stage.keep(keeps, "keeps")
    kills = 0
    for point in range(1, 50):
        waste = image(b"shared", b"waste %d" % point)
        stage.keep(waste, "waste")
        with database.transaction() as session:
            stage.registry.forget_image(session, REPOSITORY, waste.digest)
        with database.transaction() as session:  # a link that nothing marked, as of an earlier release
            data = b"unmarked %d" % point
            stage.blobs.save_bytes(data)
            stage.blobs.link(session, REPOSITORY, sha256(data), len(data), "x")
        database.count, database.kill_at, database.committed = 0, point, committed
        try:
            stage.collect(NOW, LATER)
        except Killed:
            kills += 1
        else:
            break
        finally:
            database.kill_at = -1
            stage.restart()
        assert stage.broken() == []
        stage.collect(NOW, LATER)
        assert stage.links() == {keeps.digest, *keeps.blobs}
        assert stage.marked() == set()
    assert kills >= 5


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
async def test_a_kill_at_any_point_of_a_push(place: Place, tmp_path: Path, committed: bool) -> None:
    """Whatever was lost, the client that begins its push anew gets through, and nothing is broken."""
    database = place.open(KilledDatabase)
    assert isinstance(database, KilledDatabase)
    stage = Stage(database, tmp_path)
    stage.make_workspaces()
    kills = 0
    for point in range(1, 50):
        content = image(b"layer %d" % point)
        database.count, database.kill_at, database.committed = 0, point, committed
        try:
            await _push(stage, content, "v")
        except Killed:
            kills += 1
        else:
            break
        finally:
            database.kill_at = -1
            stage.restart()
        assert stage.broken() == []
        await _push(stage, content, "v")
        assert stage.registry.manifest(REPOSITORY, "v").digest == content.digest
        assert stage.broken() == []
    assert kills >= 8


async def _push(stage: Stage, content: Content, tag: str) -> None:
    for data in content.blobs.values():
        await stage.push_blob(data)
    stage.changes.push_manifest(REPOSITORY, tag, content.data, content.media_type, BY)


def test_what_is_deployed_or_registered_is_not_deleted(stage: Stage) -> None:
    manifest = image(b"deployed")
    whole = index(manifest)
    stage.keep(manifest)
    stage.keep(whole, "3", "latest")
    asked = []

    def in_use(_session: object, repository: str, digest: str) -> list[str]:
        asked.append((repository, digest))
        return ["rollout line-3 (cam-1)"]

    stage.in_use = in_use
    with pytest.raises(ImageKeptError, match=r"rollout line-3 \(cam-1\)"):
        stage.changes.delete_reference(REPOSITORY, whole.digest, BY)
    assert asked == [(REPOSITORY, whole.digest)]
    stage.in_use = lambda *_: []
    _register(stage, whole.digest, version=3)
    for digest in (whole.digest, manifest.digest):
        with pytest.raises(ImageKeptError, match="digits:3"):
            stage.changes.delete_reference(REPOSITORY, digest, BY)
    other = image(b"another")
    stage.keep(other)
    for tag in ("3", "003"):
        with pytest.raises(ImageKeptError, match="version"):
            stage.changes.push_manifest(REPOSITORY, tag, other.data, other.media_type, BY)
    with pytest.raises(ImageKeptError, match="version"):
        stage.changes.delete_reference(REPOSITORY, "3", BY)
    assert stage.registry.manifest(REPOSITORY, "3").digest == whole.digest
    stage.changes.push_manifest(REPOSITORY, "3", whole.data, whole.media_type, BY)  # what it is already
    stage.changes.push_manifest(REPOSITORY, "4", other.data, other.media_type, BY)  # no such image
    stage.changes.delete_reference(REPOSITORY, "latest", BY)
    with stage.database.transaction() as session:
        session.delete(session.scalars(select(ImageRow)).one())
    with pytest.raises(ImageKeptError, match="index"):
        stage.changes.delete_reference(REPOSITORY, manifest.digest, BY)
    stage.changes.delete_reference(REPOSITORY, whole.digest, BY)
    with pytest.raises(NotFoundError):
        stage.registry.manifest(REPOSITORY, manifest.digest)


def _age(stage: Stage, age: timedelta) -> None:
    """Make all marks older, as after that time."""
    with stage.database.transaction() as session:
        for row in session.scalars(select(UnreachedRow)):
            row.since -= age


def _register(stage: Stage, digest: str, version: int) -> None:
    """Register an image row as a build does."""
    with stage.database.transaction() as session:
        row = ImageRow(
            workspace="shop", name="digits", version=version, digest=digest, size_bytes=1, platforms=[],
            created_by="ana", created_at=datetime.now(UTC),
        )  # fmt: skip
        session.add(row)
