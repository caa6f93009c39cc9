"""danewatch beside unbound and delv, over zones that BIND's and NLnet Labs' signers signed.

Three validators look at the same names: unbound, BIND's delv and danewatch. The zones are served by
NSD. All expected statuses are the table's, so that no validator is judged by another alone.
"""

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

from scanner.cli.wiring import Settings, open_validation
from scanner.judge.dnssec.anchors import read_anchors
from scanner.model.dnssec import Validation
from scanner.model.names import parse_domain
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.dnsserver import ServerAddress
from scanner.observe.resolver import open_resolver
from scanner.run.clock import SystemClock

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

SECURE, INSECURE, BOGUS = "secure", "insecure", "bogus"
RECORDS = "@ MX 10 mx\nmx A 127.0.1.1\n_25._tcp.mx TLSA 3 1 1 " + "ab" * 32 + "\n"
WILDCARD = "* TXT hello\nalias CNAME mx\nmx.deep A 127.0.1.2\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One question and the status of its answer.

    ``zone`` sets up the zone ``<name>.test``; ``question`` is "relative-name type".
    ``outcome`` is what the answer claims; ``ede`` is unbound's extended error, ``reason`` what
    danewatch finds when it validates itself.
    """

    name: str
    status: str
    question: str = "mx A"
    zone: dict[str, Any] = field(default_factory=dict)
    outcome: str = "data"
    ede: int | None = None
    reason: str | None = None


def case(name: str, status: str, question: str = "mx A", **more: Any) -> Case:
    """Return a case; keywords that are a zone's go to the zone."""
    own = {key: more.pop(key) for key in ("outcome", "ede", "reason") if key in more}
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
    case("unsigned", INSECURE, signer="none", reason="delegation-unsigned"),
    case(
        "unsigned-nodata",
        INSECURE,
        "mx AAAA",
        outcome="nodata",
        signer="none",
        reason="delegation-unsigned",
    ),
    case(
        "ds-unknown-algorithm", INSECURE, ds="unknown-algorithm", reason="ds-algorithm-unsupported"
    ),
    case("ds-unknown-digest", INSECURE, ds="unknown-digest", reason="ds-digest-unsupported"),
    # The chain is broken: each way the founding document names, and more.
    case("ds-wrong-tag", BOGUS, ds="wrong-tag", ede=9, reason="ds-no-key"),
    case("ds-wrong-digest", BOGUS, ds="wrong-digest", ede=9, reason="ds-digest-mismatch"),
    case("expired", BOGUS, days=-3, ede=7, reason="rrsig-expired"),
    case("not-yet-valid", BOGUS, days=60, ede=8, reason="rrsig-not-yet-valid"),
    case("spoilt", BOGUS, spoil=("mx.spoilt.test. A",), ede=6, reason="rrsig-invalid"),
    case("stripped", BOGUS, drop=("mx.stripped.test. A",), ede=10, reason="rrsig-missing"),
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
        reason="rrsig-missing",
    ),
    case(
        *("keys-stripped", BOGUS), drop=("keys-stripped.test. DNSKEY",), reason="ds-key-not-signing"
    ),
]
BY_NAME = {item.name: item for item in CASES}
SHA1 = case("sha1", SECURE, algorithm="RSASHA1")
"""Unbound and danewatch differ by policy: RFC 9905 advises to treat it as unsupported."""


@dataclass(frozen=True, slots=True)
class DnsWorld:
    """The servers, and three validators to ask.

    danewatch has an unbound of its own, at ``own_port``: what comes from its cache has lost its
    extended error (unbound 1.17), so that only the first to ask learns it.
    """

    tree: SignedTree
    port: int
    own_port: int

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

    async def validated(self, item: Case) -> Validation:
        """Return what danewatch's own validation, with unbound's switched off, says."""
        owner, rdtype = question_of(item)
        settings = Settings(
            resolvers=(ServerAddress("127.0.0.1", self.port),),
            anchors=read_anchors(self.tree.anchor.read_text()),
        )
        async with open_validation(settings, clock=SystemClock()) as resolver:
            assert isinstance(resolver, ValidatingResolver)
            return await resolver.validate(Question(parse_domain(owner), RRType(rdtype)))

    def _ask(self, owner: str, rdtype: str, *, checking_disabled: bool) -> dns.message.Message:
        query = dns.message.make_query(owner, rdtype, want_dnssec=True)
        if checking_disabled:
            query.flags |= dns.flags.CD
        reply, _tcp = dns.query.udp_with_fallback(query, "127.0.0.1", port=self.port, timeout=10)
        return reply


@pytest.fixture(scope="module")
def world(server_directory: Path) -> Iterator[DnsWorld]:
    """All cases as zones of their own, served and validated."""
    zones = [
        Zone(apex=f"{item.name}.test.", records=RECORDS + WILDCARD, **item.zone)
        for item in [*CASES, SHA1]
    ]
    tree = sign_tree(server_directory, [Zone(apex="test."), *zones])
    name_server_port = free_port(NAMESERVER)
    port, own_port = free_port("127.0.0.1"), free_port("127.0.0.1")
    files = {apex: tree.file(apex) for apex in tree.zones}
    started = [start_nsd(server_directory, files, port=name_server_port)]
    try:
        stubs = dict.fromkeys(tree.zones, f"{NAMESERVER}@{name_server_port}")
        started.extend(
            start_unbound(server_directory, tree.anchor, port=each, stubs=stubs)
            for each in (port, own_port)
        )
        yield DnsWorld(tree, port, own_port)
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
async def test_danewatch_validates_as_the_table_says(world: DnsWorld, name: str) -> None:
    """danewatch's own validation, with unbound's switched off, agrees with both, and names why."""
    item = BY_NAME[name]
    validation = await world.validated(item)
    assert validation.own_fault is None
    assert (validation.status, validation.outcome) == (item.status, item.outcome), validation
    assert validation.reason == item.reason, validation.findings


async def test_a_zone_signed_with_sha1_counts_as_unsigned(world: DnsWorld) -> None:
    """Debian's unbound still validates it; here it is insecure, and the finding says by policy."""
    status, _errors = world.unbound(*question_of(SHA1))
    validation = await world.validated(SHA1)
    assert (status, validation.status) == (SECURE, INSECURE)
    assert "sha1-by-policy" in {finding.reason for finding in validation.findings}


@pytest.mark.parametrize("name", BY_NAME)
async def test_danewatch_reads_what_unbound_says(world: DnsWorld, name: str) -> None:
    """Where the resolver is believed, its status and its extended error arrive unchanged."""
    item = BY_NAME[name]
    owner, rdtype = question_of(item)
    question = Question(parse_domain(owner), RRType(rdtype))
    server = ServerAddress("127.0.0.1", world.own_port)
    async with open_resolver([server], clock=SystemClock()) as resolver:
        lookup = await resolver.lookup(question)
    assert lookup.own_fault is None
    assert lookup.status == item.status, lookup
    assert lookup.outcome == ("servfail" if item.status == BOGUS else item.outcome), lookup
    assert item.ede is None or item.ede in {error.code for error in lookup.extended_errors}
