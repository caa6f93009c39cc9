"""Postfix as the mail hosts, and posttls-finger as the judge that danewatch is compared with.

One Postfix runs all hosts: a listener for each on its own loopback address, port 25, with its own
certificates. It has its own configuration, queue and log, and never sees the machine's.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
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


class Said(StrEnum):
    """What posttls-finger found at one host, in a word."""

    VERIFIED = "verified"
    """TLS came up and the certificate matched a TLSA record."""
    VERIFIED_INSECURE_MX = "verified-insecure-mx"
    """The same, for a host that an unsigned MX record named; Postfix heeds its records."""
    REJECTED = "rejected"
    """TLS came up, the certificate had to match and did not."""
    ENCRYPTED = "encrypted"
    """TLS came up; there are TLSA records and none can be used."""
    OPPORTUNISTIC = "opportunistic"
    """TLS came up; there are no TLSA records that count."""
    NO_TLS = "no-tls"
    """No TLS session, and there are TLSA records: no mail is sent."""
    CLEAR = "clear"
    """No TLS session, and there are no TLSA records that count."""
    LOOKUP_ERROR = "lookup-error"
    """No connection, because a DNS lookup failed."""
    NO_HOST = "no-host"
    """No connection, because there is no mail host."""
    CRASHED = "crashed"


AGREEING: dict[Said, frozenset[str]] = {
    Said.VERIFIED: frozenset({"authenticated"}),
    Said.REJECTED: frozenset({"failed"}),
    Said.ENCRYPTED: frozenset({"encrypted"}),
    Said.OPPORTUNISTIC: frozenset({"opportunistic-tls"}),
    # Whether the session or only TLS failed, posttls-finger does not always tell.
    Said.NO_TLS: frozenset({"failed", "unreachable"}),
    Said.CLEAR: frozenset({"opportunistic-clear", "unreachable"}),
    Said.LOOKUP_ERROR: frozenset({"lookup-failed"}),
    Said.NO_HOST: frozenset({"no-address"}),
    Said.VERIFIED_INSECURE_MX: frozenset(),
    Said.CRASHED: frozenset(),
}
"""Which outcomes of a host, under RFC 7672, say the same as posttls-finger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finger:
    """One run of posttls-finger: the word it comes down to, and all it printed."""

    said: Said
    text: str


def posttls_finger(namespace: Namespace, domain: str) -> Finger:
    """Ask posttls-finger about ``domain`` under the security level ``dane``."""
    # -v, because only then does it say that there are no (usable) TLSA records.
    options = ["-c", "-v", "-t", "5", "-T", "5", "-l", "dane"]
    result = namespace.run(program("posttls-finger"), *options, domain)
    text = result.stdout + result.stderr
    return Finger(said=_word(text), text=text)


def _word(text: str) -> Said:
    if "panic:" in text:
        return Said.CRASHED
    tls = re.search(r"(\w+) TLS connection established", text)
    unusable = "no usable TLSA records" in text or "all TLSA records unusable" in text
    absent = "no TLSA records found" in text
    if tls is None:
        if "try again" in text or "lookup error" in text:
            return Said.LOOKUP_ERROR
        if "address lookup failed" in text:
            return Said.NO_HOST
        return Said.CLEAR if absent else Said.NO_TLS
    if unusable:
        return Said.ENCRYPTED
    if absent:
        return Said.OPPORTUNISTIC
    if tls[1] == "Verified":
        return Said.VERIFIED
    insecure = "MX RRset insecure" in text
    return Said.VERIFIED_INSECURE_MX if insecure and tls[1] == "Trusted" else Said.REJECTED
