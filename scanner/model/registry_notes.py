"""Registry entries that never decide against a partner: our own side, and findings.

Own-side reasons mean that nothing was learned. Findings explain or warn.
"""

from scanner.model.reason_info import ReasonInfo, Section, info_for
from scanner.model.reasons import Reason
from scanner.model.vocabulary import Fault, ResultType, Severity

_NOTHING = "Nothing to do: this is about the scanner, not about your mail server or DNS."


def _own(reason: Reason, sentence: str, operator: str) -> tuple[Reason, ReasonInfo]:
    return info_for(
        reason,
        sentence,
        fault=Fault.SCANNER,
        severity=Severity.WARNING,
        sender=operator,
        receiver=_NOTHING,
        references=(),
    )


_OWN_SIDE = Section(
    title="Our own side",
    intro="The scanner could not see. The verdict is inconclusive, no code is shown, and nothing is"
    " held against the partner. The advice for the sender is for whoever runs the scanner.",
    entries=dict(
        [
            _own(
                Reason.RESOLVER_DOWN,
                "The resolver of the scanner gives no answer that can be used.",
                "Check the resolver and the path to it. If it answers, and the answers for the root"
                " do not validate: check the clock and the trust anchor.",
            ),
            _own(
                Reason.RESOLVER_NOT_VALIDATING,
                "The resolver of the scanner does not validate DNSSEC, so its answers prove"
                " nothing.",
                "Use a validating resolver on a trusted path, or local validation.",
            ),
            _own(
                Reason.OWN_LOOKUP_FAILED,
                "A DNS lookup failed on the scanner's own side; the detail says why.",
                "Check the network and the limits of the machine that runs the scanner.",
            ),
            _own(
                Reason.NO_ROUTE,
                "The scanner has no route to this address family.",
                "Give the scanner IPv4 and IPv6, or accept that hosts of one family stay"
                " unmeasured.",
            ),
            _own(
                Reason.EGRESS_UNPROVEN,
                "No mail server of this address family is known to have greeted the scanner at this"
                " time, so that silence or a refusal may come from its own network.",
                "Check that the network lets the scanner reach port 25; many providers block it. A"
                " canary mail server (canary_mx) lets it know by itself.",
            ),
            _own(
                Reason.THROTTLED,
                "The host turned the scanner away for the number of its connections, which says"
                " nothing about other senders.",
                "Nothing: the host is left alone for longer. If it stays so, ask its operator to"
                " allow the scanner's address, or check less often.",
            ),
            _own(
                Reason.OWN_RESOURCES,
                "The scanner ran out of its own resources: file descriptors, ports, memory or time"
                " to run.",
                "Raise the limits of the process or lower its concurrency.",
            ),
            _own(
                Reason.CHECK_DEADLINE,
                "The time for the whole check ran out before it was complete.",
                "Raise the deadline, or look for slow resolvers and hosts in the check.",
            ),
            _own(
                Reason.CHAIN_WORK_LIMIT,
                "The certificate chain needs more work than the scanner spends on one.",
                "Raise the signature budget if the chain is genuine. It was not decided whether it"
                " matches.",
            ),
            _own(
                Reason.INTERNAL_ERROR,
                "The scanner has a bug; the detail says where.",
                "Report it with the detail shown.",
            ),
        ]
    ),
)


def _note(
    reason: Reason,
    sentence: str,
    *,
    sender: str,
    receiver: str,
    references: tuple[str, ...] = (),
    fault: Fault = Fault.DOMAIN_OWNER,
    severity: Severity = Severity.WARNING,
    result_type: ResultType | None = None,
) -> tuple[Reason, ReasonInfo]:
    return info_for(
        reason,
        sentence,
        fault=fault,
        severity=severity,
        sender=sender,
        receiver=receiver,
        references=references,
        result_type=result_type,
    )


_DELIVERED = "Mail is delivered. Tell the partner if the point matters to you."
_SECURITY = "Mail is delivered, and an attacker on the path could still read or divert it."

