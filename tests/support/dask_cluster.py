"""A Dask cluster of real processes on loopback, under mutual TLS with certificates made here.

Every process is started by us, says its address in a file or a line, ends by itself after a while,
and is ended by its own id.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME_SECONDS = 240
START_SECONDS = 40


@dataclass(frozen=True)
class Credentials:
    """Files of one CA and one certificate for everybody."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def options(self) -> list[str]:
        """The options of ``dask scheduler`` and ``dask worker``."""
        return [
            *("--tls-ca-file", str(self.ca), "--tls-cert", str(self.certificate)),
            *("--tls-key", str(self.key)),
        ]


def make_credentials(directory: Path, name: str = "cluster") -> Credentials:
    """Return a CA of its own with one certificate for 127.0.0.1."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)

    def build(
        subject: str, issuer: str, public: ec.EllipticCurvePublicKey, ca: bool
    ) -> x509.CertificateBuilder:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=5))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if ca:
            return builder
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return builder.add_extension(names, critical=False)

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = build(f"{name} CA", f"{name} CA", ca_key.public_key(), True).sign(ca_key, hashes.SHA256())
    leaf = build(name, f"{name} CA", key.public_key(), False).sign(ca_key, hashes.SHA256())
    made = Credentials(
        directory / f"{name}-ca.pem", directory / f"{name}.pem", directory / f"{name}.key"
    )
    made.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


@dataclass
class DaskCluster:
    """A scheduler and its workers."""

    directory: Path
    credentials: Credentials
    address: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _scheduler: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the scheduler and wait until it listens."""
        facts = self.directory / "scheduler.json"
        self._scheduler = self._spawn(
            "scheduler",
            *("--host", "tls://127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--dashboard-address", "127.0.0.1:0"),
            *("--scheduler-file", str(facts)),
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.address:
            assert self._scheduler.poll() is None, self.log("scheduler")
            assert time.monotonic() < deadline, self.log("scheduler")
            try:
                self.address = json.loads(facts.read_text())["address"]
            except (OSError, ValueError):
                time.sleep(0.05)

    def add_worker(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a worker of one thread in one process."""
        name = f"worker-{len(self.workers)}"
        worker = self._spawn(
            "worker",
            self.address,
            *("--host", "tls://127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--name", name, "--local-directory", str(self.directory / name)),
            environment=environment,
            name=name,
        )
        self.workers.append(worker)
        return worker

    def kill_scheduler(self) -> None:
        """End the scheduler as a power cut would."""
        assert self._scheduler is not None
        self._scheduler.kill()
        self._scheduler.wait()

    def wait_for_workers(self, count: int) -> None:
        """Wait until ``count`` workers are with the scheduler."""
        deadline = time.monotonic() + START_SECONDS
        log = self.directory / "scheduler.log"
        while True:
            text = log.read_text(errors="replace")
            there = text.count("Register worker addr") - text.count("Remove worker addr")
            if there >= count:
                return
            assert time.monotonic() < deadline, self.log("scheduler")
            time.sleep(0.1)

    def log(self, name: str) -> str:
        """Return the last of what a process wrote."""
        return (self.directory / f"{name}.log").read_text(errors="replace")[-4_000:]

    def stop(self) -> None:
        """End everything."""
        everything = [*self.workers, *([self._scheduler] if self._scheduler else [])]
        for process in everything:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in everything:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)

    def _spawn(
        self,
        role: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> subprocess.Popen[bytes]:
        code = (
            f"import signal, sys; signal.alarm({LIFETIME_SECONDS}); "
            f"from distributed.cli.dask_{role} import main; main()"
        )
        with (self.directory / f"{name or role}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *arguments, *self.credentials.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )


@contextmanager
def running_cluster(directory: Path) -> Iterator[DaskCluster]:
    """Run a scheduler; workers are added by the test."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = DaskCluster(directory, make_credentials(directory))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
