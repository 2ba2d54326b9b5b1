"""The look at what the device's owner allows."""

from agent.checks.finding import Finding, failed, ok, warning
from agent.policy.file import PolicyError, PolicyFile, read
from agent.reconcile.records import AgentRecords
from agent.settings import Settings

UNTIL_THEN = "Until then no new document is accepted."


def policy(settings: Settings) -> Finding:
    """Can the policy be read, and does it allow what is in force?"""
    path = settings.policy_path
    if path is not None:
        try:
            read(path)
        except PolicyError as error:
            return failed("policy", f"{error.where}: {error.what}", f"{error.fix} {UNTIL_THEN}")
    desired = AgentRecords(settings.state_dir / "desired").load_desired()
    denial = PolicyFile(path).refuses(desired) if desired is not None else None
    if denial is not None:
        fix = "Allow it, or roll out what asks for less: it runs on, and is not started again."
        return warning("policy", f"{denial.reason} [{denial.code}]", fix)
    return ok("policy", str(path) if path is not None else "no policy_file is set: the strictest holds")
