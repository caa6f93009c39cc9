"""DNSSEC reasons of our upstream, the trust anchors and the delegations."""

from collections.abc import Mapping

from scanner.model.dnssec_reason_info import (
    ASK_AGAIN,
    DELEGATE,
    DENY,
    NOTHING,
    OUR_RESOLVER,
    RESIGN,
    DnssecReasonInfo,
    info,
)
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.vocabulary import DnssecStatus, Fault

_BOGUS = DnssecStatus.BOGUS
_INSECURE = DnssecStatus.INSECURE
_UNCLEAR = DnssecStatus.INDETERMINATE
_WARNING = None

_UPSTREAM = {
    R.UPSTREAM_TIMEOUT: info(
        _UNCLEAR,
        22,
        "No resolver replied, over UDP or TCP.",
        ASK_AGAIN,
        Fault.NETWORK,
    ),
    R.UPSTREAM_SERVFAIL: info(
        _UNCLEAR,
        None,
        "The resolver failed although it was told not to validate: the zone's servers are lame or"
        " unreachable, or the resolver reached a limit of its own.",
        "Check that every name server of the zone answers for it.",
    ),
    R.UPSTREAM_REFUSED: info(
        _UNCLEAR,
        None,
        "The resolver refused to answer.",
        OUR_RESOLVER,
        Fault.NETWORK,
    ),
    R.UPSTREAM_RCODE: info(
        _UNCLEAR,
        None,
        "The resolver answered with an error code that is no answer.",
        OUR_RESOLVER,
        Fault.NETWORK,
    ),
    R.UPSTREAM_NO_DNSSEC: info(
        _UNCLEAR,
        None,
        "The resolver's replies lack what DNSSEC needs: EDNS, or signatures even for the root.",
        "Use a resolver that passes DNSSEC records on, with no middle box in between.",
        Fault.SCANNER,
    ),
    R.RESPONSE_MALFORMED: info(
        _UNCLEAR,
        24,
        "The reply cannot be read, or answers another question.",
        ASK_AGAIN,
        Fault.NETWORK,
    ),
    R.ALIAS_LOOP: info(
        _UNCLEAR,
        None,
        "The aliases lead back to a name that was there before, or fork.",
        "Let the alias point to a name with records.",
        Fault.DOMAIN_OWNER,
    ),
    R.ALIAS_TOO_LONG: info(
        _UNCLEAR,
        None,
        "There are more aliases in a row than are followed.",
        "Shorten the chain; one alias is enough.",
        Fault.DOMAIN_OWNER,
    ),
    R.WORK_LIMIT: info(
        _UNCLEAR,
        6,
        "Validating this would take more work than is allowed for one answer.",
        "Keep colliding keys, superfluous signatures and NSEC3 iterations out of the zone.",
    ),
}

