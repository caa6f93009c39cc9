"""The table of the corpus, continued: wrong DS records, broken and odd signatures."""

from corpus_cases import (
    DATA,
    KSK,
    NODATA,
    NXDOMAIN,
    STRANGE,
    ZSK,
    extra,
    few,
    only,
    refield,
    usual,
    wrong_digest,
    zone,
)
from corpus_keys import dated
from corpus_oracles import BOGUS, INSECURE, SECURE
from corpus_zones import RECORDS, SPLIT
from signed_text import (
    SignedText,
    add,
    change,
    field,
    resign,
    shorten,
    spoil,
    strip,
    strip_all,
    take_away,
    ttl,
)

# --- wrong DS ---
zone("ds-wrong-tag", *usual(BOGUS, "ds-no-key"), ds=refield(0, "1"))
zone("ds-wrong-algorithm", ("mx A", BOGUS, DATA, "ds-no-key"), ds=refield(1, "8"))
zone("ds-wrong-digest", *few(BOGUS, "ds-digest-mismatch"), ds=wrong_digest())
zone("ds-wrong-and-right", *few(), ds=lambda found: [*wrong_digest()(found), *found])
zone(
    "ds-many-wrong",
    ("mx A", BOGUS, DATA, "ds-no-key"),
    ds=only(*(f"{n} 13 2 {STRANGE}" for n in range(8))),
)

# --- signatures over keys ---
SIG = "ds-key-sig-invalid"
zone("dnskey-spoilt", *few(BOGUS, SIG), broken=[spoil("@", "DNSKEY")])
zone("dnskey-stripped", *few(BOGUS, "ds-key-not-signing"), broken=[strip("@", "DNSKEY")])
zone(
    "dnskey-expired",
    ("mx A", BOGUS, DATA, "rrsig-expired"),
    broken=[dated("@", "DNSKEY", -30, -1)],
)
zone(
    "dnskey-early",
    ("mx A", BOGUS, DATA, "rrsig-not-yet-valid"),
    broken=[dated("@", "DNSKEY", 1, 30)],
)
zone(
    "dnskey-added", ("mx A", BOGUS, DATA, SIG), broken=[add("@", "DNSKEY", extra.dnskey.to_text())]
)
zone(
    "dnskey-taken",
    ("mx A", BOGUS, DATA, "ds-key-sig-invalid"),
    keys=(KSK, ZSK, ZSK),
    broken=[take_away("@", "DNSKEY", "256 3 13")],
)
zone(
    "dnskey-wrong-signer",
    ("mx A", BOGUS, DATA, "ds-key-sig-invalid"),
    broken=[field("@", "DNSKEY", 7, "test.")],
)

# --- signatures over data ---
for rdtype, owner, question in (
    ("A", "mx", "mx A"),
    ("MX", "@", "@ MX"),
    ("TXT", "mx", "mx TXT"),
    ("TLSA", "_25._tcp.mx", "_25._tcp.mx TLSA"),
    ("NS", "@", "@ NS"),
    ("SOA", "@", "@ SOA"),
):
    zone(
        f"stripped-{rdtype.lower()}",
        (question, BOGUS, DATA, "rrsig-missing"),
        ("z A", SECURE, DATA),
        broken=[strip(owner, rdtype)],
    )
    zone(
        f"spoilt-{rdtype.lower()}",
        (question, BOGUS, DATA, "rrsig-invalid"),
        ("z A", SECURE, DATA),
        broken=[spoil(owner, rdtype)],
    )
