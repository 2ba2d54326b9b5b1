"""How work is divided: fairly, by nobody twice, and without moving what need not move."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.cluster.division import divide

WORK = tuple(f"work-{number}" for number in range(8))
LIVES = ("a", "b", "c", "d", "e")


def settle(lives: list[str], held_by: dict[str, str]) -> dict[str, str]:
    """Let each hub look twice in turn."""
    for _ in range(2):
        for me in lives:
            share = divide(WORK, held_by, lives, me)
            held_by = {work: life for work, life in held_by.items() if work not in share.release}
            assert all(held_by.get(work, me) == me for work in share.hold), "taken from another"
            held_by |= dict.fromkeys(share.hold, me)
    return held_by


@given(
    before=st.dictionaries(st.sampled_from(WORK), st.sampled_from(LIVES)),
    lives=st.lists(st.sampled_from(LIVES), min_size=1, unique=True),
)
def test_all_work_is_held_by_those_who_live_and_nobody_has_too_much(
    before: dict[str, str], lives: list[str]
) -> None:
    held_by = settle(lives, {work: life for work, life in before.items() if life in lives})
    assert set(held_by) == set(WORK)
    shares = [list(held_by.values()).count(life) for life in lives]
    assert max(shares) <= -(-len(WORK) // len(lives))


@given(lives=st.lists(st.sampled_from(LIVES), min_size=1, unique=True))
def test_nothing_moves_once_it_is_settled(lives: list[str]) -> None:
    once = settle(lives, {})
    assert settle(lives, once) == once
