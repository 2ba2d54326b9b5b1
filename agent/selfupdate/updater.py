"""Follows the document's order for the agent itself, and proves a version that is on trial.

The daemon's main thread looks here twice a second: it lives when the loop of the modules hangs. Only the
making of a slot has a thread of its own, for a moment.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from msgspec import UNSET

from agent.artifacts.pull import StagedImage
from agent.errors import AgentReleaseError, AgentUpdateForbiddenError
from agent.selfupdate import choice, record
from agent.selfupdate.choice import Failed, State, Trial
from agent.selfupdate.health import Seen, is_moving, running_modules, unmet
from agent.selfupdate.launch import Launch
from agent.selfupdate.slots import Slots
from agent.settings import SelfUpdate as Rules
from agent.version import VERSION
from contract.agent_release import ORDERED_AS
from contract.desired import Desired, ImageRef, Module
from contract.digests import hex_of
from contract.errors import HeadlandError
from contract.messages import AgentReport, AgentState, Reported

log = logging.getLogger(__name__)

LONGEST_WAIT_S: Final = 600.0
"""So long a version waits for modules that are moving: one that never comes to rest may need it."""


class Images(Protocol):
    """Who pulls images (`agent.reconcile.executor.Executor`)."""

    besides: Module | None
    refused_besides: dict[str, str]

    def bring(self, besides: Module) -> tuple[StagedImage | None, str]:
        """Pull an image that is no module's; return it once it is here, or what is the matter."""
        ...

    def is_here(self, module: Module) -> bool:
        """Is its image whole on disk?"""
        ...


@dataclass(frozen=True)
class Sight:
    """What is to be known of the rest of the agent, now."""

    desired: Callable[[], Desired | None]
    reported: Callable[[], Reported | None]
    connected: Callable[[], bool]
    quiet: Callable[[], bool]


