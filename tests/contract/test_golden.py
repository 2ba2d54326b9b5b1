"""Every message as it was ever sent: still read, and still written byte for byte.

A golden file is never changed. A new version of a message gets a new file beside it.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from contract import (
    access,
    agent_api,
    desired,
    dsse,
    enrolment,
    errors,
    lifecycle,
    messages,
    secrets,
    topics,
)
from contract.encoding import decode, encode

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
MODULE = desired.Module(
    name="digits",
    image=desired.ImageRef(repository="shop/digits", digest=DIGEST, name="digits:1"),
    env={"LEVEL": "info"},
    limits=desired.Limits(memory_bytes=1 << 28, cpus=0.5, pids=32),
    ready_timeout_s=60.0,
    stop_grace_s=10.0,
)
LIVELY = msgspec.structs.replace(
    MODULE,
    command=("--level", "info"),
    lifecycle=lifecycle.Lifecycle(
        depends_on=("camera",),
        restart="on-failure",
        readiness=lifecycle.Probe(file="ready", period_s=1.0),
        liveness=lifecycle.Probe(http="/v2/health/live", timeout_s=2.0, failures=5),
        update="stop-first",
        windows=(lifecycle.Window(cron="0 2 * * *", duration_s=7200.0, time_zone="Europe/Paris"),),
        longest_deferral_s=3600.0,
    ),
)
GIVEN = msgspec.structs.replace(
    MODULE, secrets=(secrets.SecretRef(file="db-password", name="db-password", version=2),)
)
ASKING = msgspec.structs.replace(
    MODULE,
    access=access.Access(
        volumes=(
            access.Volume(target="/data", name="history", keep=False),
            access.Volume(target="/etc/site", path="/srv/site", read_only=True),
        ),
        ports=(access.Port(name="http", port=8080, address="0.0.0.0"), access.Port(name="grpc", port=8081)),
        devices=(access.Device(path="/dev/video0", access="r"),),
        capabilities=("NET_ADMIN",),
        host_network=True,
        privileged=True,
    ),
)
MESSAGES: dict[str, msgspec.Struct] = {
    "hello-1": messages.Hello(generation=3, agent_version="0.1.0", driver="runc"),
    "desired-1": desired.Desired(
        device="cam-1", workspace="shop", generation=3, issued_at=AT, not_after=AT, rollout="digits:1",
        modules=(MODULE,),
    ),
    "desired-2": desired.Desired(
        device="cam-1", workspace="shop", generation=4, issued_at=AT, not_after=AT, rollout="digits:2",
        modules=(LIVELY,),
    ),
    "desired-3": desired.Desired(
        device="cam-1", workspace="shop", generation=5, issued_at=AT, not_after=AT, rollout="digits:3",
        modules=(GIVEN,),
    ),
    "secret-value-1": secrets.SecretValue(name="db-password", version=2, value="a\nb"),
    "desired-4": desired.Desired(
        device="cam-1", workspace="shop", generation=6, issued_at=AT, not_after=AT, rollout="digits:4",
        modules=(ASKING,),
    ),
    "deferral-1": agent_api.Deferral(seconds=600.0),
    "deferral-answer-1": agent_api.DeferralAnswer(seconds=300.0),
    "reported-1": messages.Reported(
        generation=3,
        at=AT,
        converged=False,
        modules=(
            messages.ModuleReport(
                name="digits", state="rolled_back", image="digits:1", digest=DIGEST, reason="not ready"
            ),
        ),
        outbox=messages.OutboxReport(pending=2, dropped=1),
        refused=messages.Refusal(code="expired", reason="the document's time is over"),
    ),
    "reported-6": messages.Reported(
        generation=3,
        at=AT,
        converged=True,
        modules=(),
        outbox=messages.OutboxReport(pending=0, dropped=0),
        refused=messages.Refusal(code="expired", reason="the document's time is over", generation=4),
    ),
    "reported-7": messages.Reported(
        generation=3,
        at=AT,
        converged=True,
        modules=(
            messages.ModuleReport(
                name="digits",
                state="running",
                image="digits:1",
                digest=DIGEST,
                reason="started again, it was out of memory (its limit is 256 MiB)",
                restarts=2,
            ),
        ),
        outbox=messages.OutboxReport(pending=0, dropped=0),
    ),
    "reported-2": messages.Reported(
        generation=3,
        at=AT,
        converged=True,
        modules=(),
        outbox=messages.OutboxReport(pending=0, dropped=0),
        pulls=messages.PullReport(received_bytes=9, saved_bytes=91, deltas=2, fallbacks=1),
    ),
    "reported-3": messages.Reported(
        generation=3,
        at=AT,
        converged=True,
        modules=(),
        outbox=messages.OutboxReport(
            pending=1,
            dropped=9,
            streams=(
                messages.StreamDrops(stream="inference", evicted=4, incoming=3, expired=2, refused=0),
                messages.StreamDrops(stream="meter", refused=5),
            ),
        ),
    ),
    "reported-4": messages.Reported(
        generation=3,
        at=AT,
        converged=False,
        modules=(
            messages.ModuleReport(
                name="digits", state="pulling", image="digits:2", digest=DIGEST,
                reason="waits for the next window for pulls, 22:00-04:00 local time [pull-waits]",
            ),
        ),
        outbox=messages.OutboxReport(pending=0, dropped=0),
        pulls=messages.PullReport(
            received_bytes=9, saved_bytes=0, deltas=0, fallbacks=0, elsewhere_bytes=7, skipped_sources=1
        ),
    ),
    "reported-5": messages.Reported(
        generation=3,
        at=AT,
        converged=True,
        modules=(),
        outbox=messages.OutboxReport(pending=0, dropped=0),
        pulls=messages.PullReport(
            received_bytes=9, saved_bytes=0, deltas=0, fallbacks=0, served_bytes=18
        ),
    ),
    "desired-agent-1": desired.Desired(
        device="cam-1", workspace="shop", generation=5, issued_at=AT, not_after=AT, rollout="digits:3",
        modules=(MODULE,),
        agent=desired.ImageRef(repository="shop/headland-agent", digest=DIGEST, name="headland-agent:2"),
    ),
    "reported-agent-1": messages.Reported(
        generation=5,
        at=AT,
        converged=True,
        modules=(),
        outbox=messages.OutboxReport(pending=0, dropped=0),
        agent=messages.AgentReport(
            version="0.1.0", release="headland-agent:1", ordered="headland-agent:2", state="failed",
            reason="the hub has not answered it within 300 s",
        ),
    ),
    "batch-1": messages.Batch(
        epoch="e" * 32, after=4, first=5, sampled_at_us=(1, 2),
        bodies=(msgspec.Raw(b'{"a":1}'), msgspec.Raw(b"2.5")),
    ),
    "ack-1": messages.Ack(epoch="e" * 32, stream="inference", mark=6, gap=False),
    "ack-2": messages.Ack(epoch="e" * 32, stream="inference", mark=6, encodings=("zstd",)),
    "inference-1": messages.Inference(
        request_id="cam-1-7", module="digits", model="digits", model_version="1", image="digits:1",
        latency_us=120, prediction=msgspec.Raw(b"7"),
        input=messages.InputSummary(shape=(1, 64), mean=4.5, std=6.0, min=0.0, max=16.0),
    ),
    "envelope-1": dsse.wrap(b'{"x":1}', dsse.DESIRED_TYPE, {"key-1": b"\x00\x01"}),
    "handover-1": agent_api.Handover(
        producer="p" * 32, number=1, sampled_at_us=(1,), bodies=(msgspec.Raw(b"{}"),)
    ),
    "handover-answer-1": agent_api.HandoverAnswer(stored=1),
    "invitation-1": enrolment.Invitation(
        hub="https://hub:8443", ca_sha256="ab" * 32, device="cam-1", token="t"
    ),
    "enrol-request-1": enrolment.EnrolRequest(token="t", csr_pem="-----BEGIN"),
    "enrol-request-2": enrolment.EnrolRequest(token="t", csr_pem="-----BEGIN", device="cam-1"),
    "enrol-pending-1": enrolment.EnrolPending(device="cam-1", key_sha256="ab" * 32, retry_after_s=5),
    "claim-1": enrolment.Claim(hub="https://hub:8443", ca_sha256="ab" * 32, claim="line-3", token="t"),
    "renew-request-1": enrolment.RenewRequest(csr_pem="-----BEGIN"),
    "certificate-held-1": enrolment.CertificateHeld(device="cam-1"),
    "enrol-answer-1": enrolment.EnrolAnswer(
        device="cam-1", workspace="shop", certificate_pem="-----BEGIN", ca_pem="-----BEGIN",
        desired_keys={"key-1": "00"}, mqtt_host="hub", mqtt_port=8883,
    ),
    "problem-1": errors.Problem(
        type="urn:headland:error:not-found", title="Not Found", status=404, detail="no such model",
        code="not-found", where="digits:9", fix="list them", request_id="r",
        errors=(errors.FieldProblem(field="spec", reason="unknown key", line=3),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_written_as_ever(name: str) -> None:
    assert encode(MESSAGES[name]) == (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_file_is_still_read(path: Path) -> None:
    message = MESSAGES[path.stem]
    assert decode(path.read_bytes(), type(message), what=path.stem) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_unknown_fields_are_skipped(name: str) -> None:
    data = (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")
    newer = data[:-1] + b',"of_a_later_release":{"a":[1]}}'
    assert decode(newer, type(MESSAGES[name]), what=name) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_missing_field_is_an_error_that_names_it_and_not_the_input(name: str) -> None:
    kind = type(MESSAGES[name])
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    fields = msgspec.json.decode((GOLDEN / f"{name}.json").read_bytes())
    fields.pop(required[0])
    with pytest.raises(errors.HeadlandError, match=required[0]):
        decode(msgspec.json.encode(fields), kind, what=name)


def test_every_topic_is_as_ever() -> None:
    assert [
        topics.hello("cam-1"), topics.desired("cam-1"), topics.reported("cam-1"),
        topics.telemetry("cam-1", "inference"), topics.ack("cam-1"),
    ] == [
        "hl/1/cam-1/hello", "hl/1/cam-1/desired", "hl/1/cam-1/reported",
        "hl/1/cam-1/telemetry/inference", "hl/1/cam-1/ack",
    ]  # fmt: skip


def test_a_subject_says_whose_it_is() -> None:
    subject = topics.to_subject(topics.telemetry("cam-1", "inference"))
    assert topics.parse_subject(subject) == ("cam-1", "telemetry", "inference")
    assert topics.to_subject(topics.hello("+")) == "hl.1.*.hello"
    for wrong in ("hl.2.cam-1.hello", "hl.1.cam-1", "x", "hl.1.a.telemetry.s.t"):
        with pytest.raises(ValueError, match="not a subject"):
            topics.parse_subject(wrong)
