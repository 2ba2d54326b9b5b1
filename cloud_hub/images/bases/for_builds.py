"""Bases from elsewhere as builds ask for them: ``oci:REFERENCE`` and ``blob:sha256:...``."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import InvalidInputError
from cloud_hub.images.bases.archive_sources import open_archive
from cloud_hub.images.bases.base import foreign_base
from cloud_hub.images.bases.ports import BasePython, ForeignBase
from cloud_hub.images.bases.rows import BaseFindingRow
from cloud_hub.images.bases.sources import BaseSource, RegistryBase
from cloud_hub.images.build.bases import Asked, Base, SystemPackage, own_compiler
from cloud_hub.images.build.interpreter import running_interpreter
from cloud_hub.images.build.ports import Layer
from cloud_hub.images.build.target import Target
from cloud_hub.oci_client.access import RegistryAccess
from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.references import parse_reference
from cloud_hub.secrets.service import Secrets
from contract.digests import check_digest

OCI: Final = "oci:"
BLOB: Final = "blob:"
OURS: Final = ("PYTHON", "HEADLAND_", "AZUREML_", "ORT_")
"""What a base's environment may not say: the build says it, and of two the first would count."""


class Bases:
    """Bases of all workspaces."""

    def __init__(self, database: Database, blobs: Blobs, secrets: Secrets, access: RegistryAccess) -> None:
        self._database = database
        self._blobs = blobs
        self._secrets = secrets
        self._access = access

    def check(self, workspace: str, base: str, secret: str | None) -> None:
        """Raise `InvalidInputError` or `NotFoundError` for a base that no build can have.

        Other bases than those from elsewhere are not looked at, but take no secret.
        """
        if base.startswith(OCI):
            parse_reference(base.removeprefix(OCI))
            if secret is not None:
                self._secrets.get(workspace, secret)
        elif secret is not None:
            raise InvalidInputError(
                "a secret is for a base in a registry", where="base_secret", fix="Give --base oci:REFERENCE."
            )
        elif base.startswith(BLOB):
            digest = check_digest(base.removeprefix(BLOB), where="base")
            with self._database.reading() as session:
                self._blobs.find_in(session, workspace, digest)

    def of(self, workspace: str, secret: str | None = None) -> "WorkspaceBases":
        """Return the bases that a build of a workspace may have, with a secret of it for the registry."""
        return WorkspaceBases(self, workspace, secret)

    def source(
        self, workspace: str, base: str, secret: str | None, folder: Path, cancelled: Callable[[], bool]
    ) -> BaseSource:
        """Return a base to be looked up; ``folder`` takes an archive's files. Raises what opening it does."""
        if base.startswith(OCI):
            reference = parse_reference(base.removeprefix(OCI))
            login = Login(self._secrets.read(workspace, secret)) if secret is not None else None
            requests = self._access.requests(reference.registry, login)
            return RegistryBase(requests, reference, cancelled=cancelled)
        digest = check_digest(base.removeprefix(BLOB), where="base")
        with self._database.reading() as session:
            self._blobs.find_in(session, workspace, digest)
        archive = folder / "archive"
        self._blobs.copy_to(digest, archive)
        try:
            return open_archive(archive, f"{BLOB}{digest}", folder / "files")
        finally:
            archive.unlink(missing_ok=True)

    def take(self, source: BaseSource, workspace: str, asked: Asked) -> ForeignBase:
        """Return a base for a platform, its layers in the hub's blobs."""
        return foreign_base(
            source,
            asked.platform,
            blobs=self._blobs,
            findings=_Findings(self._database, workspace),
            work_dir=asked.work_dir,
            cancelled=asked.cancelled,
            progress=asked.said,
        )


class WorkspaceBases:
    """`BaseSource` of `cloud_hub.images.build.bases` for one build; each base is looked up once."""

    def __init__(self, bases: Bases, workspace: str, secret: str | None) -> None:
        self._bases = bases
        self._workspace = workspace
        self._secret = secret
        self._sources: dict[str, BaseSource] = {}

    def base(self, asked: Asked, closing: ExitStack) -> Base:
        """Return a base as builds take it; raises what `foreign_base` does."""
        source = self._sources.get(asked.name)
        if source is None:
            folder = Path(closing.enter_context(TemporaryDirectory(dir=asked.work_dir, prefix="base-file-")))
            source = self._bases.source(self._workspace, asked.name, self._secret, folder, asked.cancelled)
            self._sources[asked.name] = source
        return as_build_base(self._bases.take(source, self._workspace, asked), closing)


class _Findings:
    def __init__(self, database: Database, workspace: str) -> None:
        self._database = database
        self._workspace = workspace

    def recall(self, key: str) -> bytes | None:
        with self._database.reading() as session:
            row = session.get(BaseFindingRow, (self._workspace, key))
        return row.found.encode() if row is not None else None

    def keep(self, key: str, found: bytes) -> None:
        with self._database.transaction() as session:
            session.merge(
                BaseFindingRow(
                    workspace=self._workspace, key=key, found=found.decode(), created_at=datetime.now(UTC)
                )
            )


def as_build_base(found: ForeignBase, closing: ExitStack) -> Base:
    """Return a base as builds take it; its compiler is closed with ``closing``."""
    python = found.python
    interpreter = running_interpreter()
    # Another version's bytecode would not be looked at: then the compiler only checks the script.
    fits = interpreter.facts.cache_tag == python.cache_tag
    compiler = closing.enter_context(own_compiler(interpreter, kept=fits))
    architecture = found.platform.partition("/")[2]
    return Base(
        name=found.source,
        target=Target(found.platform, python.full_version, f"{python.libc} {python.libc_version}"),
        python=python.path,
        environment=environment_of(found.config.config.Env, python),
        layers=tuple(
            Layer(one.digest, one.diff_id, one.size_bytes, one.title, one.media_type) for one in found.layers
        ),
        compiler=compiler,
        packages=(SystemPackage("generic", "python", python.full_version, architecture),),
        digest=found.digest,
    )


def environment_of(environment: tuple[str, ...], python: BasePython) -> tuple[str, ...]:
    """Return what of a base's environment counts: not what the build sets, and a PATH in any case."""
    kept = tuple(one for one in environment if "=" in one and not one.startswith(OURS))
    if any(one.startswith("PATH=") for one in kept):
        return kept
    return (f"PATH={python.path.rpartition('/')[0]}:/usr/bin:/bin", *kept)
