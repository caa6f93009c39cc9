"""DNSSEC reasons of signatures, denials and aliases, and those of policy and diagnosis."""

from collections.abc import Mapping

from scanner.model.dnssec_reason_info import (
    DENY,
    NOTHING,
    RESIGN,
    SIGNER,
    DnssecReasonInfo,
    info,
)
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.vocabulary import DnssecStatus, Fault

_BOGUS = DnssecStatus.BOGUS
_INSECURE = DnssecStatus.INSECURE
_UNCLEAR = DnssecStatus.INDETERMINATE
_WARNING = None

_SIGNATURES = {
    R.RRSIG_MISSING: info(
        _BOGUS,
        10,
        "The zone is signed, but this record set has no signature.",
        SIGNER,
    ),
    R.RRSIG_EXPIRED: info(_BOGUS, 7, "The signature has expired.", RESIGN),
    R.RRSIG_NOT_YET_VALID: info(
        _BOGUS,
        8,
        "The signature is not valid yet.",
        "Check the signer's clock, then sign the zone again.",
    ),
    R.RRSIG_DATES_REVERSED: info(
        _BOGUS,
        25,
        "The signature expires before it begins.",
        "Check the signer's configuration, then sign the zone again.",
    ),
    R.RRSIG_INVALID: info(
        _BOGUS,
        6,
        "The signature does not fit the data and the key.",
        SIGNER,
    ),
    R.RRSIG_NO_KEY: info(
        _BOGUS,
        9,
        "The signature was made by a key that the zone does not publish.",
        "Publish the key, or sign with a published one; wait out TTLs when changing keys.",
    ),
    R.RRSIG_SIGNER_WRONG: info(
        _BOGUS,
        6,
        "The signature names a signer that is not the zone of the record set.",
        SIGNER,
    ),
    R.RRSIG_LABELS_WRONG: info(
        _BOGUS,
        6,
        "The Labels field of the signature does not fit owner and signer.",
        SIGNER,
    ),
    R.RRSIG_ALGORITHM_UNSUPPORTED: info(
        _BOGUS,
        1,
        "The only signatures use unsupported algorithms, although the DS promises another.",
        "Sign with every algorithm that the DS records announce.",
    ),
    R.RRSIG_BAD_LENGTH: info(
        _BOGUS,
        6,
        "The signature has a length that its algorithm does not have.",
        SIGNER,
    ),
    R.RRSIG_KEY_REVOKED: info(
        _BOGUS,
        9,
        "The signature was made by a key that has been revoked.",
        "Sign with the zone's current key.",
    ),
    R.RRSIG_ALG_INCOMPLETE: info(
        _WARNING,
        None,
        "The zone uses several algorithms, and this record set is not signed by all of them.",
        "Sign with every algorithm that the zone's DNSKEY records announce.",
    ),
    R.RRSIG_NEAR_EXPIRY: info(
        _WARNING,
        None,
        "The signature expires soon.",
        RESIGN,
    ),
    R.RRSIG_CLOCK_SKEW: info(
        _WARNING,
        None,
        "A bound of the signature's validity is so near that clocks may disagree about it.",
        "Let signatures begin an hour in the past, and renew them days before they end.",
    ),
    R.TTL_ABOVE_ORIGINAL: info(
        _WARNING,
        None,
        "The TTL is above the one that was signed.",
        NOTHING,
    ),
    R.TTL_PAST_EXPIRY: info(
        _WARNING,
        None,
        "The TTL reaches past the end of the signature.",
        "Renew signatures earlier than one TTL before they end.",
    ),
}

