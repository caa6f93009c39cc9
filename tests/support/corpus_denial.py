"""The table of the corpus, continued: broken denial, delegations denied falsely, aliases.

ZONES and ROWS are whole only here, after all three parts.
"""

from typing import Any

import corpus_signatures  # its rows belong to the table
from corpus_cases import DATA, NODATA, NXDOMAIN, ROWS, ZONES, few, only, zone
from corpus_oracles import BOGUS, INDETERMINATE, INSECURE, SECURE
from corpus_zones import SPLIT
from signed_text import (
    bitmap,
    change,
    denial_next,
    drop,
    drop_all,
    nsec3_fields,
    of_nsec3,
    spoil,
    strip,
    strip_all,
)

__all__ = ["ROWS", "ZONES", "corpus_signatures"]

# --- NSEC: missing, spoilt, lying ---
zone(
    "nsec-stripped",
    ("mx AAAA", BOGUS, NODATA, "rrsig-missing"),
    ("mx A", SECURE, DATA),
    broken=[strip("mx", "NSEC")],
)
zone("nsec-spoilt", ("mx AAAA", BOGUS, NODATA, "rrsig-invalid"), broken=[spoil("mx", "NSEC")])
zone(
    "nsec-dropped",
    ("mx AAAA", BOGUS, NODATA, "name-not-covered"),
    ("a.mx A", BOGUS, NXDOMAIN, "wildcard-not-denied"),
    broken=[drop("mx", "NSEC")],
)
zone(
    "nsec-cover-dropped",
    ("a.z A", BOGUS, NXDOMAIN, "name-not-covered"),
    ("z AAAA", BOGUS, NODATA, "name-not-covered"),
    ("mx AAAA", SECURE, NODATA),
    broken=[drop("z", "NSEC")],
)
zone(
    "nsec-none",
    *few(BOGUS, "denial-missing")[1:],
    ("any TXT", BOGUS, DATA, "denial-missing"),
    ("mx A", SECURE, DATA),
    broken=[drop_all("NSEC")],
)
zone(
    "nsec-all-stripped",
    *few(BOGUS, "rrsig-missing")[1:],
    ("any TXT", BOGUS, DATA, "rrsig-missing"),
    broken=[strip_all("NSEC")],
)
zone(
    "nsec-type-present",
    ("mx AAAA", BOGUS, NODATA, "type-present"),
    ("mx A", SECURE, DATA),
    broken=[bitmap("mx", plus=("AAAA",))],
)
zone(
    "nsec-cname-present",
    ("mx AAAA", BOGUS, NODATA, "cname-present"),
    broken=[bitmap("mx", plus=("CNAME",))],
)
zone(
    "nsec-type-hidden",
    ("mx A", SECURE, DATA),
    ("mx AAAA", SECURE, NODATA),
    broken=[bitmap("mx", minus=("A",))],
)
zone(
    "nsec-next-outside",
    ("zz.wild A", SECURE, DATA),
    ("a.z A", BOGUS, NXDOMAIN, "denial-missing"),
    broken=[denial_next("z", "zz.other.test.")],
)
zone(
    "nsec-next-changed",
    ("mx AAAA", BOGUS, NODATA, "rrsig-invalid"),
    broken=[change("mx", "NSEC", "_25", "_26")],
)
zone("nsec-looks-like-cut", ("mx AAAA", INSECURE, NODATA), broken=[bitmap("mx", plus=("NS",))])
zone("nsec-cut-above", ("a.z A", INSECURE, NXDOMAIN), broken=[bitmap("z", plus=("NS",))])
zone(
    "nsec-dname-above",
    ("a.z A", BOGUS, NXDOMAIN, "ancestor-delegation"),
    broken=[bitmap("z", plus=("DNAME",))],
)
zone(
    "nsec-wildcard-type",
    ("any A", BOGUS, NODATA, "type-present"),
    broken=[bitmap("*", plus=("A",))],
)
zone(
    "nsec-wildcard-cname",
    ("any A", BOGUS, NODATA, "cname-present"),
    broken=[bitmap("*", plus=("CNAME",))],
)
zone(
    "nsec-no-wildcard",
    ("any A", SECURE, NXDOMAIN),
    ("any.thing A", SECURE, NXDOMAIN),
    records="@ MX 10 mx\nmx A 127.0.1.1\n",
)
zone(
    "nsec-encloser-dropped",
    ("any TXT", BOGUS, DATA, "name-not-covered"),
    broken=[drop("alias", "NSEC")],
)


