"""The migration of the registry: images of the release before become manifests and tags."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, text

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.db.engine import Database
from cloud_hub.registry.rows import ManifestRow, ReachRow, TagRow
from cloud_hub.registry.service import Registry
from contract import oci
from contract.digests import sha256
from tests.hub.databases import Place
from tests.registry.content import Content, image, index

BEFORE = "0090"


def before(database: Database, whole: Content, manifest: Content) -> None:
    """Make a database of the release before, with one image."""
    database.migrate(BEFORE)
    now = datetime.now(UTC).isoformat(" ")
    links = [(whole.digest, oci.INDEX, len(whole.data)), (manifest.digest, oci.MANIFEST, len(manifest.data))]
    links += [(digest, OCTETS, len(data)) for digest, data in manifest.blobs.items()]
    with database.transaction() as session:
        for statement in (
            "INSERT INTO workspaces (name, created_at) VALUES ('shop', :now)",
            "INSERT INTO models (id, workspace, name, version, digest, size_bytes, framework,"
            " folder, description, signature, pickled, created_by, created_at)"
            " VALUES (4, 'shop', 'm', 1, 'd', 5, 'onnx',"
            " false, '', '{}', false, 'ana', :now)",
            "INSERT INTO images (workspace, name, version, digest, size_bytes, layers, model, created_by,"
            " created_at) VALUES ('shop', 'digits', 3, :index, 5, '[]', 4, 'ana', :now)",
        ):  # fmt: skip
            session.execute(text(statement), {"now": now, "index": whole.digest})
        for digest, media_type, size in links:
            session.execute(
                text("INSERT INTO blob_links VALUES ('shop/digits', :digest, :size, :type, :now)"),
                {"digest": digest, "size": size, "type": media_type, "now": now},
            )


def test_images_become_manifests_and_tags_and_are_read_when_that_is_needed(
    empty_place: Place, tmp_path: Path
) -> None:
    database = empty_place.open()
    blobs = Blobs(database, FolderStore(tmp_path / "objects"), tmp_path / "work")
    manifest = image(b"one layer", b"another")
    whole = index(manifest)
    for data in (whole.data, manifest.data, *manifest.blobs.values()):
        blobs.save_bytes(data)
    before(database, whole, manifest)
    database.migrate()

    registry = Registry(database, blobs)
    assert registry.manifest("shop/digits", "3").digest == whole.digest
    assert registry.manifest("shop/digits", manifest.digest).media_type == oci.MANIFEST
    assert registry.tags("shop/digits") == ["3"]
    with database.transaction() as session:
        assert not session.scalars(select(ReachRow)).all()
        registry.read_all(session, "shop/digits")
    with database.transaction() as session:
        assert all(session.scalars(select(ManifestRow.read)))
        found = {(row.digest, row.target) for row in session.scalars(select(ReachRow))}
    assert found == {(whole.digest, manifest.digest)} | {
        (manifest.digest, sha256(data)) for data in manifest.blobs.values()
    }


def test_an_image_of_before_is_forgotten_whole(empty_place: Place, tmp_path: Path) -> None:
    database = empty_place.open()
    blobs = Blobs(database, FolderStore(tmp_path / "objects"), tmp_path / "work")
    manifest = image(b"one layer")
    whole = index(manifest)
    for data in (whole.data, manifest.data, *manifest.blobs.values()):
        blobs.save_bytes(data)
    before(database, whole, manifest)
    database.migrate()
    registry = Registry(database, blobs)
    with database.transaction() as session:
        registry.forget_image(session, "shop/digits", whole.digest)
    with database.transaction() as session:
        assert not session.scalars(select(ManifestRow)).all()
        assert not session.scalars(select(TagRow)).all()