_HOST_NOTES = (
    _note(
        Reason.DOWNGRADE_PATH,
        "One MX host is protected by DANE and another is not: an attacker chooses the weakest.",
        sender=_SECURITY,
        receiver="Protect every MX host, backup hosts included, or remove the unprotected ones.",
        references=("RFC 7672 §2.2.1",),
    ),
    _note(
        Reason.HOST_FAILING,
        "One MX host fails while another still accepts mail.",
        sender="Mail arrives by way of another host. Tell the partner before that one fails too.",
        receiver="Repair or remove the failing host; its own reason is listed with it.",
        references=("RFC 5321 §5.1",),
        fault=Fault.MAIL_OPERATOR,
        severity=Severity.ERROR,
    ),
    _note(
        Reason.HOST_NOT_MEASURED,
        "The host could not be probed, so nothing is known of its TLS and certificate.",
        sender="Repeat the check. The verdict rests on the other hosts.",
        receiver="Check that the host accepts connections to port 25.",
        references=("RFC 5321 §5.1",),
        fault=Fault.NETWORK,
    ),
    _note(
        Reason.ADDRESSES_INCONSISTENT,
        "The addresses of one MX host behave differently: some pass and some do not.",
        sender="Delivery depends on the address that is tried. Tell the partner which one fails.",
        receiver="Install the same certificate and settings on every address of the host.",
        references=("RFC 7672 §2.2.2",),
        fault=Fault.MAIL_OPERATOR,
        severity=Severity.ERROR,
    ),
    _note(
        Reason.CERTIFICATE_ALGORITHM_DEPENDENT,
        "The host holds an RSA and an ECDSA certificate, and only one of them passes: delivery"
        " depends on what the sender offers.",
        sender="Mail fails or passes by the signature algorithms your mail system offers. Tell the"
        " partner which certificate fails.",
        receiver="Publish a TLSA record for each of the two certificates (3 1 1 with its own key),"
        " or install only the one that is published.",
        references=("RFC 7671 §8", "RFC 7672 §3.1.1", "RFC 8446 §4.4.2.2"),
        fault=Fault.MAIL_OPERATOR,
        severity=Severity.ERROR,
    ),
    _note(
        Reason.SENDER_DEPENDENT,
        "Senders differ in how they treat this set-up; the verdict follows the RFCs.",
        sender="Other senders may deliver where this one fails, or the reverse.",
        receiver="Choose the plain set-up named in the message: it works for every sender.",
        references=("RFC 7672 §2.2", "RFC 5321 §5.1"),
        severity=Severity.INFO,
    ),
    _note(
        Reason.SCOPE_DEPENDENT,
        "Whether one record that is not authentic stops the whole domain or one host only is"
        " documented in two ways; the other reading gives another verdict.",
        sender="Treat the stricter verdict as possible. The setting scenario1_scope chooses.",
        receiver="Repair the failing host; then both readings agree.",
        references=("RFC 7672 §2.1.1",),
        fault=Fault.DNS_OPERATOR,
    ),
    _note(
        Reason.MX_ALIAS,
        "The MX record points to an alias (CNAME), which RFC 5321 does not allow.",
        sender=_DELIVERED + " Some senders do not use DANE through an alias.",
        receiver="Point the MX record to the name at the end of the alias chain.",
        references=("RFC 5321 §5.1", "RFC 2181 §10.3", "RFC 7672 §2.2.2"),
    ),
    _note(
        Reason.MX_DUPLICATE_HOST,
        "The same host is listed in more than one MX record.",
        sender=_DELIVERED,
        receiver="Keep one MX record for each host; the best preference counts.",
        references=("RFC 5321 §5.1",),
        severity=Severity.INFO,
    ),
    _note(
        Reason.MX_TOO_MANY,
        "The domain lists more MX hosts than are looked at.",
        sender="The verdict covers the hosts with the best preference only.",
        receiver="Publish fewer MX records; senders try a few at most.",
        references=("RFC 5321 §5.1",),
    ),
    _note(
        Reason.ADDRESSES_TOO_MANY,
        "The MX host has more addresses than are looked at.",
        sender="The result covers the addresses that were looked at; a host of which none of them"
        " works stays undecided.",
        receiver="Publish fewer addresses for one host; senders try a few at most.",
        references=("RFC 5321 §5.1",),
    ),
    _note(
        Reason.NULL_MX_BESIDE_OTHERS,
        'A null MX (".") is listed beside other MX records, which is not allowed.',
        sender=_DELIVERED,
        receiver="Remove the null MX, or all others if the domain takes no mail.",
        references=("RFC 7505 §3",),
    ),
    _note(
        Reason.NULL_MX_WITH_PREFERENCE,
        "The null MX has a preference other than 0.",
        sender="It is treated as a null MX.",
        receiver="Publish the null MX with preference 0.",
        references=("RFC 7505 §3",),
    ),
    _note(
        Reason.ADDRESS_SECURITY_MIXED,
        "The IPv4 and IPv6 addresses of the host differ in DNSSEC protection.",
        sender=_DELIVERED,
        receiver="Let A and AAAA records live in the same signed zone.",
        references=("RFC 7672 §2.2.2",),
    ),
    _note(
        Reason.ADDRESS_FAMILY_FAILED,
        "The lookup of one address family failed; the other one answered and is used.",
        sender=_DELIVERED + " A strict sender could skip the host.",
        receiver="Let the name servers answer both A and AAAA questions.",
        references=("RFC 7672 §2.2.2", "RFC 7672 §2.1.1"),
        fault=Fault.DNS_OPERATOR,
    ),
)

