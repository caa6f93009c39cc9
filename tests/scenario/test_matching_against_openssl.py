"""Matching beside OpenSSL: the library under most senders that enforce DANE says what it thinks.

Three comparisons, from exact to wide:
    * a table of the matching cases, each asserted on both sides; where the two must differ, the
      case says why, with the section that decides;
    * random PKIs, chains and records: what OpenSSL accepts we accept, and what we accept OpenSSL
      accepts when it is shown the path we found;
    * a few real handshakes between ``openssl s_server`` and ``openssl s_client``, to show that the
      library call of the other two is what the program does.
"""

import subprocess
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from hypothesis import event, given, settings
from hypothesis import strategies as st
from minting import (
    ANY_USAGE,
    CLIENT_AUTH,
    NOW,
    SERVER_AUTH,
    UNKNOWN_EXTENSION,
    Minted,
    key_usage,
    mint,
    named_key,
    signed_with_sha1,
)
from openssl_dane import openssl_verdict

from scanner.judge.matching import Match, match
from scanner.judge.tlsa import after_agility, assess, unusable_reason
from scanner.model.names import Name
from scanner.model.observation import TlsaRecord
from scanner.model.policy import Policy

pytestmark = pytest.mark.scenario

HOST = "mx1.example.com"
GENEROUS = Policy(signature_budget=10_000, max_chain_certificates=200, max_tlsa_records=200)

Rdata = tuple[int, int, int, bytes]


def tlsa(usage: int, selector: int, kind: int, of: Minted) -> Rdata:
    """RDATA that speaks of the certificate ``of``."""
    return usage, selector, kind, of.association(selector, kind)


def flipped(rdata: Rdata) -> Rdata:
    """The same RDATA with one bit of the data wrong."""
    *fields, data = rdata
    return (*fields, data[:-1] + bytes([data[-1] ^ 1]))  # type: ignore[return-value]


def record_of(rdata: Rdata) -> TlsaRecord:
    """The record as our side has it."""
    usage, selector, kind, data = rdata
    return TlsaRecord(usage=usage, selector=selector, matching_type=kind, data=data)


def rdata_of(record: TlsaRecord) -> Rdata:
    """The record as OpenSSL wants it."""
    assert record.usage is not None
    assert record.selector is not None
    assert record.matching_type is not None
    return record.usage, record.selector, record.matching_type, record.data


def ours(
    chain: list[Minted] | list[bytes], records: list[Rdata], names: list[str], now: datetime
) -> Match:
    """Our verdict, with digest agility, which OpenSSL always applies."""
    parsed = [record_of(item) for item in records]
    return match(
        [item if isinstance(item, bytes) else item.der for item in chain],
        assess(parsed, max_records=200).usable,
        reference_ids=[Name(name) for name in names],
        now=now,
        policy=GENEROUS,
        agility=True,
    )


# --- the table -----------------------------------------------------------------------------------

