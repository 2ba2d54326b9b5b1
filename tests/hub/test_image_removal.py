"""Deleting images while others roll them out, register them or delete their neighbours."""

from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import ImageInUseError, ManifestError, NotFoundError
from cloud_hub.images.pushed import Pushed, PushedImages
from cloud_hub.images.removal import delete_image, in_use, registered
from cloud_hub.images.rows import ImageContentRow, ImageModelRow, ImageRow
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.registry.rows import ManifestRow, TagRow
from cloud_hub.registry.service import Registry
from cloud_hub.rollouts.rows import RolloutRow
from cloud_hub.rollouts.service import Rollouts
from contract.digests import sha256
from contract.errors import HeadlandError
from tests.api.images import of_platforms
from tests.hub.acting import BY, audit
from tests.hub.race import race
from tests.registry.content import Content

ROUNDS = 6
REPOSITORY = "shop/digits"
"""The databases of these tests have the workspace shop with the device cam-1."""


class World:
    """A registry with images, and rollouts of them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        blobs = Blobs(database, FolderStore(folder / "objects"), folder / "work")
        self.registry = Registry(database, blobs)
        signer = DesiredSigner.create(folder / "desired-key.pem")
        self.rollouts = Rollouts(database, signer, lambda _device, _envelope: None, audit(database))

    def push(self, *contents: Content, tag: str = "edge") -> None:
        blobs = self.registry.blobs
        with self.database.transaction() as session:
            for content in contents:
                for data in content.blobs.values():
                    blobs.link(session, REPOSITORY, blobs.save_bytes(data), len(data), OCTETS)
                self.registry.keep_manifest(
                    session, REPOSITORY, content.data, content.media_type,
                    tags=[tag] if content is contents[-1] else [],
                )  # fmt: skip

    def register(self, tag: str = "edge") -> ImageRow:
        database, nothing = self.database, lambda _session, _row: None
        images = PushedImages(database, self.registry, audit(database), database.transaction, nothing)
        return images.register("shop", Pushed(name="digits", reference=tag), BY)

    def delete(self, version: int) -> None:
        delete_image(self.database, self.registry, audit(self.database), "shop", "digits", version, BY)

    def roll_out(self, version: int) -> RolloutRow:
        return self.rollouts.apply(
            "shop",
            "apiVersion: headland/v1\nkind: Rollout\nmetadata:\n  name: line\nspec:\n  target:\n"
            f"    devices: [cam-1]\n  modules:\n    scorer:\n      image: digits:{version}\n",
            BY,
        )

    def whole(self) -> None:
        """Every image has its tag, its documents and its layers; no version is given twice."""
        with self.database.transaction() as session:
            for row in session.scalars(select(ImageRow)).all():
                tag = session.get(TagRow, (REPOSITORY, str(row.version)))
                assert tag is not None, "an image without its tag"
                assert tag.digest == row.digest, "a tag of another image"
                assert session.get(ManifestRow, (REPOSITORY, row.digest)) is not None, "without its manifest"
                for platform in row.platforms:
                    digests = [platform["digest"], platform["config_digest"]]
                    for digest in digests + [layer["digest"] for layer in platform["layers"]]:
                        assert session.get(BlobLinkRow, (REPOSITORY, digest)) is not None, "without bytes"


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


def test_a_deletion_against_a_rollout(world: World) -> None:
    ends = set()
    for _ in range(ROUNDS):
        world.push(*of_platforms(b"shared"))
        version = world.register().version
        deleted, applied = race(partial(world.delete, version), partial(world.roll_out, version))
        assert isinstance(deleted, ImageInUseError) == isinstance(applied, RolloutRow)
        assert isinstance(applied, ManifestError) == (deleted is None)
        world.whole()
        ends.add(deleted is None)
    assert ends, "each end is right; which of both comes first is the scheduler's"


def test_a_deletion_against_registrations_of_the_same_bytes(world: World) -> None:
    seen: list[int] = []
    for _ in range(ROUNDS):
        world.push(*of_platforms(b"shared"))
        first = world.register()
        deleted, again = race(partial(world.delete, first.version), world.register)
        assert deleted is None
        world.whole()
        seen.append(first.version)
        if isinstance(again, ImageRow):
            seen.append(again.version)
            world.delete(again.version)
        else:
            assert isinstance(again, (NotFoundError, HeadlandError))
    assert len(seen) == len(set(seen)), "a number was given twice"


def test_deletions_of_neighbours_leave_nothing_and_break_nothing(world: World) -> None:
    both = of_platforms(b"shared"), of_platforms(b"shared", architectures=("amd64",))
    for _ in range(ROUNDS):
        for number, contents in enumerate(both):
            world.push(*contents, tag=f"edge-{number}")
        versions = [world.register(f"edge-{number}").version for number in range(2)]
        assert race(*(partial(world.delete, version) for version in versions)) == [None, None]
        with world.database.transaction() as session:
            assert session.scalars(select(ManifestRow)).all() == []
            assert session.scalars(select(TagRow)).all() == []
            assert session.scalars(select(ImageContentRow)).all() == []


def test_negative_control_an_image_whose_bytes_went_is_seen(world: World) -> None:
    world.push(*of_platforms(b"shared"))
    digest = world.register().digest
    world.whole()
    with world.database.transaction() as session:
        world.registry.forget_image(session, REPOSITORY, digest)
    with pytest.raises(AssertionError, match="without its"):
        world.whole()


def test_the_database_keeps_a_model_that_an_image_holds(world: World) -> None:
    world.push(*of_platforms(b"shared"))
    row = world.register()
    with pytest.raises(IntegrityError), world.database.transaction() as session:
        session.add(ImageModelRow(image=row.id, model=99))


def test_what_uses_a_digest_is_named_whatever_part_of_the_image_it_is(world: World) -> None:
    contents = of_platforms(b"shared")
    world.push(*contents)
    world.register()
    world.roll_out(1)
    with world.database.transaction() as session:
        for digest in (contents[-1].digest, contents[0].digest, sha256(b"only arm64")):
            assert in_use(session, REPOSITORY, digest) == ["rollout line:1 on device cam-1 as scorer"]
            assert registered(session, REPOSITORY, digest) == ["digits:1"]
        assert in_use(session, REPOSITORY, sha256(b"nothing")) == []
        assert in_use(session, "shop/other", contents[0].digest) == []
