"""Rollouts of a workspace: planned, applied, watched and steered."""

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.rollout_types import Rollout, RolloutEvent, RolloutPlan


class RolloutCalls:
    """What a `Workspace` can do with rollouts; by a name the newest revision is meant."""

    _client: Client
    name: str

    def apply_rollout(self, manifest: str) -> Rollout:
        """Apply a rollout manifest (YAML text)."""
        return self._client.post_text(
            f"/workspaces/{self.name}/rollouts", manifest, "application/yaml", Rollout
        )

    def plan_rollout(self, manifest: str) -> RolloutPlan:
        """Return what a rollout manifest (YAML text) would change, device by device; nothing is changed."""
        path = f"/workspaces/{self.name}/rollouts/plan"
        return self._client.post_text(path, manifest, "application/yaml", RolloutPlan)

    def rollouts(self) -> list[Rollout]:
        """Return every revision of every rollout, newest first."""
        return self._client.get(f"/workspaces/{self.name}/rollouts", list[Rollout])

    def rollout(self, rollout: str) -> Rollout:
        """Return where a rollout is."""
        return self._client.get(f"/workspaces/{self.name}/rollouts/{rollout}", Rollout)

    def rollout_events(self, rollout: str) -> list[RolloutEvent]:
        """Return what became of a rollout, oldest first."""
        return self._client.get(f"/workspaces/{self.name}/rollouts/{rollout}/events", list[RolloutEvent])

    def pause_rollout(self, rollout: str) -> Rollout:
        """Give no further device its document."""
        return self._client.post(f"/workspaces/{self.name}/rollouts/{rollout}/pause", {}, Rollout)

    def resume_rollout(self, rollout: str) -> Rollout:
        """Go on with a paused rollout; devices that failed until now do not hold it up again."""
        return self._client.post(f"/workspaces/{self.name}/rollouts/{rollout}/resume", {}, Rollout)

    def abort_rollout(self, rollout: str) -> Rollout:
        """Give each device back what it had before, unless another rollout has it by now."""
        return self._client.post(f"/workspaces/{self.name}/rollouts/{rollout}/abort", {}, Rollout)

    def approve_rollout(self, rollout: str) -> Rollout:
        """Let the wave begin that waits for an Owner."""
        return self._client.post(f"/workspaces/{self.name}/rollouts/{rollout}/approval", {}, Rollout)
