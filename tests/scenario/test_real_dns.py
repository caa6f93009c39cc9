"""danewatch beside unbound and delv, over zones that BIND's and NLnet Labs' signers signed.

Three validators look at the same names: unbound, BIND's delv and danewatch. The zones are served by
NSD. All expected statuses are the table's, so that no validator is judged by another alone.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from real_processes import program
from real_zones import (
    NAMESERVER,
    SignedTree,
    Zone,
    free_port,
    sign_tree,
    start_nsd,
    start_unbound,
)

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

SECURE, INSECURE, BOGUS = "secure", "insecure", "bogus"
RECORDS = "@ MX 10 mx\nmx A 127.0.1.1\n_25._tcp.mx TLSA 3 1 1 " + "ab" * 32 + "\n"
WILDCARD = "* TXT hello\nalias CNAME mx\nmx.deep A 127.0.1.2\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One question and the status of its answer.

    ``zone`` sets up the zone ``<name>.test``; ``question`` is "relative-name type".
    ``reason`` is danewatch's, for what is not secure; ``ede`` is unbound's extended error.
    """

    name: str
    status: str
    question: str = "mx A"
    zone: dict[str, Any] = field(default_factory=dict)
    outcome: str = "data"
    reason: str | None = None
    ede: int | None = None


def case(name: str, status: str, question: str = "mx A", **more: Any) -> Case:
    """Return a case; keywords that are a zone's go to the zone."""
    own = {key: more.pop(key) for key in ("outcome", "reason", "ede") if key in more}
    return Case(name=name, status=status, question=question, zone=more, **own)


CASES = [
    # Signed by dnssec-signzone, absence proven by NSEC.
    case("nsec-data", SECURE),
    case("nsec-mx", SECURE, "@ MX"),
    case("nsec-tlsa", SECURE, "_25._tcp.mx TLSA"),
    case("nsec-alias", SECURE, "alias A"),
    case("nsec-nodata", SECURE, "mx AAAA", outcome="nodata"),
    case("nsec-empty-non-terminal", SECURE, "deep A", outcome="nodata"),
    case("nsec-nxdomain", SECURE, "a.mx A", outcome="nxdomain"),
    case("nsec-wildcard", SECURE, "anything TXT"),
    case("nsec-wildcard-nodata", SECURE, "anything A", outcome="nodata"),
    # Absence proven by NSEC3.
    case("nsec3-data", SECURE, nsec3=True),
    case("nsec3-nodata", SECURE, "mx AAAA", outcome="nodata", nsec3=True),
    case("nsec3-nxdomain", SECURE, "a.mx A", outcome="nxdomain", nsec3=True),
    case("nsec3-wildcard", SECURE, "anything TXT", nsec3=True),
    case("nsec3-wildcard-nodata", SECURE, "anything A", outcome="nodata", nsec3=True),
    case("nsec3-empty-non-terminal", SECURE, "deep A", outcome="nodata", nsec3=True),
    # An independent signer.
    case("ldns-data", SECURE, signer="ldns"),
    case("ldns-nxdomain", SECURE, "a.mx A", outcome="nxdomain", signer="ldns"),
    case("ldns-nsec3-data", SECURE, signer="ldns", nsec3=True),
    case("ldns-nsec3-nodata", SECURE, "mx AAAA", outcome="nodata", signer="ldns", nsec3=True),
    case("ldns-nsec3-nxdomain", SECURE, "a.mx A", outcome="nxdomain", signer="ldns", nsec3=True),
    # Every algorithm that is in use.
    case("rsa-sha256", SECURE, algorithm="RSASHA256"),
    case("rsa-sha512", SECURE, algorithm="RSASHA512"),
    case("ecdsa-p384", SECURE, algorithm="ECDSAP384SHA384"),
    case("ed25519", SECURE, algorithm="ED25519"),
    case("ed448", SECURE, algorithm="ED448"),
    # The chain ends, provably.
    case("unsigned", INSECURE, signer="none"),
    case("unsigned-nodata", INSECURE, "mx AAAA", outcome="nodata", signer="none"),
    case("ds-unknown-algorithm", INSECURE, ds="unknown-algorithm"),
    case("ds-unknown-digest", INSECURE, ds="unknown-digest"),
    # The chain is broken: each way the founding document names, and more.
    case("ds-wrong-tag", BOGUS, ds="wrong-tag", reason="ds-no-key", ede=9),
    case("ds-wrong-digest", BOGUS, ds="wrong-digest", reason="ds-digest-mismatch", ede=9),
    case("expired", BOGUS, days=-3, reason="rrsig-expired", ede=7),
    case("not-yet-valid", BOGUS, days=60, reason="rrsig-not-yet-valid", ede=8),
    case("spoilt", BOGUS, spoil=("mx.spoilt.test. A",), reason="rrsig-invalid", ede=6),
    case("stripped", BOGUS, drop=("mx.stripped.test. A",), reason="rrsig-missing", ede=10),
    case(
        *("denial-spoilt", BOGUS, "mx AAAA"),
        spoil=("mx.denial-spoilt.test. NSEC",),
        outcome="nodata",
        reason="rrsig-invalid",
    ),
    case(
        *("denial-stripped", BOGUS, "mx AAAA"),
        drop=("mx.denial-stripped.test. NSEC",),
        outcome="nodata",
        reason="denial-missing",
    ),
    case(
        *("keys-stripped", BOGUS),
        drop=("keys-stripped.test. DNSKEY",),
        reason="rrsig-missing",
    ),
]
BY_NAME = {item.name: item for item in CASES}


