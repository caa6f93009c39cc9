"""Make the vectors of certificate matching: one data file for each case, in ``tests/vectors/tlsa``.

    python tests/vectors/make_matching_vectors.py

Certificates come out the same every time (keys from names, deterministic signatures), and a test
holds that the files are what this script makes. What is expected is written here by hand, from the
tables and the RFCs, and never taken from a run. ``covers`` names the rows a vector stands for.
"""

import base64
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from minting import (
    ANY_USAGE,
    CLIENT_AUTH,
    NOW,
    UNKNOWN_EXTENSION,
    Minted,
    key_usage,
    mint,
    named_key,
    signed_with_sha1,
)

DIRECTORY = Path(__file__).parent / "tlsa"
HOST, DOMAIN = "mx1.p.test", "p.test"
EXPIRED, FUTURE = (-60, -1), (1, 60)

ROOT = mint("Root CA", ca=True)
CA = mint("Issuing CA", ROOT, ca=True)
LEAF = mint("mail server", CA, dns=[HOST])
SELF = mint("mail server", key="self", dns=[HOST])
STRANGER = mint("Stranger CA", ca=True)


def leaf(issuer: Minted = CA, **options: Any) -> Minted:
    """A server certificate like LEAF but for ``options``."""
    return mint("mail server", issuer, **{"dns": [HOST], **options})


def ca(**options: Any) -> Minted:
    """An issuing CA like CA but for ``options``."""
    return mint("Issuing CA", ROOT, **{"ca": True, **options})


def record(usage: int, selector: int, kind: int, of: Minted, *, wrong: bool = False) -> str:
    """RDATA in presentation form; ``wrong`` changes one bit of the data."""
    data = of.association(selector, kind)
    if wrong:
        data = data[:-1] + bytes([data[-1] ^ 1])
    return f"{usage} {selector} {kind} {data.hex()}"


def vector(
    title: str,
    covers: str,
    chain: Sequence[Minted],
    records: Sequence[str],
    *,
    names: Sequence[str] = (HOST, DOMAIN),
    unusable: dict[int, str] | None = None,
    matching: Sequence[int] = (),
    usage: int | None = None,
    errors: Sequence[str] = (),
    notes: Sequence[str] = (),
    expired: bool = False,
    not_yet: bool = False,
    name_ok: bool = True,
    anchor_sent: bool | None = None,
    without_agility: bool | None = None,
) -> dict[str, Any]:
    """One vector. ``usage`` None means failure; ``matching`` are the records that match."""
    return {
        "title": title,
        "covers": covers.split(", "),
        "now": NOW.isoformat(),
        "reference_ids": list(names),
        "chain": [base64.b64encode(item.der).decode() for item in chain],
        "records": list(records),
        "expect": {
            "unusable": {str(index): reason for index, reason in (unusable or {}).items()},
            "matched": usage is not None,
            "usage": usage,
            "matching_records": list(matching),
            "errors": list(errors),
            "notes": list(notes),
            "leaf_expired": expired,
            "leaf_not_yet_valid": not_yet,
            "name_ok": name_ok,
            "anchor_in_handshake": anchor_sent,
            "matched_without_agility": (
                usage is not None if without_agility is None else without_agility
            ),
        },
    }


NOT_SENT = ["trust-anchor-not-sent", "sender-dependent"]
ALL_UNUSABLE = ["tlsa-all-unusable"]
FULL = [LEAF, CA, ROOT]


