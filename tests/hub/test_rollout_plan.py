"""What a manifest would change: told before it is applied, and then it is what is applied."""

from datetime import UTC, datetime

from msgspec import UNSET
from msgspec.structs import replace

from cloud_hub.rollouts.plan import Change, changes
from contract.agent_release import ORDERED_AS
from contract.desired import Desired, ImageRef, Module

AT = datetime(2030, 1, 1, tzinfo=UTC)


def image(version: int) -> ImageRef:
    return ImageRef(repository="shop/digits", digest=f"sha256:{version:064}", name=f"digits:{version}")


def document(*modules: Module, agent: ImageRef | None = None) -> Desired:
    return Desired(
        device="cam-1", workspace="shop", generation=1, issued_at=AT, not_after=AT, rollout="r:1",
        modules=modules, agent=agent or UNSET,
    )  # fmt: skip


A = Module(name="a", image=image(1))


def test_each_kind_of_change() -> None:
    b, c = Module(name="b", image=image(1)), Module(name="c", image=image(1), env={"X": "1"})
    now = document(A, b, c)
    changed = replace(b, image=image(2)), replace(c, env={"X": "2"}), Module(name="d", image=image(3))
    then = document(A, *changed)
    assert changes(now, then) == (
        Change("a", "keep", "digits:1", "digits:1"),
        Change("b", "update", "digits:1", "digits:2"),
        Change("c", "settings", "digits:1", "digits:1"),
        Change("d", "start", "", "digits:3"),
    )
    assert changes(then, document(A))[1:] == (
        Change("b", "stop", "digits:2", ""),
        Change("c", "stop", "digits:1", ""),
        Change("d", "stop", "digits:3", ""),
    )


def test_a_device_that_has_nothing_starts_all() -> None:
    assert changes(None, document(A)) == (Change("a", "start", "", "digits:1"),)
    assert changes(None, document()) == ()


def test_another_name_of_the_same_image_is_another_setting() -> None:
    renamed = replace(A, image=replace(A.image, name="digits-again:1"))
    assert changes(document(A), document(renamed)) == (Change("a", "settings", "digits:1", "digits-again:1"),)


def test_the_agent_is_named_where_it_is_ordered() -> None:
    assert changes(document(), document(agent=image(2))) == (Change(ORDERED_AS, "update", "", "digits:2"),)
    assert changes(document(agent=image(2)), document(agent=image(2)))[0].kind == "keep"
    assert changes(document(agent=image(2)), document()) == (), "an agent that is not named stays"
