"""Which version runs: never neither, bounded trials, and after a failure the one confirmed last."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.selfupdate import choice
from agent.selfupdate.choice import PACKAGED, TRIES, Failed, State, Trial, choose

SLOTS = st.sampled_from(["a", "b", "c"])
SLOT_OR_PACKAGE = st.sampled_from([PACKAGED, "a", "b", "c"])
TRIALS = st.builds(
    Trial, slot=SLOTS, version=st.just("1"), generation=st.integers(1, 9), tries_left=st.integers(-1, TRIES)
)
STATES = st.builds(
    State,
    package=st.sampled_from(["p1", "p2"]),
    confirmed=SLOT_OR_PACKAGE,
    previous=SLOT_OR_PACKAGE,
    trial=st.none() | TRIALS,
    failed=st.none() | st.builds(Failed, SLOTS, st.just("1"), st.integers(1, 9), st.just("why")),
    settled=st.integers(0, 9),
)
WHOLE = st.frozensets(SLOTS)


@given(STATES, st.sampled_from(["p1", "p2"]), WHOLE)
def test_what_runs_is_there(state: State, package: str, whole: frozenset[str]) -> None:
    after, slot = choose(state, package, whole)
    assert slot == PACKAGED or slot in whole
    assert after.package == package
    if after.trial is None:
        assert slot == after.confirmed


@given(STATES, st.sampled_from(["p1", "p2"]), WHOLE)
def test_a_choice_that_was_written_and_not_acted_on_leads_to_one_that_runs(
    state: State, package: str, whole: frozenset[str]
) -> None:
    """Power goes after each write: old or new, never neither, and never another try than was counted."""
    for _ in range(TRIES + 2):
        state, slot = choose(state, package, whole)
        assert slot == PACKAGED or slot in whole
    assert state.trial is None
    assert choose(state, package, whole) == (state, state.confirmed)


@given(STATES, WHOLE)
def test_a_failed_trial_leads_to_the_one_confirmed_last(state: State, whole: frozenset[str]) -> None:
    if state.trial is None:
        return
    after, slot = choose(choice.failed(state, "no"), state.package, whole)
    usable = state.confirmed == PACKAGED or state.confirmed in whole
    older = state.previous if state.previous in whole else PACKAGED
    assert slot == (state.confirmed if usable else older)
    assert after.failed is not None
    assert (after.failed.slot, after.failed.generation) == (state.trial.slot, state.trial.generation)


@given(STATES, WHOLE)
def test_a_new_package_ends_the_use_of_all_slots(state: State, whole: frozenset[str]) -> None:
    after, slot = choose(state, "p3", whole)
    assert (slot, after.confirmed, after.trial, after.new_package) == (PACKAGED, PACKAGED, None, True)
    dismissed = choice.dismissed(after, 7)
    assert not choice.is_new(dismissed, PACKAGED, "a", 7), "the document in force does not undo it"
    assert choice.is_new(dismissed, PACKAGED, "a", 10), "the next one may"


@given(STATES, SLOT_OR_PACKAGE)
def test_what_came_to_nothing_is_not_chosen_again(state: State, slot: str) -> None:
    _, chosen = choose(choice.ended(state, slot, "no"), state.package, frozenset("abc"))
    if slot != PACKAGED and (state.trial is None or slot == state.trial.slot != state.confirmed):
        assert chosen != slot


class Life(RuleBasedStateMachine):
    """A device's life: orders, starts, ends, confirmations, packages, lost slots."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State(package="p0")
        self.whole: set[str] = set()
        self.packages = 0
        self.generation = 0
        self.runs = PACKAGED
        self.trials: dict[int, int] = {}
        self.good = PACKAGED

    @rule(slot=SLOTS)
    def order(self, slot: str) -> None:
        self.generation += 1
        if choice.is_new(self.state, self.runs, slot, self.generation) and self.state.trial is None:
            self.whole.add(slot)
            trial = Trial(slot, "1", self.generation)
            self.state = choice.armed(self.state, self.state.package, trial)

    @rule()
    def start(self) -> None:
        self.state, self.runs = choose(self.state, f"p{self.packages}", self.whole)
        trial = self.state.trial
        if trial is not None:
            assert self.runs == trial.slot
            self.trials[trial.generation] = self.trials.get(trial.generation, 0) + 1
        else:
            self.good = self.state.confirmed

    @rule()
    def proves_itself(self) -> None:
        if self.state.trial is not None and self.state.trial.slot == self.runs:
            self.state = choice.confirmed(self.state)
            self.good = self.runs

    @rule()
    def fails(self) -> None:
        if self.state.trial is not None and self.state.trial.slot == self.runs:
            self.state = choice.ended(self.state, self.runs, "no")
            assert self.state.confirmed == self.good or self.good not in self.whole
            self.start()

    @rule()
    def is_swept(self) -> None:
        if self.state.trial is None:
            self.whole &= choice.kept(self.state)

    @rule()
    def gets_a_package(self) -> None:
        self.packages += 1
        self.start()
        assert self.runs == PACKAGED

    @rule(slot=SLOTS)
    def loses_a_slot(self, slot: str) -> None:
        self.whole.discard(slot)

    @invariant()
    def trials_are_bounded(self) -> None:
        assert all(tries <= TRIES for tries in self.trials.values())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, deadline=None)


def test_negative_control_a_try_that_is_not_counted_is_seen() -> None:
    state = choice.armed(State(package="p"), "p", Trial("a", "1", 1))
    seen = 0
    for _ in range(TRIES + 5):
        after, slot = choose(state, "p", {"a"})
        seen += slot == "a"
        trial = after.trial
        state = replace(after, trial=replace(trial, tries_left=TRIES)) if trial is not None else after
    assert seen > TRIES
