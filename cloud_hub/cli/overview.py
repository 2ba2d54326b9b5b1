"""What `headland workspace show` prints."""

from cloud_hub.cli.output import cell, size
from cloud_hub.sdk.workspace_types import ImageStore, TelemetryStore, WorkspaceOverview

HUB = "hub:"
"""How people name the hub's own store."""


def overview_text(found: WorkspaceOverview) -> str:
    """Return a workspace's places and counts, a line each."""
    default = found.default_datastore
    secret = f", secret {default.secret}" if default.secret else ""
    place = place_name(None) if default.url == HUB else default.url
    lines = [
        f"{found.name}: made {cell(found.created_at)}",
        f"  files: datastore {default.name}, {place}{secret}",
        *_telemetry_lines(found.telemetry),
        f"  images: the hub's registry, {found.images}",
        *_image_lines(found.image_store),
        "  secrets: the hub's vault",
        "  " + ", ".join(f"{count} {name}" for name, count in found.counts.items()),
    ]
    return "\n".join(lines)


def place_name(datastore: str | None) -> str:
    """Return how a place of telemetry is told."""
    return "the hub's own store" if datastore is None else f"datastore {datastore}"


def image_place(store: ImageStore) -> str:
    """Return how the place of images is told."""
    if store.url == HUB:
        return "the hub's own store"
    return store.url + (f", secret {store.secret}" if store.secret else "")


def _image_lines(store: ImageStore) -> list[str]:
    if store.url == HUB:
        return []
    lines = [f"    kept in {image_place(store)}"]
    if store.pending_blobs:
        lines.append(f"    on their way there: {store.pending_blobs} blobs")
    if store.problem_code is not None:
        told = f"{store.problem_what} [{store.problem_code}]"
        lines.append(f"    waits since {cell(store.problem_since)}: {told}")
    return lines


def _telemetry_lines(store: TelemetryStore) -> list[str]:
    lines = [f"  telemetry: {place_name(store.datastore)}"]
    lines += [
        f"    {place_name(held.datastore)}: {held.files} files, {held.rows} rows, {size(held.size_bytes)}"
        for held in store.held
    ]
    if store.pending_batches:
        since = cell(store.oldest_pending_at)
        lines.append(f"    in no file yet: {store.pending_batches} batches, the oldest of {since}")
    if store.problem is not None:
        told = f"{store.problem.where}: {store.problem.what}" if store.problem.where else store.problem.what
        lines.append(f"    waits since {cell(store.problem.since)}: {told} [{store.problem.code}]")
        lines.append(f"    {store.problem.fix}")
    return lines
