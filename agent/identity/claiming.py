"""Enrolment by a claim: the device makes its key, asks with it, and waits until somebody has accepted it.

Key, request, claim and name lie in ``pending`` below the identity's folder until the identity is there. So
a device that was cut off, or did not wait, goes on with the same key, by which people know it.
"""

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from agent.durable import write_durably
from agent.errors import EnrolmentDelayedError, EnrolmentError, HubUnreachableError
from agent.identity.enrol import ask_for_identity, fetch_ca, keep, refuse_enrolled
from agent.identity.names import default_name
from agent.identity.new_key import key_sha256, make_key_and_request
from agent.identity.store import Identity
from agent.network.line import DIRECT, Network
from contract.encoding import decode, encode
from contract.enrolment import Claim, EnrolAnswer, EnrolPending, EnrolRequest
from contract.ids import check_device_id

PENDING: Final = "pending"
FIRST_S: Final = 5.0
LONGEST_S: Final = 60.0
GROWTH: Final = 1.5
PRIVATE: Final = 0o600


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and by which claim."""

    claim: Claim
    device: str


@dataclass(frozen=True)
class Claiming:
    """A device that asks; `key_sha256` is what its Owner compares."""

    folder: Path
    asked: Asked
    csr_pem: str

    @property
    def key_sha256(self) -> str:
        """The fingerprint of the key that this device made, in hex."""
        return key_sha256(self.csr_pem)

    def ask(self, network: Network = DIRECT) -> Identity | None:
        """Ask once; return the identity, kept, or None while nobody has decided.

        Raises `EnrolmentError` where there is no use in asking again, and `EnrolmentDelayedError` or
        `HubUnreachableError` where there may be.
        """
        claim = self.asked.claim
        request = EnrolRequest(token=claim.token, csr_pem=self.csr_pem, device=self.asked.device)
        answer = ask_for_identity(claim.hub, fetch_ca(claim, network), request, network)
        if isinstance(answer, EnrolPending):
            return None
        return self._keep(answer)

    def wait(
        self,
        told: Callable[[str], None],
        network: Network = DIRECT,
        *,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> Identity:
        """Ask until there is an identity, less and less often; ``told`` hears why it takes long.

        Raises `EnrolmentError` where there is no use in asking again.
        """
        wait_s, last = FIRST_S, ""
        while True:
            try:
                found = self.ask(network)
                words = "waits until an Owner accepts it"
            except (EnrolmentDelayedError, HubUnreachableError) as error:
                found, words = None, f"not yet, and that is tried again: {error}"
            if found is not None:
                return found
            if words != last:
                told(words)
                last = words
            # Devices of one disk image do not all come together.
            sleep(wait_s * (1 + chance() / 2))
            wait_s = min(LONGEST_S, wait_s * GROWTH)

    def _keep(self, answer: EnrolAnswer) -> Identity:
        beside = self.folder / PENDING
        found = keep(answer, self.asked.claim.hub, self.folder, (beside / "key.pem").read_bytes())
        shutil.rmtree(beside, ignore_errors=True)  # the claim is of no more use here
        return found


def begin(claim: Claim | None, name: str | None, folder: Path, key_file: Path | None = None) -> Claiming:
    """Return what asks: with the key of before where there is one, else with a new one.

    Without ``claim`` or ``name`` those of before are meant; a first name is that of the machine. ``key_file``
    is a key that was made for this device elsewhere (PEM), such as one whose public half is registered.
    """
    beside = folder / PENDING
    if (folder / "device.json").exists():
        shutil.rmtree(beside, ignore_errors=True)  # it was killed before it could
    refuse_enrolled(folder)
    before = _before(beside)
    claim = claim or (before.claim if before else None)
    if claim is None:
        raise EnrolmentError(
            "neither an invitation nor a claim was given",
            where=str(folder),
            fix="Give --invitation FILE or --claim FILE.",
        )
    device = name or (before.device if before else default_name())
    asked = Asked(claim=claim, device=check_device_id(device, where="--name"))
    if before is None or key_file is not None:
        key_pem, csr_pem = _key_and_request(key_file)
        beside.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(beside / "key.pem", key_pem, mode=PRIVATE)
        write_durably(beside / "request.pem", csr_pem.encode())
    if asked != before:
        # Last: a key counts only once there is somebody to ask with it.
        write_durably(beside / "asked.json", encode(asked), mode=PRIVATE)
    return Claiming(folder, asked, (beside / "request.pem").read_text())


def _key_and_request(key_file: Path | None) -> tuple[bytes, str]:
    try:
        return make_key_and_request(key_file.read_bytes() if key_file is not None else None)
    except (OSError, ValueError, TypeError) as error:
        raise EnrolmentError(
            "not an EC private key in PEM without a password", where=str(key_file), fix="Check --key."
        ) from error


def _before(beside: Path) -> Asked | None:
    try:
        return decode((beside / "asked.json").read_bytes(), Asked, what="asked.json")
    except FileNotFoundError:
        return None