zone(
    "stripped-alias",
    ("alias A", BOGUS, "servfail", "ds-is-alias"),
    broken=[strip("alias", "CNAME")],
)
zone(
    "spoilt-alias",
    ("alias A", BOGUS, "servfail", "rrsig-invalid"),
    broken=[spoil("alias", "CNAME")],
)
zone("stripped-wildcard", ("any TXT", BOGUS, DATA, "rrsig-missing"), broken=[strip("*", "TXT")])
zone("spoilt-wildcard", ("any TXT", BOGUS, DATA, "rrsig-invalid"), broken=[spoil("*", "TXT")])
zone("stripped-all", *few(BOGUS, "ds-key-not-signing"), broken=[strip_all()])
zone(
    "stripped-all-but-keys",
    ("mx A", BOGUS, DATA, "rrsig-missing"),
    ("mx AAAA", BOGUS, NODATA, "rrsig-missing"),
    ("a.mx A", BOGUS, NXDOMAIN, "rrsig-missing"),
    broken=[strip_all(rdtype) for rdtype in ("A", "MX", "NSEC", "SOA", "NS", "TXT")],
)
zone("expired", *usual(BOGUS), days=(-30, -1))
zone("expired-just", ("mx A", BOGUS, DATA, "rrsig-expired"), days=(-30, -0.02))
zone("early", *few(BOGUS, "rrsig-not-yet-valid"), days=(2, 30))
zone("early-just", ("mx A", BOGUS, DATA, "rrsig-not-yet-valid"), days=(0.02, 30))
zone(
    "expired-a",
    ("mx A", BOGUS, DATA, "rrsig-expired"),
    ("z A", SECURE, DATA),
    broken=[dated("mx", "A", -30, -1)],
)
zone("early-a", ("mx A", BOGUS, DATA, "rrsig-not-yet-valid"), broken=[dated("mx", "A", 1, 30)])
zone("long-valid", ("mx A", SECURE, DATA), broken=[dated("mx", "A", -3000, 9000)])
zone(
    "reversed-a", ("mx A", BOGUS, DATA, "rrsig-dates-reversed"), broken=[dated("mx", "A", 10, -10)]
)
zone("expired-beside-good", ("mx A", SECURE, DATA), broken=[lambda text: _beside_expired(text)])
zone("wrong-tag", ("mx A", BOGUS, DATA, "rrsig-no-key"), broken=[field("mx", "A", 6, "1")])
zone(
    "wrong-algorithm", ("mx A", BOGUS, DATA, "rrsig-bad-length"), broken=[field("mx", "A", 1, "14")]
)
zone(
    "unknown-algorithm",
    ("mx A", BOGUS, DATA, "rrsig-algorithm-unsupported"),
    broken=[field("mx", "A", 1, "200")],
)
zone(
    "wrong-signer",
    ("mx A", BOGUS, DATA, "rrsig-signer-wrong"),
    broken=[field("mx", "A", 7, "other.@")],
)
zone(
    "signer-above",
    ("mx A", BOGUS, DATA, "rrsig-signer-wrong"),
    broken=[resign("mx", "A", signer="test.")],
)
zone(
    "signer-above-same-keys",
    ("mx A", SECURE, DATA),
    keys=SPLIT,
    broken=[resign("mx", "A", signer="test.")],
)
zone(
    "signer-of-unsigned",
    ("mx A", INSECURE, DATA),
    ds=only(),
    broken=[resign("mx", "A", signer="test.")],
)
zone(
    "signer-beside",
    ("mx A", BOGUS, DATA, "rrsig-signer-wrong"),
    broken=[resign("mx", "A", signer="nsec.test.")],
)
zone(
    "signer-below",
    ("mx A", BOGUS, DATA, "rrsig-signer-wrong"),
    broken=[resign("mx", "A", signer="mx.signer-below.test.")],
)
zone(
    "labels-too-many",
    ("mx A", BOGUS, DATA, "rrsig-labels-wrong"),
    broken=[resign("mx", "A", labels=4)],
)
zone("labels-changed", ("mx A", BOGUS, DATA, "rrsig-invalid"), broken=[field("mx", "A", 2, "2")])
zone(
    "labels-too-few", ("mx A", BOGUS, DATA, "denial-missing"), broken=[resign("mx", "A", labels=2)]
)
zone(
    "labels-above-zone",
    ("mx A", BOGUS, DATA, "rrsig-labels-wrong"),
    broken=[resign("mx", "A", labels=1)],
)
zone("short-signature", ("mx A", BOGUS, DATA, "rrsig-bad-length"), broken=[shorten("mx", "A", 40)])
zone(
    "original-ttl-changed",
    ("mx A", BOGUS, DATA, "rrsig-invalid"),
    broken=[field("mx", "A", 3, "301")],
)
zone("ttl-above-original", ("mx A", SECURE, DATA), broken=[ttl("mx", "A", 3600)])
zone("ttl-below-original", ("mx A", SECURE, DATA), broken=[ttl("mx", "A", 60)])
zone("ttl-zero", ("mx A", SECURE, DATA), broken=[ttl("mx", "A", 0)])
zone(
    "inception-changed",
    ("mx A", BOGUS, DATA, "rrsig-invalid"),
    broken=[field("mx", "A", 5, "20260101000000")],
)
zone(
    "expiration-changed",
    ("mx A", BOGUS, DATA, "rrsig-invalid"),
    broken=[field("mx", "A", 4, "20380101000000")],
)
zone(
    "octet-a",
    ("mx A", BOGUS, DATA, "rrsig-invalid"),
    broken=[change("mx", "A", "127.0.1.1", "127.0.1.2")],
)
zone("octet-mx", ("@ MX", BOGUS, DATA, "rrsig-invalid"), broken=[change("@", "MX", "10 ", "11 ")])
zone(
    "octet-txt",
    ("mx TXT", BOGUS, DATA, "rrsig-invalid"),
    broken=[change("mx", "TXT", "mail", "nail")],
)
zone(
    "octet-tlsa",
    ("_25._tcp.mx TLSA", BOGUS, DATA, "rrsig-invalid"),
    broken=[change("_25._tcp.mx", "TLSA", "3 1 1", "2 1 1")],
)
zone(
    "octet-alias",
    ("alias A", BOGUS, "servfail", "rrsig-invalid"),
    broken=[change("alias", "CNAME", "mx.", "z.")],
)
zone(
    "octet-ns",
    ("@ NS", BOGUS, DATA, "rrsig-invalid"),
    ("mx A", SECURE, DATA),
    broken=[change("@", "NS", "ns.", "mx.")],
)
zone("case-of-data", ("@ MX", SECURE, DATA), broken=[change("@", "MX", "mx.case", "MX.case")])
zone("record-added", ("mx A", BOGUS, DATA, "rrsig-invalid"), broken=[add("mx", "A", "127.0.9.9")])
zone(
    "record-taken",
    ("mx A", BOGUS, DATA, "rrsig-invalid"),
    records=RECORDS + "mx A 127.0.9.9\n",
    broken=[take_away("mx", "A", "127.0.9.9")],
)
zone(
    "record-unsigned",
    ("new A", BOGUS, DATA, "wildcard-not-denied"),
    broken=[add("new", "A", "127.0.9.9")],
)
zone("signature-moved", ("z A", BOGUS, DATA, "rrsig-invalid"), broken=[lambda text: _moved(text)])


def _beside_expired(text: SignedText) -> None:
    kept = text.signatures("mx", "A")
    dated("mx", "A", -30, -1)(text)
    text.records.extend(kept)


def _moved(text: SignedText) -> None:
    """Put the signature of one name under another that has the same data."""
    (stolen,) = text.signatures("mx", "A")
    change("z", "A", "127.0.1.4", "127.0.1.1")(text)
    (own,) = text.signatures("z", "A")
    text.exchange(own, type(stolen)(own.owner, own.ttl, own.rdtype, stolen.rdata))
