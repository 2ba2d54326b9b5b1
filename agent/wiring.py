"""Builds what the agent is wired of: the adapters of a device, and the outbox with what sends it."""

import ssl
from collections.abc import Callable
from datetime import datetime

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import HttpsRegistry, Registry
from agent.artifacts.flow import Flow
from agent.artifacts.places import registry_of
from agent.artifacts.room import Reserve
from agent.artifacts.store import ContentStore
from agent.clock import WallClock
from agent.drivers.port import Driver
from agent.endpoints.listeners import Listeners
from agent.identity.store import Identity
from agent.neighbours.opening import contexts
from agent.network.line import Network
from agent.outbox.policy import Policies
from agent.outbox.sender import Sender
from agent.outbox.sqlite import SqliteOutbox
from agent.policy.file import PolicyFile
from agent.policy.granting import Granting
from agent.reconcile.device import Device
from agent.reconcile.giving import SecretPlaces
from agent.reconcile.records import AgentRecords, ContainerRecords
from agent.secrets.memory import SecretMemory
from agent.secrets.sealed import SealedSecrets
from agent.secrets.source import HubSecrets
from agent.settings import Settings
from agent.transport.port import Transport


def device_of(
    settings: Settings,
    identity: Identity,
    driver: Driver,
    policy: PolicyFile,
    tls: ssl.SSLContext,
    network: Network,
    clock: Callable[[], datetime | None],
) -> Device:
    """Return the adapters that the reconciler works with; ``tls`` is towards the hub.

    ``clock`` returns None while the clock is surely wrong.
    """
    hub = HttpsRegistry(identity.facts.hub, tls, network=network)
    state, disk, savings = settings.state_dir, settings.disk, Savings()
    return Device(
        driver=driver,
        store=ContentStore(state / "content", Reserve(disk.reserve_bytes, disk.reserve_percent)),
        registry=_nearest_first(hub, settings, identity, savings, network),
        listeners=Listeners(state / "run"),
        containers=ContainerRecords(state / "containers", others=driver.other_users),
        records=AgentRecords(state / "desired"),
        secrets=_secrets(identity, tls, network),
        granting=Granting(state, policy),
        flow=Flow(settings.pull.rules(), now=clock),
        savings=savings,
    )


def _nearest_first(
    hub: HttpsRegistry, settings: Settings, identity: Identity, savings: Savings, network: Network
) -> Registry:
    return registry_of(
        hub,
        settings.sources,
        savings,
        network,
        context_for=contexts(identity),
        wait_s=settings.neighbours.wait_s,
    )


def _secrets(identity: Identity, tls: ssl.SSLContext, network: Network) -> SecretPlaces:
    facts, state = identity.facts, identity.folder.parent
    return SecretPlaces(
        HubSecrets(facts.hub, tls, network=network),
        SealedSecrets(state / "secrets", identity.enrolled.key_file, facts.device, facts.workspace),
        SecretMemory(state),
    )


def outbox_of(settings: Settings, transport: Transport, clock: WallClock) -> tuple[SqliteOutbox, Sender]:
    """Return the samples on disk, and what sends them."""
    bounds = settings.outbox
    policies = Policies(bounds.default, bounds.streams)
    outbox = SqliteOutbox(
        settings.state_dir / "outbox.db",
        max_bytes=bounds.max_bytes,
        policies=policies,
        age_us=clock.age_us,
    )
    sender = Sender(
        outbox,
        transport,
        batch_samples=bounds.batch_samples,
        resend_after_s=bounds.resend_after_s,
        policies=policies,
        max_bytes_per_s=bounds.max_bytes_per_s,
    )
    return outbox, sender