def usability() -> Iterator[dict[str, Any]]:
    """Section E: which records count."""
    usage, selector, kind = (
        "tlsa-usage-unusable",
        "tlsa-selector-unknown",
        "tlsa-matching-type-unknown",
    )
    right, wrong = record(3, 1, 1, LEAF), record(3, 1, 1, LEAF, wrong=True)
    digest = LEAF.association(1, 1).hex()
    yield vector(
        "PKIX usages alone authenticate nothing, not even when they match",
        "case 49, C14, T25, T26",
        FULL,
        [record(1, 1, 1, LEAF), record(0, 0, 1, ROOT)],
        unusable={0: usage, 1: usage},
        errors=ALL_UNUSABLE,
    )
    yield vector(
        "a matching record of usage 1 does not help a wrong one of usage 3",
        "case 51, T28",
        FULL,
        [record(1, 1, 1, LEAF), wrong],
        unusable={0: usage},
        errors=["tlsa-mismatch"],
    )
    yield vector(
        "a wrong record of usage 1 does not hurt a right one of usage 3",
        "case 51, T27",
        FULL,
        [record(1, 1, 1, LEAF, wrong=True), right],
        unusable={0: usage},
        matching=[1],
        usage=3,
    )
    yield vector(
        "unknown usages, selectors and matching types are unusable, each for its reason",
        "case 52, case 53, T31",
        FULL,
        [
            f"{parameters} {digest}"
            for parameters in ("4 1 1", "255 1 1", "3 2 1", "3 255 1", "3 1 3", "3 1 255")
        ],
        unusable={0: usage, 1: usage, 2: selector, 3: selector, 4: kind, 5: kind},
        errors=ALL_UNUSABLE,
    )
    yield vector(
        "unknown values leave the other records alone",
        "case 52",
        FULL,
        [f"3 2 1 {digest}", f"3 1 255 {digest}", right],
        unusable={0: selector, 1: kind},
        matching=[2],
        usage=3,
    )
    yield vector(
        "a digest of 31 octets is no SHA-256, one of 32 no SHA-512",
        "case 54, T29",
        FULL,
        [f"3 1 1 {digest[:-2]}", f"3 1 2 {digest}", f"3 1 1 {digest}00"],
        unusable=dict.fromkeys(range(3), "tlsa-digest-length"),
        errors=ALL_UNUSABLE,
    )
    yield vector(
        "a malformed record beside a good one is only a finding",
        "case 54, T30",
        FULL,
        [f"3 1 1 {digest[:-2]}", right],
        unusable={0: "tlsa-digest-length"},
        matching=[1],
        usage=3,
    )
    yield vector(
        "a record without association data is too short, whatever its matching type",
        "case 55",
        FULL,
        ["3 1 1 ", "3 0 0 ", "2 1 2 "],
        unusable=dict.fromkeys(range(3), "tlsa-too-short"),
        errors=ALL_UNUSABLE,
    )
    yield vector(
        "full data must be a certificate for selector 0 and a public key for selector 1",
        "case 56",
        FULL,
        [
            f"3 0 0 {digest}",
            f"3 0 0 {LEAF.spki.hex()}",
            f"3 1 0 {LEAF.der.hex()}",
            f"3 0 0 {LEAF.der.hex()}00",
            f"3 1 0 {LEAF.spki.hex()}00",
            f"2 0 0 {ROOT.der[:-1].hex()}",
        ],
        unusable=dict.fromkeys(range(6), "tlsa-data-malformed"),
        errors=ALL_UNUSABLE,
    )
    yield vector(
        "hexadecimal in capitals, order and duplicates change nothing",
        "case 57",
        FULL,
        [wrong.upper(), right.upper(), wrong, right],
        matching=[1, 3],
        usage=3,
    )
    yield vector(
        "the stronger digest is wrong: agile clients fail, others do not",
        "case 58, T32",
        FULL,
        [right, record(3, 1, 2, LEAF, wrong=True)],
        matching=[0],
        errors=["tlsa-mismatch"],
        notes=["agility-risk"],
        without_agility=True,
    )
    yield vector(
        "the stronger digest is right and hides a wrong weaker one",
        "case 59",
        FULL,
        [wrong, record(3, 1, 2, LEAF)],
        matching=[1],
        usage=3,
    )
    yield vector(
        "a malformed SHA-512 record hides no good SHA-256 one",
        "case 59",
        FULL,
        ["3 1 2 00", right],
        unusable={0: "tlsa-digest-length"},
        matching=[1],
        usage=3,
    )
    yield vector(
        "agility ranks digests within one usage and selector only",
        "case 60",
        FULL,
        [record(3, 0, 2, LEAF, wrong=True), right],
        matching=[1],
        usage=3,
    )
    yield vector(
        "full data is never suppressed by a digest",
        "case 60",
        FULL,
        [record(3, 1, 2, LEAF, wrong=True), record(3, 1, 0, LEAF)],
        matching=[1],
        usage=3,
    )
    yield vector(
        "full certificate and full key both match",
        "T33",
        FULL,
        [record(3, 1, 0, LEAF), record(3, 0, 0, LEAF)],
        matching=[0, 1],
        usage=3,
    )


