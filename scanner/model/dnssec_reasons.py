"""The closed list of DNSSEC reasons, in the order of the chain: upstream, anchor, delegation, ...

Spelling only; what each means, its RFC 8914 code and the remedy stand in
``scanner.model.registry_dnssec``, which covers every member.
"""

from enum import StrEnum


class DnssecReason(StrEnum):
    """Why an answer, a zone or a record set is not secure, or what is worth a warning."""

    # Upstream: ours until proven otherwise.
    UPSTREAM_TIMEOUT = "upstream-timeout"
    UPSTREAM_SERVFAIL = "upstream-servfail"
    UPSTREAM_REFUSED = "upstream-refused"
    UPSTREAM_RCODE = "upstream-rcode"
    UPSTREAM_NO_DNSSEC = "upstream-no-dnssec"
    RESPONSE_MALFORMED = "response-malformed"
    ALIAS_LOOP = "alias-loop"
    ALIAS_TOO_LONG = "alias-too-long"
    WORK_LIMIT = "work-limit"

    # Anchor and delegation.
    NO_ANCHOR = "no-anchor"
    ANCHOR_NOT_SIGNING = "anchor-not-signing"
    ANCHOR_UNSUPPORTED = "anchor-unsupported"
    DELEGATION_UNSIGNED = "delegation-unsigned"
    DS_NO_KEY = "ds-no-key"
    DS_DIGEST_MISMATCH = "ds-digest-mismatch"
    DS_KEY_NOT_SIGNING = "ds-key-not-signing"
    DS_KEY_SIG_INVALID = "ds-key-sig-invalid"
    DS_KEY_NOT_ZONE_KEY = "ds-key-not-zone-key"
    DS_KEY_REVOKED = "ds-key-revoked"
    DS_KEY_NOT_SEP = "ds-key-not-sep"
    ENTRY_KEY_REVOKED = "entry-key-revoked"
    DS_ALGORITHM_UNSUPPORTED = "ds-algorithm-unsupported"
    DS_DIGEST_UNSUPPORTED = "ds-digest-unsupported"
    DS_EXTRA = "ds-extra"
    DS_DIGEST_SHA1 = "ds-digest-sha1"
    DS_FROM_CHILD = "ds-from-child"
    DS_BIT_SET = "ds-bit-set"
    DS_NS_BIT_MISSING = "ds-ns-bit-missing"
    DS_IS_ALIAS = "ds-is-alias"
    DS_REFERRAL = "ds-referral"
    PARENT_WITHOUT_NS = "parent-without-ns"
    DNSKEY_MISSING = "dnskey-missing"
    DNSKEY_UNFETCHABLE = "dnskey-unfetchable"
    DNSKEY_MALFORMED = "dnskey-malformed"
    DNSKEY_TOO_SMALL = "dnskey-too-small"
    DNSKEY_TOO_LARGE = "dnskey-too-large"

    # Signatures.
    RRSIG_MISSING = "rrsig-missing"
    RRSIG_EXPIRED = "rrsig-expired"
    RRSIG_NOT_YET_VALID = "rrsig-not-yet-valid"
    RRSIG_DATES_REVERSED = "rrsig-dates-reversed"
    RRSIG_INVALID = "rrsig-invalid"
    RRSIG_NO_KEY = "rrsig-no-key"
    RRSIG_SIGNER_WRONG = "rrsig-signer-wrong"
    RRSIG_LABELS_WRONG = "rrsig-labels-wrong"
    RRSIG_ALGORITHM_UNSUPPORTED = "rrsig-algorithm-unsupported"
    RRSIG_BAD_LENGTH = "rrsig-bad-length"
    RRSIG_KEY_REVOKED = "rrsig-key-revoked"
    RRSIG_ALG_INCOMPLETE = "rrsig-alg-incomplete"
    RRSIG_NEAR_EXPIRY = "rrsig-near-expiry"
    RRSIG_CLOCK_SKEW = "rrsig-clock-skew"
    TTL_ABOVE_ORIGINAL = "ttl-above-original"
    TTL_PAST_EXPIRY = "ttl-past-expiry"

    # Denial and aliases.
    DENIAL_MISSING = "denial-missing"
    NAME_NOT_COVERED = "name-not-covered"
    NO_CLOSEST_ENCLOSER = "no-closest-encloser"
    WILDCARD_NOT_DENIED = "wildcard-not-denied"
    WILDCARD_ENCLOSER_WRONG = "wildcard-encloser-wrong"
    TYPE_PRESENT = "type-present"
    CNAME_PRESENT = "cname-present"
    ANCESTOR_DELEGATION = "ancestor-delegation"
    OPT_OUT_NOT_SET = "opt-out-not-set"
    OPT_OUT_SPAN = "opt-out-span"
    NSEC_OUT_OF_ZONE = "nsec-out-of-zone"
    NSEC_EXPANDED = "nsec-expanded"
    NSEC3_HASH_UNKNOWN = "nsec3-hash-unknown"
    NSEC3_FLAGS_UNKNOWN = "nsec3-flags-unknown"
    NSEC3_PARAMS_DIFFER = "nsec3-params-differ"
    NSEC3_ITERATIONS_HIGH = "nsec3-iterations-high"
    NSEC3_ITERATIONS_NONZERO = "nsec3-iterations-nonzero"
    DENIAL_CONTRADICTS = "denial-contradicts"
    SOA_MISSING = "soa-missing"
    SOA_WRONG = "soa-wrong"
    ALIAS_UNSIGNED = "alias-unsigned"
    DNAME_MISMATCH = "dname-mismatch"
    DNAME_WILDCARD = "dname-wildcard"

    # What a policy of ours decides.
    SHA1_BY_POLICY = "sha1-by-policy"
    CLOCK_DOUBTFUL = "clock-doubtful"

    # Seen only when authorities are asked themselves.
    SERVER_UNRESPONSIVE = "server-unresponsive"
    SERVER_LAME = "server-lame"
    SERVER_NO_EDNS = "server-no-edns"
    SERVER_DROPS_DO = "server-drops-do"
    SERVER_INCONSISTENT = "server-inconsistent"
    PMTU_EXCEEDED = "pmtu-exceeded"
    NS_PARENT_CHILD_MISMATCH = "ns-parent-child-mismatch"
    NS_NO_ADDRESS = "ns-no-address"

    # Forecast.
    DS_CHANGE_PENDING = "ds-change-pending"
    KEY_PREPUBLISHED = "key-prepublished"
    KEY_UNUSED = "key-unused"
    ALGORITHM_CHANGE_PENDING = "algorithm-change-pending"
    ALGORITHM_DEPRECATED = "algorithm-deprecated"
    RESIGNING_OVERDUE = "resigning-overdue"

    # Both modes known and unlike.
    RESOLVER_DISAGREES = "resolver-disagrees"