# --- NSEC3 ---
def hashed(name: str, *expected: Any, **how: Any) -> None:
    """Add a zone with NSEC3."""
    zone(name, *expected, denial="nsec3", **how)


hashed("n3-stripped", ("mx AAAA", BOGUS, NODATA, "rrsig-missing"), broken=[of_nsec3("mx", strip)])
hashed("n3-spoilt", ("mx AAAA", BOGUS, NODATA, "rrsig-invalid"), broken=[of_nsec3("mx", spoil)])
hashed("n3-dropped", ("mx AAAA", BOGUS, NODATA, "name-not-covered"), broken=[of_nsec3("mx", drop)])
hashed(
    "n3-none",
    *few(BOGUS, "denial-missing")[1:],
    ("any TXT", BOGUS, DATA, "denial-missing"),
    ("mx A", SECURE, DATA),
    broken=[drop_all("NSEC3")],
)
hashed(
    "n3-all-stripped",
    *few(BOGUS, "rrsig-missing")[1:],
    ("any TXT", BOGUS, DATA, "rrsig-missing"),
    broken=[strip_all("NSEC3")],
)
hashed(
    "n3-type-present",
    ("mx AAAA", BOGUS, NODATA, "type-present"),
    broken=[bitmap("mx", plus=("AAAA",))],
)
hashed(
    "n3-cname-present",
    ("mx AAAA", BOGUS, NODATA, "cname-present"),
    broken=[bitmap("mx", plus=("CNAME",))],
)
hashed("n3-cut-above", ("a.mx A", INSECURE, NXDOMAIN), broken=[bitmap("mx", plus=("NS",))])
hashed(
    "n3-dname-above",
    ("a.mx A", BOGUS, NXDOMAIN, "ancestor-delegation"),
    broken=[bitmap("mx", plus=("DNAME",))],
)
hashed(
    "n3-encloser-spoilt",
    ("a.mx A", BOGUS, NXDOMAIN, "rrsig-invalid"),
    broken=[of_nsec3("mx", spoil)],
)
hashed(
    "n3-encloser-dropped",
    ("a.mx A", BOGUS, NXDOMAIN, "no-closest-encloser"),
    broken=[of_nsec3("mx", drop)],
)
hashed(
    "n3-closer-spoilt",
    ("a.mx A", BOGUS, NXDOMAIN, "rrsig-invalid"),
    broken=[of_nsec3("a.mx", spoil, covering=True)],
)
hashed(
    "n3-wildcard-spoilt",
    ("a.mx A", BOGUS, NXDOMAIN, "rrsig-invalid"),
    broken=[of_nsec3("*.mx", spoil, covering=True)],
)
hashed(
    "n3-any-spoilt",
    ("any TXT", BOGUS, DATA, "rrsig-invalid"),
    broken=[of_nsec3("any", spoil, covering=True)],
)
hashed(
    "n3-wildcard-type", ("any A", BOGUS, NODATA, "type-present"), broken=[bitmap("*", plus=("A",))]
)
hashed(
    "n3-ent-dropped",
    ("deep.tree A", BOGUS, NODATA, "name-not-covered"),
    broken=[of_nsec3("deep.tree", drop)],
)
hashed(
    "n3-no-wildcard",
    ("any A", SECURE, NXDOMAIN),
    ("any.thing A", SECURE, NXDOMAIN),
    records="@ MX 10 mx\nmx A 127.0.1.1\n",
)
hashed("n3-flags-unknown", *few(BOGUS, "nsec3-flags-unknown")[1:], broken=[nsec3_fields(flags="2")])


# --- delegations denied falsely: each parent is a zone of its own ---
def parent(
    name: str, status: str, *broken: Any, child: dict[str, Any] | None = None, **how: Any
) -> None:
    """Add a parent that is broken, and a child of it that is asked."""
    reason = how.pop("reason", None)
    zone(name, keys=SPLIT, broken=list(broken), **how)
    zone(f"child.{name}.test.", *few(status, reason), **(child or {}))


