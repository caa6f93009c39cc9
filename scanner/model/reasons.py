"""The closed list of reasons and finding codes.

Spelling only; what each one means, whose fault it is and what to do about it stands in
``scanner.model.registry``, which must cover every member.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a verdict, an outcome or a finding is what it is."""

    # The MX stage (RFC 7672 §2.2.1).
    DOMAIN_DOES_NOT_EXIST = "domain-does-not-exist"
    NULL_MX = "null-mx"
    NO_MAIL_HOST = "no-mail-host"
    MX_DNSSEC_BOGUS = "mx-dnssec-bogus"
    MX_DNSSEC_INDETERMINATE = "mx-dnssec-indeterminate"
    MX_LOOKUP_FAILED = "mx-lookup-failed"
    MX_LOOKUP_TIMEOUT = "mx-lookup-timeout"
    MX_LOOKUP_REFUSED = "mx-lookup-refused"
    MX_LOOKUP_MALFORMED = "mx-lookup-malformed"
    MX_ALIAS_LOOP = "mx-alias-loop"
    DOMAIN_UNSIGNED = "domain-unsigned"

    # The address stage (RFC 7672 §2.2.2).
    ADDRESS_DNSSEC_BOGUS = "address-dnssec-bogus"
    ADDRESS_DNSSEC_INDETERMINATE = "address-dnssec-indeterminate"
    ADDRESS_LOOKUP_FAILED = "address-lookup-failed"
    ADDRESS_LOOKUP_TIMEOUT = "address-lookup-timeout"
    ADDRESS_LOOKUP_REFUSED = "address-lookup-refused"
    ADDRESS_LOOKUP_MALFORMED = "address-lookup-malformed"
    ADDRESS_ALIAS_LOOP = "address-alias-loop"
    HOST_NO_ADDRESS = "host-no-address"
    HOST_UNSIGNED = "host-unsigned"
    MX_TARGET_UNUSABLE = "mx-target-unusable"
    SPECIAL_PURPOSE_ADDRESS = "special-purpose-address"

    # The TLSA stage (RFC 7672 §2.1.1, §2.2.3).
    TLSA_ABSENT = "tlsa-absent"
    TLSA_DNSSEC_BOGUS = "tlsa-dnssec-bogus"
    TLSA_DNSSEC_INDETERMINATE = "tlsa-dnssec-indeterminate"
    TLSA_LOOKUP_FAILED = "tlsa-lookup-failed"
    TLSA_LOOKUP_TIMEOUT = "tlsa-lookup-timeout"
    TLSA_LOOKUP_REFUSED = "tlsa-lookup-refused"
    TLSA_LOOKUP_MALFORMED = "tlsa-lookup-malformed"
    TLSA_ALIAS_LOOP = "tlsa-alias-loop"

    # Usability of TLSA records (RFC 7672 §3.1, RFC 6698 §2.1).
    TLSA_ALL_UNUSABLE = "tlsa-all-unusable"
    TLSA_USAGE_UNUSABLE = "tlsa-usage-unusable"
    TLSA_SELECTOR_UNKNOWN = "tlsa-selector-unknown"
    TLSA_MATCHING_TYPE_UNKNOWN = "tlsa-matching-type-unknown"
    TLSA_DIGEST_LENGTH = "tlsa-digest-length"
    TLSA_DATA_MALFORMED = "tlsa-data-malformed"
    TLSA_TOO_SHORT = "tlsa-too-short"

    # Connection and SMTP (RFC 5321, RFC 3207).
    CONNECTION_REFUSED = "connection-refused"
    CONNECTION_TIMEOUT = "connection-timeout"
    CONNECTION_UNREACHABLE = "connection-unreachable"
    CONNECTION_CLOSED = "connection-closed"
    GREETING_DEFERRED = "greeting-deferred"
    GREETING_REJECTED = "greeting-rejected"
    SMTP_TIMEOUT = "smtp-timeout"
    SMTP_PROTOCOL_ERROR = "smtp-protocol-error"
    STARTTLS_NOT_OFFERED = "starttls-not-offered"
    STARTTLS_DEFERRED = "starttls-deferred"
    STARTTLS_REFUSED = "starttls-refused"
    STARTTLS_NO_ANSWER = "starttls-no-answer"
    TLS_HANDSHAKE_FAILED = "tls-handshake-failed"
    TLS_VERSION_TOO_OLD = "tls-version-too-old"
    TLS_NO_CERTIFICATE = "tls-no-certificate"

    # Certificate matching (RFC 7671 §5, RFC 7672 §3).
    TLSA_MISMATCH = "tlsa-mismatch"
    TRUST_ANCHOR_IS_LEAF = "trust-anchor-is-leaf"
    TRUST_ANCHOR_MISSING = "trust-anchor-missing"
    TRUST_ANCHOR_NOT_IN_PATH = "trust-anchor-not-in-path"
    CHAIN_SIGNATURE_INVALID = "chain-signature-invalid"
    CHAIN_ISSUER_NOT_CA = "chain-issuer-not-ca"
    CHAIN_PATH_LENGTH = "chain-path-length"
    CHAIN_NAME_CONSTRAINT = "chain-name-constraint"
    CHAIN_KEY_USAGE = "chain-key-usage"
    CHAIN_CRITICAL_EXTENSION = "chain-critical-extension"
    CHAIN_WORK_LIMIT = "chain-work-limit"
    CERTIFICATE_NAME_MISMATCH = "certificate-name-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_UNREADABLE = "certificate-unreadable"

    # Policy of the sender.
    DANE_REQUIRED = "dane-required"

    # Our own side: never held against a partner.
    RESOLVER_DOWN = "resolver-down"
    RESOLVER_NOT_VALIDATING = "resolver-not-validating"
    NO_ROUTE = "no-route"
    EGRESS_UNPROVEN = "egress-unproven"
    OWN_RESOURCES = "own-resources"
    OWN_LOOKUP_FAILED = "own-lookup-failed"
    CHECK_DEADLINE = "check-deadline"
    INTERNAL_ERROR = "internal-error"

    # Findings that explain or warn, and never decide by themselves.
    DOWNGRADE_PATH = "downgrade-path"
    HOST_FAILING = "host-failing"
    HOST_NOT_MEASURED = "host-not-measured"
    ADDRESSES_INCONSISTENT = "addresses-inconsistent"
    CERTIFICATE_ALGORITHM_DEPENDENT = "certificate-algorithm-dependent"
    DANE_OFFERED_DOMAIN_UNSIGNED = "dane-offered-domain-unsigned"
    TLSA_UNPROTECTED = "tlsa-unprotected"
    TLSA_ALIAS_INSECURE = "tlsa-alias-insecure"
    TLSA_DUPLICATE = "tlsa-duplicate"
    TLSA_UNMATCHED_RECORD = "tlsa-unmatched-record"
    TLSA_PARAMETERS_UNMATCHED = "tlsa-parameters-unmatched"
    TLSA_FULL_DATA = "tlsa-full-data"
    TLSA_ONLY_SHA512 = "tlsa-only-sha512"
    TLSA_ANCHOR_KEY = "tlsa-anchor-key"
    TLSA_TOO_MANY = "tlsa-too-many"
    AGILITY_RISK = "agility-risk"
    TRUST_ANCHOR_NOT_SENT = "trust-anchor-not-sent"
    SENDER_DEPENDENT = "sender-dependent"
    SCOPE_DEPENDENT = "scope-dependent"
    MX_ALIAS = "mx-alias"
    MX_DUPLICATE_HOST = "mx-duplicate-host"
    MX_TOO_MANY = "mx-too-many"
    NULL_MX_BESIDE_OTHERS = "null-mx-beside-others"
    NULL_MX_WITH_PREFERENCE = "null-mx-with-preference"
    ADDRESSES_TOO_MANY = "addresses-too-many"
    ADDRESS_SECURITY_MIXED = "address-security-mixed"
    ADDRESS_FAMILY_FAILED = "address-family-failed"
    CERTIFICATE_EXPIRY_IGNORED = "certificate-expiry-ignored"
    CERTIFICATE_EXPIRES_SOON = "certificate-expires-soon"
    SIGNATURE_EXPIRES_SOON = "signature-expires-soon"
    CHAIN_TOO_LONG = "chain-too-long"
    WEAK_KEY = "weak-key"
    TLS_OLD_VERSION = "tls-old-version"
    PLAINTEXT_AFTER_STARTTLS = "plaintext-after-starttls"