_DENIALS = {
    R.DENIAL_MISSING: info(
        _BOGUS,
        12,
        "The zone is signed, but nothing proves that the records do not exist.",
        DENY,
    ),
    R.NAME_NOT_COVERED: info(
        _BOGUS,
        6,
        "The proof does not cover the name that should not exist.",
        DENY,
    ),
    R.NO_CLOSEST_ENCLOSER: info(
        _BOGUS,
        6,
        "The proof does not show which ancestor of the name exists.",
        DENY,
    ),
    R.WILDCARD_NOT_DENIED: info(
        _BOGUS,
        6,
        "The proof leaves open whether a wildcard answers for the name.",
        DENY,
    ),
    R.WILDCARD_ENCLOSER_WRONG: info(
        _BOGUS,
        6,
        "The wildcard that was used is not the one that stands for the name.",
        DENY,
    ),
    R.TYPE_PRESENT: info(
        _BOGUS,
        6,
        "The answer says that the type does not exist, its proof says that it does.",
        DENY,
    ),
    R.CNAME_PRESENT: info(
        _BOGUS,
        6,
        "The answer says that there is no such record, its proof says that there is an alias.",
        DENY,
    ),
    R.ANCESTOR_DELEGATION: info(
        _BOGUS,
        6,
        "The proof comes from above a zone cut or a DNAME and says nothing of names below it.",
        DENY,
    ),
    R.OPT_OUT_NOT_SET: info(
        _BOGUS,
        6,
        "The name lies in an NSEC3 span that leaves no delegation out, and so must have its own.",
        DENY,
    ),
    R.OPT_OUT_SPAN: info(
        _INSECURE,
        None,
        "The proof rests on an NSEC3 span that may leave unsigned delegations out.",
        NOTHING,
        Fault.NOBODY,
    ),
    R.NSEC_OUT_OF_ZONE: info(
        _BOGUS,
        6,
        "The denial record names something outside its zone.",
        SIGNER,
    ),
    R.NSEC_EXPANDED: info(
        _BOGUS,
        6,
        "The denial record was made from a wildcard and is shown under another name.",
        DENY,
    ),
    R.NSEC3_HASH_UNKNOWN: info(
        _BOGUS,
        6,
        "The NSEC3 records use an unknown hash and prove nothing.",
        "Use hash algorithm 1, the only one there is.",
    ),
    R.NSEC3_FLAGS_UNKNOWN: info(
        _BOGUS,
        6,
        "The NSEC3 records have unknown flags and prove nothing.",
        "Set no other flag than opt-out.",
    ),
    R.NSEC3_PARAMS_DIFFER: info(
        _BOGUS,
        6,
        "NSEC3 records of one zone differ in hash, iterations or salt.",
        SIGNER,
    ),
    R.NSEC3_ITERATIONS_HIGH: info(
        _INSECURE,
        27,
        "The NSEC3 records ask for more iterations than validators accept.",
        "Set NSEC3 iterations to 0 and use no salt (RFC 9276).",
    ),
    R.NSEC3_ITERATIONS_NONZERO: info(
        _WARNING,
        None,
        "The NSEC3 records ask for iterations, which bring no security.",
        "Set NSEC3 iterations to 0 and use no salt (RFC 9276).",
    ),
    R.DENIAL_CONTRADICTS: info(
        _WARNING,
        None,
        "Records were answered that another valid proof denies: servers are not in step, or the"
        " zone has just changed.",
        "Check that all name servers have the same version of the zone.",
    ),
    R.SOA_MISSING: info(
        _WARNING,
        None,
        "The denial comes without the zone's SOA, so it cannot be kept.",
        DENY,
    ),
    R.SOA_WRONG: info(
        _WARNING,
        None,
        "The denial comes with the SOA of another zone.",
        DENY,
    ),
    R.ALIAS_UNSIGNED: info(
        _BOGUS,
        10,
        "The zone is signed, but this alias has no signature and is not made by a signed DNAME.",
        SIGNER,
    ),
    R.DNAME_MISMATCH: info(
        _BOGUS,
        6,
        "The alias is not what the DNAME beside it makes of the name.",
        SIGNER,
    ),
    R.DNAME_WILDCARD: info(
        _WARNING,
        None,
        "The DNAME was made from a wildcard, which some validators refuse (RFC 6672 §3.3).",
        "Do not put a DNAME at a wildcard.",
    ),
}

