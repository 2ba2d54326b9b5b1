"""The image registry: names whose versions are not given again, tags, several models, platforms.

Revision ID: 0110
Revises: 0100
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0110"
down_revision = "0100"
branch_labels = None
depends_on = None

TEXT, NUMBER, DOCUMENT = sa.String(), sa.BigInteger(), sa.JSON()


def upgrade() -> None:
    """Every image keeps its version, its model and what was known of its layers."""
    _tables()
    with op.batch_alter_table("images") as images:
        for name, default in (("description", ""), ("base", "host"), ("compression", "gzip"), ("kind", "cpu")):
            images.add_column(sa.Column(name, TEXT, nullable=False, server_default=default))
        images.add_column(sa.Column("platforms", DOCUMENT, nullable=False, server_default="[]"))
        images.create_index("ix_images_created", ["workspace", "created_at", "id"])
    _carry_over(op.get_bind())
    with op.batch_alter_table("images") as images:
        for name in ("description", "base", "compression", "kind"):
            images.alter_column(name, existing_type=TEXT, server_default=None)
        images.alter_column("platforms", existing_type=DOCUMENT, server_default=None)
        images.drop_constraint(op.f("fk_images_model_models"), type_="foreignkey")
        images.drop_column("model")
        images.drop_column("layers")


def _tables() -> None:
    op.create_table(
        "image_names",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("newest", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.name"], name=op.f("fk_image_names_workspace_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_image_names")),
    )
    op.create_table(
        "image_tags",
        sa.Column("image", sa.Integer(), nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        _of_an_image("image_tags"),
        sa.PrimaryKeyConstraint("image", "key", name=op.f("pk_image_tags")),
    )
    op.create_index("ix_image_tags_value", "image_tags", ["key", "value"])
    op.create_table(
        "image_models",
        sa.Column("image", sa.Integer(), nullable=False),
        sa.Column("model", sa.Integer(), nullable=False),
        _of_an_image("image_models"),
        sa.ForeignKeyConstraint(["model"], ["models.id"], name=op.f("fk_image_models_model_models")),
        sa.PrimaryKeyConstraint("image", "model", name=op.f("pk_image_models")),
    )
    op.create_index("ix_image_models_model", "image_models", ["model"])
    op.create_table(
        "image_contents",
        sa.Column("image", sa.Integer(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        _of_an_image("image_contents"),
        sa.PrimaryKeyConstraint("image", "kind", "value", name=op.f("pk_image_contents")),
    )
    op.create_index("ix_image_contents_value", "image_contents", ["kind", "value"])


def _of_an_image(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["image"], ["images.id"], name=op.f(f"fk_{table}_image_images"), ondelete="CASCADE"
    )


def _table(table: str, /, **columns: Any) -> sa.TableClause:
    return sa.table(table, *(sa.column(column, kind) for column, kind in columns.items()))


def _carry_over(connection: sa.Connection) -> None:
    images = _table(
        "images", id=NUMBER, workspace=TEXT, name=TEXT, version=NUMBER, digest=TEXT, size_bytes=NUMBER,
        layers=DOCUMENT, model=NUMBER, platforms=DOCUMENT,
    )  # fmt: skip
    inside = _table("image_models", image=NUMBER, model=NUMBER)
    contents = _table("image_contents", image=NUMBER, kind=TEXT, value=TEXT)
    names: dict[tuple[str, str], int] = {}
    for row in connection.execute(sa.select(images)).mappings().all():
        key = (row["workspace"], row["name"])
        names[key] = max(names.get(key, 0), row["version"])
        # The platform is in the index, which a migration cannot read: a hub that starts looks it up.
        platform = {
            "platform": "",
            "digest": "",
            "config_digest": "",
            "size_bytes": row["size_bytes"],
            "layers": [{**layer, "diff_id": ""} for layer in row["layers"]],
        }
        connection.execute(images.update().where(images.c.id == row["id"]).values(platforms=[platform]))
        connection.execute(inside.insert().values(image=row["id"], model=row["model"]))
        connection.execute(contents.insert().values(image=row["id"], kind="platform", value=""))
        for digest in {row["digest"], *(layer["digest"] for layer in row["layers"])}:
            connection.execute(contents.insert().values(image=row["id"], kind="digest", value=digest))
        for title in {layer["title"] for layer in row["layers"]}:
            connection.execute(contents.insert().values(image=row["id"], kind="layer", value=title))
    table = _table("image_names", workspace=TEXT, name=TEXT, newest=NUMBER)
    for (workspace, name), newest in names.items():
        connection.execute(table.insert().values(workspace=workspace, name=name, newest=newest))
