"""Who uses all of its processor gives way: by the rule, on trees of files, and on the real kernel."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.drivers import cgroups, giving_way
from agent.drivers.cgroups import CpuUse, cpu_group, cpu_use
from agent.drivers.giving_way import WINDOW_S, GivingWay, should_give_way
from agent.drivers.port import Driver
from contract.desired import Limits
from tests.drivers.rig import Rig, printed, until

CONTROLLER = cgroups.ROOT / ("" if cgroups.is_unified() else "cpu")
CAN_GIVE_WAY = any([*CONTROLLER.glob("cpu.idle"), *CONTROLLER.glob("*/cpu.idle")])


@pytest.mark.parametrize(
    ("gives_way", "share", "expected"),
    [
        (False, 1.0, True),
        (False, 0.9, True),
        (False, 0.89, False),
        (True, 0.89, True),
        (True, 0.5, True),
        (True, 0.49, False),
        (False, 0.0, False),
    ],
)
def test_who_has_all_gives_way_and_who_has_less_than_half_does_not(
    gives_way: bool, share: float, expected: bool
) -> None:
    assert should_give_way(CpuUse(0.0, 1.0, gives_way), share) is expected


class Tree:
    """One container's group as the kernel shows it."""

    def __init__(self, root: Path, *, unified: bool) -> None:
        self._unified, self._root = unified, root
        self._folder = root / ("" if unified else "cpu") / "one"
        self._folder.mkdir(parents=True)
        (self._folder / "cpu.idle").write_text("0\n")
        if unified:
            (root / "cgroup.controllers").touch()
        else:
            (root / "cpuacct/one").mkdir(parents=True)
            (self._folder / "cpu.cfs_period_us").write_text("100000\n")
        self.limit("50000")
        self.use(0.0)

    def use(self, seconds: float) -> None:
        if self._unified:
            text = f"usage_usec {round(seconds * 1e6)}\nuser_usec 1\nnr_periods 2\n"
            (self._folder / "cpu.stat").write_text(text)
        else:
            (self._root / "cpuacct/one/cpuacct.usage").write_text(f"{round(seconds * 1e9)}\n")

    def limit(self, quota: str) -> None:
        if self._unified:
            (self._folder / "cpu.max").write_text(f"{quota} 100000\n")
        else:
            (self._folder / "cpu.cfs_quota_us").write_text(f"{quota.replace('max', '-1')}\n")

    def forget_idle(self) -> None:
        (self._folder / "cpu.idle").unlink()

    @property
    def gives_way(self) -> bool:
        return (self._folder / "cpu.idle").read_text().strip() == "1"


@pytest.fixture(params=["v1", "v2"])
def tree(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """The group ``/one``, which may have half a processor."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    return Tree(tmp_path, unified=request.param == "v2")


def looks(shares: list[float], tree: Tree, giving: GivingWay) -> Iterator[bool]:
    """Look once a second; in each window the group has this share of its half processor."""
    used_s, at_s = 0.0, 0.0
    giving.look(at_s, {"one": "/one"})
    for share in shares:
        for _ in range(round(WINDOW_S)):
            at_s, used_s = at_s + 1, used_s + share * 0.5
            tree.use(used_s)
            giving.look(at_s, {"one": "/one"})
        yield tree.gives_way


def test_it_gives_way_while_it_has_all_and_for_as_long_as_it_has_half(tree: Tree) -> None:
    shares = [0.8, 1.0, 0.6, 0.5, 0.3, 0.6, 0.95]
    assert list(looks(shares, tree, GivingWay())) == [False, True, True, True, False, False, True]


def test_a_moment_is_not_judged(tree: Tree) -> None:
    giving = GivingWay()
    giving.look(0.0, {"one": "/one"})
    tree.use(2.5)
    giving.look(WINDOW_S - 0.1, {"one": "/one"})
    assert not tree.gives_way
    giving.look(WINDOW_S, {"one": "/one"})
    assert tree.gives_way


def test_another_agent_goes_on_with_what_the_kernel_keeps(tree: Tree) -> None:
    assert list(looks([1.0], tree, GivingWay())) == [True]
    tree.use(0.0)
    assert list(looks([0.7, 0.2], tree, GivingWay())) == [True, False]


def test_what_has_no_limit_is_left_alone_and_what_is_gone_is_forgotten(tree: Tree) -> None:
    giving = GivingWay()
    giving.look(0.0, {"one": "/one", "gone": "/gone"})
    tree.limit("max")
    tree.use(100.0)
    giving.look(WINDOW_S, {"one": "/one"})
    assert not tree.gives_way
    tree.limit("50000")
    giving.look(WINDOW_S + 1, {})
    giving.look(WINDOW_S + 2, {"one": "/one"})
    assert not tree.gives_way, "what was seen of another of its name does not count"


def test_an_older_kernel_has_no_such_groups(tree: Tree) -> None:
    tree.forget_idle()
    assert cpu_use("/one") is None
    GivingWay().look(0.0, {"one": "/one"})


def test_the_limit_is_at_most_the_device(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    tree.limit("800000")
    use = cpu_use("/one")
    assert use is not None
    assert use.limit == 2


REAL = [pytest.param(name, marks=pytest.mark.system) for name in ("runc", "runc-userns", "docker")]


def watched(driver: Driver, names: tuple[str, ...]) -> dict[str, bool | None]:
    """Let the driver balance; return who gives way."""
    seen = driver.observe()
    driver.balance(seen)
    found = {}
    for one in seen:
        group = cpu_group(one.pid) if one.pid is not None else None
        use = cpu_use(group) if group is not None else None
        found[one.id] = None if use is None else use.gives_way
    return {name: found.get(name) for name in names}


@pytest.mark.skipif(not CAN_GIVE_WAY, reason="this kernel has no groups that give way (before Linux 5.15)")
@pytest.mark.parametrize("rig", REAL, indirect=True)
def test_one_that_spins_gives_way_and_one_that_does_not_stays(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_way, "WINDOW_S", 0.5)
    driver = rig.start(rig.spec("spin", "600", name="busy", limits=Limits(cpus=0.2)))
    rig.start(calm := rig.spec("breed", "1", name="calm", limits=Limits(cpus=0.2)), driver)
    printed(calm, "its child ended with 9")
    both = ("busy", "calm")
    assert watched(driver, both) == {"busy": False, "calm": False}, "a driver that is not asked does nothing"
    until("who spins gives way", lambda: watched(driver, both) == {"busy": True, "calm": False})
    time.sleep(0.6)
    assert watched(rig.driver(), both) == {"busy": True, "calm": False}, "and stays so, whoever looks"
