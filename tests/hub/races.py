"""Every "read, decide, write" of the hub's services as a race: what one racer does, and who judges."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Select, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.activities.service import Activities
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.owners import uploads_of
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.db.engine import Database
from cloud_hub.db.owner import claim
from cloud_hub.devices.claims import Claims
from cloud_hub.devices.rows import InvitationRow
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.errors import ClaimFullError, ConflictError, ForeignDatabaseError, TokenUsedError
from cloud_hub.experiments.service import Experiments
from cloud_hub.images.build.ports import Layer
from cloud_hub.images.build_job import BuildParameters, Made
from cloud_hub.images.builds import ImageBuilds
from cloud_hub.images.layer_store import HubLayerStore
from cloud_hub.images.rows import ImageRow
from cloud_hub.models.rows import ModelRow
from cloud_hub.models.service import Models
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.registry.service import Registry
from cloud_hub.rollouts.rows import DesiredRow, RolloutRow
from cloud_hub.rollouts.service import Rollouts
from cloud_hub.telemetry.ingest import Ingest
from cloud_hub.workspaces.rows import WorkspaceRow
from contract.enrolment import EnrolAnswer, EnrolPending, EnrolRequest
from contract.errors import HeadlandError
from tests.hub.acting import BY, audit, workspaces
from tests.hub.test_devices import csr
from tests.hub.test_exactly_once import batch, stored
from tests.hub.test_models import as_bytes, onnx_model, register, upload
from tests.registry.content import built

HOUR = timedelta(hours=1)
MEETING_TIMEOUT_S = 0.5


@dataclass(frozen=True)
class Race:
    """``act(number)`` is what one racer does; ``right(results)`` judges results and rows afterwards."""

    act: Callable[[int], object]
    right: Callable[[Sequence[object]], bool]


Start = Callable[[Sequence[Database], Path], Race]
"""``start(hubs, folder)`` prepares a race in which racer ``n`` uses ``hubs[n % 2]``."""


def model_versions(hubs: Sequence[Database], folder: Path) -> Race:
    """The same name again is the next version."""
    services = [_models(hub, folder) for hub in hubs]
    digest = upload(hubs[0], services[0][0], as_bytes(onnx_model()))

    def right(results: Sequence[object]) -> bool:
        found = _column(hubs[0], select(ModelRow.version).order_by(ModelRow.version))
        return found == list(range(1, len(results) + 1))

    return Race(lambda n: register(services[n % 2][1], digest).version, right)


def image_versions(hubs: Sequence[Database], folder: Path) -> Race:
    """An image's next version, and the links of its blobs, which all share."""
    blobs, models = _models(hubs[0], folder)
    model = register(models, upload(hubs[0], blobs, as_bytes(onnx_model())))
    image = Made(built(blobs, b"a layer"), "host", ())
    services = [
        ImageBuilds(
            hub,
            blobs,
            Registry(hub, blobs),
            models,
            Activities(hub, audit(hub), at_once=1),
            audit(hub),
            work_dir=folder,
            cache_dir=folder,
        )
        for hub in hubs
    ]

    def right(results: Sequence[object]) -> bool:
        found = _column(hubs[0], select(ImageRow.version).order_by(ImageRow.version))
        return found == list(range(1, len(results) + 1))

    return Race(lambda n: services[n % 2]._register(_asked(), model, image, f"activity-{n}"), right)


def _asked() -> BuildParameters:
    return BuildParameters(workspace="shop", name="digits", model=1, script_digest=None, principal="ana")


def rollout_revisions(hubs: Sequence[Database], folder: Path) -> Race:
    """The same rollout again is the next revision."""
    services = rollouts(hubs, folder)

    def right(results: Sequence[object]) -> bool:
        found = _column(hubs[0], select(RolloutRow.revision).order_by(RolloutRow.revision))
        return found == list(range(1, len(results) + 1))

    return Race(lambda n: services[n % 2].apply("shop", manifest("all"), BY), right)


