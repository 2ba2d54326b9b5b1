"""Which containers a driver has begun, on disk: the first thing written, the last thing deleted."""

from pathlib import Path


class Register:
    """One symbolic link for each container, from its id to its home folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, container_id: str, home: Path) -> None:
        """Enter a container. Raises `FileExistsError` where its id is taken."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._folder / container_id).symlink_to(home.absolute())

    def home(self, container_id: str) -> Path | None:
        """Return the container's home folder, or None where it is not entered."""
        try:
            return (self._folder / container_id).readlink()
        except FileNotFoundError:
            return None

    def homes(self) -> dict[str, Path]:
        """Return all containers with their homes."""
        try:
            ids = sorted(entry.name for entry in self._folder.iterdir())
        except FileNotFoundError:
            return {}
        found = {container_id: self.home(container_id) for container_id in ids}
        return {container_id: home for container_id, home in found.items() if home is not None}

    def drop(self, container_id: str) -> None:
        """Forget a container; no error where it is not entered."""
        (self._folder / container_id).unlink(missing_ok=True)
