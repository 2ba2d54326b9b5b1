"""What the agent makes of orders, and of its own trial; files are real, the rest of the agent is a stub."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import UNSET

from agent.artifacts.pull import StagedImage
from agent.selfupdate import record
from agent.selfupdate.choice import Failed, State, Trial
from agent.selfupdate.launch import Launch
from agent.selfupdate.slots import PYTHON, Slots
from agent.selfupdate.updater import LONGEST_WAIT_S, SelfUpdate, Sight
from agent.settings import SelfUpdate as Rules
from contract import oci
from contract.agent_release import PYTHON_LABEL, STATE_LABEL, VERSION_LABEL
from contract.desired import Desired, ImageRef, Module
from contract.messages import AgentReport, ModuleReport, ModuleState, OutboxReport, Reported
from tests.e2e.waiting import wait_until

AT = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
SLOT = "ab" * 32
LABELS = {VERSION_LABEL: "0.2.0", PYTHON_LABEL: PYTHON, STATE_LABEL: "1"}
SCORER = Module(name="scorer", image=ImageRef(repository="s/d", digest="sha256:" + "cd" * 32, name="d:1"))


@dataclass
class FakeImages:
    """`Images`; what is ``here`` is there at once."""

    here: StagedImage | None = None
    trouble: str = ""
    besides: Module | None = None
    refused_besides: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def bring(self, besides: Module) -> tuple[StagedImage | None, str]:
        self.asked += 1
        self.besides = besides
        return self.here, self.trouble

    def is_here(self, module: Module) -> bool:
        return self.here is not None


class Device:
    """A device whose launcher started ``running``."""

    def __init__(self, folder: Path, running: str = "", *, launched: bool = True) -> None:
        self.folder = folder
        self.images = FakeImages(image(folder, LABELS))
        self.rules = Rules(trial_s=60.0)
        self.launch = Launch("/x", running, "p") if launched else None
        self.desired: Desired | None = desired(3)
        self.reported: Reported | None = report("running")
        self.connected = self.quiet = True
        self.now = 0.0
        self.updates = self.start()

    def start(self) -> SelfUpdate:
        sight = Sight(lambda: self.desired, lambda: self.reported, lambda: self.connected, lambda: self.quiet)
        self.updates = SelfUpdate(
            self.launch, self.folder, self.rules, self.images, sight, monotonic=lambda: self.now
        )
        return self.updates

    def look_until_it_is_made(self) -> bool:
        """Look until the slot is there, and once more."""
        self.updates.look()
        wait_until(lambda: SLOT in Slots(self.folder).whole(), "the slot is made")
        return self.updates.look()

    def look_until(self, state: str) -> AgentReport:
        def said() -> bool:
            self.updates.look()
            return self.updates.report().state == state

        wait_until(said, state)
        return self.updates.report()

    @property
    def state(self) -> State:
        state = record.read(self.folder)
        assert state is not None
        return state


def image(folder: Path, labels: dict[str, str]) -> StagedImage:
    layer = folder / "layer"
    if not layer.exists():
        (layer / "lib/agent").mkdir(parents=True)
        (layer / "lib/agent/cli.py").write_text("def main(words):\n    return 0\n")
    config = oci.ImageConfig(
        architecture="amd64", os="linux", config=oci.RunConfig(Labels=labels), rootfs=oci.RootFs(diff_ids=())
    )
    return StagedImage(config, (layer,), frozenset())


def desired(generation: int, *, ordered: bool = True) -> Desired:
    ref = ImageRef(repository="shop/headland-agent", digest=DIGEST, name="headland-agent:2")
    return Desired(
        device="cam-1", workspace="shop", generation=generation, issued_at=AT, not_after=AT, rollout="r:1",
        modules=(SCORER,), agent=ref if ordered else UNSET,
    )  # fmt: skip


def report(state: ModuleState) -> Reported:
    module = ModuleReport(name="scorer", state=state, image="d:1", digest=SCORER.image.digest)
    outbox = OutboxReport(pending=0, dropped=0)
    return Reported(generation=3, at=AT, converged=True, modules=(module,), outbox=outbox)


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    yield
    signal.alarm(0)


def test_an_order_is_fetched_made_a_slot_and_armed(tmp_path: Path) -> None:
    device = Device(tmp_path)
    assert device.updates.report() == AgentReport(
        version=device.updates.report().version, ordered="headland-agent:2", state="pulling"
    )
    assert device.look_until_it_is_made()
    trial = device.state.trial
    assert trial == Trial(SLOT, "0.2.0", 3, deadline_s=60.0, needs_hub=True, modules=("scorer",))
    slot = record.slots_of(tmp_path) / SLOT / "lib/agent"
    assert (slot / "cli.py").samefile(tmp_path / "layer/lib/agent/cli.py"), "it takes no room of its own"
    assert list((slot / "__pycache__").iterdir()), "it is compiled once"


def test_without_an_order_nothing_happens(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.desired = desired(3, ordered=False)
    assert not device.updates.look()
    device.desired = None
    assert not device.updates.look()
    assert device.images.asked == 0
    assert device.updates.report().state == "running"


def test_it_waits_for_modules_that_are_moving_but_not_for_ever(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.reported = report("pulling")
    assert not device.look_until_it_is_made()
    assert device.updates.report().state == "waiting"
    device.now += LONGEST_WAIT_S + 1
    assert device.updates.look()
    assert device.state.trial is not None
    assert device.state.trial.modules == ()


REFUSALS: dict[str, tuple[Callable[[Device], object], str]] = {
    "no release": (lambda d: setattr(d.images, "here", image(d.folder, {})), "no release of the agent"),
    "another Python": (
        lambda d: setattr(d.images, "here", image(d.folder, LABELS | {PYTHON_LABEL: "2.7"})),
        f"is for Python 2.7, this device has {PYTHON}",
    ),
    "an older state": (
        lambda d: setattr(d.images, "here", image(d.folder, LABELS | {STATE_LABEL: "0"})),
        "knows format 0 of the state folder",
    ),
    "no agent in it": (lambda d: (d.folder / "layer/lib/agent/cli.py").unlink(), "holds no agent"),
    "a link": (lambda d: (d.folder / "layer/lib/x").symlink_to("/etc"), "more than plain files"),
    "whiteouts": (lambda d: (d.folder / "layer/.wh..wh.headland").touch(), "takes files away"),
    "a pull that failed for good": (
        lambda d: setattr(d, "images", FakeImages(None, refused_besides={DIGEST: "not for me"})),
        "not for me",
    ),
    "an owner who forbids it": (
        lambda d: setattr(d, "rules", Rules(allowed=False)),
        "agent-update-forbidden",
    ),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_an_order_that_cannot_be_followed_is_reported_and_left(tmp_path: Path, why: str) -> None:
    spoil, reason = REFUSALS[why]
    device = Device(tmp_path)
    spoil(device)
    device.start()
    told = device.look_until("failed")
    assert reason in told.reason
    assert device.images.besides is None, "the sweep of images does not wait for it"
    asked = device.images.asked
    for _ in range(3):
        assert not device.updates.look()
    assert device.start().report().state == "failed", "also after the agent starts again"
    assert device.images.asked == asked
    device.desired = desired(4)
    assert device.updates.report().state == "pulling", "another generation may order it again"


def test_a_digest_that_is_none_does_no_harm(tmp_path: Path) -> None:
    device = Device(tmp_path)
    ref = ImageRef(repository="shop/x", digest="../../etc", name="x:1")
    device.desired = Desired(
        device="cam-1", workspace="shop", generation=3, issued_at=AT, not_after=AT, rollout="r:1",
        modules=(), agent=ref,
    )  # fmt: skip
    assert "not a digest" in device.look_until("failed").reason


def test_without_a_launcher_an_order_is_refused(tmp_path: Path) -> None:
    device = Device(tmp_path, launched=False)
    assert "launcher" in device.look_until("failed").reason
    assert not record.folder_of(tmp_path).exists()


@pytest.fixture
def tried(tmp_path: Path) -> Device:
    """A device whose agent runs from a slot on trial."""
    Slots(tmp_path).add("old", "headland-agent:1", image(tmp_path, LABELS))
    Slots(tmp_path).add("older", "headland-agent:0", image(tmp_path, LABELS))
    Slots(tmp_path).add(SLOT, "headland-agent:2", image(tmp_path, LABELS))
    trial = Trial(SLOT, "0.2.0", 3, deadline_s=60.0, needs_hub=True, modules=("scorer",))
    record.write(tmp_path, State("p", confirmed="old", previous="older", trial=trial, settled=3))
    return Device(tmp_path, SLOT)


def test_it_is_confirmed_once_all_is_well(tried: Device) -> None:
    assert tried.updates.report().state == "trial"
    signal.alarm(1000)
    tried.updates.heard()
    assert not tried.updates.look()
    state = tried.state
    assert (state.confirmed, state.previous, state.trial, state.failed) == (SLOT, "old", None, None)
    assert signal.alarm(0) == 0, "the launcher's alarm is off"
    assert Slots(tried.folder).whole() == {SLOT, "old"}, "the running one and the one before stay"
    told = tried.updates.report()
    assert (told.state, told.release) == ("running", "headland-agent:2")
    assert not tried.updates.look()
    assert tried.images.besides is not None, "the next release comes as a delta to it"


LACKS: dict[str, tuple[Callable[[Device], object], str]] = {
    "no round": (lambda d: setattr(d, "reported", None), "has not looked at"),
    "a module that stopped": (lambda d: setattr(d, "reported", report("broken")), "scorer does not run"),
    "no connection": (lambda d: setattr(d, "connected", False), "not connected to the hub"),
}


@pytest.mark.parametrize("lack", [*LACKS, "no answer"])
def test_it_is_not_confirmed_while_something_is_lacking(tried: Device, lack: str) -> None:
    if lack == "no answer":
        reason = "has not answered"
    else:
        spoil, reason = LACKS[lack]
        tried.updates.heard()
        spoil(tried)
    tried.now = 59.0
    assert not tried.updates.look()
    assert tried.state.trial is not None
    tried.now = 60.0
    assert tried.updates.look(), "the launcher is to choose"
    state = tried.state
    assert (state.confirmed, state.trial) == ("old", None)
    assert state.failed is not None
    assert reason in state.failed.reason
    assert tried.updates.report().state == "trial", "what follows is the next one's to say"


def test_a_device_that_had_no_hub_proves_itself_without_one(tried: Device) -> None:
    trial = tried.state.trial
    assert trial is not None
    record.write(
        tried.folder, State("p", trial=Trial(SLOT, "0.2.0", 3, needs_hub=False, modules=("scorer",)))
    )
    tried.connected = False
    tried.start().look()
    assert tried.state.confirmed == SLOT


def test_a_module_that_is_desired_no_more_is_not_waited_for(tried: Device) -> None:
    tried.updates.heard()
    tried.reported = report("stopping")
    assert tried.desired is not None
    tried.desired = Desired(
        device="cam-1", workspace="shop", generation=4, issued_at=AT, not_after=AT, rollout="r:1", modules=()
    )
    tried.updates.look()
    assert tried.state.confirmed == SLOT


def test_the_one_before_tells_of_the_failure(tmp_path: Path) -> None:
    record.write(tmp_path, State("p", failed=Failed(SLOT, "0.2.0", 3, "it hung"), settled=3))
    device = Device(tmp_path)
    assert not device.updates.look()
    told = device.updates.report()
    assert (told.state, told.reason, told.ordered) == ("failed", "it hung", "headland-agent:2")
    assert device.images.asked == 0


def test_the_document_in_force_does_not_undo_an_installed_package(tmp_path: Path) -> None:
    record.write(tmp_path, State("p", settled=1, new_package=True))
    device = Device(tmp_path)
    assert not device.updates.look()
    assert (device.images.asked, device.state.settled, device.state.new_package) == (0, 3, False)
    assert device.updates.report().state == "running"
    device.desired = desired(4)
    device.updates.look()
    assert device.images.asked == 1


def test_a_disk_that_takes_no_write_changes_nothing(tried: Device) -> None:
    tried.updates.heard()
    blocked = record.folder_of(tried.folder) / ".versions.json.new"
    blocked.mkdir()
    assert not tried.updates.look()
    assert tried.updates.on_trial
    blocked.rmdir()
    tried.updates.look()
    assert not tried.updates.on_trial


def test_slots_half_made_are_swept(tmp_path: Path) -> None:
    device = Device(tmp_path)
    (record.slots_of(tmp_path) / f".new-{SLOT}").mkdir(parents=True)
    (record.slots_of(tmp_path) / "gone").mkdir()
    assert Slots(tmp_path).whole() == {"gone"}
    device.start()
    assert list(record.slots_of(tmp_path).iterdir()) == []
