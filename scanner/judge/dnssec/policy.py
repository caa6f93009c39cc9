"""Every choice and every bound of validation, named once.

Work is counted, never timed: a count is the same on every machine, and a verdict must be. The
measured costs behind the counts: one verification takes 15 µs (RSA-2048) to 333 µs (P-384), one
NSEC3 hash 10 µs to 48 µs (150 iterations).
"""

from dataclasses import dataclass

from scanner.model.vocabulary import Sha1Policy

__all__ = ["MAX_SERIAL_SECONDS", "DnssecPolicy", "Sha1Policy"]

MAX_SERIAL_SECONDS = 1 << 32
"""RRSIG times are counted modulo this (RFC 4034 §3.1.5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DnssecPolicy:
    """How answers are validated. Counts unless a unit is named.

    The bounds against KeyTrap (CVE-2023-50387) and its kin follow unbound 1.19.1 and hickory-dns;
    those without a source are ours, far above what honest zones need.
    """

    sha1: Sha1Policy = Sha1Policy.INSECURE
    """Signatures by algorithms 5 and 7: as RFC 9905 §2 wants of operators of validators."""
    sha1_ds: Sha1Policy = Sha1Policy.VALIDATE
    """DS records with digest type 1 where there is no stronger one: a second preimage of SHA-1 is
    out of reach, and validators in use accept them."""
    max_nsec3_iterations: int = 150
    """More are insecure, once the NSEC3's signature has verified (RFC 9276 §3.2; as unbound)."""
    min_rsa_bits: int = 1024
    """Smaller moduli verify nothing (RFC 8301 §3.2 and zonemaster draw the same line)."""
    max_rsa_bits: int = 4096
    """RFC 5702 §2.1 is the largest a DNSSEC key may be."""
    max_rsa_exponent_bits: int = 64
    """Larger ones make one verification a hundred times dearer, and nobody needs them."""

    max_equal_key_tags: int = 2
    """DNSKEYs of equal tag and algorithm tried for one RRSIG (as hickory-dns)."""
    max_equal_key_tags_for_ds: int = 4
    """DNSKEYs of equal tag and algorithm compared with one DS (as unbound's failures of DS)."""
    max_verifications_per_rrset: int = 8
    """Signatures verified for one RRset, the first good one ends it (as unbound, hickory-dns)."""
    max_failed_verifications: int = 16
    """Failed verifications for one answer or one delegation."""
    max_verifications: int = 128
    """Verifications of any result for one answer or one delegation."""
    max_dnskeys: int = 32
    """DNSKEYs of a zone that are looked at."""
    max_ds: int = 16
    max_rrsigs_per_rrset: int = 16
    max_rrs_per_rrset: int = 1_024
    """Ours; a reply of 64 KiB has room for five thousand, honest sets stay below a hundred."""
    max_nsec3_hashes: int = 32
    """Distinct NSEC3 hashes computed for one answer or one delegation (CVE-2023-50868)."""
    max_denial_records: int = 8
    """NSEC and NSEC3 records of one zone in one reply that are verified."""

    max_aliases: int = 16
    """Links of an alias chain (as BIND; unbound stops after 11 restarts)."""
    max_zone_cuts: int = 32
    """Labels walked down for one question, over all names of its alias chain 16 times that."""
    max_queries: int = 64
    """Queries sent for one question, those for shared zones not counted twice."""

    clock_skew_seconds: int = 300
    """A bound of a signature this near is reported as doubtful; none is tolerated."""
    max_cache_seconds: int = 3600
    """Longest time that keys of a zone are believed without asking again."""
    failure_cache_seconds: int = 60
    """How long a bogus or missing delegation is remembered (as unbound's BOGUS_KEY_TTL)."""
    max_cached_zones: int = 20_000
    """Delegations remembered, about 6 KiB each; the oldest go first. Those that many share are soon
    there again; of the others a pass needs each once."""
    max_memo_entries: int = 20_000
    """Verifications remembered by key, signature and data."""