ROOT = mint("root", ca=True)
INTERMEDIATE = mint("intermediate", ROOT, ca=True)
LEAF = mint("leaf", INTERMEDIATE, dns=[HOST])
CHAIN = [LEAF, INTERMEDIATE, ROOT]
CHAIN_DER = [item.der for item in CHAIN]
SELF = mint("self", dns=[HOST])
EXPIRED, FUTURE = (-60, -1), (1, 60)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison: what both must say, and where they differ, why."""

    name: str
    chain: list[Minted]
    records: list[Rdata]
    openssl: bool
    ours: bool
    why: str = ""
    names: list[str] = field(default_factory=lambda: [HOST])

    def __str__(self) -> str:
        return self.name


def agree(
    name: str, accepted: bool, chain: list[Minted], *records: Rdata, **more: list[str]
) -> Case:
    return Case(
        name=name, chain=chain, records=list(records), openssl=accepted, ours=accepted, **more
    )


def differ(
    name: str, *, openssl: bool, why: str, chain: list[Minted], records: list[Rdata]
) -> Case:
    return Case(name=name, chain=chain, records=records, openssl=openssl, ours=not openssl, why=why)


def below(issuer: Minted, **options: object) -> Minted:
    return mint("leaf", issuer, **{"dns": [HOST], **options})  # type: ignore[arg-type]


def with_ca(**options: object) -> list[Minted]:
    """A root, an intermediate made with ``options``, and a leaf; as a chain."""
    middle = mint("intermediate", ROOT, **{"ca": True, **options})  # type: ignore[arg-type]
    return [below(middle), middle, ROOT]


def with_leaf(**options: object) -> list[Minted]:
    return [below(INTERMEDIATE, **options), INTERMEDIATE, ROOT]


EXPIRED_LEAF = below(INTERMEDIATE, days=EXPIRED)
FUTURE_LEAF = below(INTERMEDIATE, days=FUTURE)
OTHER_NAME = below(INTERMEDIATE, dns=["other.example.com"])
STRANGER = mint("stranger", ca=True)
LYING_ROOT = mint("root", key="another root", ca=True)
NO_CONSTRAINTS = mint(
    "intermediate", ROOT, ca=None, extensions=[(key_usage("key_cert_sign"), True)]
)
TWIN_EXPIRED = mint("intermediate", ROOT, ca=True, days=EXPIRED, serial=2)
CROSS = mint("intermediate", STRANGER, ca=True, serial=3)
OTHER_KEY_ID = mint(
    "intermediate",
    ROOT,
    ca=True,
    extensions=[(x509.SubjectKeyIdentifier(b"\x01" * 20), False)],
)
WRONG_KEY_ID = below(
    OTHER_KEY_ID,
    extensions=[(x509.AuthorityKeyIdentifier(b"\x02" * 20, None, None), False)],
)
ANY_ONLY = with_leaf(extensions=[(x509.ExtendedKeyUsage([ANY_USAGE]), False)])
SHA1_CHAIN = [signed_with_sha1(LEAF, INTERMEDIATE.key), INTERMEDIATE, ROOT]
NOT_CA = mint("no authority", ROOT, ca=False)
OLD_ROOT = mint("old root", ca=True, days=EXPIRED)
OLD_CHAIN = [below(OLD_ROOT), OLD_ROOT]
DOTTED = with_leaf(dns=[HOST + "."])
BOUNDARY = with_leaf(days=(-1, 0))

CASES = [
    agree("3 1 1 on the leaf", True, CHAIN, tlsa(3, 1, 1, LEAF)),
    agree("3 0 0 full data", True, CHAIN, tlsa(3, 0, 0, LEAF)),
    agree("3 1 0 full data", True, CHAIN, tlsa(3, 1, 0, LEAF)),
    agree("case 61: 3 1 1, expired", True, [EXPIRED_LEAF], tlsa(3, 1, 1, EXPIRED_LEAF)),
    agree("case 62: 3 1 1, not yet valid", True, [FUTURE_LEAF], tlsa(3, 1, 1, FUTURE_LEAF)),
    agree("case 63: 3 1 1, other name", True, [OTHER_NAME], tlsa(3, 1, 1, OTHER_NAME)),
    agree("case 63: 3 1 1, self-signed", True, [SELF], tlsa(3, 1, 1, SELF)),
    agree("case 64: 3 0 1 of an intermediate", False, CHAIN, tlsa(3, 0, 1, INTERMEDIATE)),
    agree("case 66: 2 0 1 of the intermediate", True, CHAIN[:2], tlsa(2, 0, 1, INTERMEDIATE)),
    agree("case 66: 2 1 2 of the root", True, CHAIN, tlsa(2, 1, 2, ROOT)),
    agree("case 67: 2 0 1 of a root not sent", False, CHAIN[:2], tlsa(2, 0, 1, ROOT)),
    agree("case 68: 2 0 0 of a root not sent", True, CHAIN[:2], tlsa(2, 0, 0, ROOT)),
    agree("case 68: 2 1 0 of a root not sent", True, CHAIN[:2], tlsa(2, 1, 0, ROOT)),
    agree("case 68: 2 1 0 of a stranger", False, CHAIN[:2], tlsa(2, 1, 0, STRANGER)),
    agree("case 69: 2 0 1 of the leaf", False, CHAIN, tlsa(2, 0, 1, LEAF)),
    agree("case 69: 2 0 0 of a self-signed leaf", False, [SELF], tlsa(2, 0, 0, SELF)),
    agree("case 69: 2 1 1 of a self-signed leaf", False, [SELF], tlsa(2, 1, 1, SELF)),
    agree("case 69: 2 1 0 of a self-signed leaf", True, [SELF], tlsa(2, 1, 0, SELF)),
    agree("case 69: 2 1 0 of another leaf", False, CHAIN[:1], tlsa(2, 1, 0, LEAF)),
    agree("case 70: anchor did not sign", False, [*CHAIN, STRANGER], tlsa(2, 0, 1, STRANGER)),
    agree(
        "case 70: same name, other key", False, [*CHAIN[:2], LYING_ROOT], tlsa(2, 0, 1, LYING_ROOT)
    ),
    agree("case 71: out of order", True, [LEAF, STRANGER, ROOT, INTERMEDIATE], tlsa(2, 0, 1, ROOT)),
    agree("case 72: leaf expired", False, [EXPIRED_LEAF, *CHAIN[1:]], tlsa(2, 0, 1, ROOT)),
    agree("case 72: leaf not yet valid", False, [FUTURE_LEAF, *CHAIN[1:]], tlsa(2, 0, 1, ROOT)),
    agree(
        "case 72: intermediate expired", False, (c := with_ca(days=EXPIRED)), tlsa(2, 0, 1, ROOT)
    ),
    agree("anchor expired, not self-signed", True, c, tlsa(2, 0, 1, c[1])),
    agree("anchor expired, not self-signed, only in DNS", True, c[:1], tlsa(2, 0, 0, c[1])),
    agree("case 72: anchor expired, self-signed", False, OLD_CHAIN, tlsa(2, 0, 1, OLD_ROOT)),
    agree(
        "case 72: anchor expired, self-signed, only in DNS",
        False,
        OLD_CHAIN[:1],
        tlsa(2, 0, 0, OLD_ROOT),
    ),
    agree("2 1 0 and its certificate expired", False, OLD_CHAIN, tlsa(2, 1, 0, OLD_ROOT)),
    agree(
        "2 1 0 and its expired certificate not sent", True, OLD_CHAIN[:1], tlsa(2, 1, 0, OLD_ROOT)
    ),
    agree(
        "case 72: root above the anchor expired",
        True,
        [*CHAIN[:2], mint("root", ca=True, days=EXPIRED)],
        tlsa(2, 0, 1, INTERMEDIATE),
    ),
    agree("case 73: issuer without CA bit", False, (c := with_ca(ca=False)), tlsa(2, 0, 1, ROOT)),
    agree("case 73: anchor without CA bit", False, c, tlsa(2, 0, 1, c[1])),
    agree("case 73: issuer without basicConstraints", False, with_ca(ca=None), tlsa(2, 0, 1, ROOT)),
    agree(
        "case 73: path length exceeded at the anchor",
        False,
        [
            below(m := mint("intermediate", r := mint("root", ca=True, path_length=0), ca=True)),
            m,
            r,
        ],
        tlsa(2, 0, 1, r),
    ),
    agree(
        "case 73: CA by keyUsage alone",
        False,
        [below(NO_CONSTRAINTS), NO_CONSTRAINTS, ROOT],
        tlsa(2, 0, 1, ROOT),
    ),
    agree("path length just enough", True, (c := with_ca(path_length=0)), tlsa(2, 0, 1, ROOT)),
    agree("case 74: no public root asked for", True, CHAIN[:2], tlsa(2, 1, 1, INTERMEDIATE)),
    agree(
        "case 75: second reference name", True, CHAIN, tlsa(2, 0, 1, ROOT), names=["x.test", HOST]
    ),
    agree(
        "case 75: no reference name", False, CHAIN, tlsa(2, 0, 1, ROOT), names=["mx2.example.com"]
    ),
    agree(
        "case 76: only the common name, with other alternative names",
        False,
        [mint(HOST, ROOT, dns=["other.example.com"]), ROOT],
        tlsa(2, 0, 1, ROOT),
    ),
    agree("case 76: only the common name", True, [mint(HOST, ROOT), ROOT], tlsa(2, 0, 1, ROOT)),
    agree("case 77: wildcard", True, with_leaf(dns=["*.example.com"]), tlsa(2, 0, 1, ROOT)),
    agree(
        "case 77: wildcard in upper case",
        True,
        with_leaf(dns=["*.EXAMPLE.com"]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "case 77: wildcard over two labels",
        False,
        with_leaf(dns=["*.example.com"]),
        tlsa(2, 0, 1, ROOT),
        names=["a.b.example.com"],
    ),
    agree(
        "case 77: wildcard over none",
        False,
        with_leaf(dns=["*.example.com"]),
        tlsa(2, 0, 1, ROOT),
        names=["example.com"],
    ),
    agree(
        "case 77: partial wildcard", False, with_leaf(dns=["mx*.example.com"]), tlsa(2, 0, 1, ROOT)
    ),
    agree(
        "wildcard for an A-label",
        True,
        with_leaf(dns=["*.example.com"]),
        tlsa(2, 0, 1, ROOT),
        names=["xn--mx-fka.example.com"],
    ),
    agree(
        "wildcard under one label",
        False,
        with_leaf(dns=["*.com"]),
        tlsa(2, 0, 1, ROOT),
        names=["mx.com"],
    ),
    agree(
        "case 79: 3 stale, 2 matches",
        True,
        CHAIN,
        flipped(tlsa(3, 1, 1, LEAF)),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "case 58: agility hides the match",
        False,
        CHAIN,
        tlsa(3, 1, 1, LEAF),
        flipped(tlsa(3, 1, 2, LEAF)),
    ),
    agree(
        "case 59: the stronger digest matches",
        True,
        CHAIN,
        flipped(tlsa(3, 1, 1, LEAF)),
        tlsa(3, 1, 2, LEAF),
    ),
    agree(
        "case 59: malformed before ranking", True, CHAIN, tlsa(3, 1, 1, LEAF), (3, 1, 2, b"short")
    ),
    agree(
        "case 60: agility per selector",
        True,
        CHAIN,
        tlsa(3, 1, 1, LEAF),
        flipped(tlsa(3, 0, 2, LEAF)),
    ),
    agree(
        "case 60: full data never suppressed",
        True,
        CHAIN,
        tlsa(3, 1, 0, LEAF),
        flipped(tlsa(3, 1, 2, LEAF)),
    ),
    agree(
        "server authentication excluded",
        False,
        with_leaf(extensions=[(x509.ExtendedKeyUsage([CLIENT_AUTH]), False)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "server authentication among others",
        True,
        with_leaf(extensions=[(x509.ExtendedKeyUsage([CLIENT_AUTH, SERVER_AUTH]), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "CA limited to clients",
        False,
        with_ca(extensions=[(x509.ExtendedKeyUsage([CLIENT_AUTH]), False)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "CA may not sign certificates",
        False,
        with_ca(extensions=[(key_usage("crl_sign"), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "leaf key not for TLS",
        False,
        with_leaf(extensions=[(key_usage("crl_sign"), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "unknown critical extension",
        False,
        with_leaf(extensions=[(x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "unknown extension, not critical",
        True,
        with_leaf(extensions=[(x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"), False)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "name permitted",
        True,
        with_ca(extensions=[(x509.NameConstraints([x509.DNSName("example.com")], None), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "name not permitted",
        False,
        with_ca(extensions=[(x509.NameConstraints([x509.DNSName("example.org")], None), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "name excluded",
        False,
        with_ca(extensions=[(x509.NameConstraints(None, [x509.DNSName("example.com")]), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "name of another subtree excluded",
        True,
        with_ca(extensions=[(x509.NameConstraints(None, [x509.DNSName("example.org")]), True)]),
        tlsa(2, 0, 1, ROOT),
    ),
    agree(
        "constraint of the anchor itself",
        False,
        (
            c := with_ca(
                extensions=[(x509.NameConstraints(None, [x509.DNSName("example.com")]), True)]
            )
        ),
        tlsa(2, 0, 1, c[1]),
    ),
    agree("forged leaf", False, with_leaf(signer=named_key("thief")), tlsa(2, 0, 1, ROOT)),
    agree(
        "SHA-1 signature, security level 0",
        True,
        SHA1_CHAIN,
        tlsa(2, 0, 1, ROOT),
    ),
    differ(
        "anyExtendedKeyUsage alone",
        openssl=False,
        why="RFC 5280 §4.2.1.12 lets applications take either view; GnuTLS and Go accept it."
        " We do, with the note sender-dependent.",
        chain=ANY_ONLY,
        records=[tlsa(2, 0, 1, ROOT)],
    ),
    differ(
        "issuer with another key identifier",
        openssl=False,
        why="RFC 5280 §6.1 checks names and signatures; key identifiers only help the search.",
        chain=[WRONG_KEY_ID, OTHER_KEY_ID, ROOT],
        records=[tlsa(2, 0, 1, ROOT)],
    ),
    differ(
        "cross-signed, anchor on the branch OpenSSL does not take",
        openssl=False,
        why="RFC 5280 §6.1: a path exists; OpenSSL builds one path and does not go back.",
        chain=[LEAF, CROSS, INTERMEDIATE, ROOT, STRANGER],
        records=[tlsa(2, 0, 1, ROOT)],
    ),
    differ(
        "a bare key that signed, beside a whole certificate that is no CA",
        openssl=False,
        why="RFC 6698 §4.1: records are alternatives. OpenSSL takes the issuer of the record 2 0 0"
        " and then does not try the key of the record 2 1 0.",
        chain=[below(NOT_CA)],
        records=[tlsa(2, 0, 0, NOT_CA), tlsa(2, 1, 0, NOT_CA)],
    ),
    differ(
        "trailing dot in the certificate",
        openssl=False,
        why="RFC 7672 §3.2.3 compares domain names, and the dot only says that one is absolute.",
        chain=DOTTED,
        records=[tlsa(2, 0, 1, ROOT)],
    ),
    differ(
        "the very second the certificate ends",
        openssl=False,
        why="RFC 5280 §4.1.2.5: the validity period includes notAfter; OpenSSL is a second early.",
        chain=BOUNDARY,
        records=[tlsa(2, 0, 1, ROOT)],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_case_is_decided_as_openssl_does_or_the_difference_has_a_section(case: Case) -> None:
    """Both verdicts are asserted, so a change on either side shows."""
    theirs = openssl_verdict([item.der for item in case.chain], case.records, case.names, NOW)
    assert theirs.matched is case.openssl, theirs.error
    assert ours(case.chain, case.records, case.names, NOW).matched is case.ours
    assert (case.openssl == case.ours) is (not case.why)


def test_openssl_of_the_distribution_refuses_a_sha1_chain_that_we_only_note() -> None:
    """Security level 2, the default of Debian, is why a SHA-1 path is called sender-dependent."""
    chain = SHA1_CHAIN
    records = [tlsa(2, 0, 1, ROOT)]
    theirs = openssl_verdict([item.der for item in chain], records, [HOST], NOW, security_level=2)
    assert not theirs.matched
    assert "sender-dependent" in ours(chain, records, [HOST], NOW).notes


# --- random PKIs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A random PKI, a chain from it and records about it."""

    chain: list[Minted]
    records: list[Rdata]
    names: list[str]


