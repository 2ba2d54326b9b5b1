"""The registry: manifests, tags, uploads under way, and blobs that nothing names.

Images that are there become manifests and tags. What their manifests name stands in the blobs, which a
migration does not read: ``read`` is false, and the hub reads them when it first needs that.

Revision ID: 0100
Revises: 0090
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0100"
down_revision = "0090"
branch_labels = None
depends_on = None

TIME = UtcTime(timezone=True)
TEXT, NUMBER = sa.String(), sa.BigInteger()
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
)


def upgrade() -> None:
    """Make the tables, and carry the images over."""
    _make_manifests()
    _make_pushes()
    _carry_over(op.get_bind())


def _make_manifests() -> None:
    op.create_table(
        "registry_manifests",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.Column("artifact_type", TEXT, nullable=True),
        sa.Column("subject", TEXT, nullable=True),
        sa.Column("annotations", sa.JSON(), nullable=False),
        sa.Column("size_bytes", NUMBER, nullable=False),
        sa.Column("read", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", "digest", name=op.f("pk_registry_manifests")),
    )
    op.create_index("ix_registry_manifests_subject", "registry_manifests", ["repository", "subject"])
    op.create_table(
        "registry_reaches",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("repository", "digest", "target", name=op.f("pk_registry_reaches")),
    )
    op.create_index("ix_registry_reaches_target", "registry_reaches", ["repository", "target"])
    op.create_table(
        "registry_tags",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", "tag", name=op.f("pk_registry_tags")),
    )
    op.create_index("ix_registry_tags_digest", "registry_tags", ["repository", "digest"])


def _make_pushes() -> None:
    op.create_table(
        "registry_uploads",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("offset_bytes", NUMBER, nullable=False),
        sa.Column("verified", TEXT, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.name"], name=op.f("fk_registry_uploads_workspace_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_uploads")),
    )
    op.create_index("ix_registry_uploads_repository", "registry_uploads", ["repository"])
    op.create_index("ix_registry_uploads_updated_at", "registry_uploads", ["updated_at"])
    op.create_table(
        "registry_unreached",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", "digest", name=op.f("pk_registry_unreached")),
    )
    op.create_index("ix_registry_unreached_since", "registry_unreached", ["since"])


def _table(name: str, /, **columns: Any) -> sa.TableClause:
    return sa.table(name, *(sa.column(column, kind) for column, kind in columns.items()))


def _carry_over(connection: sa.Connection) -> None:
    now = datetime.now(UTC)
    links = _table("blob_links", owner=TEXT, digest=TEXT, size_bytes=NUMBER, media_type=TEXT, created_at=TIME)
    manifests = _table(
        "registry_manifests", repository=TEXT, digest=TEXT, media_type=TEXT, annotations=sa.JSON(),
        size_bytes=NUMBER, read=sa.Boolean(), created_at=TIME,
    )  # fmt: skip
    # Only repositories link what is of these types: all other owners' links are plain bytes.
    found = sa.select(links).where(links.c.media_type.in_(MANIFESTS), ~links.c.owner.contains(":"))
    for link in connection.execute(found).mappings().all():
        connection.execute(
            manifests.insert().values(
                repository=link["owner"],
                digest=link["digest"],
                media_type=link["media_type"],
                annotations={},
                size_bytes=link["size_bytes"],
                read=False,
                created_at=link["created_at"],
            )
        )
    images = _table("images", workspace=TEXT, name=TEXT, version=NUMBER, digest=TEXT)
    tags = _table("registry_tags", repository=TEXT, tag=TEXT, digest=TEXT, updated_at=TIME)
    for image in connection.execute(sa.select(images)).mappings().all():
        connection.execute(
            tags.insert().values(
                repository=f"{image['workspace']}/{image['name']}",
                tag=str(image["version"]),
                digest=image["digest"],
                updated_at=now,
            )
        )