@dataclass(frozen=True, slots=True)
class DnsWorld:
    """The servers, and three validators to ask."""

    tree: SignedTree
    port: int
    command: str

    def unbound(self, owner: str, rdtype: str) -> tuple[str, set[int]]:
        """Return the status unbound gives, and its extended errors."""
        reply = self._ask(owner, rdtype, checking_disabled=False)
        errors = {int(item.code) for item in reply.extended_errors()}
        if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return (SECURE if reply.flags & dns.flags.AD else INSECURE), errors
        unchecked = self._ask(owner, rdtype, checking_disabled=True)
        assert unchecked.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN), unchecked
        return BOGUS, errors

    def delv(self, owner: str, rdtype: str) -> str:
        """Return the status delv gives."""
        result = subprocess.run(
            [
                *(program("delv"), "-a", str(self.tree.delv_anchor), "+root=."),
                *("@127.0.0.1", "-p", str(self.port), owner, rdtype),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if re.search(r"^; .*fully validated", result.stdout, re.MULTILINE):
            return SECURE
        if re.search(r"^; .*unsigned answer", result.stdout, re.MULTILINE):
            return INSECURE
        assert "resolution failed" in result.stderr, result
        return BOGUS

    def danewatch(self, owner: str, rdtype: str, *options: str) -> tuple[int, dict[str, Any]]:
        """Return danewatch's exit code and its document."""
        result = subprocess.run(
            [
                *(self.command, "dnssec", owner, rdtype, "--json"),
                *("--resolver", f"127.0.0.1:{self.port}"),
                *("--trust-anchor", str(self.tree.anchor), *options),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.stdout, result.stderr
        return result.returncode, json.loads(result.stdout)

    def _ask(self, owner: str, rdtype: str, *, checking_disabled: bool) -> dns.message.Message:
        query = dns.message.make_query(owner, rdtype, want_dnssec=True)
        if checking_disabled:
            query.flags |= dns.flags.CD
        reply, _tcp = dns.query.udp_with_fallback(query, "127.0.0.1", port=self.port, timeout=10)
        return reply


@pytest.fixture(scope="module")
def world(server_directory: Path, danewatch_command: str) -> Iterator[DnsWorld]:
    """All cases as zones of their own, served and validated."""
    zones = [
        Zone(apex=f"{item.name}.test.", records=RECORDS + WILDCARD, **item.zone) for item in CASES
    ]
    tree = sign_tree(server_directory, [Zone(apex="test."), *zones])
    name_server_port, port = free_port(NAMESERVER), free_port("127.0.0.1")
    files = {apex: tree.file(apex) for apex in tree.zones}
    started = [start_nsd(server_directory, files, port=name_server_port)]
    try:
        stubs = dict.fromkeys(tree.zones, f"{NAMESERVER}@{name_server_port}")
        started.append(start_unbound(server_directory, tree.anchor, port=port, stubs=stubs))
        yield DnsWorld(tree, port, danewatch_command)
    finally:
        for server in started:
            server.stop()


def question_of(item: Case) -> tuple[str, str]:
    """Return the full name and the type a case asks for."""
    owner, rdtype = item.question.split()
    return (f"{item.name}.test" if owner == "@" else f"{owner}.{item.name}.test"), rdtype


@pytest.mark.parametrize("name", BY_NAME)
def test_unbound_gives_the_status_of_the_table(world: DnsWorld, name: str) -> None:
    """The zone is set up as the table says, in the eyes of unbound."""
    item = BY_NAME[name]
    status, errors = world.unbound(*question_of(item))
    assert status == item.status
    assert item.ede is None or item.ede in errors


@pytest.mark.parametrize("name", BY_NAME)
def test_delv_gives_the_status_of_the_table(world: DnsWorld, name: str) -> None:
    """The zone is set up as the table says, in the eyes of BIND."""
    item = BY_NAME[name]
    assert world.delv(*question_of(item)) == item.status


@pytest.mark.parametrize("name", BY_NAME)
def test_danewatch_gives_the_status_of_the_table(world: DnsWorld, name: str) -> None:
    """danewatch's own validation, over unbound with checking disabled, agrees with both."""
    item = BY_NAME[name]
    code, document = world.danewatch(*question_of(item))
    assert (document["status"], document["outcome"]) == (item.status, item.outcome), document
    assert code == (1 if item.status == BOGUS else 0)
    if item.reason is not None:
        assert document["reason"] == item.reason, document


def test_a_signature_is_judged_as_of_the_time_asked_for(world: DnsWorld) -> None:
    """What is secure now will have expired by the end of the century."""
    code, document = world.danewatch("mx.nsec-data.test", "A", "--at", "2100-01-01T00:00:00Z")
    assert (code, document["status"], document["reason"]) == (1, "bogus", "rrsig-expired")


def test_without_an_anchor_above_the_name_nothing_is_known(
    world: DnsWorld, server_directory: Path
) -> None:
    """An anchor of another zone covers nothing here: indeterminate (RFC 4033 §5)."""
    island = server_directory / "island.key"
    island.write_text(world.tree.anchor.read_text().replace(". IN", "elsewhere.invalid. IN", 1))
    code, document = world.danewatch("mx.nsec-data.test", "A", "--trust-anchor", str(island))
    assert (code, document["status"]) == (3, "indeterminate")