def generations(hubs: Sequence[Database], folder: Path) -> Race:
    """Rollouts of different names give one device one generation each."""
    services = rollouts(hubs, folder)

    def right(results: Sequence[object]) -> bool:
        found = _column(hubs[0], select(DesiredRow.generation).order_by(DesiredRow.generation))
        return found == list(range(1, len(results) + 1))

    return Race(lambda n: services[n % 2].apply("shop", manifest(f"r{n}"), BY), right)


def one_time_token(hubs: Sequence[Database], folder: Path) -> Race:
    """Of all who show a token, one gets a certificate."""
    services = _devices(hubs, folder)
    token = services[0].invite("shop", "cam-9", HOUR, BY).token
    requests = [csr() for _ in range(50)]

    def right(results: Sequence[object]) -> bool:
        winners = sum(isinstance(result, EnrolAnswer) for result in results)
        losers = sum(isinstance(result, TokenUsedError) for result in results)
        return (winners, losers) == (1, len(results) - 1)

    return Race(lambda n: services[n % 2].enrol(EnrolRequest(token=token, csr_pem=requests[n]), BY), right)


def invitations(hubs: Sequence[Database], folder: Path) -> Race:
    """A device invited many times at once is one device with many tokens."""
    services = _devices(hubs, folder)

    def right(results: Sequence[object]) -> bool:
        return _column(hubs[0], select(func.count()).select_from(InvitationRow)) == [len(results)]

    return Race(lambda n: services[n % 2].invite("shop", "cam-9", HOUR, BY), right)


def places_of_a_claim(hubs: Sequence[Database], folder: Path) -> Race:
    """Of all who ask by a claim for one device, one waits, and all others hear that it is full."""
    devices = _devices(hubs, folder)
    authority = Authority.load(folder / "pki")
    services = [
        Claims(hub, authority, each, AttemptLimits(hub), audit(hub))
        for hub, each in zip(hubs, devices, strict=True)
    ]
    token = services[0].create("shop", "line", HOUR, 1, {}, BY).token
    requests = [EnrolRequest(token=token, csr_pem=csr(), device=f"new-{n}") for n in range(16)]

    def right(results: Sequence[object]) -> bool:
        waiting = sum(isinstance(result, EnrolPending) for result in results)
        told = sum(isinstance(result, ClaimFullError) for result in results)
        return (waiting, told) == (1, len(results) - 1)

    return Race(lambda n: services[n % 2].ask(requests[n], BY), right)


def workspace_names(hubs: Sequence[Database], _folder: Path) -> Race:
    """A workspace is made once, and all others hear that it is there."""

    def right(results: Sequence[object]) -> bool:
        made = sum(isinstance(result, WorkspaceRow) for result in results)
        told = sum(isinstance(result, ConflictError) for result in results)
        return (made, told) == (1, len(results) - 1)

    return Race(lambda n: workspaces(hubs[n % 2]).create("new", BY), right)


def run_parameters(hubs: Sequence[Database], folder: Path) -> Race:
    """Parameters that many log at once are all kept: they share one JSON value."""
    services = [Experiments(hub, _blobs(hub, folder)) for hub in hubs]
    run = services[0].start("shop", "e", "ana").id

    def right(results: Sequence[object]) -> bool:
        return services[0].get("shop", run)[0].parameters == {f"p{n}": n for n in range(len(results))}

    return Race(lambda n: services[n % 2].log_parameters("shop", run, {f"p{n}": n}), right)


def blob_links(hubs: Sequence[Database], folder: Path) -> Race:
    """A blob that many link at once is linked once, and none of them fails."""
    blobs = _blobs(hubs[0], folder)
    digest = blobs.save_bytes(b"x")

    def act(number: int) -> None:
        with hubs[number % 2].transaction() as session:
            blobs.link(session, uploads_of("shop"), digest, 1, OCTETS)

    def right(results: Sequence[object]) -> bool:
        count = _column(hubs[0], select(func.count()).select_from(BlobLinkRow))
        return count == [1] and set(results) == {None}

    return Race(act, right)


