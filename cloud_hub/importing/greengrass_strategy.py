"""How Greengrass v2 goes over its devices, as a rollout's strategy. Pure."""

from cloud_hub.importing.draft import ModuleDraft, RolloutDraft
from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.spots import Spot

MINUTE_S = 60
NOTIFY_S = 60
"""How long a component may put an update off where the deployment does not say."""
OF_API = {
    **dict.fromkeys(
        (
            "deploymentId", "revisionId", "deploymentStatus", "iotJobId", "iotJobArn", "creationTimestamp",
            "isLatestForTarget", "clientToken",
        ),
        ("it is of the one deployment that was made", "nothing"),
    ),
    "tags": ("a rollout has no tags", "nothing"),
    "parentTargetArn": ("a rollout is for the devices that it names", "import with --device or --tag"),
}  # fmt: skip
STRATEGY = "set it in `spec.strategy`, see docs/rollouts.md"


def read_policies(root: Spot, ledger: Ledger, draft: RolloutDraft) -> None:
    """Carry rate, deadline and the deferral of updates; list the rest of a deployment's own keys."""
    for key, (why, fix) in OF_API.items():
        ledger.leave(root.get(key), key, why, fix)
    job = root.get("iotJobConfiguration")
    rate = job.get("jobExecutionsRolloutConfig", "maximumPerMinute") if job is not None else None
    if rate is not None and draft.steer(ledger, rate, "perMinute", rate.value):
        ledger.carry(rate)
    deadline = job.get("timeoutConfig", "inProgressTimeoutInMinutes") if job is not None else None
    if deadline is not None:
        minutes = deadline.number
        seconds = minutes * MINUTE_S if minutes is not None else deadline.value
        if draft.steer(ledger, deadline, "deadlineSeconds", seconds):
            why = (
                "a device that is there and does not run it for so long has failed; who is away is waited for"
            )
            ledger.change(deadline, "a deadline", why, "see `spec.strategy.awaySeconds`")
    for way in (("jobExecutionsRolloutConfig", "exponentialRate"), ("abortConfig",)):
        spot = job.get(*way) if job is not None else None
        why = "a rollout goes in waves, and each has to pass its gate"
        ledger.leave(spot, way[-1], why, STRATEGY)
    policies = root.get("deploymentPolicies")
    if policies is not None:
        _failures(policies, ledger)
        _updates(policies, ledger, draft)
        why = "a module's readiness is asked for in place of that"
        ledger.leave(
            policies.get("configurationValidationPolicy"), "configurationValidationPolicy", why, "nothing"
        )


def _failures(policies: Spot, ledger: Ledger) -> None:
    spot = policies.get("failureHandlingPolicy")
    if spot is not None and spot.value == "ROLLBACK":
        ledger.carry(spot)
    elif spot is not None:
        why = "a device always goes back to the version that last passed"
        ledger.leave(spot, "failureHandlingPolicy", why, "nothing")


def _updates(policies: Spot, ledger: Ledger, draft: RolloutDraft) -> None:
    update = policies.get("componentUpdatePolicy")
    if update is None:
        return
    action, timeout = update.get("action"), update.get("timeoutInSeconds")
    if action is not None and action.value == "SKIP_NOTIFY_COMPONENTS":
        ledger.carry(action)
        ledger.leave(timeout, "timeoutInSeconds", "with this action nobody is waited for", "nothing")
        return
    if action is not None and action.value != "NOTIFY_COMPONENTS":
        return
    seconds = timeout.value if timeout is not None else NOTIFY_S
    spot = timeout or action
    if spot is None:
        return
    for one in draft.modules:
        module = ModuleDraft(one.name, one.image, ledger, one.spec)
        if not module.put(spot, seconds, "lifecycle", "longestDeferralSeconds"):
            return
    ledger.carry(action)
    ledger.change(spot, "a deferral", "a module asks for it by POST /v1/defer, docs/wire.md", "let it ask so")