def end_entity() -> Iterator[dict[str, Any]]:
    """Section F: DANE-EE(3)."""
    old, young, other = leaf(days=EXPIRED), leaf(days=FUTURE), leaf(dns=["other.test"])
    renewed = leaf(serial=2)
    nameless = mint("", key="nameless")
    yield vector(
        "usage 3 ignores that the certificate has expired",
        "case 61, C16, T39",
        [old],
        [record(3, 1, 1, old)],
        matching=[0],
        usage=3,
        expired=True,
    )
    yield vector(
        "usage 3 ignores that the certificate is not valid yet",
        "case 62, C17, T40",
        [young],
        [record(3, 0, 2, young)],
        matching=[0],
        usage=3,
        not_yet=True,
    )
    yield vector(
        "usage 3 ignores names",
        "case 63, C15, T41",
        [other, CA],
        [record(3, 1, 1, other)],
        matching=[0],
        usage=3,
        name_ok=False,
    )
    yield vector(
        "usage 3 needs no issuer",
        "case 63, C15",
        [SELF],
        [record(3, 1, 1, SELF)],
        matching=[0],
        usage=3,
    )
    yield vector(
        "usage 3 needs no subject at all",
        "case 63",
        [nameless],
        [record(3, 1, 1, nameless)],
        matching=[0],
        usage=3,
        name_ok=False,
    )
    yield vector(
        "usage 3 never matches an issuer",
        "case 64, C18",
        FULL,
        [record(3, 0, 1, CA), record(3, 1, 1, ROOT)],
        errors=["tlsa-mismatch"],
    )
    yield vector(
        "a renewed certificate with the same key keeps 3 1 1 and loses 3 0 1",
        "case 65",
        [renewed, CA],
        [record(3, 0, 1, LEAF), record(3, 1, 1, LEAF)],
        matching=[1],
        usage=3,
    )
    yield vector(
        "3 0 1 alone fails after a renewal with the same key",
        "case 65, C18, T34",
        [renewed, CA],
        [record(3, 0, 1, LEAF)],
        errors=["tlsa-mismatch"],
    )
    yield vector(
        "no match and expired: the mismatch comes first",
        "case 80, C19",
        [old, CA],
        [record(3, 1, 1, SELF)],
        errors=["tlsa-mismatch", "certificate-expired"],
        expired=True,
    )
    yield vector(
        "one of several records matches",
        "C28",
        FULL,
        [record(3, 1, 1, SELF), record(3, 1, 1, LEAF), record(3, 0, 1, SELF)],
        matching=[1],
        usage=3,
    )
    yield vector(
        "a server without a certificate fails",
        "case 81",
        [],
        [record(3, 1, 1, LEAF)],
        errors=["tls-no-certificate"],
        name_ok=False,
    )


