"""The model registry: files, tags, properties and baselines; resumable uploads; bytes that can be deleted.

Revision ID: 0050
Revises: 0040
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0050"
down_revision = "0040"
branch_labels = None
depends_on = None

TIME = UtcTime(timezone=True)


def upgrade() -> None:
    """Every model keeps its version, its bytes and its tags."""
    _blobs()
    _models()
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("parent", sa.String(), nullable=True))
        runs.add_column(sa.Column("source", sa.JSON(), nullable=False, server_default="{}"))
        runs.create_index(op.f("ix_runs_parent"), ["parent"])
        runs.create_foreign_key(op.f("fk_runs_parent_runs"), "runs", ["parent"], ["id"])
    with op.batch_alter_table("runs") as runs:
        runs.alter_column("source", existing_type=sa.JSON(), server_default=None)
    _carry_over(op.get_bind())
    with op.batch_alter_table("models") as models:
        models.drop_column("tags")
        models.alter_column("description", existing_type=sa.String(), server_default=None)
        models.alter_column("folder", existing_type=sa.Boolean(), server_default=None)
    with op.batch_alter_table("blob_links") as links:
        links.alter_column("created_at", existing_type=TIME, nullable=False)


def _blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("unlinked_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )
    op.create_index(op.f("ix_blobs_unlinked_at"), "blobs", ["unlinked_at"])
    with op.batch_alter_table("blob_links") as links:
        links.add_column(sa.Column("created_at", TIME, nullable=True))
        links.create_index("ix_blob_links_digest", ["digest"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_uploads_workspace_workspaces")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("workspace", "principal", "digest", name=op.f("uq_uploads_workspace")),
    )
    op.create_index(op.f("ix_uploads_updated_at"), "uploads", ["updated_at"])


def _models() -> None:
    op.create_table(
        "model_names",
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("newest", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.name"], name=op.f("fk_model_names_workspace_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_model_names")),
    )
    with op.batch_alter_table("models") as models:
        models.add_column(sa.Column("description", sa.String(), nullable=False, server_default=""))
        models.add_column(sa.Column("folder", sa.Boolean(), nullable=False, server_default=sa.false()))
        models.create_index("ix_models_created", ["workspace", "created_at", "id"])
        models.create_index("ix_models_run", ["run"])
        models.create_index("ix_models_framework", ["workspace", "framework"])
    op.create_table(
        "model_labels",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"], ["models.id"], name=op.f("fk_model_labels_model_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model", "kind", "key", name=op.f("pk_model_labels")),
    )
    op.create_index("ix_model_labels_value", "model_labels", ["kind", "key", "value"])
    op.create_table(
        "model_files",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"], ["models.id"], name=op.f("fk_model_files_model_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model", "path", name=op.f("pk_model_files")),
    )
    op.create_index("ix_model_files_digest", "model_files", ["digest"])
    op.create_table(
        "model_baselines",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"], ["models.id"], name=op.f("fk_model_baselines_model_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_model_baselines")),
    )


def _table(table: str, /, **columns: Any) -> sa.TableClause:
    return sa.table(table, *(sa.column(column, kind) for column, kind in columns.items()))


TEXT, NUMBER, DOCUMENT = sa.String(), sa.BigInteger(), sa.JSON()
LINKS = _table(
    "blob_links", owner=TEXT, digest=TEXT, size_bytes=NUMBER, media_type=TEXT, created_at=TIME
)


def _carry_over(connection: sa.Connection) -> None:
    now = datetime.now(UTC)
    connection.execute(LINKS.update().values(created_at=now))
    _rename_uploads(connection)
    models = _table(
        "models", id=NUMBER, workspace=TEXT, name=TEXT, version=NUMBER, digest=TEXT, size_bytes=NUMBER, tags=DOCUMENT
    )
    names: dict[tuple[str, str], int] = {}
    for row in connection.execute(sa.select(models)).mappings().all():
        key = (row["workspace"], row["name"])
        names[key] = max(names.get(key, 0), row["version"])
        file = _table("model_files", model=NUMBER, path=TEXT, digest=TEXT, size_bytes=NUMBER)
        connection.execute(
            file.insert().values(
                model=row["id"], path="model.onnx", digest=row["digest"], size_bytes=row["size_bytes"]
            )
        )
        label = _table("model_labels", model=NUMBER, kind=TEXT, key=TEXT, value=TEXT)
        for tag, value in row["tags"].items():
            connection.execute(
                label.insert().values(model=row["id"], kind="tag", key=str(tag), value=str(value))
            )
        _link(connection, f"models:{row['workspace']}", row["digest"], row["size_bytes"], now)
    for (workspace, name), newest in names.items():
        table = _table("model_names", workspace=TEXT, name=TEXT, newest=NUMBER)
        connection.execute(table.insert().values(workspace=workspace, name=name, newest=newest))
    runs = _table("runs", workspace=TEXT, outputs=DOCUMENT)
    for row in connection.execute(sa.select(runs)).mappings().all():
        for output in row["outputs"].values():
            _link(connection, f"outputs:{row['workspace']}", output["digest"], output["size_bytes"], now)
    blobs = _table("blobs", digest=TEXT, unlinked_at=TIME)
    for digest in connection.scalars(sa.select(LINKS.c.digest).distinct()).all():
        connection.execute(blobs.insert().values(digest=digest, unlinked_at=None))


def _rename_uploads(connection: sa.Connection) -> None:
    """``uploads/ws`` was also a repository of a workspace of that name; the colon is in no name."""
    images = _table("images", workspace=TEXT, name=TEXT)
    for name in connection.scalars(sa.select(sa.column("name", TEXT)).select_from(sa.table("workspaces"))).all():
        image = sa.select(images.c.name).where(images.c.workspace == "uploads", images.c.name == name)
        if connection.scalars(image).first() is None:
            connection.execute(
                LINKS.update().where(LINKS.c.owner == f"uploads/{name}").values(owner=f"uploads:{name}")
            )


def _link(connection: sa.Connection, owner: str, digest: str, size_bytes: int, now: datetime) -> None:
    known = sa.select(LINKS.c.owner).where(LINKS.c.owner == owner, LINKS.c.digest == digest)
    if connection.scalars(known).first() is None:
        connection.execute(
            LINKS.insert().values(
                owner=owner,
                digest=digest,
                size_bytes=size_bytes,
                media_type="application/octet-stream",
                created_at=now,
            )
        )
