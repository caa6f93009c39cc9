"""The table of the corpus: zones, how they are broken, and what each question must come to.

What is expected follows from the RFCs and from what is decided in docs/dnssec.md, not from what a
validator says. Zones are ``<name>.test.`` unless an apex is given.
"""

from dataclasses import dataclass
from typing import Any

from corpus_keys import (
    beside,
    ds_of,
    odd_key,
    published,
    rsa_octets,
    signed_by,
    unusable,
)
from corpus_oracles import BOGUS, INDETERMINATE, INSECURE, SECURE, Asked
from corpus_zones import SPLIT, CorpusZone, Key
from signed_text import (
    SignedText,
    drop,
    of_nsec3,
    spoil,
)

DATA, NODATA, NXDOMAIN = "data", "nodata", "nxdomain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One question, the status of its answer, what the answer says, and why it is not secure."""

    zone: str
    asked: Asked
    status: str
    outcome: str
    reason: str | None = None

    @property
    def name(self) -> str:
        """What the row is called in tests and in the file of exceptions."""
        return f"{self.asked[0]} {self.asked[1]}"


ZONES: list[CorpusZone] = []
ROWS: list[Row] = []

Expected = tuple[str, str, str] | tuple[str, str, str, str]


def zone(name: str, *expected: Expected, **how: Any) -> None:
    """Add a zone, and rows for it: "name type", status, outcome, perhaps reason."""
    apex = name if name.endswith(".") else f"{name}.test."
    ZONES.append(CorpusZone(apex=apex, **how))
    for question, status, outcome, *reason in expected:
        owner, rdtype = question.split()
        if not owner.endswith("."):
            owner = apex if owner == "@" else f"{owner}.{apex}"
        ROWS.append(
            Row(
                zone=apex,
                asked=(owner, rdtype),
                status=status,
                outcome=outcome,
                reason=reason[0] if reason else None,
            )
        )


def usual(status: str = SECURE, reason: str | None = None) -> list[Expected]:
    """Return one question for each kind of answer, all of one status."""
    more = (reason,) if reason else ()
    # Where an alias does not hold, nobody looks at what it leads to.
    end = "servfail" if status == BOGUS else DATA
    return [
        ("mx A", status, DATA, *more),  # type: ignore[list-item]
        ("@ MX", status, DATA, *more),
        ("_25._tcp.mx TLSA", status, DATA, *more),
        ("mx AAAA", status, NODATA, *more),
        ("a.mx A", status, NXDOMAIN, *more),
        ("deep.tree A", status, NODATA, *more),
        ("any TXT", status, DATA, *more),
        ("any A", status, NODATA, *more),
        ("x.walias A", status, end, *more),
        ("alias A", status, end, *more),
    ]


def few(status: str = SECURE, reason: str | None = None) -> list[Expected]:
    """Return data, NODATA and NXDOMAIN, all of one status."""
    return [usual(status, reason)[index] for index in (0, 3, 4)]


KSK, ZSK, CSK = Key(role="ksk"), Key(role="zsk"), Key()
TLD_SPLIT = {"records": "", "keys": SPLIT}

# --- parents ---
zone("test.", **TLD_SPLIT)
zone("optout.", denial="nsec3", opt_out=True, **TLD_SPLIT)
zone("hashed.", denial="nsec3", salt="c0ffee", **TLD_SPLIT)
zone("iterated.", signer="ldns", denial="nsec3", iterations=151, **TLD_SPLIT)
zone("ldns.", denial="nsec3", signer="ldns", opt_out=True, **TLD_SPLIT)