_TLSA_NOTES = (
    _note(
        Reason.DANE_OFFERED_DOMAIN_UNSIGNED,
        "The MX host offers DANE, and the domain is not signed, so no sender may rely on it.",
        sender=_SECURITY,
        receiver="Sign the domain with DNSSEC; the TLSA records of its MX hosts then take effect.",
        references=("RFC 7672 §2.2.1",),
    ),
    _note(
        Reason.TLSA_UNPROTECTED,
        "TLSA records are published and are not protected by DNSSEC, so they are ignored.",
        sender=_SECURITY,
        receiver="Sign the zone that holds the TLSA records and publish its DS record.",
        references=("RFC 7672 §2.2.3", "RFC 6698 §4.1"),
    ),
    _note(
        Reason.TLSA_ALIAS_INSECURE,
        "The TLSA name is an alias into an unsigned zone, so the records behind it are ignored.",
        sender=_SECURITY,
        receiver="Let the alias point into a signed zone.",
        references=("RFC 7672 §2.2.3",),
    ),
    _note(
        Reason.TLSA_DUPLICATE,
        "The same TLSA record is listed more than once.",
        sender=_DELIVERED,
        receiver="Remove the duplicate; it is no preparation for a key change.",
        references=("RFC 2181 §5",),
        severity=Severity.INFO,
    ),
    _note(
        Reason.TLSA_UNMATCHED_RECORD,
        "A TLSA record matches nothing that the host presents: stale, or prepared for a new key.",
        sender=_DELIVERED,
        receiver="Remove it if no key change is under way.",
        references=("RFC 7671 §8.4", "RFC 7671 §8.1"),
        severity=Severity.INFO,
    ),
    _note(
        Reason.TLSA_ROLLOVER,
        "The records of the host are prepared for a change of keys: the next key, or the issuer, is"
        " published beside the current one. Seen by the service, which looks again and again.",
        sender=_DELIVERED,
        receiver="Nothing to do. Keep the next record for two TTLs before its key is used.",
        references=("RFC 7671 §8.1",),
        severity=Severity.INFO,
    ),
    _note(
        Reason.TLSA_PUBLISHED_LATE,
        "The record of a new key was published less than two TTLs before the key came into use:"
        " caches may still hold the records of before, and who uses them cannot deliver.",
        sender="Mail is tried again; it is delivered once your resolver's cache has run out.",
        receiver="Publish the record of the next key, wait for two TTLs, then use the key, and take"
        " the old record away afterwards.",
        references=("RFC 7671 §8.1", "RFC 7671 §8.4"),
    ),
    _note(
        Reason.TLSA_STALE_RECORD,
        "A TLSA record that used to match has matched nothing for more than two weeks.",
        sender=_DELIVERED,
        receiver="Remove it: it belongs to a key that is not used any more.",
        references=("RFC 7671 §8.4",),
        severity=Severity.INFO,
    ),
    _note(
        Reason.TLSA_PARAMETERS_UNMATCHED,
        "No record of one combination of usage, selector and matching type matches: a sender that"
        " relies on this combination fails.",
        sender=_DELIVERED,
        receiver="Publish for each combination in use one record that matches the current chain.",
        references=("RFC 7671 §8", "RFC 7671 §9"),
    ),
    _note(
        Reason.TLSA_FULL_DATA,
        "A TLSA record holds full data instead of a digest, which makes answers large.",
        sender=_DELIVERED,
        receiver="Use matching type 1 (SHA-256).",
        references=("RFC 7671 §10.1.2", "RFC 7672 §3.1"),
        severity=Severity.INFO,
    ),
    _note(
        Reason.TLSA_ONLY_SHA512,
        "Only SHA-512 digests are published, which senders need not support.",
        sender=_DELIVERED,
        receiver="Publish SHA-256 records, matching type 1, as well or instead.",
        references=("RFC 6698 §6", "RFC 7671 §9"),
        severity=Severity.INFO,
    ),
    _note(
        Reason.TLSA_ANCHOR_KEY,
        "A TLSA record with usage 2 names the key of an issuer only, so that limits in the issuer's"
        " certificate need not hold for every sender.",
        sender=_DELIVERED,
        receiver="Name the issuer's certificate (2 0 1), or better the server's own key (3 1 1).",
        references=("RFC 7671 §5.2.1", "RFC 7672 §3.1.2"),
        severity=Severity.INFO,
    ),
    _note(
        Reason.TLSA_TOO_MANY,
        "The host publishes more TLSA records than are compared.",
        sender="The records compared are those that come first in canonical order; without a match"
        " among them the host stays undecided.",
        receiver="Publish only the records for the current and the next key.",
        references=("RFC 7671 §8",),
    ),
    _note(
        Reason.AGILITY_RISK,
        "The result depends on digest agility: senders that use only the strongest digest and"
        " senders that use any digest come to different results.",
        sender="Other senders may fail where this one delivers, or the reverse.",
        receiver="Make the SHA-256 and SHA-512 records of the same usage and selector agree, or"
        " publish SHA-256 only.",
        references=("RFC 7671 §9",),
    ),
    _note(
        Reason.TRUST_ANCHOR_NOT_SENT,
        "The trust anchor is given in full in DNS and is not sent in the handshake; some senders"
        " cannot use that.",
        sender=_DELIVERED,
        receiver="Send the trust anchor certificate in the chain.",
        references=("RFC 7671 §5.2.2", "RFC 7672 §3.1.2"),
    ),
)

