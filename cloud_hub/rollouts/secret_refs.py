"""Secrets in rollouts: how a manifest names them, what is put in a document, and what a document names.

A document has the name and the version of a secret, never a value. The version is settled when the rollout
is applied: what a device is given changes by a rollout, as its image does, and goes back with it.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from sqlalchemy.orm import Session

from cloud_hub.rollouts.documents import opened
from cloud_hub.rollouts.fields import matches
from cloud_hub.rollouts.yaml_source import Source
from cloud_hub.secrets.rows import SecretRow, SecretVersionRow
from contract.errors import FieldProblem
from contract.ids import NAME, split_versioned
from contract.secrets import SecretRef

MOST_OF_A_MODULE = 32

FileName = Annotated[
    str,
    matches(re.compile(r"[\w-][\w.-]{0,99}", re.ASCII), "the name of a file, without '/'"),
]
SecretName = Annotated[
    str,
    matches(
        re.compile(rf"{NAME.pattern}(:[1-9]\d{{0,8}})?"),
        "a secret's name or name:version, such as db-password:2",
    ),
]


def resolve_secrets(
    session: Session, workspace: str, module: str, secrets: Mapping[str, str], source: Source
) -> tuple[tuple[SecretRef, ...], list[FieldProblem]]:
    """Return what a module is given, by file, and what of it is not there, each with its line."""
    found: list[SecretRef] = []
    problems: list[FieldProblem] = []
    for file, wanted in sorted(secrets.items()):
        name, version = split_versioned(wanted, where="secret")
        secret = session.get(SecretRow, (workspace, name))
        number = version or (secret.newest if secret is not None else 0)
        row = session.get(SecretVersionRow, (workspace, name, number))
        if row is None:
            what = "no such secret in this workspace"
        elif row.key_id is None:
            what = "this version of the secret was destroyed"
        else:
            found.append(SecretRef(file=file, name=name, version=number))
            continue
        problems.append(source.problem(("spec", "modules", module, "secrets", file), what))
    return tuple(found), problems


def refers_to(envelope: bytes, workspace: str, name: str, version: int) -> bool:
    """Does the document in a signed envelope of ours give that version to one of its modules?"""
    desired = opened(envelope)
    given = {(ref.name, ref.version) for module in desired.modules for ref in module.given}
    return desired.workspace == workspace and (name, version) in given
