"""The migration of the model registry: a database of the release before keeps its models, bytes and tags."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud_hub.blobs.owners import models_of, outputs_of, uploads_of
from cloud_hub.blobs.rows import BlobLinkRow, BlobRow
from cloud_hub.db.engine import Database
from cloud_hub.models.search import Search, search
from tests.hub.databases import Place

BEFORE = "0040"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def before(path: Path) -> Database:
    """Return a database of the release before, with two versions of a model and a run."""
    database = Database(path)
    database.migrate(BEFORE)
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    with database.transaction() as session:
        for statement in (
            "INSERT INTO workspaces VALUES ('shop', :now), ('uploads', :now)",
            "INSERT INTO runs VALUES ('r1', 'shop', 'e', 'completed', '{}',"
            " json_object('out', json_object('digest', :other, 'size_bytes', 7)), 'ana', :now, :now)",
            "INSERT INTO models VALUES"
            " (3, 'shop', 'm', 1, :digest, 5, 'onnx', '{}', json_object('a', '1'), 'r1', 'ana', :now),"
            " (4, 'shop', 'm', 2, :digest, 5, 'onnx', '{}', '{}', NULL, 'ana', :now)",
            "INSERT INTO images (id, workspace, name, version, digest, size_bytes, layers, model, created_by,"
            " created_at) VALUES (1, 'shop', 'i', 1, :other, 5, '[]', 4, 'ana', :now)",
            "INSERT INTO blob_links VALUES ('uploads/shop', :digest, 5, 'x'),"
            " ('uploads/shop', :other, 7, 'x'), ('shop/i', :other, 7, 'x')",
        ):  # fmt: skip
            session.execute(text(statement), {"now": now, "digest": DIGEST, "other": OTHER})
    return database


def test_models_keep_versions_tags_bytes_and_images(tmp_path: Path) -> None:
    database = before(tmp_path / "hub.db")
    database.migrate()
    found = search(database, "shop", Search(), limit=10, cursor=None).items
    assert [(model.version, model.tags, model.folder) for model in found] == [
        (1, {"a": "1"}, False),
        (2, {}, False),
    ]
    assert not any(model.pickled for model in found)
    assert [[(f.path, f.digest) for f in model.files] for model in found] == [[("model.onnx", DIGEST)]] * 2
    with database.transaction() as session:
        links = {(link.owner, link.digest) for link in session.query(BlobLinkRow)}
        assert {(row.digest, row.unlinked_at) for row in session.query(BlobRow)} == {
            (DIGEST, None),
            (OTHER, None),
        }
        assert session.execute(text("SELECT model FROM image_models")).scalars().all() == [4]
        assert session.execute(text("SELECT newest FROM model_names")).scalars().all() == [2]
        assert session.execute(text("PRAGMA foreign_key_check")).all() == []
    assert links == {
        (uploads_of("shop"), DIGEST), (uploads_of("shop"), OTHER), (models_of("shop"), DIGEST),
        (outputs_of("shop"), OTHER), ("shop/i", OTHER),
    }  # fmt: skip
    database.close()


@pytest.mark.parametrize(
    ("framework", "folder", "pickled"),
    [("onnx", False, False), ("onnx", True, True), ("sklearn", False, True)],
)
def test_what_was_not_looked_into_is_taken_for_a_pickle(
    empty_place: Place, framework: str, folder: bool, pickled: bool
) -> None:
    database = empty_place.open()
    database.migrate("0050")
    now = datetime.now(UTC).isoformat(sep=" ")
    with database.transaction() as session:
        session.execute(text("INSERT INTO workspaces (name, created_at) VALUES ('shop', :now)"), {"now": now})
        session.execute(
            text(
                "INSERT INTO models (workspace, name, version, description, folder, digest, size_bytes,"
                " framework, signature, created_by, created_at) VALUES ('shop', 'm', 1, '', :folder, :digest,"
                " 5, :framework, '{}', 'ana', :now)"
            ),
            {"folder": folder, "digest": DIGEST, "framework": framework, "now": now},
        )
    database.migrate()
    (model,) = search(database, "shop", Search(), limit=10, cursor=None).items
    assert (model.framework, model.folder, model.pickled) == (framework, folder, pickled)