def anchors() -> Iterator[dict[str, Any]]:
    """Section F: DANE-TA(2), where the anchor is."""
    yield vector(
        "the anchor is an intermediate, its own issuer is not sent",
        "case 66, case 74, C20, T42",
        [LEAF, CA],
        [record(2, 0, 1, CA)],
        matching=[0],
        usage=2,
        anchor_sent=True,
    )
    yield vector(
        "the anchor is the root, sent with the rest",
        "case 66, C20, T42",
        FULL,
        [record(2, 1, 2, ROOT)],
        matching=[0],
        usage=2,
        anchor_sent=True,
    )
    yield vector(
        "every issuer on the path matches by itself",
        "C20, C28",
        FULL,
        [record(2, 0, 1, CA), record(2, 1, 1, CA), record(2, 0, 1, ROOT), record(2, 1, 0, ROOT)],
        matching=[0, 1, 2, 3],
        usage=2,
        anchor_sent=True,
    )
    yield vector(
        "a root known by digest only must be sent",
        "case 67, C24, T44",
        [LEAF, CA],
        [record(2, 0, 1, ROOT)],
        errors=["trust-anchor-missing"],
    )
    yield vector(
        "a digest that no certificate of a complete chain has is a mismatch",
        "C18",
        FULL,
        [record(2, 0, 1, STRANGER)],
        errors=["tlsa-mismatch"],
    )
    yield vector(
        "an anchor that stands whole in DNS need not be sent",
        "case 68, C25, T44",
        [LEAF, CA],
        [record(2, 0, 0, ROOT)],
        matching=[0],
        usage=2,
        anchor_sent=False,
        notes=NOT_SENT,
    )
    yield vector(
        "a bare key in DNS is an anchor when it signed the top certificate",
        "case 68, C24",
        [LEAF, CA],
        [record(2, 1, 0, ROOT)],
        matching=[0],
        usage=2,
        anchor_sent=False,
        notes=NOT_SENT,
    )
    yield vector(
        "a bare key in DNS that signed nothing here is no anchor",
        "C24",
        [LEAF, CA],
        [record(2, 1, 0, STRANGER)],
        errors=["trust-anchor-missing"],
    )
    yield vector(
        "the digest of a root that stands whole in another record does not match by itself",
        "case 68",
        [LEAF, CA],
        [record(2, 0, 1, ROOT), record(2, 0, 0, ROOT)],
        matching=[1],
        usage=2,
        anchor_sent=False,
        notes=NOT_SENT,
    )
    yield vector(
        "usage 2 never matches the server certificate",
        "case 69, C27",
        FULL,
        [record(2, 1, 1, LEAF)],
        errors=["trust-anchor-is-leaf"],
    )
    yield vector(
        "usage 2 never matches a self-signed server certificate, by digest or whole",
        "case 69, C27",
        [SELF],
        [record(2, 1, 1, SELF), record(2, 0, 0, SELF)],
        errors=["trust-anchor-is-leaf"],
    )
    yield vector(
        "the bare key of a self-signed server certificate is its own anchor",
        "case 69",
        [SELF],
        [record(2, 1, 0, SELF)],
        matching=[0],
        usage=2,
        anchor_sent=True,
        notes=["sender-dependent"],
    )
    yield vector(
        "an anchor that is sent but signed nothing on the path does not count",
        "case 70",
        [*FULL, STRANGER],
        [record(2, 0, 1, STRANGER)],
        errors=["trust-anchor-not-in-path"],
    )
    yield vector(
        "the intermediate between leaf and anchor was forgotten",
        "case 70",
        [LEAF, ROOT],
        [record(2, 0, 1, ROOT)],
        errors=["trust-anchor-not-in-path"],
    )
    namesake = mint("Root CA", key="another", ca=True)
    yield vector(
        "an anchor of the right name with another key did not sign",
        "case 70, C26",
        [LEAF, CA, namesake],
        [record(2, 0, 1, namesake)],
        errors=["chain-signature-invalid"],
    )
    yield vector(
        "order, strangers and repetition do not matter",
        "case 71",
        [LEAF, STRANGER, ROOT, SELF, CA, STRANGER, CA],
        [record(2, 0, 1, ROOT)],
        matching=[0],
        usage=2,
        anchor_sent=True,
    )
    cross = mint("Issuing CA", STRANGER, ca=True, serial=2)
    yield vector(
        "a cross-signed intermediate leads to either root",
        "case 71",
        [LEAF, cross, CA, ROOT, STRANGER],
        [record(2, 0, 1, ROOT), record(2, 0, 1, STRANGER)],
        matching=[0, 1],
        usage=2,
        anchor_sent=True,
    )
    one = mint("Loop A", key="loop a", ca=True, issuer_name="Loop B", signer=named_key("loop b"))
    two = mint("Loop B", key="loop b", ca=True, issuer_name="Loop A", signer=named_key("loop a"))
    looped = leaf(one)
    yield vector(
        "two CAs that certify each other end in no loop",
        "case 71",
        [looped, one, two],
        [record(2, 0, 1, two), record(2, 0, 1, ROOT)],
        matching=[0],
        usage=2,
        anchor_sent=True,
    )
    yield vector(
        "a stale record of usage 3 does not hurt a good one of usage 2",
        "case 79",
        FULL,
        [record(3, 1, 1, SELF), record(2, 0, 1, CA)],
        matching=[1],
        usage=2,
        anchor_sent=True,
    )
    yield vector(
        "usage 3 is reported before usage 2",
        "C28",
        FULL,
        [record(2, 0, 1, CA), record(3, 1, 1, LEAF)],
        matching=[0, 1],
        usage=3,
    )


