"""What a module's container is started as. Pure."""

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET

from agent.artifacts.pull import StagedImage
from agent.drivers.grants import Grants
from agent.drivers.port import ContainerSpec, Mount
from agent.reconcile.records import ContainerRecords, Record
from contract.agent_api import CONTAINER_ENV, IMAGE_ENV, MODULE_ENV, SECRETS_ENV, SECRETS_FOLDER, SOCKET_ENV

RUN_TARGET: Final = "/run/headland"


def container_of(
    record: Record, staged: StagedImage, places: ContainerRecords, mounts: Iterable[Mount], grants: Grants
) -> ContainerSpec:
    """Return the container of ``record``: its image with what the module says, and ``mounts``."""
    module, config = record.module, staged.config.config
    others = tuple(mounts)
    env = dict(entry.partition("=")[::2] for entry in config.Env)
    env |= module.env
    env |= {
        SOCKET_ENV: f"{RUN_TARGET}/agent.sock",
        MODULE_ENV: module.name,
        IMAGE_ENV: module.image.name,
        CONTAINER_ENV: record.id,
        "HEADLAND_STOP_GRACE_S": f"{module.stop_grace_s:g}",
    }
    env |= {SECRETS_ENV: SECRETS_FOLDER} if any(m.target == SECRETS_FOLDER for m in others) else {}
    return ContainerSpec(
        id=record.id,
        layers=staged.layers,
        args=config.Entrypoint + (config.Cmd if module.command is UNSET else module.command),
        env=env,
        cwd=config.WorkingDir,
        user=config.User,
        mounts=(Mount(places.run_folder(record.id), RUN_TARGET, read_only=False), *others),
        limits=module.limits,
        home=places.driver_folder(record.id),
        log=places.log_file(record.id),
        grants=grants,
    )