class SelfUpdate:
    """``launch`` is what the launcher said, or None where there was none: then no order is followed."""

    def __init__(
        self,
        launch: Launch | None,
        state_dir: Path,
        rules: Rules,
        images: Images,
        sight: Sight,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launch = launch
        self._state_dir = state_dir
        self._rules = rules
        self._images = images
        self._sight = sight
        self._monotonic = monotonic
        self._slots = Slots(state_dir)
        self._since = monotonic()
        self._release = self._slots.name(launch.slot) if launch is not None and launch.slot else ""
        self._heard = False
        self._phase: tuple[AgentState, str] = ("running", "")
        self._making: threading.Thread | None = None
        self._unusable = ""
        self._ready_at: float | None = None
        self._state = _read(state_dir) or State(package=launch.package if launch else "")
        if self._state.new_package:
            desired = sight.desired()
            self._keep(choice.dismissed(self._state, desired.generation if desired else 0))
        if launch is not None and not self.on_trial:
            self._slots.sweep(choice.kept(self._state))

    @property
    def on_trial(self) -> bool:
        """Has this agent yet to prove itself?"""
        trial = self._state.trial
        return trial is not None and self._launch is not None and trial.slot == self._launch.slot

    def heard(self) -> None:
        """The hub answered with a document that it signed."""
        self._heard = True

    def report(self) -> AgentReport:
        """Return what the agent is, and what becomes of its order."""
        desired, failed = self._sight.desired(), self._state.failed
        ordered = desired.agent if desired is not None else UNSET
        state, reason = self._phase
        if self._launch is not None and self._launch.slot not in {choice.PACKAGED, self._state.confirmed}:
            state, reason = "trial", ""  # also in its last moments: what it leads to is the next one's to say
        elif failed is not None and desired is not None and failed.generation == desired.generation:
            state, reason = "failed", failed.reason
        elif state == "running" and self._is_ordered(desired):
            state = "pulling"  # an order just came
        return AgentReport(
            version=VERSION,
            release=self._release,
            ordered=ordered.name if isinstance(ordered, ImageRef) else "",
            state=state,
            reason=reason,
        )

    def look(self) -> bool:
        """Do what is next; return whether the launcher is to choose anew."""
        if self.on_trial:
            return self._prove()
        desired = self._sight.desired()
        if desired is None or not isinstance(desired.agent, ImageRef):
            self._images.besides, self._phase = None, ("running", "")
            return False
        try:
            return self._follow(desired, desired.agent)
        except HeadlandError as error:
            self._refuse(desired, f"{error} [{error.code}]")
            return False

    def _is_ordered(self, desired: Desired | None) -> bool:
        if desired is None or not isinstance(desired.agent, ImageRef):
            return False
        running = self._launch.slot if self._launch is not None else choice.PACKAGED
        slot = desired.agent.digest.removeprefix("sha256:")
        return choice.is_new(self._state, running, slot, desired.generation)

    def _prove(self) -> bool:
        trial = self._state.trial
        if trial is None:
            return False
        desired = self._sight.desired()
        names = frozenset(module.name for module in desired.modules) if desired else frozenset[str]()
        seen = Seen(self._sight.reported(), names, self._sight.connected(), self._heard)
        lacks = unmet(trial, seen)
        if not lacks:
            if self._keep(choice.confirmed(self._state)):
                signal.alarm(0)  # the launcher's
                log.info("version %s of the agent is healthy: it stays", VERSION)
                self._slots.sweep(choice.kept(self._state))
            return False
        if self._monotonic() - self._since < trial.deadline_s:
            return False
        log.error("version %s of the agent is not healthy: %s; the one before it runs again", VERSION, lacks)
        self._keep(choice.failed(self._state, f"{lacks} within {trial.deadline_s:g} s"))
        return True

    def _follow(self, desired: Desired, ref: ImageRef) -> bool:
        slot, module = hex_of(ref.digest), Module(name=ORDERED_AS, image=ref)
        launch = self._launch
        if launch is not None and not choice.is_new(self._state, launch.slot, slot, desired.generation):
            # What runs is what the next release comes as a delta to.
            runs = slot == launch.slot and self._images.is_here(module)
            self._images.besides, self._phase = module if runs else None, ("running", "")
            return False
        if self._state.failed is not None and self._state.failed.generation == desired.generation:
            return False
        if launch is None:
            raise AgentReleaseError(
                "this agent was not started by its launcher", fix="Start it as `headland-agent run`."
            )
        if not self._rules.allowed:
            raise AgentUpdateForbiddenError(
                "the device's settings forbid it", where="self_update.allowed", fix="Ask the device's owner."
            )
        if slot not in self._slots.whole():
            self._fetch(slot, ref, module)
            return False
        return self._take_over(launch, desired, slot)

    def _fetch(self, slot: str, ref: ImageRef, module: Module) -> None:
        """Bring the release here and make a slot of it; raises where it can never be."""
        if self._unusable:
            words, self._unusable = self._unusable, ""
            raise AgentReleaseError(words)
        if (refusal := self._images.refused_besides.pop(ref.digest, None)) is not None:
            raise AgentReleaseError(refusal)
        if self._making is not None and self._making.is_alive():
            return
        staged, trouble = self._images.bring(module)
        self._phase = ("pulling", trouble)
        if staged is not None:
            self._making = threading.Thread(
                target=self._make, args=(slot, ref.name, staged), name="slot", daemon=True
            )
            self._making.start()

    def _make(self, slot: str, name: str, staged: StagedImage) -> None:
        try:
            self._slots.add(slot, name, staged)
        except AgentReleaseError as error:
            self._unusable = str(error)
        except Exception as error:  # such as a full disk: made anew at the next look
            log.warning("the release of the agent is not taken in: %s", error)
            time.sleep(1.0)

    def _take_over(self, launch: Launch, desired: Desired, slot: str) -> bool:
        """Let the slot be tried, as soon as no module is moving."""
        now = self._monotonic()
        self._ready_at = now if self._ready_at is None else self._ready_at
        moving = is_moving(self._sight.reported()) or not self._sight.quiet()
        if moving and now - self._ready_at < LONGEST_WAIT_S:
            self._phase = ("waiting", "modules are on their way")
            return False
        trial = Trial(
            slot=slot,
            version=self._slots.version(slot),
            generation=desired.generation,
            deadline_s=self._rules.trial_s,
            needs_hub=self._sight.connected(),
            modules=running_modules(self._sight.reported()),
        )
        if not self._keep(choice.armed(self._state, launch.package, trial)):
            return False
        log.info(
            "version %s of the agent is tried now, as generation %d orders", trial.version, trial.generation
        )
        return True

    def _refuse(self, desired: Desired, reason: str) -> None:
        log.error("the order for another version of the agent is not followed: %s", reason)
        digest = desired.agent.digest if isinstance(desired.agent, ImageRef) else ""
        told = Failed(digest, "", desired.generation, reason)
        refused = choice.refused(self._state, self._state.package, told)
        if self._launch is not None:
            self._keep(refused)
        self._state = (
            refused  # also where it could not be written: it is not asked again before the next start
        )
        self._images.besides, self._phase = None, ("running", "")

    def _keep(self, state: State) -> bool:
        """Write a state, which then holds; return whether it could be written."""
        try:
            record.write(self._state_dir, state)
        except OSError as error:
            log.warning("the agent's versions cannot be written (%s)", error.strerror)
            return False
        self._state = state
        return True


def _read(state_dir: Path) -> State | None:
    try:
        return record.read(state_dir)
    except record.UnknownFormatError:
        return None
