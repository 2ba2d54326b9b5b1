"""The migration of the image registry: images keep versions, models and layers; a start looks up the rest."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.images.earlier import complete_earlier
from cloud_hub.images.rows import ImageNameRow, ImageRow
from cloud_hub.images.search import Search, search
from contract.digests import sha256
from tests.api.images import of_platforms
from tests.hub.databases import Place

BEFORE = "0090"
GONE = "sha256:" + "e" * 64
MODEL = "sha256:" + "a" * 64
PUSHED = of_platforms(b"runtime", architectures=("arm64",))


def before(place: Place) -> Database:
    """Return a database of the release before: two versions, the documents of one of them are lost."""
    database = place.open()
    database.migrate(BEFORE)
    now = datetime.now(UTC).isoformat(sep=" ")
    layers = f'[{{"title": "runtime", "digest": "{sha256(b"runtime")}", "size_bytes": 7}}]'
    with database.transaction() as session:
        for statement in (
            "INSERT INTO workspaces (name, created_at) VALUES ('shop', :now)",
            "INSERT INTO models (id, workspace, name, version, description, folder, digest, size_bytes,"
            " framework, signature, pickled, created_by, created_at)"
            " VALUES (3, 'shop', 'm', 1, '', false, :model, 5, 'onnx', '{}', false, 'ana', :now)",
            "INSERT INTO images (id, workspace, name, version, digest, size_bytes, layers, model, activity,"
            " created_by, created_at) VALUES (5, 'shop', 'i', 2, :index, 99, :layers, 3, 'one', 'ana', :now)",
            "INSERT INTO images (id, workspace, name, version, digest, size_bytes, layers, model, activity,"
            " created_by, created_at) VALUES (6, 'shop', 'i', 4, :gone, 99, :layers, 3, NULL, 'ana', :now)",
        ):
            values = {
                "now": now, "model": MODEL, "index": PUSHED[-1].digest, "gone": GONE, "layers": layers,
            }  # fmt: skip
            session.execute(text(statement), values)
    return database


def test_images_keep_what_they_had_and_a_start_looks_up_their_platforms(
    empty_place: Place, tmp_path: Path
) -> None:
    database = before(empty_place)
    database.migrate()
    blobs = Blobs(database, FolderStore(tmp_path / "objects"), tmp_path / "work")
    first, second = search(database, "shop", Search(), limit=10, cursor=None).items
    assert (first.version, first.models, first.activity) == (2, ["m:1"], "one")
    assert (first.base, first.compression, first.kind) == ("host", "gzip", "cpu")
    assert [one.platform for one in first.platforms] == [""]
    assert [(one.title, one.size_bytes) for one in first.layers] == [("runtime", 7)]
    with database.reading() as session:
        assert session.get_one(ImageNameRow, ("shop", "i")).newest == 4
    for content in PUSHED:
        for data in (content.data, *content.blobs.values()):
            blobs.save_bytes(data)
    assert complete_earlier(database, blobs) == 1
    found = search(database, "shop", Search(platform="linux/arm64"), limit=10, cursor=None).items
    assert [one.version for one in found] == [2]
    assert found[0].layers[0].diff_id == sha256(b"runtime"[::-1])
    by_digest = search(database, "shop", Search(digest=PUSHED[0].digest), limit=10, cursor=None).items
    assert [one.version for one in by_digest] == [2]
    assert complete_earlier(database, blobs) == 0, "once is enough; what is lost stays as it was"
    with database.reading() as session:
        lost = session.get_one(ImageRow, 6)
        assert lost.platforms[0]["layers"][0]["title"] == "runtime"
    assert second.version == 4
