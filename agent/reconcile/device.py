"""The adapters that the reconciler works with."""

from dataclasses import dataclass, field

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import Registry
from agent.artifacts.flow import Flow
from agent.artifacts.store import ContentStore
from agent.drivers.port import Driver
from agent.endpoints.listeners import Listeners
from agent.endpoints.ports import Ports
from agent.policy.granting import Granting, strictest
from agent.reconcile.giving import SecretPlaces
from agent.reconcile.records import AgentRecords, ContainerRecords


@dataclass(frozen=True)
class Device:
    """What there is of a device."""

    driver: Driver
    store: ContentStore
    registry: Registry
    listeners: Listeners
    containers: ContainerRecords
    records: AgentRecords
    granting: Granting = field(default_factory=strictest)
    ports: Ports = field(default_factory=Ports)
    flow: Flow = field(default_factory=Flow)
    savings: Savings = field(default_factory=Savings)
    secrets: SecretPlaces = field(default_factory=SecretPlaces)