def dates() -> Iterator[dict[str, Any]]:
    """Section F: DANE-TA(2), validity periods."""
    old, young = leaf(days=EXPIRED), leaf(days=FUTURE)
    yield vector(
        "usage 2 with an expired server certificate",
        "case 72, C22",
        [old, CA],
        [record(2, 0, 1, CA)],
        matching=[0],
        errors=["certificate-expired"],
        expired=True,
    )
    yield vector(
        "usage 2 with a server certificate that is not valid yet",
        "C23",
        [young, CA],
        [record(2, 0, 1, CA)],
        matching=[0],
        errors=["certificate-not-yet-valid"],
        not_yet=True,
    )
    expired_ca = ca(days=EXPIRED)
    yield vector(
        "usage 2 with an expired intermediate",
        "case 72, C22, T45",
        [leaf(expired_ca), expired_ca, ROOT],
        [record(2, 0, 1, ROOT)],
        matching=[0],
        errors=["certificate-expired"],
    )
    young_ca = ca(days=FUTURE)
    yield vector(
        "usage 2 with an intermediate that is not valid yet",
        "C23",
        [leaf(young_ca), young_ca, ROOT],
        [record(2, 0, 1, ROOT)],
        matching=[0],
        errors=["certificate-not-yet-valid"],
    )
    old_root = mint("Old Root", ca=True, days=EXPIRED)
    below = mint("Issuing CA", old_root, ca=True)
    yield vector(
        "an expired root above the anchor is not looked at",
        "case 72",
        [leaf(below), below, old_root],
        [record(2, 0, 1, below)],
        matching=[0],
        usage=2,
        anchor_sent=True,
    )
    yield vector(
        "an expired self-signed anchor fails",
        "case 72",
        [leaf(below), below, old_root],
        [record(2, 0, 1, old_root)],
        matching=[0],
        errors=["certificate-expired"],
    )
    yield vector(
        "an anchor that is an expired intermediate depends on the sender",
        "C20",
        [leaf(expired_ca), expired_ca],
        [record(2, 0, 1, expired_ca)],
        matching=[0],
        usage=2,
        anchor_sent=True,
        notes=["sender-dependent"],
    )
    yield vector(
        "an expired certificate beside its valid twin is passed over",
        "case 72",
        [LEAF, ca(days=EXPIRED, serial=9), CA, ROOT],
        [record(2, 0, 1, ROOT)],
        matching=[0],
        usage=2,
        anchor_sent=True,
    )
    wrong_and_old = leaf(days=EXPIRED, dns=["other.test"])
    yield vector(
        "no match, wrong name and expired, in this order",
        "case 80",
        [wrong_and_old, CA],
        [record(2, 0, 1, STRANGER), record(3, 1, 1, STRANGER)],
        errors=[
            "tlsa-mismatch",
            "trust-anchor-missing",
            "certificate-name-mismatch",
            "certificate-expired",
        ],
        expired=True,
        name_ok=False,
    )
    yield vector(
        "matching anchor, wrong name and expired, in this order",
        "case 80",
        [wrong_and_old, CA],
        [record(2, 0, 1, CA)],
        matching=[0],
        errors=["certificate-name-mismatch", "certificate-expired"],
        expired=True,
        name_ok=False,
    )