MOSTLY = st.sampled_from
"""A choice whose weights are how often a value is listed."""
EXTENSION_CHOICES: list[list[tuple[x509.ExtensionType, bool]]] = [
    *([[]] * 8),
    [(key_usage("key_cert_sign", "digital_signature"), True)],
    [(key_usage("crl_sign"), True)],
    [(x509.ExtendedKeyUsage([SERVER_AUTH]), False)],
    [(x509.ExtendedKeyUsage([CLIENT_AUTH]), False)],
    [(x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"), True)],
    [(x509.NameConstraints([x509.DNSName("example.com")], None), True)],
    [(x509.NameConstraints(None, [x509.DNSName("mx1.example.com")]), True)],
    [(x509.NameConstraints([x509.DirectoryName(ROOT.certificate.subject)], None), True)],
]
DAYS = [*([(-30.0, 60.0)] * 10), EXPIRED, FUTURE]


@st.composite
def worlds(draw: st.DrawFn, *, twins: bool) -> World:
    """With ``twins``, names and keys repeat: re-issued, cross-signed and lying certificates."""
    authorities: list[Minted] = []
    for index in range(draw(st.integers(1, 5))):
        name = draw(MOSTLY(["a", "b", "c"])) if twins else f"ca {index}"
        issuer = draw(st.sampled_from([None, *authorities[-3:]]))
        authorities.append(
            mint(
                name,
                issuer,
                key=f"{name} {draw(st.integers(0, 1))}" if twins else None,
                ca=draw(MOSTLY([True] * 9 + [False])),
                path_length=None,
                days=draw(MOSTLY(DAYS)),
                signer=draw(MOSTLY([None] * 11 + [named_key("thief")])),
                extensions=draw(MOSTLY(EXTENSION_CHOICES)),
                serial=index + 1,
            )
        )
        if authorities[-1].certificate.extensions and draw(MOSTLY([False] * 5 + [True])):
            limited = draw(st.integers(0, 1))
            authorities[-1] = mint(
                name,
                issuer,
                ca=True,
                path_length=limited,
                serial=index + 1,
                key=f"{name} {limited}" if twins else None,
            )
    issuer = draw(st.sampled_from([None, *authorities * 3]))
    usages = [
        item
        for item in EXTENSION_CHOICES
        if not any(isinstance(extension, x509.NameConstraints) for extension, _ in item)
    ]
    leaf = mint(
        draw(MOSTLY(["leaf", HOST])),
        issuer,
        key="leaf",
        dns=draw(MOSTLY([[HOST]] * 6 + [[], ["*.example.com"], ["other.example.org"]])),
        days=draw(MOSTLY(DAYS)),
        signer=draw(MOSTLY([None] * 11 + [named_key("thief")])),
        extensions=draw(MOSTLY(usages)),
        serial=99,
    )
    sent = draw(st.lists(st.sampled_from(authorities), max_size=7))
    if draw(MOSTLY([True, True, False])):
        sent = draw(st.permutations([*authorities, *sent[:2]]))
    records = draw(st.lists(rdata(leaf, authorities), min_size=1, max_size=4))
    return World([leaf, *sent], records, draw(MOSTLY([[HOST]] * 4 + [["mx9.example.net", HOST]])))


@st.composite
def rdata(draw: st.DrawFn, leaf: Minted, authorities: list[Minted]) -> Rdata:
    usage = draw(MOSTLY([2, 2, 2, 3]))
    of = draw(
        st.sampled_from([leaf, *authorities * 2] if usage == 2 else [leaf, leaf, *authorities])
    )
    made = tlsa(usage, draw(st.integers(0, 1)), draw(st.integers(0, 2)), of)
    broken = made[2] != 0 and draw(MOSTLY([False] * 5 + [True]))
    return flipped(made) if broken else made


def path_of(world: World, found: Match) -> list[x509.Certificate]:
    """The path we found, leaf first; the last may stand only in a record 2 0 0."""
    known = [item.certificate for item in world.chain]
    known += [
        x509.load_der_x509_certificate(data)
        for usage, selector, kind, data in world.records
        if (usage, selector, kind) == (2, 0, 0)
    ]
    by_hash = {item.fingerprint(hashes.SHA256()).hex(): item for item in known}
    return [by_hash[digest] for digest in found.path_sha256]


def compare(world: World) -> None:
    """What OpenSSL accepts we accept; what we accept it accepts, when shown our path alone.

    On a path where two CAs share a name OpenSSL may still pick the wrong one first, and does not go
    back. There each link is checked by cryptography instead.
    """
    found = ours(world.chain, world.records, world.names, NOW)
    theirs = openssl_verdict([item.der for item in world.chain], world.records, world.names, NOW)
    event(f"openssl {theirs.matched}, ours {found.matched}, usage {found.usage}")
    if theirs.matched and not found.matched:
        # A bare key 2 1 0 whose own certificate was sent as well: we judge by the certificate, as
        # OpenSSL does when it comes upon it; among namesakes it may go another way and use the key,
        # which RFC 7671 §5.2.3 leaves to the client.
        keys = {data for usage, selector, kind, data in world.records if (selector, kind) == (1, 0)}
        assert keys & {item.spki for item in world.chain[1:]}, (theirs, found)
    elif found.matched and not theirs.matched:
        assert found.usage == 2
        path = path_of(world, found)
        if len({item.subject for item in path}) < len(path):
            for child, issuer in pairwise(path):
                child.verify_directly_issued_by(issuer)
            return
        sent = [item for item in path if item in [known.certificate for known in world.chain]]
        encoded = [item.public_bytes(Encoding.DER) for item in path]
        records = [item for item in world.records if item[1:3] != (0, 0) or item[3] in encoded]
        alone = openssl_verdict(encoded[: len(sent)], records, world.names, NOW)
        assert alone.matched, (alone, found)


@settings(max_examples=400)
@given(world=worlds(twins=False))
def test_a_pki_of_distinct_names_is_judged_exactly_as_openssl_does(world: World) -> None:
    """With one candidate issuer for each certificate there is one path, and one answer.

    OpenSSL is asked about each record by itself: records are alternatives (RFC 6698 §4.1), but a
    record 2 0 0 of an unfit CA keeps OpenSSL from trying a bare key 2 1 0 that would have matched.
    """
    found = ours(world.chain, world.records, world.names, NOW)
    chain = [item.der for item in world.chain]
    theirs = openssl_verdict(chain, world.records, world.names, NOW)
    event(f"openssl {theirs.matched}, ours {found.matched}, usage {found.usage}")
    kept = {rdata_of(record) for record in after_agility(map(record_of, world.records))}
    alone = [openssl_verdict(chain, [item], world.names, NOW).matched for item in sorted(kept)]
    assert found.matched is any(alone), (alone, found)
    assert found.matched or not theirs.matched


@settings(max_examples=400)
@given(world=worlds(twins=True))
def test_a_pki_full_of_twins_never_passes_here_without_a_path_openssl_accepts(world: World) -> None:
    """Re-issued, cross-signed and lying certificates: OpenSSL walks one path, we look at all."""
    compare(world)


# --- which records are usable --------------------------------------------------------------------

WELL_FORMED = [
    *((0, 0, item.der) for item in (LEAF, ROOT)),
    *((1, 0, item.spki) for item in (LEAF, ROOT)),
    *((selector, 1, b"\x00" * 32) for selector in (0, 1)),
    *((selector, 2, b"\x00" * 64) for selector in (0, 1)),
]


@st.composite
def any_rdata(draw: st.DrawFn) -> Rdata:
    """RDATA near the border between usable and not: one cut, one flip, one field wrong."""
    usage = draw(st.sampled_from([2, 3, 2, 3, 2, 3, 4, 255]))
    selector, kind, data = draw(st.sampled_from(WELL_FORMED))
    match draw(st.sampled_from(["as it is", "cut", "longer", "flipped", "flipped", "field"])):
        case "cut":
            data = data[: draw(st.integers(0, len(data) - 1))]
        case "longer":
            data += draw(st.binary(min_size=1, max_size=3))
        case "flipped":
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]
        case "field":
            selector = draw(st.sampled_from([selector, 1 - selector, 2, 255]))
            kind = draw(st.sampled_from([0, 1, 2, 3, 255]))
    return usage, selector, kind, data


@settings(max_examples=1500)
@given(rdata=any_rdata())
def test_a_record_is_usable_when_openssl_takes_it(rdata: Rdata) -> None:
    """Full data is where parsers could differ; that difference is one-sided and has a reason."""
    usage, selector, kind, data = rdata
    usable = unusable_reason(record_of(rdata)) is None
    (theirs,) = openssl_verdict(CHAIN_DER, [rdata], [HOST], NOW).usable
    event(f"openssl {theirs}, ours {usable}, type {kind}")
    if kind != 0 or usage not in (2, 3):
        assert usable is theirs
    elif usable:
        # Ours alone: a certificate with one odd field, where OpenSSL decodes every field and we the
        # outline and the key; and a key of a kind OpenSSL has not heard of, which other senders may
        # have, and which matches by its bytes (RFC 6698 §2.1.3).
        assert theirs or selector == 0 or is_unheard_of(data)
    elif theirs:
        # BER that is no DER (X.690 §10), such as a length in more octets than it needs.
        assert encoded_otherwise(selector, data)


def is_unheard_of(data: bytes) -> bool:
    """Whether ``data`` is a public key of a kind unknown to cryptography."""
    try:
        load_der_public_key(data)
    except UnsupportedAlgorithm:
        return True
    return False


def encoded_otherwise(selector: int, data: bytes) -> bool:
    """Whether cryptography, a strict DER parser, refuses ``data`` too."""
    load = x509.load_der_x509_certificate if selector == 0 else load_der_public_key
    try:
        load(data)
    except (ValueError, UnsupportedAlgorithm):
        return True
    return False


# --- real handshakes -----------------------------------------------------------------------------

CLIENT = ["openssl", "s_client", "-brief", "-attime", str(int(NOW.timestamp()))]
HANDSHAKES = [
    case
    for case in CASES
    if case.name
    in {
        "3 1 1 on the leaf",
        "case 61: 3 1 1, expired",
        "case 63: 3 1 1, other name",
        "case 64: 3 0 1 of an intermediate",
        "case 66: 2 1 2 of the root",
        "case 67: 2 0 1 of a root not sent",
        "case 68: 2 0 0 of a root not sent",
        "case 68: 2 1 0 of a root not sent",
        "case 69: 2 1 0 of a self-signed leaf",
        "case 71: out of order",
        "case 72: intermediate expired",
        "case 75: no reference name",
        "case 58: agility hides the match",
        "case 79: 3 stale, 2 matches",
    }
]


@pytest.mark.parametrize("case", HANDSHAKES, ids=str)
def test_the_openssl_program_says_over_a_handshake_what_its_library_says(
    case: Case, tmp_path: Path
) -> None:
    """``s_client`` with DANE against ``s_server``: the calls above leave nothing out."""
    pem = [item.certificate.public_bytes(Encoding.PEM) for item in case.chain]
    key = case.chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "leaf.pem").write_bytes(pem[0] + key)
    (tmp_path / "others.pem").write_bytes(b"".join(pem[1:]))
    others = ["-cert_chain", "others.pem"] if pem[1:] else []
    serving = [
        "openssl",
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-naccept",
        "1",
        "-cert",
        "leaf.pem",
    ]
    with subprocess.Popen(
        ["timeout", "30", *serving, *others],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        assert server.stdout is not None
        # "ACCEPT 127.0.0.1:40123" tells the port the system chose.
        lines = iter(server.stdout.readline, b"")
        port = next(line for line in lines if line.startswith(b"ACCEPT")).decode().split(":")[-1]
        client = subprocess.run(
            [*CLIENT, "-connect", f"127.0.0.1:{port.strip()}", *dane_options(case)],
            input=b"Q\n",
            capture_output=True,
            timeout=30,
            check=False,
        )
        server.terminate()
    said = (client.stdout + client.stderr).decode(errors="replace")
    assert ("Verification: OK" in said) is case.openssl, said


def dane_options(case: Case) -> list[str]:
    """The options of ``s_client`` for the names and records of ``case``."""
    options = ["-dane_ee_no_namechecks", "-dane_tlsa_domain", case.names[0]]
    for usage, selector, kind, data in case.records:
        options += ["-dane_tlsa_rrdata", f"{usage} {selector} {kind} {data.hex()}"]
    return options
