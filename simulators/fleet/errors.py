"""Errors of the simulator, for people."""

from contract.errors import HeadlandError


class FleetError(HeadlandError):
    """The fleet cannot be made or kept running."""

    code = "fleet-failed"


class FleetLateError(FleetError):
    """What the run was to wait for did not come in time."""

    code = "fleet-late"
    retriable = True


class ScenarioError(FleetError):
    """A scenario file is not valid."""

    code = "scenario-invalid"