_DELEGATION = {
    R.NO_ANCHOR: info(
        _UNCLEAR,
        None,
        "No trust anchor covers the name.",
        "Add the root's trust anchor.",
        Fault.SCANNER,
    ),
    R.ANCHOR_NOT_SIGNING: info(
        _BOGUS,
        9,
        "No key of the zone matches a trust anchor and signs the zone's keys.",
        "Renew the trust anchor; check the clock, and whether the resolver forges this zone.",
        Fault.SCANNER,
    ),
    R.ANCHOR_UNSUPPORTED: info(
        _INSECURE,
        1,
        "Every trust anchor of the zone uses an algorithm or digest that is not supported.",
        "Configure an anchor with a current algorithm.",
        Fault.SCANNER,
    ),
    R.DELEGATION_UNSIGNED: info(
        _INSECURE,
        None,
        "The parent proves that there is no DS: the zone is not signed, or not yet announced.",
        "Sign the zone and have its DS published, if it is to be protected.",
        Fault.NOBODY,
    ),
    R.DS_NO_KEY: info(
        _BOGUS,
        9,
        "The DS at the parent points to a key that the zone does not have.",
        DELEGATE,
    ),
    R.DS_DIGEST_MISMATCH: info(
        _BOGUS,
        6,
        "Key tag and algorithm of the DS fit a key of the zone, its digest does not.",
        DELEGATE,
    ),
    R.DS_KEY_NOT_SIGNING: info(
        _BOGUS,
        10,
        "The DS fits a key of the zone that has not signed the zone's keys.",
        "Sign the DNSKEY record set with the key that the DS announces.",
    ),
    R.DS_KEY_SIG_INVALID: info(
        _BOGUS,
        6,
        "The key that the DS announces made a signature over the zone's keys that does not hold.",
        RESIGN,
    ),
    R.DS_KEY_NOT_ZONE_KEY: info(
        _BOGUS,
        11,
        "The key that the DS announces lacks the Zone Key bit, or has another protocol than 3.",
        "Publish the key with flags 257 or 256 and protocol 3, and its new DS.",
    ),
    R.DS_KEY_REVOKED: info(
        _BOGUS,
        9,
        "The DS announces a key that has been revoked since, and has another key tag now.",
        DELEGATE,
    ),
    R.DS_KEY_NOT_SEP: info(
        _WARNING,
        None,
        "The DS announces a key without the SEP bit. It works; the bit is a hint only.",
        NOTHING,
    ),
    R.ENTRY_KEY_REVOKED: info(
        _WARNING,
        None,
        "The key that the DS announces has the REVOKE bit set. Resolvers in common use accept it"
        " from a DS; one that reads RFC 5011 strictly need not.",
        "Give the registrar the DS of a key that is not revoked, then take the revoked one out.",
    ),
    R.DS_ALGORITHM_UNSUPPORTED: info(
        _INSECURE,
        1,
        "Every DS names a signing algorithm that is not supported.",
        "Change to algorithm 13 (ECDSAP256SHA256) or 8 (RSASHA256).",
    ),
    R.DS_DIGEST_UNSUPPORTED: info(
        _INSECURE,
        2,
        "Every DS with a supported algorithm uses a digest type that is not supported.",
        "Publish a DS with digest type 2 (SHA-256).",
    ),
    R.DS_EXTRA: info(
        _WARNING,
        None,
        "Beside a DS that works there is one for which the zone has no working key.",
        "Withdraw it once the change of keys is over.",
    ),
    R.DS_DIGEST_SHA1: info(
        _WARNING,
        None,
        "All DS records use SHA-1.",
        "Publish a DS with digest type 2 (SHA-256), and withdraw the others.",
    ),
    R.DS_FROM_CHILD: info(
        _BOGUS,
        6,
        "What came for the DS was made by the zone itself and not by its parent.",
        "Check how the resolver and the parent's servers answer questions for DS.",
    ),
    R.DS_BIT_SET: info(
        _BOGUS,
        6,
        "The record that should prove that there is no DS says that there is one.",
        DENY,
    ),
    R.DS_NS_BIT_MISSING: info(
        _BOGUS,
        6,
        "The denial of the DS says that there is no delegation, yet unsigned data lie below.",
        DENY,
    ),
    R.DS_IS_ALIAS: info(
        _BOGUS,
        6,
        "An alias that proves nothing came in place of the DS.",
        DENY,
    ),
    R.DS_REFERRAL: info(
        _UNCLEAR,
        None,
        "The question for the DS was answered with a referral.",
        ASK_AGAIN,
        Fault.NETWORK,
    ),
    R.PARENT_WITHOUT_NS: info(
        _BOGUS,
        6,
        "The parent zone has no NS records for its child, which lies on the same servers.",
        "Add the child's NS records to the parent zone, and sign it again.",
    ),
    R.DNSKEY_MISSING: info(
        _BOGUS,
        9,
        "The parent has a DS for the zone, but the zone has no DNSKEY records.",
        "Sign the zone again, or have the DS withdrawn.",
    ),
    R.DNSKEY_UNFETCHABLE: info(
        _UNCLEAR,
        9,
        "The parent has a DS for the zone, but its DNSKEY records could not be had.",
        "Check that the zone's servers answer for DNSKEY, also over TCP.",
    ),
    R.DNSKEY_MALFORMED: info(
        _BOGUS,
        6,
        "The public key in the DNSKEY record is no key of its algorithm.",
        "Publish the key again, from the signing software.",
    ),
    R.DNSKEY_TOO_SMALL: info(
        _BOGUS,
        6,
        "The RSA key is too small to be believed.",
        "Change to algorithm 13, or to an RSA key of 2048 bits.",
    ),
    R.DNSKEY_TOO_LARGE: info(
        _BOGUS,
        6,
        "The RSA key is larger than DNSSEC allows, or its exponent is.",
        "Change to algorithm 13, or to an RSA key of 2048 bits with exponent 65537.",
    ),
}

CHAIN_REASONS: Mapping[R, DnssecReasonInfo] = {**_UPSTREAM, **_DELEGATION}
