"""danewatch beside posttls-finger, over the same Postfix, NSD and unbound.

Every case is a domain of its own with one thing set up in one way. Postfix' prober and danewatch
look at it over the same resolver, from inside one private network with real ports 25 and 53. What
posttls-finger says is asserted too, so that the table shows the peer's behaviour. Both must say the
same of a host; what danewatch says beyond that, and why, stands in ``docs/peers.md``.
"""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from real_certificates import DAY, Credential, authority, issued, self_signed
from real_mail import AGREEING, Finger, MailHost, Said, posttls_finger, start_postfix
from real_processes import Namespace
from real_zones import Zone, sign_tree, start_nsd, start_unbound

pytestmark = [pytest.mark.scenario, pytest.mark.real_servers]

ONE_HOST = "@ MX 10 mx\nmx A {address}\n"


Expected = tuple[str, str | None, str | None]
"""Verdict, reason, code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One domain, ``<name>.test``, and what is expected of both programs.

    ``tlsa`` entries are "usage selector type whose"; ``chain`` names the credential presented.
    ``records`` may use ``{address}``, the case's own listener. ``rfc`` and ``exo`` are
    (verdict, reason, code).
    """

    name: str
    finger: Said
    rfc: Expected
    exo: Expected
    chain: str | None = "leaf"
    tlsa: tuple[str, ...] = ()
    records: str = ONE_HOST
    owner: str = "_25._tcp.mx"
    zone: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The mail host most cases have."""
        return f"mx.{self.name}.test"


PROTECTED: Expected = ("protected", None, None)


def blocked(reason: str, code: str) -> dict[str, Expected]:
    """Return the expectation of a failure that both profiles see alike; codes are Microsoft's."""
    return {"rfc": ("blocked", reason, None), "exo": ("blocked", reason, code)}


def alike(verdict: str, reason: str | None = None, code: str | None = None) -> dict[str, Expected]:
    """Return the expectation of what both profiles see alike."""
    return {"rfc": (verdict, reason, code), "exo": (verdict, reason, code)}