PLAIN = {"signer": "none"}
HASHED = {"denial": "nsec3"}
OPT_OUT = {"denial": "nsec3", "opt_out": True}
parent("p-ds-stripped", BOGUS, strip("child", "DS"), reason="rrsig-missing")
parent("p-ds-spoilt", BOGUS, spoil("child", "DS"), reason="rrsig-invalid")
parent("p-ds-dropped", BOGUS, drop("child", "DS"), reason="ds-bit-set")
parent("p-ds-dropped-n3", BOGUS, drop("child", "DS"), **HASHED, reason="ds-bit-set")
parent("p-ds-changed", BOGUS, change("child", "DS", " 13 2 ", " 13 4 "), reason="rrsig-invalid")
parent("p-healthy-n3", INSECURE, child=PLAIN, **HASHED)
parent("p-nsec-stripped", BOGUS, strip("child", "NSEC"), child=PLAIN, reason="rrsig-missing")
parent("p-nsec-spoilt", BOGUS, spoil("child", "NSEC"), child=PLAIN, reason="rrsig-invalid")
parent("p-nsec-dropped", BOGUS, drop("child", "NSEC"), child=PLAIN, reason="name-not-covered")
parent(
    "p-n3-stripped", BOGUS, of_nsec3("child", strip), child=PLAIN, **HASHED, reason="rrsig-missing"
)
parent(
    "p-n3-spoilt", BOGUS, of_nsec3("child", spoil), child=PLAIN, **HASHED, reason="rrsig-invalid"
)
parent(
    "p-n3-dropped", BOGUS, of_nsec3("child", drop), child=PLAIN, **HASHED, reason="name-not-covered"
)
parent("p-ds-bit", BOGUS, bitmap("child", plus=("DS",)), child=PLAIN, reason="ds-bit-set")
parent(
    "p-ds-bit-n3", BOGUS, bitmap("child", plus=("DS",)), child=PLAIN, **HASHED, reason="ds-bit-set"
)
NS_BIT = "ds-ns-bit-missing"
parent("p-ns-bit", BOGUS, bitmap("child", minus=("NS",)), child=PLAIN, reason=NS_BIT)
parent("p-ns-bit-n3", BOGUS, bitmap("child", minus=("NS",)), child=PLAIN, **HASHED, reason=NS_BIT)
HIDDEN = {"delegated": False, "ds": only()}
NO_NS = "parent-without-ns"
parent("p-hides", BOGUS, child=HIDDEN, reason=NO_NS)
parent("p-hides-bare", BOGUS, child=HIDDEN, records="mx A 127.0.1.1", reason=NO_NS)
parent("p-hides-plain", BOGUS, child=HIDDEN | PLAIN, records="mx A 127.0.1.1", reason=NO_NS)
parent("p-soa-bit", BOGUS, bitmap("child", plus=("SOA",)), child=PLAIN, reason="ds-from-child")
parent("p-optout", INSECURE, child=PLAIN, **OPT_OUT)
parent("p-optout-signed", SECURE, **OPT_OUT)
parent(
    "p-optout-cleared",
    BOGUS,
    nsec3_fields(flags="0"),
    child=PLAIN,
    **OPT_OUT,
    reason="opt-out-not-set",
)
parent("p-optout-ds-dropped", BOGUS, drop("child", "DS"), **OPT_OUT, reason="ds-bit-set")
parent("p-expired", BOGUS, days=(-30, -1), reason="rrsig-expired")
parent("p-no-ds", INSECURE, ds=only())
parent("p-ns-unsigned-is-fine", SECURE, change("@", "NS", "ns.", "mx."))