_CERTIFICATE_NOTES = (
    _note(
        Reason.CERTIFICATE_EXPIRY_IGNORED,
        "The certificate is outside its validity period, or has a date that cannot be read, and"
        " matches by usage 3: RFC 7672 ignores the dates, Exchange Online does not.",
        sender="Senders that follow RFC 7672 deliver; Exchange Online does not (4.7.322, or"
        " 4.7.323 before the start date).",
        receiver="Renew the certificate; with the same key the TLSA record stays valid.",
        references=("RFC 7672 §3.1.1", "RFC 7671 §5.1"),
        fault=Fault.MAIL_OPERATOR,
    ),
    _note(
        Reason.CERTIFICATE_EXPIRES_SOON,
        "The certificate expires soon, and its expiry stops mail.",
        sender="Tell the partner before it happens.",
        receiver="Renew in time. If the key or the record changes, publish the new TLSA record two"
        " TTLs before the new certificate.",
        references=("RFC 7671 §8.1",),
        fault=Fault.MAIL_OPERATOR,
    ),
    _note(
        Reason.SIGNATURE_EXPIRES_SOON,
        "A DNSSEC signature on the path of this answer expires soon; afterwards the answer is"
        " bogus and mail stops.",
        sender="Tell the partner if the signature is not renewed in time.",
        receiver="Check that the zone is signed again automatically, well before signatures end.",
        references=("RFC 4035 §5.3.1", "RFC 6781 §4.4.2"),
        fault=Fault.DNS_OPERATOR,
    ),
    _note(
        Reason.CHAIN_TOO_LONG,
        "The host sends more certificates than are looked at.",
        sender=_DELIVERED,
        receiver="Send the server certificate and its intermediates only.",
        references=("RFC 8446 §4.4.2",),
        fault=Fault.MAIL_OPERATOR,
    ),
    _note(
        Reason.WEAK_KEY,
        "The key of the certificate is weak: RSA below 2048 bits or an elliptic curve below 224.",
        sender=_DELIVERED,
        receiver="Use RSA with 2048 bits or more, or P-256, and publish the new TLSA record first.",
        references=("RFC 9325",),
        fault=Fault.MAIL_OPERATOR,
    ),
    _note(
        Reason.TLS_OLD_VERSION,
        "The host negotiates a TLS version older than 1.2.",
        sender=_DELIVERED + " Exchange Online needs TLS 1.2 or later.",
        receiver="Enable TLS 1.2 and TLS 1.3.",
        references=("RFC 8996", "RFC 9325 §3.1.1"),
        fault=Fault.MAIL_OPERATOR,
    ),
    _note(
        Reason.PLAINTEXT_AFTER_STARTTLS,
        "The host sent data in clear text between its STARTTLS reply and the handshake; it was"
        " discarded.",
        sender="Nobody may read such data as if it had come through TLS. It can be the sign of an"
        " injection attack.",
        receiver="Update the mail server, and check for anything that changes the SMTP session on"
        " its way.",
        references=("RFC 3207 §4.2", "RFC 3207 §6"),
        fault=Fault.MAIL_OPERATOR,
    ),
)

_FINDINGS = Section(
    title="Findings",
    intro="Points that explain or warn and never decide by themselves.",
    entries=dict((*_HOST_NOTES, *_TLSA_NOTES, *_CERTIFICATE_NOTES)),
)

SECTIONS: tuple[Section, ...] = (_OWN_SIDE, _FINDINGS)