_OURS = {
    R.SHA1_BY_POLICY: info(
        _INSECURE,
        1,
        "The zone's signatures or DS records use SHA-1 only, which counts as unsigned by policy"
        " (RFC 9905).",
        "Change to algorithm 13 (ECDSAP256SHA256) or 8 (RSASHA256), with a DS of digest type 2.",
    ),
    R.CLOCK_DOUBTFUL: info(
        _UNCLEAR,
        None,
        "Signatures of the root or of top-level zones lie in the future: our clock is wrong.",
        "Set this machine's clock.",
        Fault.SCANNER,
    ),
    R.SERVER_UNRESPONSIVE: info(
        _WARNING,
        22,
        "A name server of the zone does not answer.",
        "Repair the server, or take it out of the NS records.",
    ),
    R.SERVER_LAME: info(
        _WARNING,
        None,
        "A name server does not serve the zone it is named for.",
        "Configure the zone on the server, or take it out of the NS records.",
    ),
    R.SERVER_NO_EDNS: info(
        _WARNING,
        None,
        "A name server does not understand EDNS, and so no DNSSEC.",
        "Update the server.",
    ),
    R.SERVER_DROPS_DO: info(
        _WARNING,
        None,
        "A name server leaves out signatures although it is asked for them.",
        "Turn DNSSEC on in the server, and serve the signed zone.",
    ),
    R.SERVER_INCONSISTENT: info(
        _WARNING,
        None,
        "The zone's name servers give different answers.",
        "Check that all name servers have the same version of the zone.",
    ),
    R.PMTU_EXCEEDED: info(
        _WARNING,
        None,
        "Large answers of a name server get lost.",
        "Limit UDP answers to 1232 octets, and allow TCP.",
    ),
    R.NS_PARENT_CHILD_MISMATCH: info(
        _WARNING,
        None,
        "The NS records at the parent and in the zone differ.",
        "Have the parent's records updated.",
    ),
    R.NS_NO_ADDRESS: info(
        _WARNING,
        None,
        "A name server has no address.",
        "Publish its address, or take it out of the NS records.",
    ),
    R.DS_CHANGE_PENDING: info(
        _WARNING,
        None,
        "The key that the parent announces is being changed: a second DS, a key that waits for"
        " its DS, or a revoked key.",
        "Nothing, if it is meant; withdraw the old DS only once the new key is known everywhere.",
        Fault.NOBODY,
    ),
    R.KEY_PREPUBLISHED: info(
        _WARNING,
        None,
        "One key is published that signed nothing of what was seen: to come, or on its way out.",
        NOTHING,
        Fault.NOBODY,
    ),
    R.KEY_UNUSED: info(
        _WARNING,
        None,
        "Several keys of one kind are published that signed nothing of what was seen: more than"
        " a change of keys needs.",
        "Remove each once no signature by it is cached any more.",
    ),
    R.ALGORITHM_CHANGE_PENDING: info(
        _WARNING,
        None,
        "The zone's keys are of more than one algorithm: it is changing.",
        "Nothing, if it is meant; keep signing with both until the old DS has expired everywhere.",
        Fault.NOBODY,
    ),
    R.ALGORITHM_DEPRECATED: info(
        _WARNING,
        None,
        "The zone signs with an algorithm or a key size that is going out of use.",
        "Change to algorithm 13 (ECDSAP256SHA256).",
    ),
    R.RESIGNING_OVERDUE: info(
        _WARNING,
        None,
        "The signatures are nearer to their end than this zone ever let them get before.",
        RESIGN,
    ),
    R.RESOLVER_DISAGREES: info(
        _WARNING,
        None,
        "The resolver's own validation comes to another result than ours.",
        "Compare both chains; renew the resolver's anchors, clock and software.",
        Fault.SCANNER,
    ),
}

ANSWER_REASONS: Mapping[R, DnssecReasonInfo] = {**_SIGNATURES, **_DENIALS, **_OURS}