CASES = [
    # Certificates against records.
    Case(name="match", tlsa=("3 1 1 leaf",), finger=Said.VERIFIED, **alike("protected")),
    Case(name="match-cert", tlsa=("3 0 1 leaf",), finger=Said.VERIFIED, **alike("protected")),
    Case(name="match-sha512", tlsa=("3 1 2 leaf",), finger=Said.VERIFIED, **alike("protected")),
    Case(
        name="match-full",
        tlsa=("3 1 0 leaf", "3 0 0 leaf"),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="rollover",
        tlsa=("3 1 1 other", "3 1 1 leaf"),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="mismatch",
        tlsa=("3 1 1 other",),
        finger=Said.REJECTED,
        **blocked("tlsa-mismatch", "4.7.323"),
    ),
    Case(
        name="wrong-name",
        chain="issued-for-another",
        tlsa=("3 1 1 issued-for-another",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="expired",
        chain="expired",
        tlsa=("3 1 1 expired",),
        finger=Said.VERIFIED,
        rfc=PROTECTED,
        exo=("blocked", "certificate-expired", "4.7.322"),
    ),
    Case(
        name="not-yet",
        chain="not-yet",
        tlsa=("3 1 1 not-yet",),
        finger=Said.VERIFIED,
        rfc=PROTECTED,
        exo=("blocked", "certificate-not-yet-valid", "4.7.323"),
    ),
    Case(
        name="agility",
        tlsa=("3 1 1 leaf", "3 1 2 other"),
        finger=Said.REJECTED,
        rfc=("blocked", "tlsa-mismatch", None),
        exo=PROTECTED,
    ),
    # Trust anchors.
    Case(
        name="ta",
        chain="issued",
        tlsa=("2 0 1 ca",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="ta-key",
        chain="issued",
        tlsa=("2 1 1 ca",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="ta-name",
        chain="issued-for-another",
        tlsa=("2 0 1 ca",),
        finger=Said.REJECTED,
        **blocked("certificate-name-mismatch", "4.7.325"),
    ),
    Case(
        name="ta-expired",
        chain="issued-expired",
        tlsa=("2 0 1 ca",),
        finger=Said.REJECTED,
        **blocked("certificate-expired", "4.7.322"),
    ),
    Case(
        name="ta-unsent",
        chain="issued-alone",
        tlsa=("2 0 1 ca",),
        finger=Said.REJECTED,
        **blocked("trust-anchor-missing", "4.7.323"),
    ),
    Case(
        name="ta-in-dns",
        chain="issued-alone",
        tlsa=("2 0 0 ca",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="ta-key-in-dns",
        chain="issued-alone",
        tlsa=("2 1 0 ca",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="ta-key-is-leaf",
        chain="own-name",
        tlsa=("2 1 0 own-name",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="ta-is-leaf",
        tlsa=("2 0 1 leaf",),
        finger=Said.REJECTED,
        **blocked("trust-anchor-is-leaf", "4.7.323"),
    ),
    Case(
        name="ta-other",
        chain="issued",
        tlsa=("2 0 1 other",),
        finger=Said.REJECTED,
        **blocked("tlsa-mismatch", "4.7.323"),
    ),
    # Records that cannot be used.
    Case(
        name="pkix",
        tlsa=("1 1 1 leaf",),
        finger=Said.ENCRYPTED,
        **alike("encrypted", "tlsa-all-unusable"),
    ),
    Case(
        name="short",
        tlsa=("3 1 1 truncated",),
        finger=Said.ENCRYPTED,
        **alike("encrypted", "tlsa-all-unusable"),
    ),
    Case(
        name="pkix-right-ee-wrong",
        tlsa=("1 1 1 leaf", "3 1 1 other"),
        finger=Said.REJECTED,
        **blocked("tlsa-mismatch", "4.7.323"),
    ),
    Case(
        name="pkix-wrong-ee-right",
        tlsa=("1 1 1 other", "3 1 1 leaf"),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="pkix-no-tls",
        chain=None,
        tlsa=("0 0 1 ca",),
        finger=Said.NO_TLS,
        **blocked("starttls-not-offered", "4.7.321"),
    ),
    # No TLS, no records.
    Case(
        name="no-tls",
        chain=None,
        tlsa=("3 1 1 leaf",),
        finger=Said.NO_TLS,
        **blocked("starttls-not-offered", "4.7.321"),
    ),
    Case(name="no-tlsa", finger=Said.OPPORTUNISTIC, **alike("opportunistic", "tlsa-absent")),
    Case(
        name="no-tlsa-no-tls",
        chain=None,
        finger=Said.CLEAR,
        **alike("opportunistic", "starttls-not-offered"),
    ),
    # Security of the names.
    Case(
        name="unsigned",
        tlsa=("3 1 1 other",),
        zone={"signer": "none"},
        finger=Said.OPPORTUNISTIC,
        **alike("opportunistic", "domain-unsigned"),
    ),
    Case(
        name="ldns-nsec3",
        tlsa=("3 1 1 leaf",),
        zone={"signer": "ldns", "nsec3": True},
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="opt-out-no-tlsa",
        zone={"nsec3": True, "opt_out": True},
        finger=Said.OPPORTUNISTIC,
        **alike("opportunistic", "tlsa-absent"),
    ),
    Case(
        name="tlsa-bogus",
        tlsa=("3 1 1 leaf",),
        zone={"spoil": ("_25._tcp.mx.tlsa-bogus.test. TLSA",)},
        finger=Said.LOOKUP_ERROR,
        **blocked("tlsa-dnssec-bogus", "4.7.324"),
    ),
    Case(
        name="address-bogus",
        tlsa=("3 1 1 leaf",),
        zone={"drop": ("mx.address-bogus.test. A",)},
        finger=Said.LOOKUP_ERROR,
        **blocked("address-dnssec-bogus", "4.4.312"),
    ),
    Case(
        name="mx-bogus",
        tlsa=("3 1 1 leaf",),
        zone={"spoil": ("mx-bogus.test. MX",)},
        finger=Said.LOOKUP_ERROR,
        **blocked("mx-dnssec-bogus", "4.4.312"),
    ),
    Case(
        name="zone-expired",
        tlsa=("3 1 1 leaf",),
        zone={"days": -3},
        finger=Said.LOOKUP_ERROR,
        **blocked("mx-dnssec-bogus", "4.4.312"),
    ),
    Case(
        name="ds-wrong",
        tlsa=("3 1 1 leaf",),
        zone={"ds": "wrong-tag"},
        finger=Said.LOOKUP_ERROR,
        **blocked("mx-dnssec-bogus", "4.4.312"),
    ),
    Case(
        name="host-unsigned",
        records="@ MX 10 host-unsigned.plain.test.\n",
        finger=Said.OPPORTUNISTIC,
        **alike("opportunistic", "host-unsigned"),
    ),
    # Aliases.
    Case(
        name="alias",
        records="@ MX 10 mx\nmx CNAME real\nreal A {address}\n",
        owner="_25._tcp.real",
        tlsa=("3 1 1 leaf",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="alias-original",
        records="@ MX 10 mx\nmx CNAME real\nreal A {address}\n",
        tlsa=("3 1 1 leaf",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="alias-unsigned",
        records="@ MX 10 mx\nmx CNAME alias-unsigned.plain.test.\n",
        tlsa=("3 1 1 leaf",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="tlsa-alias",
        owner="_tlsa",
        records=ONE_HOST + "_25._tcp.mx CNAME _tlsa\n",
        tlsa=("3 1 1 leaf",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="tlsa-alias-unsigned",
        records=ONE_HOST + "_25._tcp.mx CNAME _tlsa.plain.test.\n",
        finger=Said.OPPORTUNISTIC,
        **alike("opportunistic", "tlsa-absent"),
    ),
    # No mail host, or no MX record.
    Case(
        name="implicit",
        records="@ A {address}\n",
        owner="_25._tcp",
        tlsa=("3 1 1 leaf",),
        finger=Said.VERIFIED,
        **alike("protected"),
    ),
    Case(
        name="null-mx",
        records="@ MX 0 .\n@ A {address}\n",
        finger=Said.NO_HOST,
        **alike("no-mail", "null-mx", "5.1.10"),
    ),
    Case(
        name="host-missing",
        records="@ MX 10 gone\n@ A {address}\n",
        finger=Said.NO_HOST,
        **alike("no-mail", "no-mail-host"),
    ),
]
BY_NAME = {case.name: case for case in CASES}


@dataclass(frozen=True, slots=True)
class MailWorld:
    """Everything running, and both programs to ask about it."""

    namespace: Namespace
    command: str
    anchor: Path

    def finger(self, name: str) -> Finger:
        """Ask posttls-finger about ``<name>.test``."""
        return posttls_finger(self.namespace, f"{name}.test")

    def check(self, *domains: str, validation: str) -> tuple[int, list[dict[str, Any]]]:
        """Ask danewatch; return its exit code and its documents."""
        own = ["--trust-anchor", str(self.anchor)] if validation == "local" else []
        result = self.namespace.run(
            *(self.command, "check", "--json", "--validation", validation, *own),
            *("--resolver", "127.0.0.1", "--allow-private-addresses", *domains),
        )
        assert result.stdout, result.stderr
        return result.returncode, [json.loads(line) for line in result.stdout.splitlines()]


def credentials() -> dict[str, Callable[[str], Credential]]:
    """Return, for each name a case may use, how to make that credential for a host."""
    ca = authority("Private CA")
    long_ago, later = datetime.now(UTC) - 30 * DAY, datetime.now(UTC) + 3 * DAY
    leaf, other = self_signed("mail.invalid"), self_signed("other.invalid")
    expired = self_signed("mail.invalid", not_before=long_ago, days=10)
    not_yet = self_signed("mail.invalid", not_before=later)
    for_another = issued("mx.another.test", ca)
    return {
        "leaf": lambda _host: leaf,
        "other": lambda _host: other,
        "expired": lambda _host: expired,
        "not-yet": lambda _host: not_yet,
        "ca": lambda _host: ca,
        "own-name": functools.cache(self_signed),
        "issued": lambda host: issued(host, ca),
        "issued-alone": lambda host: issued(host, ca, send_issuer=False),
        "issued-expired": lambda host: issued(host, ca, not_before=long_ago, days=10),
        "issued-for-another": lambda _host: for_another,
    }


@pytest.fixture(scope="module")
def world(server_directory: Path, danewatch_command: str) -> Iterator[MailWorld]:
    """All cases up and running in one private network."""
    make = credentials()
    zones, hosts = [Zone(apex="test.")], []
    plain = "_tlsa TLSA " + make["other"]("").tlsa(3, 1, 1) + "\n"
    for number, case in enumerate(CASES, start=1):
        address = f"127.0.1.{number}"
        records = case.records.format(address=address) + "".join(
            f"{case.owner} TLSA {_rdata(entry, make, case.host)}\n" for entry in case.tlsa
        )
        if f"{case.name}.plain.test" in case.records:
            plain += f"{case.name} A {address}\n"
        zones.append(Zone(apex=f"{case.name}.test.", records=records, **case.zone))
        chain = make[case.chain](case.host) if case.chain else None
        path = server_directory / f"{case.name}.pem"
        hosts.append(MailHost(address=address, chain=chain.write(path) if chain else None))
    zones.append(Zone(apex="plain.test.", signer="none", records=plain))
    tree = sign_tree(server_directory, zones)
    namespace = Namespace(server_directory)
    started = []
    try:
        files = {apex: tree.file(apex) for apex in tree.zones}
        started.append(start_nsd(server_directory, files, port=53, inside=namespace))
        started.append(start_unbound(server_directory, tree.anchor, port=53, inside=namespace))
        started.append(start_postfix(server_directory, hosts, inside=namespace))
        yield MailWorld(namespace, danewatch_command, tree.anchor)
    finally:
        namespace.stop()
        for server in started:
            server.stop()


@pytest.fixture(scope="module", params=["local", "resolver"])
def documents(world: MailWorld, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """What danewatch says of every case, from one run over all: validating itself, and not."""
    domains = [f"{name}.test" for name in BY_NAME]
    _code, documents = world.check(*domains, validation=request.param)
    return {document["domain"].removesuffix(".test"): document for document in documents}


def _rdata(entry: str, make: dict[str, Callable[[str], Credential]], host: str) -> str:
    *numbers, whose = entry.split()
    if whose == "truncated":
        return make["leaf"](host).tlsa(*map(int, numbers))[:-2]
    return make[whose](host).tlsa(*map(int, numbers))


@pytest.mark.parametrize("name", BY_NAME)
def test_posttls_finger_says_what_the_table_says(world: MailWorld, name: str) -> None:
    """The set-up is what it claims to be, in the eyes of Postfix."""
    finger = world.finger(name)
    assert finger.said is BY_NAME[name].finger, finger.text


@pytest.mark.parametrize("name", BY_NAME)
def test_danewatch_says_what_the_table_says(
    documents: dict[str, dict[str, Any]], name: str
) -> None:
    """Verdict, reason and code under both profiles, over real servers."""
    case, document = BY_NAME[name], documents[name]
    verdicts = {
        profile: (verdict["verdict"], verdict["reason"], verdict["code"])
        for profile, verdict in document["verdicts"].items()
    }
    assert verdicts == {"rfc7672": case.rfc, "exchange-online": case.exo}, document


@pytest.mark.parametrize("name", BY_NAME)
def test_danewatch_and_posttls_finger_agree(
    world: MailWorld, documents: dict[str, dict[str, Any]], name: str
) -> None:
    """The host's outcome under RFC 7672 is what posttls-finger says."""
    document = documents[name]
    outcomes = {host["outcomes"]["rfc7672"]["outcome"] for host in document["hosts"]}
    said = world.finger(name).said
    assert outcomes <= AGREEING[said]
    # A failed or missing MX leaves no host to have an outcome: then the verdict tells.
    verdicts = {Said.LOOKUP_ERROR: {"blocked", "deferred"}, Said.NO_HOST: {"no-mail"}}
    if said in verdicts:
        assert document["verdicts"]["rfc7672"]["verdict"] in verdicts[said]
    else:
        assert len(outcomes) == 1


def test_one_run_checks_many_domains(world: MailWorld) -> None:
    """One document a domain, and an exit code that says at least one is blocked."""
    domains = ["match.test", "mismatch.test", "no-tlsa.test"]
    code, documents = world.check(*domains, validation="local")
    verdicts = {
        item["domain"]: item["verdicts"]["exchange-online"]["verdict"] for item in documents
    }
    assert verdicts == {
        "match.test": "protected",
        "mismatch.test": "blocked",
        "no-tlsa.test": "opportunistic",
    }
    assert code == 1
