"""The model registry over HTTPS, with the SDK as its client: register, find, change, delete."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.images.rows import ImageModelRow, ImageRow
from cloud_hub.models.rows import ModelRow
from cloud_hub.rollouts.rows import DesiredRow, RolloutRow
from cloud_hub.sdk import HubRefusedError, Workspace, baseline
from contract.messages import ModuleReport, OutboxReport, Reported
from tests.api.conftest import World, bearer
from tests.api.models import MODELS, folder_model
from tests.api.models import scale as scale  # noqa: PLC0414  a fixture


def names(models: list[Any]) -> list[str]:
    return [f"{model.name}:{model.version}" for model in models]


def test_a_version_keeps_what_was_said_of_it(shop: Workspace, scale: Path) -> None:
    with shop.start_run("digits", source={"commit": "3f0c", "command": "train.py"}) as run:
        run.log_parameters(C=0.1)
        run.log_metrics(("loss", 1 / (step + 1), step) for step in range(2500))
    data = np.arange(20.0).reshape(10, 2)
    model = shop.register_model(
        "scale",
        scale,
        run=run.id,
        tags={"stage": "test"},
        properties={"rows": "1347"},
        description="doubles",
        baseline=baseline(data, ["a", "b"]),
    )
    assert model == shop.model("scale") == shop.model("scale:1")
    assert (model.framework, model.description, model.folder) == ("onnx", "doubles", False)
    assert model.signature["inputs"] == [{"name": "x", "type": "FLOAT", "shape": ["n", 2]}]
    assert (model.tags, model.properties) == ({"stage": "test"}, {"rows": "1347"})
    assert [file.path for file in model.files] == ["scale.onnx"]
    assert model.files[0].digest == model.digest
    assert shop.model_baseline("scale") == baseline(data, ["a", "b"])
    lineage = shop.model_lineage("scale")
    assert lineage.run is not None
    assert (lineage.run.experiment, lineage.run.parameters) == ("digits", {"C": 0.1})
    assert lineage.run.metrics == {"loss": 1 / 2500}
    assert lineage.run.source == {"commit": "3f0c", "command": "train.py"}
    assert (lineage.images, lineage.devices) == ([], [])


def test_tags_change_and_properties_never(world: World, shop: Workspace, scale: Path, token: str) -> None:
    shop.register_model("scale", scale, tags={"a": "1", "b": "2"}, properties={"p": "1"})
    changed = shop.change_model("scale:1", tags={"a": None, "b": "3", "c": "4"}, description="new")
    assert (changed.tags, changed.description) == ({"b": "3", "c": "4"}, "new")
    assert shop.model("scale:1").tags == {"b": "3", "c": "4"}
    assert shop.change_model("scale:1").tags == {"b": "3", "c": "4"}
    answer = world.client.patch(f"{MODELS}/scale:1", json={"properties": {"p": "2"}}, headers=bearer(token))
    assert answer.status_code == 422
    assert shop.model("scale:1").properties == {"p": "1"}
    with pytest.raises(HubRefusedError):
        shop.change_model("scale:1", tags={"k" * 101: "v"})


def test_a_folder_is_a_model_and_comes_back_as_it_was(shop: Workspace, tmp_path: Path) -> None:
    folder = folder_model(tmp_path)
    model = shop.register_model("whole", folder)
    assert (model.folder, model.framework) == (True, "onnx")
    assert [f.path for f in model.files] == ["big.bin", "m.onnx", "sub/labels.txt", "ünïcode.json"]
    listing = [
        {"path": path, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size_bytes": len(data)}
        for path, data in ((f.path, (folder / f.path).read_bytes()) for f in model.files)
    ]
    text = json.dumps(listing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert model.digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    told: list[tuple[int, int]] = []
    back = shop.download_model("whole", tmp_path / "to", moved=lambda *done: told.append(done))
    assert back == tmp_path / "to/whole-1"
    assert {p.relative_to(back).as_posix(): p.read_bytes() for p in back.rglob("*") if p.is_file()} == {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    assert told[-1] == (model.size_bytes, model.size_bytes)
    assert told == sorted(told)


def test_what_the_workspace_has_is_not_sent_again(world: World, shop: Workspace, tmp_path: Path) -> None:
    folder = folder_model(tmp_path)
    shop.register_model("whole", folder)
    sent = []
    shop.register_model("whole", folder, moved=lambda done, size: sent.append(done))
    big = (folder / "big.bin").stat().st_size
    assert sent[0] == big, "the first word is that all of it is there"


@pytest.mark.parametrize(
    "paths",
    [
        ["../x"], ["/x"], ["a/../b"], ["a//b"], ["./a"], ["a\\b"], ["a\x00b"], ["a\nb"], ["c:x"], [""],
        ["A.txt", "a.TXT"], ["\u00e9", "e\u0301"], ["stra\u00dfe", "STRASSE"], ["a", "a/b"], ["x" * 256],
        ["a/b/c", "a/B"], ["a "], ["a."], ["\u202ea"],
    ],
)  # fmt: skip
def test_paths_that_mean_something_else_somewhere_are_refused(
    world: World, shop: Workspace, token: str, scale: Path, paths: list[str]
) -> None:
    digest = shop.register_model("scale", scale).digest
    body = {"name": "bad", "files": [{"path": path, "digest": digest} for path in paths], "framework": "x"}
    answer = world.client.post(MODELS, json=body, headers=bearer(token))
    assert answer.status_code == 422
    assert answer.json()["code"] in {"invalid-input", "invalid-request"}  # the latter for a zero byte
    assert answer.json()["errors"]
    assert names(shop.models()) == ["scale:1"]


def test_a_folder_without_one_onnx_model_needs_its_framework(shop: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "sk"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(HubRefusedError) as caught:
        shop.register_model("sk", folder)
    assert caught.value.code == "model-is-pickle"
    assert "framework" in caught.value.fix
    with pytest.raises(HubRefusedError) as caught:
        shop.register_model("sk", folder, framework="sklearn")
    assert caught.value.code == "model-is-pickle"
    assert "allow pickles" in caught.value.fix
    assert shop.models() == []
    model = shop.register_model("sk", folder, framework="sklearn", allow_pickle=True)
    assert (model.version, model.framework, model.signature) == (1, "sklearn", {})
    assert model.pickled
    with pytest.raises(HubRefusedError, match="needs a script"):
        shop.start_build("sk", "sk:1")


@pytest.fixture
def many(world: World, shop: Workspace, scale: Path) -> Workspace:
    """Models a-1 .. a-3, b-1 and tank, in versions, of two people and two experiments."""
    with world.sdk(world.token("bo", {"shop": "Contributor"})) as hub:
        bo = hub.workspace()
        with shop.start_run("one") as one, bo.start_run("two") as two:
            pass
        for number in (1, 2, 3):
            shop.register_model(f"a-{number}", scale, tags={"stage": "prod", "n": str(number)}, run=one.id)
        shop.register_model("a-1", scale, tags={"stage": "test"}, properties={"site": "north"})
        bo.register_model("b-1", scale, run=two.id, properties={"site": "south"})
        bo.register_model("tank", scale, framework="custom", tags={"stage": "100%_"})
    return shop


def test_finding_models(many: Workspace) -> None:
    everything = ["a-1:1", "a-1:2", "a-2:1", "a-3:1", "b-1:1", "tank:1"]
    assert names(many.models()) == everything
    assert names(many.models("a-1")) == ["a-1:1", "a-1:2"]
    assert names(many.models("a-*")) == everything[:4]
    assert names(many.models("?-1")) == ["a-1:1", "a-1:2", "b-1:1"]
    assert names(many.models("%")) == names(many.models("a_1")) == []
    assert names(many.models(tags=["stage=prod"])) == ["a-1:1", "a-2:1", "a-3:1"]
    assert names(many.models(tags=["stage=prod", "n=2"])) == ["a-2:1"]
    assert names(many.models(tags=["n"])) == ["a-1:1", "a-2:1", "a-3:1"]
    assert names(many.models(tags=["stage=100%_"])) == ["tank:1"]
    assert names(many.models(properties=["site"])) == ["a-1:2", "b-1:1"]
    assert names(many.models(tags=["site"])) == []
    assert names(many.models(framework="custom")) == ["tank:1"]
    assert names(many.models(experiment="two")) == ["b-1:1"]
    run = many.runs("one")[0].id
    assert names(many.models(run=run)) == ["a-1:1", "a-2:1", "a-3:1"]
    assert names(many.models(created_by="bo")) == ["b-1:1", "tank:1"]
    assert names(many.models(digest=many.model("tank").digest)) == everything
    assert names(many.models(latest=True)) == ["a-1:2", "a-2:1", "a-3:1", "b-1:1", "tank:1"]
    assert names(many.models("a-1", tags=["stage=prod"], latest=True)) == ["a-1:1"]
    assert names(many.models(order="-name")) == everything[::-1]
    made = ["a-1:1", "a-2:1", "a-3:1", "a-1:2", "b-1:1", "tank:1"]
    assert names(many.models(order="created")) == made
    assert names(many.models(order="-created")) == made[::-1]
    moment = many.model("a-1:2").created_at
    assert names(many.models(created_after=moment, order="created")) == ["b-1:1", "tank:1"]
    assert names(many.models(created_before=moment)) == ["a-1:1", "a-2:1", "a-3:1"]
    assert names(many.models(limit=2)) == everything[:2]


@pytest.mark.parametrize("order", ["name", "-name", "created", "-created"])
def test_pages_hold_everything_once_while_models_are_registered(
    world: World, many: Workspace, token: str, scale: Path, order: str
) -> None:
    expected = names(many.models(order=order))
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"order": order, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = world.client.get(MODELS, params=query, headers=bearer(token)).json()
        found += [f"{item['name']}:{item['version']}" for item in answer["items"]]
        cursor = answer["next"]
        many.register_model("a-0", scale)
    assert [one for one in found if not one.startswith("a-0:")] == expected


@pytest.mark.parametrize("cursor", ["x", "e30", "bnVsbA", "W10", "WyJuYW1lIiwxLCJhIiwxLG51bGxd", "%00"])
def test_a_cursor_that_is_none_is_refused(world: World, token: str, cursor: str) -> None:
    answer = world.client.get(f"{MODELS}?cursor={cursor}", headers=bearer(token))
    assert answer.status_code == 422
    wrong = world.client.get(f"{MODELS}?order=sideways", headers=bearer(token))
    assert wrong.status_code == 422


def test_readers_find_and_fetch_and_change_nothing(world: World, shop: Workspace, scale: Path) -> None:
    shop.register_model("scale", scale)
    with world.sdk(world.token("rita", {"shop": "Reader"})) as hub:
        rita = hub.workspace()
        assert names(rita.models()) == ["scale:1"]
        for refused in (
            lambda: rita.delete_model("scale:1"),
            lambda: rita.change_model("scale:1", tags={"a": "b"}),
            lambda: rita.register_model("scale", scale),
        ):
            with pytest.raises(HubRefusedError) as caught:
                refused()
            assert caught.value.code == "forbidden"
    with (
        world.sdk(world.token("zoe", {"lab": "Owner"})) as hub,
        pytest.raises(HubRefusedError) as caught,
    ):
        hub.workspace("shop").models()
    assert caught.value.code == "not-found"
    with pytest.raises(HubRefusedError), world.sdk(world.token("zoe", {"lab": "Owner"})) as hub:
        hub.workspace("lab").model("scale")


def test_where_a_model_is_used_and_that_it_stays(world: World, shop: Workspace, scale: Path) -> None:
    model = shop.register_model("scale", scale)
    now = datetime.now(UTC)
    with world.core.database.transaction() as session:
        row = session.query(ModelRow).one()
        for version in (1, 2):
            session.add(
                ImageRow(
                    workspace="shop",
                    name="img",
                    version=version,
                    digest=model.digest,
                    size_bytes=1,
                    platforms=[],
                    inside=[ImageModelRow(model=row.id)],
                    created_by="ana",
                    created_at=now,
                )
            )
        rollout = RolloutRow(
            workspace="shop",
            name="r",
            revision=1,
            manifest="",
            images={"scorer": "img:2"},
            created_by="ana",
            created_at=now,
            state="done",
            wave=0,
            approved=-1,
            reason="",
        )
        module = ModuleReport(name="scorer", state="running", image="img:1", digest=model.digest)
        reported = Reported(
            generation=1,
            at=now,
            converged=False,
            modules=(module,),
            outbox=OutboxReport(pending=0, dropped=0),
        )
        session.add(rollout)
        session.add(
            DeviceRow(
                id="cam-1",
                workspace="shop",
                created_at=now,
                certificate_serial="1",
                certificate_not_after=None,
                revoked_at=None,
                last_seen_at=now,
                hello=None,
                reported=msgspec.to_builtins(reported),
            )
        )
        session.flush()
        session.add(
            DesiredRow(device="cam-1", generation=2, rollout=rollout.id, envelope=b"", created_at=now)
        )
    lineage = shop.model_lineage("scale:1")
    assert lineage.images == ["img:1", "img:2"]
    assert [(use.image, use.desired, use.reported, use.state) for use in lineage.devices] == [
        ("img:1", False, True, "running"),
        ("img:2", True, False, None),
    ]
    with pytest.raises(HubRefusedError) as caught:
        shop.delete_model("scale:1")
    assert caught.value.code == "model-in-use"
    assert [problem.field for problem in caught.value.errors] == ["images.img:1", "images.img:2"]


def test_deleting_needs_a_version_and_a_deleted_one_is_gone(shop: Workspace, scale: Path) -> None:
    shop.register_model("scale", scale)
    with pytest.raises(HubRefusedError, match="a version must be said"):
        shop.delete_model("scale")
    shop.delete_model("scale:1")
    assert shop.models() == []
    assert shop.register_model("scale", scale).version == 2


def test_a_run_has_parts_and_takes_ten_thousand_values_at_once(
    world: World, shop: Workspace, token: str
) -> None:
    with shop.start_run("sweep") as parent, shop.start_run("sweep", parent=parent.id) as part:
        part.log_metrics(("loss", float(step), step) for step in range(10_000))
        part.log_metric("loss", -1.0, 10_000)
    assert [run.id for run in shop.runs(parent=parent.id)] == [part.id]
    metrics = shop.run(part.id).metrics
    assert len(metrics) == 10_001
    assert [one.step for one in metrics] == list(range(10_001))
    with pytest.raises(HubRefusedError, match="no such run"):
        shop.start_run("sweep", parent="f" * 32)
    with shop.start_run("sweep") as run:
        path = f"/api/v1/workspaces/shop/runs/{run.id}/metrics"
        bad = [{"name": "a", "value": 1.0}, {"name": "", "value": 2.0}]
        assert world.client.post(path, json=bad, headers=bearer(token)).status_code == 422
        assert shop.run(run.id).metrics == [], "all or none"
        too_many = [{"name": "a", "value": 1.0}] * 10_001
        assert world.client.post(path, json=too_many, headers=bearer(token)).status_code == 422


def test_a_baseline_that_contradicts_itself_is_refused(
    world: World, shop: Workspace, token: str, scale: Path
) -> None:
    digest = shop.register_model("scale", scale).digest
    good = msgspec.to_builtins(baseline(np.arange(10.0)))
    changes: tuple[dict[str, Any], ...] = ({"rows": 9}, {"format": "other"}, {"features": []}, {"extra": 1})
    for change in changes:
        body = {"name": "scale", "digest": digest, "baseline": good | change}
        answer = world.client.post(MODELS, json=body, headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (422, "baseline-invalid"), change
    body = {"name": "scale", "digest": digest, "baseline": good}
    assert world.client.post(MODELS, json=body, headers=bearer(token)).status_code == 201


def test_time_filters_need_a_zone(world: World, token: str) -> None:
    for text, status in (("2026-01-01T00:00:00", 422), ("2026-01-01T00:00:00Z", 200)):
        answer = world.client.get(MODELS, params={"created_after": text}, headers=bearer(token))
        assert answer.status_code == status
