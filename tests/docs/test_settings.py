"""Every settings key and manifest key is in its page and its example, with its default and its bounds."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_types
import msgspec
import pytest
import yaml
from msgspec import inspect
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import agent.settings
import cloud_hub.settings
from cloud_hub.rollouts import manifest
from tests.docs.pages import ROOT, page, rows_under

CONFIGS = ROOT / "configs"
Facts = dict[str, tuple[str, list[str]]]
"""By key: the default as a page writes it, and the numbers that bound it."""


def of_struct(kind: type[msgspec.Struct]) -> Facts:
    """Return the facts of a settings struct; keys of an inner table are ``table.key``.

    NAME stands for a table's name that people choose.
    """
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    found: Facts = {}
    for field in info.fields:
        if isinstance(field.type, inspect.StructType):
            inner = of_struct(field.type.cls)
            found |= {f"{field.name}.{key}": value for key, value in inner.items()}
            continue
        if isinstance(field.type, inspect.DictType) and isinstance(field.type.value_type, inspect.StructType):
            inner = of_struct(field.type.value_type.cls)
            found |= {f"{field.name}.NAME.{key}": value for key, value in inner.items()}
            continue
        bounds = [getattr(field.type, name, None) for name in ("gt", "ge", "lt", "le")]
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        found[field.name] = (str(default), [f"{bound:g}" for bound in bounds if bound is not None])
    return {key: (default, [_plain(bound) for bound in bounds]) for key, (default, bounds) in found.items()}


def of_model(kind: type[BaseModel], prefix: str = "") -> Facts:
    """Return the facts of a manifest's schema; NAME stands for a key that people choose."""
    found: Facts = {}
    for field in kind.model_fields.values():
        key = f"{prefix}{field.alias}"
        default = field.default
        if default is PydanticUndefined:
            shown = "required"
        else:
            shown = "{}" if isinstance(default, BaseModel) else str(default)
        bounds = [
            str(value)
            for rule in field.metadata
            for name in ("gt", "ge", "lt", "le", "min_length", "max_length")
            if isinstance(rule, (annotated_types.BaseMetadata,))
            and (value := getattr(rule, name, None)) is not None
        ]
        inner, below = _model_inside(field.annotation)
        if inner is None or below or default is not PydanticUndefined:
            found[key] = (shown, bounds)
        if inner is not None:
            found |= of_model(inner, f"{key}.{below}")
    return found