def layers(hubs: Sequence[Database], folder: Path) -> Race:
    """A layer that two builds make at once is remembered once."""
    file = folder / "layer"
    file.write_bytes(b"x")
    stores = [HubLayerStore(hub, _blobs(hub, folder)) for hub in hubs]
    layer = Layer("sha256:" + "a" * 64, "sha256:" + "b" * 64, 1, "model")

    def right(results: Sequence[object]) -> bool:
        return set(results) == {None} and stores[0].cached("key") == layer

    return Race(lambda n: stores[n % 2].save("key", layer, file), right)


def telemetry_marks(hubs: Sequence[Database], folder: Path) -> Race:
    """Batches that come again, to another hub and at the same time, are stored once."""
    Ingest(hubs[0]).store([batch(1, 2)])
    overlapping = [batch(3, 12), batch(5, 20, after=2), batch(1, 9)]

    def right(results: Sequence[object]) -> bool:
        failed = any(isinstance(result, Exception) for result in results)
        return not failed and stored(hubs[0], folder) == list(range(1, 21))

    return Race(lambda n: Ingest(hubs[n % 2]).store(overlapping), right)


def first_owner(hubs: Sequence[Database], _folder: Path) -> Race:
    """A new database becomes that of one hub."""

    def right(results: Sequence[object]) -> bool:
        refused = sum(isinstance(result, ForeignDatabaseError) for result in results)
        return refused == len(results) - 1

    return Race(lambda n: claim(hubs[n % 2], f"ca-{n}"), right)


RACES: list[Start] = [
    model_versions, image_versions, rollout_revisions, generations, one_time_token, invitations,
    places_of_a_claim, workspace_names, run_parameters, blob_links, layers, telemetry_marks, first_owner,
]  # fmt: skip


def at_once(count: int, act: Callable[[int], object]) -> list[object]:
    """Return what ``act(0)`` to ``act(count - 1)`` gave or raised, all let go together."""
    gate = threading.Barrier(count)

    def run(number: int) -> object:
        gate.wait()
        try:
            return act(number)
        except (HeadlandError, DBAPIError) as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@contextmanager
def meeting_before_writing() -> Iterator[None]:
    """Make two racers wait for each other between what they read and what they write.

    Where one holds the turn the other never comes, so the wait ends by itself.
    """
    barrier = threading.Barrier(2)

    def wait(*_: object) -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait(MEETING_TIMEOUT_S)

    event.listen(Session, "before_flush", wait)
    try:
        yield
    finally:
        event.remove(Session, "before_flush", wait)


class FailingDatabase(Database):
    """A database whose writers do not take turns: transactions as an engine has them by itself."""

    def __init__(self, place: Path | str) -> None:
        super().__init__(place)
        self._plain = create_engine(self._engine.url)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction that begins whenever it likes."""
        with Session(self._plain, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._plain.dispose()
        super().close()


def _column(database: Database, query: Select[Any]) -> list[Any]:
    with database.reading() as session:
        return list(session.scalars(query).all())


def _blobs(database: Database, folder: Path) -> Blobs:
    return Blobs(database, FolderStore(folder / "objects"), folder / "work")


def _models(database: Database, folder: Path) -> tuple[Blobs, Models]:
    blobs = _blobs(database, folder)
    return blobs, Models(database, blobs, audit(database), most_bytes=1 << 20)


def _devices(hubs: Sequence[Database], folder: Path) -> list[Devices]:
    (folder / "pki").mkdir()
    authority = Authority.create(folder / "pki")
    facts = HubFacts("https://localhost:1", "localhost", 2, {"k": "00"})
    return [Devices(hub, authority, facts, audit(hub)) for hub in hubs]


def rollouts(hubs: Sequence[Database], folder: Path) -> list[Rollouts]:
    image_versions(hubs, folder).act(0)
    signer = DesiredSigner.create(folder / "desired-key.pem")
    return [Rollouts(hub, signer, lambda _device, _envelope: None, audit(hub)) for hub in hubs]


def manifest(name: str) -> str:
    return (
        f"apiVersion: headland/v1\nkind: Rollout\nmetadata:\n  name: {name}\nspec:\n"
        "  target:\n    devices: [cam-1]\n  modules:\n    scorer:\n      image: digits:1\n"
    )
