"""Postfix as the mail hosts, and posttls-finger as the judge that danewatch is compared with.

One Postfix runs all hosts: a listener for each on its own loopback address, port 25, with its own
certificates. It has its own configuration, queue and log, and never sees the machine's.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from real_processes import Namespace, RealServer, program

MAIN_CF = """\
compatibility_level = 3.6
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
queue_directory = {directory}/queue
data_directory = {directory}/data
mail_owner = postfix
myhostname = postfix.test
mydestination =
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
alias_database =
smtpd_relay_restrictions = reject
smtpd_recipient_restrictions = reject
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_client_connection_rate_limit = 0
"""
# The services an smtpd needs to come up to STARTTLS: connection counts, the PRNG, and its log.
MASTER_CF = """\
postlog unix-dgram n - n - 1 postlogd
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MailHost:
    """One listener. ``chain`` is None for a host without TLS; ``options`` are main.cf overrides."""

    address: str
    chain: Path | None
    options: dict[str, str] = field(default_factory=dict)

    def service(self) -> str:
        """Return the master.cf entry."""
        tls = {"smtpd_tls_security_level": "none"}
        if self.chain is not None:
            tls = {"smtpd_tls_chain_files": str(self.chain)}
        overrides = "".join(
            f"  -o {key}={value}\n" for key, value in {**tls, **self.options}.items()
        )
        return f"{self.address}:25 inet n - n - - smtpd\n{overrides}"


def start_postfix(directory: Path, hosts: list[MailHost], *, inside: Namespace) -> RealServer:
    """Start Postfix with a listener for each of ``hosts``."""
    configuration = directory / "postfix"
    configuration.mkdir()
    (configuration / "main.cf").write_text(MAIN_CF.format(directory=directory))
    (configuration / "master.cf").write_text(MASTER_CF + "".join(host.service() for host in hosts))
    for name in ("queue", "data"):
        (directory / name).mkdir()
    # Inside, because there "postfix" is a user also where we are not root outside.
    owned = inside.run("chown", "postfix", str(directory / "data"))
    assert owned.returncode == 0, owned.stderr
    # The log goes through a file: in a user namespace postlogd may not open our pipe by its name.
    log = directory / "mail.log"
    log.touch()
    start = f"{program('postfix')} -c {configuration} start-fg & exec tail -n +1 -F {log}"
    return RealServer("postfix", inside.command(["sh", "-c", start]), ready="daemon started")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finger:
    """What posttls-finger said of a domain.

    ``trust`` is the word before "TLS connection established" (Verified, Trusted, Untrusted,
    Anonymous), or None when no TLS session came about. ``text`` is all it printed.
    """

    trust: str | None
    exit_code: int
    text: str


def posttls_finger(namespace: Namespace, domain: str, *options: str) -> Finger:
    """Ask posttls-finger about ``domain`` under the security level ``dane``."""
    result = namespace.run(
        program("posttls-finger"), "-c", "-t", "10", "-T", "10", "-l", "dane", *options, domain
    )
    text = result.stdout + result.stderr
    match = re.search(r"(\w+) TLS connection established", text)
    return Finger(trust=match[1] if match else None, exit_code=result.returncode, text=text)
