"""How often modules stopped by themselves under the document in force. Pure."""

from collections import Counter
from collections.abc import Mapping

from agent.reconcile.state import spec_digest
from contract.desired import Desired, Module


class Restarts:
    """Counts by module; a new document begins them anew, and only what it says counts.

    A version that is on its way out may stop as it likes: that is no fault of the one that replaces it.
    """

    def __init__(self) -> None:
        self._generation = 0
        self._specs: frozenset[str] = frozenset()
        self._counts: Counter[str] = Counter()

    def under(self, desired: Desired | None) -> None:
        """A document is in force, or none."""
        generation = desired.generation if desired else 0
        if generation != self._generation:
            self._generation, self._counts = generation, Counter()
            self._specs = frozenset(spec_digest(module) for module in (desired.modules if desired else ()))

    def stopped(self, module: Module) -> None:
        """A container of a module stopped by itself."""
        if spec_digest(module) in self._specs:
            self._counts[module.name] += 1

    @property
    def counts(self) -> Mapping[str, int]:
        """How often, by module; one that never did is not there."""
        return dict(self._counts)
