"""An enrolled device on disk whose hub signs what the test wants; its commands are real processes."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.cli import main
from agent.identity import store
from cloud_hub.pki.authority import Authority, private_key_pem
from cloud_hub.pki.signer import DesiredSigner
from contract.desired import Desired, Module
from contract.encoding import encode
from simulators.demo.stage import Daemon

PROGRAM = str(Path(sys.executable).parent / "headland-agent")
NOW = datetime.now(UTC)


@dataclass
class Enrolled:
    """``cam-1`` of the workspace ``shop``, with its state in ``folder/state``."""

    folder: Path
    hub: str = "https://localhost:9"
    mqtt_port: int = 9
    signer: DesiredSigner = field(default_factory=lambda: DesiredSigner(Ed25519PrivateKey.generate()))
    authority: Authority = field(init=False)
    issued_at: datetime = NOW

    def __post_init__(self) -> None:
        (self.folder / "ca").mkdir(parents=True)
        self.authority = Authority.create(self.folder / "ca", now=self.issued_at)
        self.enrol()

    def enrol(self, *, issued_at: datetime | None = None) -> store.Identity:
        """Write an identity whose certificate begins at ``issued_at`` and holds for 30 days."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        issued = self.authority.issue_device(csr, "cam-1", issued_at or self.issued_at)
        facts = store.DeviceFacts(
            device="cam-1",
            workspace="shop",
            hub=self.hub,
            mqtt_host="localhost",
            mqtt_port=self.mqtt_port,
            desired_keys=self.signer.public_keys(),
        )
        return store.save(
            self.state / "identity",
            facts,
            key_pem=private_key_pem(key),
            certificate_pem=issued.certificate_pem.decode(),
            ca_pem=self.authority.ca_pem.decode(),
        )

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    def document(self, generation: int, *modules: Module, **changed: Any) -> bytes:
        """Return a signed envelope."""
        fields: dict[str, Any] = {
            "device": "cam-1", "workspace": "shop", "generation": generation, "issued_at": NOW,
            "not_after": NOW + timedelta(days=30), "rollout": f"r:{generation}", "modules": modules,
        }  # fmt: skip
        return encode(self.signer.sign(encode(Desired(**(fields | changed)))))

    def file(self, envelope: bytes, name: str = "document.json") -> Path:
        """Write an envelope to a file."""
        path = self.folder / name
        path.write_bytes(envelope)
        return path

    def run(self, *words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the device as a person does."""
        command = [PROGRAM, *map(str, words), "--state-dir", str(self.state), "--driver", "process"]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)

    def ask(self, *words: object) -> tuple[int, Any]:
        """Run a command with ``--output json`` in this process; return its exit code and answer."""
        printed = io.StringIO()
        shared = ["--state-dir", str(self.state), "--driver", "process", "--output", "json"]
        with contextlib.redirect_stdout(printed):
            code = main([*map(str, words), *shared])
        return code, json.loads(printed.getvalue())

    def daemon(self, *words: str) -> Daemon:
        """Return the device's daemon, not yet started."""
        command = (PROGRAM, "run", "--state-dir", str(self.state), *(words or ("--driver", "process")))
        return Daemon("agent", self.folder, command)
