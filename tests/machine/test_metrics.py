"""Metrics: scraped over the socket of a running daemon, and read by the rules of the format."""

import math
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.endpoints.unix_client import UnixHttpConnection
from agent.metrics.collect import Facts, metrics
from agent.metrics.server import SOCKET
from agent.metrics.text import CONTENT_TYPE, Metric, Sample, counter, exposition, gauge
from contract.desired import Desired, ImageRef, Module
from contract.messages import ModuleReport, OutboxReport, PullReport, Reported
from simulators.demo.stage import Daemon
from tests.docs.pages import page, rows_under
from tests.machine.device import NOW, Enrolled
from tests.machine.prometheus import read

IMAGE = ImageRef(repository="w/m", digest="sha256:" + "0" * 64, name="m:1")
MODULE = Module(name="m", image=IMAGE)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def scrape(path: Path, where: str = "/metrics") -> tuple[int, str, bytes]:
    connection = UnixHttpConnection(path, timeout_s=20)
    try:
        connection.request("GET", where)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def test_a_scrape_of_a_daemon_tells_what_is(device: Enrolled, daemon: Daemon) -> None:
    assert device.ask("apply", device.file(device.document(7, MODULE)))[0] == 0
    daemon.wait_for("pulling m:1")
    status, kind, data = scrape(device.state / SOCKET)
    assert (status, kind) == (200, CONTENT_TYPE)
    found = read(data)
    assert found["headland_generation"].value() == 7
    assert found["headland_agent_info"].value(driver="process") == 1
    assert found["headland_connected"].value() == 0
    assert found["headland_outbox_pending_samples"].value() == 0
    assert found["headland_outbox_disk_bytes"].value() > 0
    assert found["headland_module_restarts_total"].value(module="m") == 0
    assert sum(found["headland_module_state"].values.values()) == 1
    assert found["headland_loop_stalled_seconds"].value() < 60
    pages = int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1])
    there = pages * os.sysconf("SC_PAGE_SIZE")
    assert found["process_resident_memory_bytes"].value() == pytest.approx(there, rel=0.2)
    assert scrape(device.state / SOCKET, "/other")[0] == 404
    assert stat.S_IMODE((device.state / SOCKET).stat().st_mode) == 0o600


def facts(**changed: object) -> Facts:
    module = ModuleReport(name="m", state="rolled_back", image="m:1", digest=IMAGE.digest, reason="no")
    outbox = OutboxReport(pending=3, dropped=4)
    fields = {
        "version": "1", "driver": "runc", "started_at_s": 1.5, "resident_bytes": 5, "threads": 6,
        "connected": True, "crashes": {"m": 2, "gone": 1}, "outbox": outbox, "outbox_bytes": 7,
        "desired": Desired(device="d", workspace="w", generation=9, issued_at=NOW, not_after=NOW,
                           rollout="r:1", modules=(MODULE,)),
        "reported": Reported(generation=9, at=NOW, converged=False, modules=(module,), outbox=outbox),
        "pulls": PullReport(received_bytes=8, saved_bytes=9, deltas=10, fallbacks=11, served_bytes=13),
        "kept_bytes": 14,
        "outbox_max_bytes": 12, "stalled_s": 0.25, "free_bytes": 13,
    }  # fmt: skip
    return Facts(**(fields | changed))  # type: ignore[arg-type]


def test_each_fact_has_its_metric() -> None:
    found = read(exposition(metrics(facts())))
    values = {name: family.value() for name, family in found.items() if len(family.values) == 1}
    assert values == {
        "headland_agent_info": 1, "headland_connected": 1, "headland_loop_stalled_seconds": 0.25,
        "headland_disk_free_bytes": 13, "process_start_time_seconds": 1.5,
        "process_resident_memory_bytes": 5, "process_threads": 6, "headland_generation": 9,
        "headland_converged": 0, "headland_refused": 0, "headland_outbox_pending_samples": 3,
        "headland_outbox_dropped_samples_total": 4, "headland_outbox_disk_bytes": 7,
        "headland_outbox_max_bytes": 12, "headland_pull_received_bytes_total": 8,
        "headland_pull_saved_bytes_total": 9, "headland_pull_deltas_total": 10,
        "headland_pull_fallbacks_total": 11, "headland_neighbour_served_bytes_total": 13,
        "headland_neighbour_cache_bytes": 14,
    }  # fmt: skip
    assert found["headland_module_state"].value(module="m", image="m:1", state="rolled_back") == 1
    assert found["headland_module_state"].value(module="m", state="running") == 0
    assert found["headland_module_restarts_total"].value(module="m") == 2
    assert found["headland_module_restarts_total"].value(module="gone") == 1
    assert {family.kind for name, family in found.items() if name.endswith("_total")} == {"counter"}


def test_the_page_has_each_metric_and_no_other() -> None:
    rows = rows_under(page("devices.md"), "metric", "type")
    told = {name.partition("{")[0]: row[1] for name, row in rows.items()}
    assert told == {metric.name: metric.kind for metric in metrics(facts())}


def test_before_the_first_document_there_is_a_scrape_too() -> None:
    found = read(exposition(metrics(facts(desired=None, reported=None, crashes={}))))
    assert found["headland_generation"].value() == 0
    assert found["headland_module_state"].values == {}


@given(TEXT, TEXT, st.floats())
def test_whatever_a_label_or_help_says_is_read_back(words: str, label: str, value: float) -> None:
    data = exposition([Metric("a", "gauge", words, (Sample(value, {"x": label}),)), gauge("b", "", 1)])
    got = read(data)["a"].value(x=label)
    assert got == value or (math.isnan(got) and math.isnan(value))


@pytest.mark.parametrize("name", ["1a", "a-b", "", "a b", "a\n"])
def test_names_that_the_format_does_not_know_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        gauge(name, "words", 1)
    with pytest.raises(ValueError, match="not a name"):
        Metric("a", "gauge", "words", (Sample(1, {name: "x"}),))
    with pytest.raises(ValueError, match="_total"):
        counter("a", "words", 1)


@pytest.mark.parametrize(
    "wrong",
    [
        b"# TYPE a gauge\na 1", b"a 1\n", b"# TYPE a gauge\na{x=1} 1\n", b"# TYPE a gauge\na x\n",
        b"# TYPE a gauge\n# TYPE a gauge\n", b"# TYPE a gauge\na 1\na 2\n",
        b'# TYPE a gauge\na{x="1",x="2"} 1\n',
        b"# TYPE a gauge\n# TYPE b gauge\na 1\n", b'# TYPE a gauge\na{x="\\q"} 1\n',
    ],
)  # fmt: skip
def test_negative_control_the_reader_refuses_what_breaks_a_rule(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(wrong)