# --- healthy zones: signers, denial, parameters ---
zone("nsec", *usual())
zone("nsec-split", *few(), keys=SPLIT)
zone("nsec3", *usual(), denial="nsec3")
zone("nsec3-salt", *usual(), denial="nsec3", salt="deadbeef")
zone("nsec3-one", *few(), denial="nsec3", iterations=1)
zone("nsec3-100", *few(), denial="nsec3", iterations=100)
zone("nsec3-150", *usual(), denial="nsec3", iterations=150)
HIGH = "nsec3-iterations-high"
zone(
    "nsec3-151",
    ("mx A", SECURE, DATA),
    ("mx AAAA", INSECURE, NODATA, HIGH),
    ("a.mx A", INSECURE, NXDOMAIN, HIGH),
    ("deep.tree A", INSECURE, NODATA, HIGH),
    ("any TXT", INSECURE, DATA, HIGH),
    denial="nsec3",
    iterations=151,
    signer="ldns",  # BIND's signer refuses more than 150
)
zone(
    "nsec3-2500",
    ("mx A", SECURE, DATA),
    ("mx AAAA", INSECURE, NODATA, HIGH),
    ("a.mx A", INSECURE, NXDOMAIN, HIGH),
    denial="nsec3",
    iterations=2500,
    signer="ldns",
)
zone(
    "nsec3-2500-forged",
    ("mx AAAA", BOGUS, NODATA),  # RFC 9276 §3.2: the signature is looked at first
    denial="nsec3",
    iterations=2500,
    signer="ldns",
    broken=[of_nsec3("mx", spoil)],
)
SPAN = "opt-out-span"
zone(
    "nsec3-optout",
    ("mx A", SECURE, DATA),
    ("mx AAAA", SECURE, NODATA),
    ("deep.tree A", SECURE, NODATA),
    ("a.mx A", INSECURE, NXDOMAIN, SPAN),
    ("any TXT", INSECURE, DATA, SPAN),
    ("any A", INSECURE, NODATA, SPAN),
    denial="nsec3",
    opt_out=True,
)
zone("ldns-nsec", *usual(), signer="ldns")
zone("ldns-split", *few(), signer="ldns", keys=SPLIT)
zone("ldns-nsec3", *usual(), signer="ldns", denial="nsec3")
zone("ldns-salt", *few(), signer="ldns", denial="nsec3", salt="00112233", iterations=10)
zone(
    "ldns-optout",
    ("mx AAAA", SECURE, NODATA),
    ("a.mx A", INSECURE, NXDOMAIN, SPAN),
    signer="ldns",
    denial="nsec3",
    opt_out=True,
)

# --- algorithms and key sizes ---
for number in (8, 10, 13, 14, 15, 16):
    both = (Key(role="ksk", algorithm=number), Key(role="zsk", algorithm=number))
    zone(f"alg{number}", *usual(), keys=both)
    zone(f"ldns-alg{number}", *few(), keys=both, signer="ldns")
SHA1 = "ds-algorithm-unsupported"
zone("alg5", *few(INSECURE), keys=(Key(algorithm=5),))
zone("alg7", *few(INSECURE), keys=(Key(algorithm=7),), denial="nsec3")
zone("alg5-broken", ("mx A", INSECURE, DATA), keys=(Key(algorithm=5),), broken=[spoil("mx", "A")])
zone(
    "rsa1024",
    *few(),
    keys=(Key(algorithm=8, role="ksk", bits=1024), Key(algorithm=8, role="zsk", bits=1024)),
)
zone("rsa4096", *few(), keys=(Key(algorithm=8, bits=4096),))

# --- DS digests and algorithms ---
UNKNOWN_ALGORITHM, UNKNOWN_DIGEST = "ds-algorithm-unsupported", "ds-digest-unsupported"


def refield(index: int, value: str, which: int | None = None) -> Any:
    """Return an edit that sets one field of the DS records, or of one of them."""

    def edit(records: list[str]) -> list[str]:
        out = []
        for number, record in enumerate(records):
            words = record.split(maxsplit=3)
            if which in (None, number):
                words[index] = value
            out.append(" ".join(words))
        return out

    return edit


def wrong_digest(which: int | None = None) -> Any:
    """Return an edit that changes one digit of the digest."""

    def edit(records: list[str]) -> list[str]:
        out = list(records)
        for number, record in enumerate(records):
            if which in (None, number):
                out[number] = record[:-1] + ("0" if record[-1] != "0" else "1")
        return out

    return edit


def also(*records: str) -> Any:
    """Return an edit that adds DS records."""
    return lambda found: [*found, *records]


def only(*records: str) -> Any:
    """Return an edit that publishes these instead."""
    return lambda found: [*records]


