"""Numbers of DNSSEC as people write them: algorithms, digests, types, roles of keys, severities.

The names are those of the IANA registries "DNS Security Algorithm Numbers", "DS RR Type Digest
Algorithms" and "Resource Record (RR) TYPEs".
"""

from scanner.model.dnssec import Dnskey
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.registry_dnssec import dnssec_info
from scanner.model.vocabulary import DnssecStatus, Fault, Severity

ALGORITHM_NAMES = {
    1: "RSAMD5",
    3: "DSA",
    5: "RSASHA1",
    6: "DSA-NSEC3-SHA1",
    7: "RSASHA1-NSEC3-SHA1",
    8: "RSASHA256",
    10: "RSASHA512",
    12: "ECC-GOST",
    13: "ECDSAP256SHA256",
    14: "ECDSAP384SHA384",
    15: "ED25519",
    16: "ED448",
    17: "SM2SM3",
    23: "ECC-GOST12",
}
DIGEST_NAMES = {1: "SHA-1", 2: "SHA-256", 3: "GOST", 4: "SHA-384", 5: "GOST-2012", 6: "SM3"}
TYPE_NAMES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    39: "DNAME",
    43: "DS",
    46: "RRSIG",
    47: "NSEC",
    48: "DNSKEY",
    50: "NSEC3",
    52: "TLSA",
}


def algorithm_name(number: int) -> str:
    """Return the mnemonic of a signing algorithm, or ``algorithm N``."""
    return ALGORITHM_NAMES.get(number, f"algorithm {number}")


def digest_name(number: int) -> str:
    """Return the name of a DS digest, or ``digest N``."""
    return DIGEST_NAMES.get(number, f"digest {number}")


def type_name(number: int) -> str:
    """Return the name of a record type, in the form of RFC 3597 §5 where it has none here."""
    return TYPE_NAMES.get(number, f"TYPE{number}")


def key_role(key: Dnskey) -> str:
    """Return what a key is for: ``KSK`` with the SEP bit, else ``ZSK``; only a hint."""
    role = "KSK" if key.is_secure_entry_point else "ZSK"
    return f"revoked {role}" if key.is_revoked else role


def dnssec_severity(reason: DnssecReason, state: DnssecStatus | None) -> Severity:
    """Return how much a finding matters that leads to ``state``."""
    if state in (DnssecStatus.BOGUS, DnssecStatus.INDETERMINATE):
        return Severity.ERROR
    harmless = dnssec_info(reason).fault is Fault.NOBODY
    return Severity.INFO if harmless else Severity.WARNING
