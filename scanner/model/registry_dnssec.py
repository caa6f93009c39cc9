"""What each DNSSEC reason means: its state, its RFC 8914 code, one sentence, and the remedy.

One entry for every member of ``DnssecReason``; the order is that of the enum.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.vocabulary import DnssecStatus, Fault

_BOGUS = DnssecStatus.BOGUS
_INSECURE = DnssecStatus.INSECURE
_UNCLEAR = DnssecStatus.INDETERMINATE
_WARNING = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DnssecReasonInfo:
    """One entry.

    ``state`` is the status the fault leads to, None for a warning. ``ede`` is the extended error
    a validating resolver would show (RFC 8914), None where there is none. ``sentence`` states the
    condition, ``remedy`` what to do about it, and ``fault`` who can.
    """

    state: DnssecStatus | None
    ede: int | None
    sentence: str
    remedy: str
    fault: Fault = Fault.DNS_OPERATOR


def dnssec_info(reason: R) -> DnssecReasonInfo:
    """Return the entry of ``reason``."""
    return DNSSEC_REASONS[reason]


_RESIGN = "Sign the zone again, and see that it is signed again in time from now on."
_DELEGATE = (
    "Give the registrar the DS of a key the zone publishes and signs with, or withdraw the DS."
)
_SIGNER = "Check the signing software and that all servers publish the same signed zone."
_DENY = "Check that the name servers understand DNSSEC and publish the whole signed zone."
_ASK_AGAIN = "Ask again, and ask another resolver, before anything is said about the zone."
_OUR_RESOLVER = "Check the resolver we ask, and the path to it."
_NOTHING = "Nothing needs to be done."


def _info(
    state: DnssecStatus | None,
    ede: int | None,
    sentence: str,
    remedy: str,
    fault: Fault = Fault.DNS_OPERATOR,
) -> DnssecReasonInfo:
    return DnssecReasonInfo(state=state, ede=ede, sentence=sentence, remedy=remedy, fault=fault)


_UPSTREAM = {
    R.UPSTREAM_TIMEOUT: _info(
        _UNCLEAR,
        22,
        "No resolver replied, over UDP or TCP.",
        _ASK_AGAIN,
        Fault.NETWORK,
    ),
    R.UPSTREAM_SERVFAIL: _info(
        _UNCLEAR,
        None,
        "The resolver failed although it was told not to validate: the zone's servers are lame or"
        " unreachable, or the resolver reached a limit of its own.",
        "Check that every name server of the zone answers for it.",
    ),
    R.UPSTREAM_REFUSED: _info(
        _UNCLEAR,
        None,
        "The resolver refused to answer.",
        _OUR_RESOLVER,
        Fault.NETWORK,
    ),
    R.UPSTREAM_RCODE: _info(
        _UNCLEAR,
        None,
        "The resolver answered with an error code that is no answer.",
        _OUR_RESOLVER,
        Fault.NETWORK,
    ),
    R.UPSTREAM_NO_DNSSEC: _info(
        _UNCLEAR,
        None,
        "The resolver's replies lack what DNSSEC needs: EDNS, or signatures even for the root.",
        "Use a resolver that passes DNSSEC records on, with no middle box in between.",
        Fault.SCANNER,
    ),
    R.RESPONSE_MALFORMED: _info(
        _UNCLEAR,
        24,
        "The reply cannot be read, or answers another question.",
        _ASK_AGAIN,
        Fault.NETWORK,
    ),
    R.ALIAS_LOOP: _info(
        _UNCLEAR,
        None,
        "The aliases lead back to a name that was there before, or fork.",
        "Let the alias point to a name with records.",
        Fault.DOMAIN_OWNER,
    ),
    R.ALIAS_TOO_LONG: _info(
        _UNCLEAR,
        None,
        "There are more aliases in a row than are followed.",
        "Shorten the chain; one alias is enough.",
        Fault.DOMAIN_OWNER,
    ),
    R.WORK_LIMIT: _info(
        _UNCLEAR,
        6,
        "Validating this would take more work than is allowed for one answer.",
        "Keep colliding keys, superfluous signatures and NSEC3 iterations out of the zone.",
    ),
}

_DELEGATION = {
    R.NO_ANCHOR: _info(
        _UNCLEAR,
        None,
        "No trust anchor covers the name.",
        "Add the root's trust anchor.",
        Fault.SCANNER,
    ),
    R.ANCHOR_NOT_SIGNING: _info(
        _BOGUS,
        9,
        "No key of the zone matches a trust anchor and signs the zone's keys.",
        "Renew the trust anchor; check the clock, and whether the resolver forges this zone.",
        Fault.SCANNER,
    ),
    R.ANCHOR_UNSUPPORTED: _info(
        _INSECURE,
        1,
        "Every trust anchor of the zone uses an algorithm or digest that is not supported.",
        "Configure an anchor with a current algorithm.",
        Fault.SCANNER,
    ),
    R.DELEGATION_UNSIGNED: _info(
        _INSECURE,
        None,
        "The parent proves that there is no DS: the zone is not signed, or not yet announced.",
        "Sign the zone and have its DS published, if it is to be protected.",
        Fault.NOBODY,
    ),
    R.DS_NO_KEY: _info(
        _BOGUS,
        9,
        "The DS at the parent points to a key that the zone does not have.",
        _DELEGATE,
    ),
    R.DS_DIGEST_MISMATCH: _info(
        _BOGUS,
        6,
        "Key tag and algorithm of the DS fit a key of the zone, its digest does not.",
        _DELEGATE,
    ),
    R.DS_KEY_NOT_SIGNING: _info(
        _BOGUS,
        10,
        "The DS fits a key of the zone that has not signed the zone's keys.",
        "Sign the DNSKEY record set with the key that the DS announces.",
    ),
    R.DS_KEY_SIG_INVALID: _info(
        _BOGUS,
        6,
        "The key that the DS announces made a signature over the zone's keys that does not hold.",
        _RESIGN,
    ),
    R.DS_KEY_NOT_ZONE_KEY: _info(
        _BOGUS,
        11,
        "The key that the DS announces lacks the Zone Key bit, or has another protocol than 3.",
        "Publish the key with flags 257 or 256 and protocol 3, and its new DS.",
    ),
    R.DS_KEY_REVOKED: _info(
        _BOGUS,
        9,
        "The DS announces a key that has been revoked.",
        _DELEGATE,
    ),
    R.DS_KEY_NOT_SEP: _info(
        _WARNING,
        None,
        "The DS announces a key without the SEP bit. It works; the bit is a hint only.",
        _NOTHING,
    ),
    R.DS_ALGORITHM_UNSUPPORTED: _info(
        _INSECURE,
        1,
        "Every DS names a signing algorithm that is not supported.",
        "Change to algorithm 13 (ECDSAP256SHA256) or 8 (RSASHA256).",
    ),
    R.DS_DIGEST_UNSUPPORTED: _info(
        _INSECURE,
        2,
        "Every DS with a supported algorithm uses a digest type that is not supported.",
        "Publish a DS with digest type 2 (SHA-256).",
    ),
    R.DS_EXTRA: _info(
        _WARNING,
        None,
        "Beside a DS that works there is one for which the zone has no working key.",
        "Withdraw it once the change of keys is over.",
    ),
    R.DS_DIGEST_SHA1: _info(
        _WARNING,
        None,
        "All DS records use SHA-1.",
        "Publish a DS with digest type 2 (SHA-256), and withdraw the others.",
    ),
    R.DS_FROM_CHILD: _info(
        _BOGUS,
        6,
        "What came for the DS was made by the zone itself and not by its parent.",
        "Check how the resolver and the parent's servers answer questions for DS.",
    ),
    R.DS_BIT_SET: _info(
        _BOGUS,
        6,
        "The record that should prove that there is no DS says that there is one.",
        _DENY,
    ),
    R.DS_NS_BIT_MISSING: _info(
        _BOGUS,
        6,
        "The denial of the DS says that there is no delegation, yet unsigned data lie below.",
        _DENY,
    ),
    R.DS_IS_ALIAS: _info(
        _BOGUS,
        6,
        "An alias that proves nothing came in place of the DS.",
        _DENY,
    ),
    R.DS_REFERRAL: _info(
        _UNCLEAR,
        None,
        "The question for the DS was answered with a referral.",
        _ASK_AGAIN,
        Fault.NETWORK,
    ),
    R.PARENT_WITHOUT_NS: _info(
        _BOGUS,
        6,
        "The parent zone has no NS records for its child, which lies on the same servers.",
        "Add the child's NS records to the parent zone, and sign it again.",
    ),
    R.DNSKEY_MISSING: _info(
        _BOGUS,
        9,
        "The parent has a DS for the zone, but the zone has no DNSKEY records.",
        "Sign the zone again, or have the DS withdrawn.",
    ),
    R.DNSKEY_UNFETCHABLE: _info(
        _UNCLEAR,
        9,
        "The parent has a DS for the zone, but its DNSKEY records could not be had.",
        "Check that the zone's servers answer for DNSKEY, also over TCP.",
    ),
    R.DNSKEY_MALFORMED: _info(
        _BOGUS,
        6,
        "The public key in the DNSKEY record is no key of its algorithm.",
        "Publish the key again, from the signing software.",
    ),
    R.DNSKEY_TOO_SMALL: _info(
        _BOGUS,
        6,
        "The RSA key is too small to be believed.",
        "Change to algorithm 13, or to an RSA key of 2048 bits.",
    ),
    R.DNSKEY_TOO_LARGE: _info(
        _BOGUS,
        6,
        "The RSA key is larger than DNSSEC allows, or its exponent is.",
        "Change to algorithm 13, or to an RSA key of 2048 bits with exponent 65537.",
    ),
}

_SIGNATURES = {
    R.RRSIG_MISSING: _info(
        _BOGUS,
        10,
        "The zone is signed, but this record set has no signature.",
        _SIGNER,
    ),
    R.RRSIG_EXPIRED: _info(_BOGUS, 7, "The signature has expired.", _RESIGN),
    R.RRSIG_NOT_YET_VALID: _info(
        _BOGUS,
        8,
        "The signature is not valid yet.",
        "Check the signer's clock, then sign the zone again.",
    ),
    R.RRSIG_DATES_REVERSED: _info(
        _BOGUS,
        25,
        "The signature expires before it begins.",
        "Check the signer's configuration, then sign the zone again.",
    ),
    R.RRSIG_INVALID: _info(
        _BOGUS,
        6,
        "The signature does not fit the data and the key.",
        _SIGNER,
    ),
    R.RRSIG_NO_KEY: _info(
        _BOGUS,
        9,
        "The signature was made by a key that the zone does not publish.",
        "Publish the key, or sign with a published one; wait out TTLs when changing keys.",
    ),
    R.RRSIG_SIGNER_WRONG: _info(
        _BOGUS,
        6,
        "The signature names a signer that is not the zone of the record set.",
        _SIGNER,
    ),
    R.RRSIG_LABELS_WRONG: _info(
        _BOGUS,
        6,
        "The Labels field of the signature does not fit owner and signer.",
        _SIGNER,
    ),
    R.RRSIG_ALGORITHM_UNSUPPORTED: _info(
        _BOGUS,
        1,
        "The only signatures use unsupported algorithms, although the DS promises another.",
        "Sign with every algorithm that the DS records announce.",
    ),
    R.RRSIG_BAD_LENGTH: _info(
        _BOGUS,
        6,
        "The signature has a length that its algorithm does not have.",
        _SIGNER,
    ),
    R.RRSIG_KEY_REVOKED: _info(
        _BOGUS,
        9,
        "The signature was made by a key that has been revoked.",
        "Sign with the zone's current key.",
    ),
    R.RRSIG_ALG_INCOMPLETE: _info(
        _WARNING,
        None,
        "The zone uses several algorithms, and this record set is not signed by all of them.",
        "Sign with every algorithm that the zone's DNSKEY records announce.",
    ),
    R.RRSIG_NEAR_EXPIRY: _info(
        _WARNING,
        None,
        "The signature expires soon.",
        _RESIGN,
    ),
    R.RRSIG_CLOCK_SKEW: _info(
        _WARNING,
        None,
        "A bound of the signature's validity is so near that clocks may disagree about it.",
        "Let signatures begin an hour in the past, and renew them days before they end.",
    ),
    R.TTL_ABOVE_ORIGINAL: _info(
        _WARNING,
        None,
        "The TTL is above the one that was signed.",
        _NOTHING,
    ),
    R.TTL_PAST_EXPIRY: _info(
        _WARNING,
        None,
        "The TTL reaches past the end of the signature.",
        "Renew signatures earlier than one TTL before they end.",
    ),
}

_DENIALS = {
    R.DENIAL_MISSING: _info(
        _BOGUS,
        12,
        "The zone is signed, but nothing proves that the records do not exist.",
        _DENY,
    ),
    R.NAME_NOT_COVERED: _info(
        _BOGUS,
        6,
        "The proof does not cover the name that should not exist.",
        _DENY,
    ),
    R.NO_CLOSEST_ENCLOSER: _info(
        _BOGUS,
        6,
        "The proof does not show which ancestor of the name exists.",
        _DENY,
    ),
    R.WILDCARD_NOT_DENIED: _info(
        _BOGUS,
        6,
        "The proof leaves open whether a wildcard answers for the name.",
        _DENY,
    ),
    R.WILDCARD_ENCLOSER_WRONG: _info(
        _BOGUS,
        6,
        "The wildcard that was used is not the one that stands for the name.",
        _DENY,
    ),
    R.TYPE_PRESENT: _info(
        _BOGUS,
        6,
        "The answer says that the type does not exist, its proof says that it does.",
        _DENY,
    ),
    R.CNAME_PRESENT: _info(
        _BOGUS,
        6,
        "The answer says that there is no such record, its proof says that there is an alias.",
        _DENY,
    ),
    R.ANCESTOR_DELEGATION: _info(
        _BOGUS,
        6,
        "The proof comes from above a zone cut or a DNAME and says nothing of names below it.",
        _DENY,
    ),
    R.OPT_OUT_NOT_SET: _info(
        _BOGUS,
        6,
        "The name lies in an NSEC3 span that leaves no delegation out, and so must have its own.",
        _DENY,
    ),
    R.OPT_OUT_SPAN: _info(
        _INSECURE,
        None,
        "The proof rests on an NSEC3 span that may leave unsigned delegations out.",
        _NOTHING,
        Fault.NOBODY,
    ),
    R.NSEC_OUT_OF_ZONE: _info(
        _BOGUS,
        6,
        "The denial record names something outside its zone.",
        _SIGNER,
    ),
    R.NSEC_EXPANDED: _info(
        _BOGUS,
        6,
        "The denial record was made from a wildcard and is shown under another name.",
        _DENY,
    ),
    R.NSEC3_HASH_UNKNOWN: _info(
        _BOGUS,
        6,
        "The NSEC3 records use an unknown hash and prove nothing.",
        "Use hash algorithm 1, the only one there is.",
    ),
    R.NSEC3_FLAGS_UNKNOWN: _info(
        _BOGUS,
        6,
        "The NSEC3 records have unknown flags and prove nothing.",
        "Set no other flag than opt-out.",
    ),
    R.NSEC3_PARAMS_DIFFER: _info(
        _BOGUS,
        6,
        "NSEC3 records of one zone differ in hash, iterations or salt.",
        _SIGNER,
    ),
    R.NSEC3_ITERATIONS_HIGH: _info(
        _INSECURE,
        27,
        "The NSEC3 records ask for more iterations than validators accept.",
        "Set NSEC3 iterations to 0 and use no salt (RFC 9276).",
    ),
    R.NSEC3_ITERATIONS_NONZERO: _info(
        _WARNING,
        None,
        "The NSEC3 records ask for iterations, which bring no security.",
        "Set NSEC3 iterations to 0 and use no salt (RFC 9276).",
    ),
    R.DENIAL_CONTRADICTS: _info(
        _WARNING,
        None,
        "Records were answered that another valid proof denies: servers are not in step.",
        "Check that all name servers have the same version of the zone.",
    ),
    R.SOA_MISSING: _info(
        _WARNING,
        None,
        "The denial comes without the zone's SOA, so it cannot be kept.",
        _DENY,
    ),
    R.SOA_WRONG: _info(
        _WARNING,
        None,
        "The denial comes with the SOA of another zone.",
        _DENY,
    ),
    R.ALIAS_UNSIGNED: _info(
        _BOGUS,
        10,
        "The zone is signed, but this alias has no signature and is not made by a signed DNAME.",
        _SIGNER,
    ),
    R.DNAME_MISMATCH: _info(
        _BOGUS,
        6,
        "The alias is not what the DNAME beside it makes of the name.",
        _SIGNER,
    ),
    R.DNAME_WILDCARD: _info(
        _WARNING,
        None,
        "The DNAME was made from a wildcard, which some validators refuse (RFC 6672 §3.3).",
        "Do not put a DNAME at a wildcard.",
    ),
}

_OURS = {
    R.SHA1_BY_POLICY: _info(
        _INSECURE,
        1,
        "The zone is signed with SHA-1 only, which counts as unsigned by policy (RFC 9905).",
        "Change to algorithm 13 (ECDSAP256SHA256) or 8 (RSASHA256).",
    ),
    R.CLOCK_DOUBTFUL: _info(
        _UNCLEAR,
        None,
        "Signatures of the root or of top-level zones lie in the future: our clock is wrong.",
        "Set this machine's clock.",
        Fault.SCANNER,
    ),
    R.SERVER_UNRESPONSIVE: _info(
        _WARNING,
        22,
        "A name server of the zone does not answer.",
        "Repair the server, or take it out of the NS records.",
    ),
    R.SERVER_LAME: _info(
        _WARNING,
        None,
        "A name server does not serve the zone it is named for.",
        "Configure the zone on the server, or take it out of the NS records.",
    ),
    R.SERVER_NO_EDNS: _info(
        _WARNING,
        None,
        "A name server does not understand EDNS, and so no DNSSEC.",
        "Update the server.",
    ),
    R.SERVER_DROPS_DO: _info(
        _WARNING,
        None,
        "A name server leaves out signatures although it is asked for them.",
        "Turn DNSSEC on in the server, and serve the signed zone.",
    ),
    R.SERVER_INCONSISTENT: _info(
        _WARNING,
        None,
        "The zone's name servers give different answers.",
        "Check that all name servers have the same version of the zone.",
    ),
    R.PMTU_EXCEEDED: _info(
        _WARNING,
        None,
        "Large answers of a name server get lost.",
        "Limit UDP answers to 1232 octets, and allow TCP.",
    ),
    R.NS_PARENT_CHILD_MISMATCH: _info(
        _WARNING,
        None,
        "The NS records at the parent and in the zone differ.",
        "Have the parent's records updated.",
    ),
    R.GLUE_MISMATCH: _info(
        _WARNING,
        None,
        "The addresses at the parent are not those in the zone.",
        "Have the parent's records updated.",
    ),
    R.NS_NO_ADDRESS: _info(
        _WARNING,
        None,
        "A name server has no address.",
        "Publish its address, or take it out of the NS records.",
    ),
    R.CDS_MISMATCH: _info(
        _WARNING,
        None,
        "The CDS or CDNSKEY records do not fit the zone's keys.",
        "Publish CDS records for keys that sign the zone.",
    ),
    R.DS_CHANGE_PENDING: _info(
        _WARNING,
        None,
        "DS and keys show a change under way.",
        "Follow the change to its end.",
        Fault.NOBODY,
    ),
    R.KEY_PREPUBLISHED: _info(
        _WARNING,
        None,
        "A key is published that signs nothing yet.",
        _NOTHING,
        Fault.NOBODY,
    ),
    R.KEY_UNUSED: _info(
        _WARNING,
        None,
        "A key is published that signs nothing.",
        "Remove it once no signature by it is cached any more.",
    ),
    R.ALGORITHM_CHANGE_PENDING: _info(
        _WARNING,
        None,
        "The zone is changing its algorithm.",
        "Follow the change to its end.",
        Fault.NOBODY,
    ),
    R.ALGORITHM_DEPRECATED: _info(
        _WARNING,
        None,
        "The zone uses an algorithm that is going out of use.",
        "Change to algorithm 13 (ECDSAP256SHA256).",
    ),
    R.RESIGNING_OVERDUE: _info(
        _WARNING,
        None,
        "The signatures are older than this zone lets them get.",
        _RESIGN,
    ),
    R.RESOLVER_DISAGREES: _info(
        _WARNING,
        None,
        "The resolver's own validation comes to another result than ours.",
        "Compare both chains; renew the resolver's anchors, clock and software.",
        Fault.SCANNER,
    ),
}

DNSSEC_REASONS: Mapping[R, DnssecReasonInfo] = {
    **_UPSTREAM,
    **_DELEGATION,
    **_SIGNATURES,
    **_DENIALS,
    **_OURS,
}