STRANGE = "ab" * 32
zone("ds-sha1", *few(), digests=(1,))
zone("ds-sha384", *few(), digests=(4,))
zone("ds-all", *few(), digests=(1, 2, 4))
zone("ds-unknown-digest", *few(INSECURE, UNKNOWN_DIGEST), ds=refield(2, "200"))
zone("ds-gost-digest", *few(INSECURE, UNKNOWN_DIGEST), ds=refield(2, "3"))
zone("ds-unknown-algorithm", *few(INSECURE, UNKNOWN_ALGORITHM), ds=refield(1, "200"))
zone("ds-rsamd5", ("mx A", INSECURE, DATA, UNKNOWN_ALGORITHM), ds=refield(1, "1"))
zone("ds-dsa", ("mx A", INSECURE, DATA, UNKNOWN_ALGORITHM), ds=refield(1, "3"))
zone("ds-private-algorithm", ("mx A", INSECURE, DATA, UNKNOWN_ALGORITHM), ds=refield(1, "253"))
zone("ds-indirect", ("mx A", INSECURE, DATA, UNKNOWN_ALGORITHM), ds=refield(1, "252"))
zone("ds-known-and-unknown", *few(), ds=also(f"1 200 2 {STRANGE}", f"1 13 200 {STRANGE}"))
zone("ds-sha1-wrong-beside", *few(), digests=(1, 2), ds=wrong_digest(0))
zone(
    "ds-sha256-wrong-beside",
    ("mx A", BOGUS, DATA, "ds-digest-mismatch"),
    digests=(1, 2),
    ds=wrong_digest(1),
)  # RFC 4509 §3
zone("ds-sha384-wrong-beside", *few(), digests=(2, 4), ds=wrong_digest(1))
zone(
    "ds-sha1-only-wrong",
    ("mx A", BOGUS, DATA, "ds-digest-mismatch"),
    digests=(1,),
    ds=wrong_digest(),
)

# --- keys: several, rolls, standby, revoked ---
GONE = Key(role="ksk", state="gone")
zone("two-ksk-two-ds", *few(), keys=(KSK, KSK, ZSK))
zone("two-ksk-one-ds", *few(), keys=(KSK, Key(role="ksk", ds=False), ZSK))
zone("two-zsk", *few(), keys=(KSK, ZSK, ZSK))
zone("standby-zsk", *few(), keys=(KSK, ZSK, Key(role="zsk", state="standby")))
zone("standby-ksk", *few(), keys=(KSK, Key(role="ksk", state="standby"), ZSK))
zone(
    "standby-ksk-only-ds",
    ("mx A", BOGUS, DATA, "ds-key-not-signing"),
    keys=(Key(role="ksk", ds=False), Key(role="ksk", state="standby"), ZSK),
)
zone("ds-ahead-of-key", *few(), keys=(KSK, GONE, ZSK))
zone("ds-of-old-key", *few(BOGUS, "ds-no-key"), keys=(Key(role="ksk", ds=False), GONE, ZSK))
zone("two-csk", *few(), keys=(CSK, CSK))
zone("revoked-beside", *few(), keys=(KSK, Key(role="ksk", state="revoked", ds=False), ZSK))
zone("revoked-with-ds", *few(), keys=(KSK, Key(role="ksk", state="revoked"), ZSK))
zone(
    "revoked-only",
    ("mx A", BOGUS, DATA, "ds-key-revoked"),
    keys=(Key(role="ksk", state="revoked"), ZSK),
)
EIGHT = (Key(role="ksk", algorithm=8), Key(role="zsk", algorithm=8))
EIGHT_QUIET = (Key(role="ksk", algorithm=8, ds=False), Key(role="zsk", algorithm=8))
zone("roll-both-ds", *few(), keys=(*SPLIT, *EIGHT))
zone("roll-old-ds", *few(), keys=(*SPLIT, *EIGHT_QUIET))
zone("roll-new-ds", *few(), keys=(Key(role="ksk", ds=False), ZSK, *EIGHT))


def only_algorithm(number: int, *types: str) -> Any:
    """Return a break that leaves only signatures of one algorithm over record sets of a type."""

    def edit(zone: SignedText) -> None:
        zone.records = [
            rr
            for rr in zone.records
            if rr.covers not in types or rr.rdata.split()[1] == str(number)
        ]

    return edit


zone(
    "roll-data-by-one",
    ("mx A", SECURE, DATA),
    keys=(*SPLIT, *EIGHT),
    broken=[only_algorithm(13, "A")],
)  # RFC 6840 §5.11
zone("roll-keys-by-one", *few(), keys=(*SPLIT, *EIGHT), broken=[only_algorithm(13, "DNSKEY")])
zone("roll-unknown-beside", *few(), ds=also(f"4711 200 2 {STRANGE}"))
zone(
    "sha1-and-13", *few(), keys=(*SPLIT, Key(role="ksk", algorithm=5), Key(role="zsk", algorithm=5))
)

# --- keys no tool would make ---
for slot, flags, protocol, expected in (
    ("no-zone-bit", 1, 3, [("mx A", BOGUS, DATA, "ds-key-not-zone-key")]),
    ("protocol-2", 257, 2, [("mx A", BOGUS, DATA, "ds-key-not-zone-key")]),
    ("revoked-csk", 0x181, 3, few()),
):
    made = odd_key(slot, flags, protocol)
    zone(
        f"key-{slot}",
        *expected,
        ds=only(ds_of(f"key-{slot}.test.", made)),
        broken=[published(made)],
    )
