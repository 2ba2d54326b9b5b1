"""Configurations as Docker, BuildKit and others write them."""

import json

import msgspec
import pytest

from contract import oci
from contract.errors import ContractError
from contract.image_config import read_image_config

ROOT_FS = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
WHERE = {"architecture": "amd64", "os": "linux"}
DOCKER = {
    "Hostname": "",
    "User": "",
    "AttachStdin": False,
    "Env": ["PATH=/usr/bin"],
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": ["/main"],
    "OnBuild": None,
    "Labels": None,
}


def read(**fields: object) -> oci.ImageConfig:
    return read_image_config(json.dumps(WHERE | {"rootfs": ROOT_FS} | fields).encode())


def test_null_and_empty_say_nothing() -> None:
    found = read(config=DOCKER, container_config=DOCKER, history=[])
    assert found.config == oci.RunConfig(Entrypoint=("/main",), Env=("PATH=/usr/bin",))
    assert found.config.WorkingDir == "/"


@pytest.mark.parametrize("fields", [{}, {"config": None}, {"config": {}}], ids=str)
def test_an_image_need_not_say_how_it_runs(fields: dict[str, object]) -> None:
    assert read(**fields) == oci.ImageConfig(
        **WHERE, config=oci.RunConfig(), rootfs=msgspec.convert(ROOT_FS, oci.RootFs)
    )


def test_what_is_written_here_is_read_as_it_was() -> None:
    run = oci.RunConfig(
        Entrypoint=("a",),
        Cmd=("b",),
        Env=("C=d",),
        WorkingDir="/e",
        User="1:2",
        Labels={"f": "g"},
        StopSignal="h",
    )
    written = oci.ImageConfig(
        **WHERE, config=run, rootfs=msgspec.convert(ROOT_FS, oci.RootFs), created="2026-01-01T00:00:00Z"
    )
    assert read_image_config(msgspec.json.encode(written)) == written


@pytest.mark.parametrize(
    "fields",
    [{"config": {"Env": "PATH=/"}}, {"config": []}, {"rootfs": None}, {"rootfs": {}}, {"os": None}],
    ids=str,
)
def test_what_is_no_configuration_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="not a valid image configuration"):
        read(**fields)
