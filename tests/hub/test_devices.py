"""Invitation and enrolment: a token works once, and what a request asks for by name is ignored."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import InvitationRow
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.errors import (
    ConflictError,
    NotFoundError,
    TokenExpiredError,
    TokenUnknownError,
    TokenUsedError,
)
from cloud_hub.pki.authority import Authority, serial_of
from cloud_hub.pki.errors import CsrRefusedError
from contract.enrolment import EnrolAnswer, EnrolRequest, RenewRequest
from contract.errors import HeadlandError
from contract.ids import InvalidNameError

HOUR = timedelta(hours=1)
BY = Actor("ana")


def csr(name: str = "whatever") -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def devices(database: Database, tmp_path: Path) -> Devices:
    (tmp_path / "pki").mkdir()
    facts = HubFacts("https://localhost:1", "localhost", 2, {"k": "00"})
    return Devices(database, Authority.create(tmp_path / "pki"), facts, Audit(database, bytes(32)))


def test_an_invited_device_gets_a_certificate_in_the_hub_s_name_for_it(devices: Devices) -> None:
    invitation = devices.invite("shop", "cam-9", HOUR, BY)
    answer = devices.enrol(EnrolRequest(token=invitation.token, csr_pem=csr("admin")), BY)
    certificate = x509.load_pem_x509_certificate(answer.certificate_pem.encode())
    assert (answer.device, answer.workspace) == ("cam-9", "shop")
    assert certificate.subject.rfc4514_string() == "CN=cam-9"
    assert devices.recognise("cam-9", serial_of(certificate)) is not None
    assert devices.recognise("cam-1", serial_of(certificate)) is None
    assert devices.recognise("cam-9", "1") is None


def test_of_fifty_at_once_one_gets_the_certificate(devices: Devices) -> None:
    invitation = devices.invite("shop", "cam-9", HOUR, BY)

    def enrol(request: str) -> EnrolAnswer | HeadlandError:
        try:
            return devices.enrol(EnrolRequest(token=invitation.token, csr_pem=request), BY)
        except HeadlandError as error:
            return error

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(enrol, [csr() for _ in range(50)]))
    assert sum(isinstance(answer, EnrolAnswer) for answer in answers) == 1
    assert sum(isinstance(answer, TokenUsedError) for answer in answers) == 49


def test_a_token_that_is_used_unknown_or_late_says_which(devices: Devices) -> None:
    token = devices.invite("shop", "cam-9", HOUR, BY).token
    devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY)
    with pytest.raises(TokenUsedError):
        devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY)
    with pytest.raises(TokenUnknownError):
        devices.enrol(EnrolRequest(token="guess", csr_pem=csr()), BY)
    late = devices.invite("shop", "cam-8", timedelta(seconds=-1), BY).token
    with pytest.raises(TokenExpiredError):
        devices.enrol(EnrolRequest(token=late, csr_pem=csr()), BY)


def test_a_request_that_is_refused_does_not_spend_the_token(devices: Devices) -> None:
    token = devices.invite("shop", "cam-9", HOUR, BY).token
    with pytest.raises(CsrRefusedError):
        devices.enrol(EnrolRequest(token=token, csr_pem="no request"), BY)
    assert devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY).device == "cam-9"


def test_a_second_invitation_does_not_make_a_second_identity(devices: Devices) -> None:
    first, second = (devices.invite("shop", "cam-9", HOUR, BY).token for _ in range(2))
    devices.enrol(EnrolRequest(token=first, csr_pem=csr()), BY)
    with pytest.raises(TokenUsedError):
        devices.enrol(EnrolRequest(token=second, csr_pem=csr()), BY)


def test_a_lost_machine_may_enrol_again_when_its_owner_says_so(devices: Devices) -> None:
    first = devices.enrol(
        EnrolRequest(token=devices.invite("shop", "cam-9", HOUR, BY).token, csr_pem=csr()), BY
    )
    with pytest.raises(ConflictError, match="enrolled already"):
        devices.invite("shop", "cam-9", HOUR, BY)
    token = devices.invite("shop", "cam-9", HOUR, BY, replace=True).token
    second = devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY)
    serials = [
        serial_of(x509.load_pem_x509_certificate(answer.certificate_pem.encode()))
        for answer in (first, second)
    ]
    assert [devices.recognise("cam-9", serial) is not None for serial in serials] == [False, True]


def test_an_id_that_is_taken_or_not_allowed_is_refused(devices: Devices) -> None:
    with pytest.raises(ConflictError):
        devices.invite("lab", "cam-1", HOUR, BY)
    with pytest.raises(InvalidNameError):
        devices.invite("shop", "Cam/1", HOUR, BY)


def test_the_token_itself_is_not_kept(devices: Devices, database: Database) -> None:
    token = devices.invite("shop", "cam-9", HOUR, BY).token
    with database.transaction() as session:
        kept = [row.token_sha256 for row in session.query(InvitationRow).all()]
    assert kept
    assert token not in kept


def test_a_revoked_device_s_certificates_and_invitations_end(devices: Devices) -> None:
    token = devices.invite("shop", "cam-9", HOUR, BY).token
    held = serial_in(devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY))
    given = serial_in(devices.renew("cam-9", RenewRequest(csr_pem=csr()), BY))
    open_one = devices.invite("shop", "cam-9", HOUR, BY, replace=True).token
    assert devices.recognise("cam-9", held) is not None, "the control"
    assert devices.revoke("shop", "cam-9", BY).revoked_at is not None
    assert devices.revoke("shop", "cam-9", BY).revoked_at is not None, "twice is once"
    assert [devices.recognise("cam-9", each) for each in (held, given)] == [None, None]
    with pytest.raises(TokenUsedError):
        devices.enrol(EnrolRequest(token=open_one, csr_pem=csr()), BY)
    with pytest.raises(ConflictError):
        devices.invite("shop", "cam-9", HOUR, BY)
    with pytest.raises(NotFoundError):
        devices.revoke("lab", "cam-9", BY)
    anew = devices.invite("shop", "cam-9", HOUR, BY, replace=True).token
    back = serial_in(devices.enrol(EnrolRequest(token=anew, csr_pem=csr()), BY))
    assert devices.recognise("cam-9", back) is not None
    assert [devices.recognise("cam-9", each) for each in (held, given)] == [None, None]


def test_a_device_that_was_revoked_before_it_enrolled_needs_a_new_invitation(devices: Devices) -> None:
    token = devices.invite("shop", "cam-9", HOUR, BY).token
    devices.revoke("shop", "cam-9", BY)
    with pytest.raises(TokenUsedError):
        devices.enrol(EnrolRequest(token=token, csr_pem=csr()), BY)
    with pytest.raises(ConflictError):
        devices.invite("shop", "cam-9", HOUR, BY)


def serial_in(answer: EnrolAnswer) -> str:
    return serial_of(x509.load_pem_x509_certificate(answer.certificate_pem.encode()))