for name, octets, algorithm, because in (
    ("key-malformed", bytes(10), 13, "dnskey-malformed"),
    ("key-off-curve", b"\x01" * 64, 13, "dnskey-malformed"),
    ("key-rsa-512", rsa_octets(512), 8, "dnskey-too-small"),
    ("key-rsa-8192", rsa_octets(8192), 8, "dnskey-too-large"),
    ("key-rsa-exponent", rsa_octets(2048, b"\x01" * 16), 8, "dnskey-too-large"),
):
    why, ds_text, broken = unusable(name, octets, algorithm=algorithm, why=because)
    zone(name, ("mx A", BOGUS, DATA, why), ds=only(ds_text), broken=[broken])
extra = odd_key("extra")
zone(
    "key-not-sep",
    *few(),
    ds=only(ds_of("key-not-sep.test.", odd_key("not-sep", 256))),
    broken=[published(odd_key("not-sep", 256))],
)
zone(
    "key-not-signing",
    ("mx A", BOGUS, DATA, "ds-key-not-signing"),
    ds=only(ds_of("key-not-signing.test.", extra)),
    broken=[published(extra, signs=False)],
)
zone(
    "key-unlisted-signs",
    ("mx A", BOGUS, DATA, "rrsig-no-key"),
    broken=[signed_by("mx", "A", extra)],
)
zone("key-unlisted-beside", ("mx A", SECURE, DATA), broken=[beside("mx", "A", extra)])
zone(
    "key-no-zone-bit-signs",
    ("mx A", BOGUS, DATA, "rrsig-no-key"),
    broken=[published(odd_key("data", 0), signs=False), signed_by("mx", "A", odd_key("data", 0))],
)
zone(
    "key-revoked-signs",
    ("mx A", BOGUS, DATA, "rrsig-key-revoked"),
    broken=[
        published(odd_key("revoked-data", 0x180), signs=False),
        signed_by("mx", "A", odd_key("revoked-data", 0x180)),
    ],
)
zone(
    "key-standby-signs",
    ("mx A", SECURE, DATA),
    broken=[published(extra, signs=False), signed_by("mx", "A", extra)],
)
zone(
    "key-entry-signs-data",
    ("mx A", SECURE, DATA),
    keys=SPLIT,
    broken=[lambda text: text.resign("mx", "A", key=text.key(entry=True))],
)
zone(
    "key-data-signs-keys",
    ("mx A", BOGUS, DATA, "ds-key-not-signing"),
    keys=SPLIT,
    broken=[lambda text: text.resign("@", "DNSKEY", key=text.key())],
)

# --- delegations ---
UNSIGNED = "delegation-unsigned"
zone("unsigned", *usual(INSECURE, UNSIGNED), signer="none")
zone("unsigned.hashed.", *few(INSECURE, UNSIGNED), signer="none")
zone("signed.hashed.", *few())
zone("unsigned.optout.", *few(INSECURE), signer="none")
zone("signed.optout.", *few())
zone("bogus.optout.", ("mx A", BOGUS, DATA, "ds-no-key"), ds=refield(0, "1"))
zone("unsigned.ldns.", *few(INSECURE), signer="none")
zone("signed.ldns.", *few(), signer="ldns")
zone("unsigned.iterated.", *few(INSECURE), signer="none")
zone("signed.iterated.", *few())
zone("no-ds", *few(INSECURE, UNSIGNED), ds=only())
zone("under-no-ds.no-ds.test.", *few(INSECURE))
zone("under-unsigned.unsigned.test.", ("mx A", INSECURE, DATA))
zone("a.b.c.deep.test.", *few())
zone("x.y.deep.test.", *few(INSECURE, UNSIGNED), signer="none")
zone("child.nsec.test.", *few())
zone("grand.child.nsec.test.", *few())
zone("a.b.c.nsec3.test.", *few(), denial="nsec3")
zone("plain.child.nsec.test.", *few(INSECURE, UNSIGNED), signer="none")
zone("plain.b.nsec3.test.", *few(INSECURE, UNSIGNED), signer="none")
zone("dnskey-missing", *few(BOGUS, "dnskey-missing"), signer="none", ds=only(f"1 13 2 {STRANGE}"))
zone("keys-dropped", ("mx A", BOGUS, DATA, "dnskey-missing"), broken=[drop("@", "DNSKEY")])
zone("lame", ("mx A", INDETERMINATE, "servfail"), ("nx A", INDETERMINATE, "servfail"), served=False)
zone("lame-unsigned", ("mx A", INDETERMINATE, "servfail"), served=False, ds=only())