# --- aliases over zones ---
ALIASES = """
secure CNAME mx.nsec.test.
hashed CNAME mx.nsec3.test.
nodata CNAME mx.nsec.test.
none CNAME a.mx.nsec.test.
insecure CNAME mx.unsigned.test.
bogus CNAME mx.spoilt-a.test.
lame CNAME mx.lame.test.
two CNAME secure
three CNAME two
back CNAME alias.nsec.test.
wild CNAME any.nsec.test.
self CNAME self
ring1 CNAME ring2
ring2 CNAME ring1
round CNAME round.alias-b.test.
*.star CNAME mx.nsec3.test.
*.starplain CNAME mx.unsigned.test.
tree DNAME nsec.test.
plain DNAME unsigned.test.
broken DNAME spoilt-a.test.
"""
zone(
    "alias-a",
    ("secure A", SECURE, DATA),
    ("secure CNAME", SECURE, DATA),
    ("hashed A", SECURE, DATA),
    ("nodata AAAA", SECURE, NODATA),
    ("none A", SECURE, NXDOMAIN),
    ("insecure A", INSECURE, DATA),
    ("insecure AAAA", INSECURE, NODATA),
    ("bogus A", BOGUS, DATA, "rrsig-invalid"),
    ("bogus AAAA", SECURE, NODATA),
    ("lame A", INDETERMINATE, "servfail"),
    ("self A", INDETERMINATE, "servfail", "upstream-servfail"),
    ("ring1 A", INDETERMINATE, "servfail", "upstream-servfail"),
    ("round A", INDETERMINATE, "servfail", "upstream-servfail"),
    ("two A", SECURE, DATA),
    ("three A", SECURE, DATA),
    ("back A", SECURE, DATA),
    ("wild TXT", SECURE, DATA),
    ("any.star A", SECURE, DATA),
    ("any.starplain A", INSECURE, DATA),
    ("mx.tree A", SECURE, DATA),
    ("mx.tree AAAA", SECURE, NODATA),
    ("a.mx.tree A", SECURE, NXDOMAIN),
    ("alias.tree A", SECURE, DATA),
    ("any.tree TXT", SECURE, DATA),
    ("tree A", SECURE, NODATA),
    ("mx.plain A", INSECURE, DATA),
    ("mx.broken A", BOGUS, DATA, "rrsig-invalid"),
    ("z.broken A", SECURE, DATA),
    records=ALIASES,
)
zone("alias-b", records="round CNAME round.alias-a.test.\nx CNAME mx.nsec.test.\n")
zone(
    "alias-n3",
    ("secure A", SECURE, DATA),
    ("insecure A", INSECURE, DATA),
    ("any.star A", SECURE, DATA),
    ("mx.tree A", SECURE, DATA),
    ("tree A", SECURE, NODATA),
    ("none A", SECURE, NXDOMAIN),
    records=ALIASES,
    denial="nsec3",
)
zone(
    "alias-plain",
    ("secure A", INSECURE, DATA),
    ("bogus A", BOGUS, DATA, "rrsig-invalid"),
    ("none A", INSECURE, NXDOMAIN),
    ("mx.tree A", INSECURE, DATA),
    records=ALIASES,
    signer="none",
)
zone(
    "alias-spoilt",
    ("secure A", BOGUS, "servfail", "rrsig-invalid"),
    records=ALIASES,
    broken=[spoil("secure", "CNAME")],
)
zone(
    "alias-stripped",
    ("secure A", BOGUS, "servfail", "ds-is-alias"),
    records=ALIASES,
    broken=[strip("secure", "CNAME")],
)
zone(
    "alias-star-unproven",
    ("any.star A", BOGUS, "servfail", "denial-missing"),
    records=ALIASES,
    broken=[drop_all("NSEC")],
)
zone(
    "alias-redirected",
    ("secure A", BOGUS, "servfail", "rrsig-invalid"),
    records=ALIASES,
    broken=[change("secure", "CNAME", "mx.nsec", "z.nsec")],
)
zone(
    "dname-stripped",
    ("mx.tree A", BOGUS, "servfail", "rrsig-missing"),
    records=ALIASES,
    broken=[strip("tree", "DNAME")],
)
zone(
    "dname-spoilt",
    ("mx.tree A", BOGUS, "servfail", "rrsig-invalid"),
    records=ALIASES,
    broken=[spoil("tree", "DNAME")],
)
zone(
    "dname-redirected",
    ("mx.tree A", BOGUS, "servfail", "rrsig-invalid"),
    records=ALIASES,
    broken=[change("tree", "DNAME", "nsec.test.", "nsec3.test.")],
)