def _model_inside(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the schema that a field leads to, and ``NAME.`` or ``N.`` where it is a mapping or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    arguments = [each for each in getattr(annotation, "__args__", ()) if each is not type(None)]
    optional = type(None) in getattr(annotation, "__args__", ())
    annotated = hasattr(annotation, "__metadata__")
    if len(arguments) == 1 and (optional or annotated):
        return _model_inside(arguments[0])
    last = arguments[-1] if arguments else None
    if isinstance(last, type) and issubclass(last, BaseModel):
        kind = getattr(annotation, "__origin__", None)
        return last, "NAME." if kind is dict else "N." if kind is list else ""
    return None, ""


def _plain(number: str) -> str:
    return str(int(float(number)))


def faults(facts: Facts, text: str) -> list[str]:
    """Return what is wrong in the table of keys of a page: missing, unknown, another default or bound."""
    rows = rows_under(text, "key", "default")
    found = [f"{key}: missing" for key in facts.keys() - rows.keys()]
    found += [f"{key}: unknown" for key in rows.keys() - facts.keys()]
    for key in facts.keys() & rows.keys():
        default, bounds = facts[key]
        if rows[key][1].strip("`") != default:
            found.append(f"{key}: default {default}")
        # A bound of 0 is "above 0" or nothing to say.
        found += [f"{key}: bound {bound}" for bound in bounds if bound not in rows[key][2]]
    return sorted(found)


def keys_of(value: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys of a settings file; those of a table are ``table.key``."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from keys_of(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            for each in inner:
                yield from keys_of(each, f"{prefix}{key}.N.")
        else:
            yield f"{prefix}{key}"


@pytest.mark.parametrize(
    ("kind", "name"),
    [(cloud_hub.settings.Settings, "hub.md"), (agent.settings.Settings, "devices.md")],
    ids=["hub", "agent"],
)
def test_every_setting_is_in_its_page(kind: type[msgspec.Struct], name: str) -> None:
    assert faults(of_struct(kind), page(name)) == []


def test_every_manifest_key_is_in_its_page() -> None:
    facts = of_model(manifest.Manifest)
    assert len(facts) == 88
    assert faults(facts, page("rollouts.md")) == []


def test_planted_faults_of_a_page_are_found() -> None:
    facts, text = of_struct(agent.settings.Settings), page("devices.md")
    assert faults(facts, text.replace("| `driver` |", "| `drive` |")) == ["drive: unknown", "driver: missing"]
    assert faults(facts, text.replace("`268435456`", "`1`")) == ["outbox.max_bytes: default 268435456"]
    assert faults(facts, text.replace("1 to 10000", "1 to 100")) == ["outbox.batch_samples: bound 10000"]
    facts, text = of_model(manifest.Manifest), page("rollouts.md")
    assert faults(facts, text.replace("limits.pids`", "limits.pid`")) == [
        "spec.modules.NAME.limits.pid: unknown",
        "spec.modules.NAME.limits.pids: missing",
    ]
    assert faults(facts, text.replace("at most 3600", "at most 60")) == [
        "spec.modules.NAME.readyTimeoutSeconds: bound 3600",
        "spec.modules.NAME.stopGraceSeconds: bound 3600",
    ]


def test_the_example_files_hold_every_key_with_its_default() -> None:
    for path, kind in (
        (CONFIGS / "hub.toml", cloud_hub.settings.Settings),
        (CONFIGS / "agent.toml", agent.settings.Settings),
    ):
        chosen = {key for key in of_struct(kind) if ".NAME." in key}
        assert set(keys_of(tomllib.loads(path.read_text()))) == set(of_struct(kind)) - chosen
    assert cloud_hub.settings.load(CONFIGS / "hub.toml") == cloud_hub.settings.Settings()
    assert agent.settings.load(CONFIGS / "agent.toml") == agent.settings.Settings()


def test_the_commented_tables_of_the_example_hold_every_key_and_are_taken() -> None:
    text = (CONFIGS / "agent.toml").read_text().replace("#[", "[").replace("#-", "")
    shown = {key.replace(".alarms.", ".NAME.") for key in keys_of(tomllib.loads(text))}
    assert shown == set(of_struct(agent.settings.Settings))
    settings = msgspec.convert(tomllib.loads(text)["outbox"], agent.settings.Outbox)
    assert settings.streams["alarms"].on_full == "refuse"


def test_a_planted_other_default_of_an_example_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text((CONFIGS / "agent.toml").read_text().replace("= 500 ", "= 50 "))
    assert agent.settings.load(path) != agent.settings.Settings()


def test_the_example_manifests_hold_every_key() -> None:
    shown = set[str]()
    for name in (
        "rollout.yaml",
        "rollout-lifecycle.yaml",
        "rollout-secrets.yaml",
        "rollout-access.yaml",
        "rollout-waves.yaml",
    ):
        text = (CONFIGS / name).read_text()
        manifest.read_manifest(text)
        keys = keys_of(yaml.safe_load(text))
        named = (re.sub(r"\.(digits|camera|sniffer)\.", ".NAME.", key) for key in keys)
        shown |= {re.sub(r"\.(env|secrets)\..+", r".\1", key) for key in named}
    facts = of_model(manifest.Manifest)
    holders = {key for key in facts if any(other.startswith(f"{key}.") for other in facts)}
    # Both probes have the same keys, and each needs one of three.
    one, all_keys = (
        {re.sub(r"\.(readiness|liveness)\b", ".PROBE", key) for key in keys}
        for keys in (shown | holders, set(facts))
    )
    assert one == all_keys
