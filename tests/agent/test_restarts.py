"""Restarts are counted by module and document, and only of what the document says."""

from datetime import UTC, datetime

from agent.reconcile.restarts import Restarts
from contract.desired import Desired, ImageRef, Module

AT = datetime(2026, 1, 1, tzinfo=UTC)


def module(name: str, version: int) -> Module:
    return Module(
        name=name, image=ImageRef(name=f"m:{version}", repository="shop/m", digest=f"sha256:{version:064x}")
    )


def desired(generation: int, *modules: Module) -> Desired:
    return Desired(
        device="d",
        workspace="shop",
        generation=generation,
        issued_at=AT,
        not_after=AT,
        rollout="r:1",
        modules=modules,
    )


def test_each_module_has_its_own_count_and_a_document_begins_anew() -> None:
    restarts, a, b = Restarts(), module("a", 1), module("b", 1)
    restarts.under(desired(1, a, b))
    for one in (a, a, b):
        restarts.stopped(one)
    restarts.under(desired(1, a, b))
    assert restarts.counts == {"a": 2, "b": 1}
    restarts.under(desired(2, a, b))
    assert restarts.counts == {}
    restarts.stopped(b)
    assert restarts.counts == {"b": 1}


def test_the_version_before_does_not_count_under_the_document_that_replaces_it() -> None:
    restarts = Restarts()
    restarts.under(desired(1, module("a", 1)))
    restarts.under(desired(2, module("a", 2)))
    restarts.stopped(module("a", 1))
    assert restarts.counts == {}
    restarts.stopped(module("a", 2))
    assert restarts.counts == {"a": 1}


def test_without_a_document_nothing_counts() -> None:
    restarts = Restarts()
    restarts.under(desired(1, module("a", 1)))
    restarts.under(None)
    restarts.stopped(module("a", 1))
    assert restarts.counts == {}