def structure() -> Iterator[dict[str, Any]]:
    """Section F: DANE-TA(2), what makes a path (RFC 5280 §6)."""

    def through(middle: Minted, error: str | None, title: str, covers: str) -> dict[str, Any]:
        server = leaf(middle)
        passes: dict[str, Any] = {"matching": [0], "usage": 2, "anchor_sent": True}
        outcome = {"errors": [error]} if error else passes
        return vector(title, covers, [server, middle, ROOT], [record(2, 0, 1, ROOT)], **outcome)

    def extension(value: x509.ExtensionType, *, critical: bool = True) -> dict[str, Any]:
        return {"extensions": [(value, critical)]}

    yield through(
        ca(ca=False), "chain-issuer-not-ca", "an issuer without the CA bit", "case 73, C26"
    )
    yield through(ca(ca=None), "chain-issuer-not-ca", "an issuer that does not say", "case 73")
    not_ca = ca(ca=False)
    yield vector(
        "an anchor without the CA bit",
        "case 73",
        [leaf(not_ca), not_ca],
        [record(2, 0, 1, not_ca)],
        errors=["chain-issuer-not-ca"],
    )
    short = mint("Short Root", ca=True, path_length=0)
    middle = mint("Issuing CA", short, ca=True)
    yield vector(
        "more intermediates than the anchor allows",
        "case 73, C26",
        [leaf(middle), middle, short],
        [record(2, 0, 1, short)],
        errors=["chain-path-length"],
    )
    yield through(ca(path_length=0), None, "as many intermediates as allowed", "C20")
    yield through(
        ca(**extension(key_usage("crl_sign"))),
        "chain-key-usage",
        "an issuer whose key may not sign certificates",
        "C26",
    )
    yield through(
        ca(**extension(x509.ExtendedKeyUsage([CLIENT_AUTH]), critical=False)),
        "chain-key-usage",
        "an issuer for client certificates only",
        "C26",
    )
    yield through(
        ca(**extension(x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"))),
        "chain-critical-extension",
        "an issuer with a critical extension nobody knows",
        "C26",
    )
    yield through(
        ca(**extension(x509.NameConstraints([x509.DNSName("other.test")], None))),
        "chain-name-constraint",
        "an issuer for another domain",
        "C26",
    )
    yield through(
        ca(**extension(x509.NameConstraints([x509.DNSName("p.test")], None))),
        None,
        "an issuer for this domain",
        "C20",
    )
    yield through(
        ca(**extension(x509.NameConstraints(None, [x509.DNSName("mx1.p.test")]))),
        "chain-name-constraint",
        "an issuer for all but this host",
        "C26",
    )
    clients_only = leaf(**extension(x509.ExtendedKeyUsage([CLIENT_AUTH]), critical=False))
    yield vector(
        "a certificate for clients only",
        "C26",
        [clients_only, CA],
        [record(2, 0, 1, CA)],
        errors=["chain-key-usage"],
    )
    any_usage = leaf(**extension(x509.ExtendedKeyUsage([ANY_USAGE]), critical=False))
    yield vector(
        "a certificate for any usage depends on the sender",
        "C20",
        [any_usage, CA],
        [record(2, 0, 1, CA)],
        matching=[0],
        usage=2,
        anchor_sent=True,
        notes=["sender-dependent"],
    )
    forged = leaf(signer=named_key("thief"))
    yield vector(
        "a server certificate its issuer did not sign",
        "C26",
        [forged, CA, ROOT],
        [record(2, 0, 1, CA), record(2, 0, 1, ROOT)],
        errors=["chain-signature-invalid"],
    )
    sha1 = signed_with_sha1(LEAF, CA.key)
    yield vector(
        "a signature over SHA-1 depends on the sender",
        "C20",
        [sha1, CA],
        [record(2, 0, 1, CA)],
        matching=[0],
        usage=2,
        anchor_sent=True,
        notes=["sender-dependent"],
    )


def naming() -> Iterator[dict[str, Any]]:
    """Section F: DANE-TA(2), names."""

    def named(
        title: str, covers: str, server: Minted, *, ok: bool, names: Sequence[str] = (HOST, DOMAIN)
    ) -> dict[str, Any]:
        outcome: dict[str, Any] = {"errors": ["certificate-name-mismatch"], "name_ok": False}
        if ok:
            outcome = {"usage": 2, "anchor_sent": True}
        records = [record(2, 0, 1, CA)]
        return vector(title, covers, [server, CA], records, names=names, matching=[0], **outcome)

    yield named("the TLSA base domain is named", "case 75, C20", LEAF, ok=True)
    yield named("the mail domain is named", "case 75, T24", leaf(dns=[DOMAIN]), ok=True)
    yield named(
        "what the mail domain is an alias for is named",
        "case 75, case 78",
        leaf(dns=["q.test"]),
        ok=True,
        names=("mx.q.test", "p.test", "q.test"),
    )
    yield named("nothing of this is named", "case 75, C21, T43", leaf(dns=["other.test"]), ok=False)
    yield named(
        "with insecure MX records the mail domain does not count",
        "case 75",
        leaf(dns=[DOMAIN]),
        ok=False,
        names=(HOST,),
    )
    cn_only = mint(HOST, CA)
    yield named("the common name counts where there is no DNS name", "case 76", cn_only, ok=True)
    cn_and_address = mint(
        HOST,
        CA,
        extensions=[(x509.SubjectAlternativeName([x509.RFC822Name("a@p.test")]), False)],
    )
    yield named("a mail address is no DNS name", "case 76", cn_and_address, ok=True)
    cn_beside = mint(HOST, CA, dns=["other.test"])
    yield named("the common name does not count beside a DNS name", "case 76", cn_beside, ok=False)
    wildcard = leaf(dns=["*.p.test"])
    yield named("a wildcard stands for one label", "case 77", wildcard, ok=True, names=(HOST,))
    yield named(
        "a wildcard does not stand for two labels",
        "case 77",
        wildcard,
        ok=False,
        names=("a.b.p.test",),
    )
    yield named(
        "a wildcard does not stand for none", "case 77", wildcard, ok=False, names=("p.test",)
    )
    yield named(
        "a wildcard is a whole label",
        "case 77",
        leaf(dns=["mx*.p.test", "*1.p.test", "m*1.p.test"]),
        ok=False,
    )
    yield named("capitals do not matter", "case 77", leaf(dns=["MX1.P.TeSt"]), ok=True)
    yield named(
        "a wildcard stands for an A-label",
        "case 14, case 77",
        wildcard,
        ok=True,
        names=("xn--mx-fka.p.test",),
    )


def vectors() -> dict[str, dict[str, Any]]:
    """All vectors by file name."""
    made: dict[str, dict[str, Any]] = {}
    for group in (usability, end_entity, anchors, dates, structure, naming):
        for number, item in enumerate(group(), start=1):
            made[f"{group.__name__.replace('_', '-')}-{number:02}.json"] = item
    return made


def text_of(item: dict[str, Any]) -> str:
    """A vector as its file holds it."""
    return json.dumps(item, indent=1) + "\n"


def main() -> None:
    """Write all files, and remove those no longer made."""
    DIRECTORY.mkdir(exist_ok=True)
    made = vectors()
    for path in DIRECTORY.glob("*.json"):
        if path.name not in made:
            path.unlink()
    for name, item in made.items():
        (DIRECTORY / name).write_text(text_of(item))


if __name__ == "__main__":
    main()
