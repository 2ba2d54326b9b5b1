"""The model registry of a workspace."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.differences import Difference, differences
from cloud_hub.sdk.errors import SdkError
from cloud_hub.sdk.pages import change_of, items_of
from cloud_hub.sdk.transfer import LocalFile, Moved, download, look_at, nobody, upload
from cloud_hub.sdk.types import Lineage, Model, ModelPage
from contract.baseline import Baseline


class ModelCalls:
    """What a `Workspace` can do with models."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._path = f"/workspaces/{name}"
        self.name = name

    def register_model(
        self,
        name: str,
        path: Path,
        *,
        run: str | None = None,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str = "",
        framework: str | None = None,
        allow_pickle: bool = False,
        baseline: Baseline | None = None,
        moved: Moved = nobody,
    ) -> Model:
        """Upload a file or a folder and register it as the next version of ``name``.

        Without ``framework`` it must be ONNX; a folder then holds exactly one ``*.onnx`` file. What the
        workspace has already is not sent again, and what was cut off goes on where it was. A pickle runs
        code when it is loaded, so it is refused unless ``allow_pickle``.
        """
        files = _look_through(path)
        size_bytes, before = sum(file.size_bytes for _, file in files), 0
        for _, file in files:

            def told(done_bytes: int, _size_bytes: int, before: int = before) -> None:
                moved(before + done_bytes, size_bytes)

            upload(self._client, self.name, file, told)
            before += file.size_bytes
        body = {
            "name": name,
            "run": run,
            "tags": dict(tags or {}),
            "properties": dict(properties or {}),
            "description": description,
            "framework": framework,
            "allow_pickle": allow_pickle,
            "baseline": msgspec.to_builtins(baseline) if baseline is not None else None,
        }
        if path.is_dir():
            body["files"] = [{"path": inner, "digest": file.digest} for inner, file in files]
        else:
            body |= {"digest": files[0][1].digest, "file_name": path.name}
        return self._client.post(f"{self._path}/models", body, Model)

    def models(
        self,
        name: str | None = None,
        *,
        tags: Sequence[str] = (),
        properties: Sequence[str] = (),
        framework: str | None = None,
        run: str | None = None,
        experiment: str | None = None,
        digest: str | None = None,
        created_by: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        latest: bool = False,
        order: str = "name",
        limit: int | None = None,
    ) -> list[Model]:
        """Find models; all that is said must hold.

        ``name`` may have ``*`` and ``?``; ``tags`` and ``properties`` are ``key=value``, or ``key``;
        ``latest`` keeps the newest version of each name among those found. ``order`` is ``name`` or
        ``created``, with a ``-`` before it backwards. At most ``limit``, or all.
        """
        query = {
            "name": name,
            "tag": list(tags),
            "property": list(properties),
            "framework": framework,
            "run": run,
            "experiment": experiment,
            "digest": digest,
            "created_by": created_by,
            "created_after": created_after,
            "created_before": created_before,
            "latest": latest,
            "order": order,
        }
        return items_of(self._client, f"{self._path}/models", ModelPage, query, limit)

    def model(self, name: str) -> Model:
        """Return ``name`` (its newest version) or ``name:version``."""
        return self._client.get(f"{self._path}/models/{name}", Model)

    def change_model(
        self, name: str, *, description: str | None = None, tags: Mapping[str, str | None] | None = None
    ) -> Model:
        """Change a version's description and tags; a tag set to None is taken away, the others stay."""
        return self._client.patch(f"{self._path}/models/{name}", change_of(description, tags), Model)

    def delete_model(self, name: str) -> None:
        """Delete ``name:version``; refused with ``model-in-use`` while an image holds it."""
        self._client.delete(f"{self._path}/models/{name}")

    def model_lineage(self, name: str) -> Lineage:
        """Return the run that a version came from, the images that hold it, the devices that run those."""
        return self._client.get(f"{self._path}/models/{name}/lineage", Lineage)

    def model_differences(self, first: str, second: str) -> list[Difference]:
        """Return what differs between two models or versions, also of the runs that they came from."""
        one, other = self.model(first), self.model(second)
        names = [f"{model.name}:{model.version}" for model in (one, other)]
        return differences((one, self.model_lineage(names[0])), (other, self.model_lineage(names[1])))

    def model_baseline(self, name: str) -> Baseline:
        """Return the statistics of the training data that a version was registered with."""
        return self._client.get(f"{self._path}/models/{name}/baseline", Baseline)

    def download_model(self, name: str, folder: Path, *, moved: Moved = nobody) -> Path:
        """Fetch a version's files into ``folder``; return the model's file, or the folder of it.

        Each file is there whole, with its digest, or not at all; calling again goes on.
        """
        model = self.model(name)
        path = f"{self._path}/models/{model.name}:{model.version}/files"
        root = folder / f"{model.name}-{model.version}" if model.folder else folder
        before = 0
        for file in model.files:
            target = LocalFile(_inside(root, file.path), file.digest, file.size_bytes)

            def told(done_bytes: int, _size_bytes: int, before: int = before) -> None:
                moved(before + done_bytes, model.size_bytes)

            if not _is_there(target):
                download(self._client, f"{path}/{quote(file.path)}", target, told)
            before += file.size_bytes
            moved(before, model.size_bytes)
        return root if model.folder else root / model.files[0].path


def _look_through(path: Path) -> list[tuple[str, LocalFile]]:
    """Return the files of a model by their path in it; links that lead out of a folder are refused."""
    if path.is_file():
        return [(path.name, look_at(path))]
    if not path.is_dir():
        raise SdkError("no such file or folder", where=str(path), fix="Check the path.")
    root = path.resolve()
    inner = sorted(one for one in path.rglob("*") if not one.is_dir())
    for one in inner:
        if not one.is_file() or not one.resolve().is_relative_to(root):
            raise SdkError("it is no file of this folder", where=str(one), fix="Put the file itself there.")
    if not inner:
        raise SdkError("the folder is empty", where=str(path), fix="Check the path.")
    return [(one.relative_to(path).as_posix(), look_at(one)) for one in inner]


def _inside(root: Path, path: str) -> Path:
    """Return where a file of a model belongs; a hub that would write elsewhere is not believed."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} or "\\" in part or ":" in part or "\x00" in part for part in parts):
        raise SdkError("the hub names a file outside of the folder", where=str(root))
    return root.joinpath(*parts)


def _is_there(file: LocalFile) -> bool:
    return (
        file.path.is_file()
        and file.path.stat().st_size == file.size_bytes
        and look_at(file.path).digest == file.digest
    )
