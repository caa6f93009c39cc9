"""Registry entries of the DNS stages: MX, addresses, TLSA lookup, usability of TLSA records.

Codes follow one rule (RFC 7672 §2.1.1 and Exchange Online's code table): a failure before the
TLSA question shows the generic 4.4.312, and means 4.7.324 where the cause is DNSSEC; a failed TLSA
question shows 4.7.324 whatever its cause, because a missing answer cannot be told from an attack.
"""

from collections.abc import Iterator

from scanner.model.reason_info import (
    GENERIC_DNS_FAILURE,
    ReasonInfo,
    Section,
    info_for,
)
from scanner.model.reasons import Reason
from scanner.model.vocabulary import Fault, ResultType, Severity

DNSSEC_FAILURE = "7.324"
_DNSSEC_TEST = (
    "Run the DNSSEC and DANE Validation Test of the Microsoft Remote Connectivity Analyzer for the"
    " domain: it tells a DNSSEC failure from another DNS failure."
)
_DNSSEC_SENDER = (
    "The partner's DNSSEC is broken; nothing in your own tenant can repair it. Send the partner"
    " the code, the name and type that failed and the extended DNS error shown here, and retry"
    " after the repair. " + _DNSSEC_TEST
)
_DNSSEC_RECEIVER = (
    "Compare the key tags and algorithms of the DS records at the parent with the DNSKEY and RRSIG"
    " records of the zone. Check that all signatures are within their validity period, sign again"
    " if not, and check that every authoritative server gives the same answer. If a provider runs"
    " your DNS, report it there. In an emergency remove the DS records at the registrar and wait"
    " for their TTL."
)
_INDETERMINATE_SENDER = (
    "The answer could not be validated because records of the chain of trust could not be"
    " obtained. Repeat the check, if possible through another resolver, before contacting the"
    " partner."
)
_INDETERMINATE_RECEIVER = (
    "Check that all authoritative servers of the zone and of its parents answer DS and DNSKEY"
    " queries over UDP and over TCP, also with large answers."
)
_LOOKUP_SENDER = (
    "This is a DNS failure without a sign of DNSSEC trouble. Repeat the check; if it stays, tell"
    " the partner the name, the type and the error. " + _DNSSEC_TEST
)
_LOOKUP_RECEIVER = (
    "Check the delegation and every authoritative server: each must answer for the zone, over UDP"
    " and TCP port 53, and fragmented or truncated answers must get through."
)
_TLSA_SENDER = (
    "Without a proper answer to the TLSA question a sender must not deliver to this host;"
    ' Exchange Online shows "450 4.7.324 dnssec-invalid: Destination domain returned invalid DNSSEC'
    ' records". Send the partner the TLSA name and the error, and retry later.'
)
_TLSA_RECEIVER = (
    "The authoritative servers must answer TLSA questions: NOERROR with data, NOERROR without"
    " data or NXDOMAIN, each with its proof. Dropped queries, SERVFAIL, REFUSED and NOTIMP all"
    " stop mail. Look for old name servers and for firewalls that filter query types."
)


def _lookup_stage(
    prefix: str,
    what: str,
    *,
    stage_references: tuple[str, ...],
    tlsa: bool,
) -> Iterator[tuple[Reason, ReasonInfo]]:
    """Yield the seven ways in which a lookup of one stage fails."""
    code = DNSSEC_FAILURE if tlsa else GENERIC_DNS_FAILURE
    plain_type = ResultType.DNSSEC_INVALID if tlsa else None
    error_references = ("RFC 7672 §2.1.1", *stage_references)
    yield info_for(
        Reason(f"{prefix}-dnssec-bogus"),
        f"The {what} fails DNSSEC validation: the zone is signed, and the answer is not authentic.",
        fault=Fault.DNS_OPERATOR,
        severity=Severity.ERROR,
        sender=_DNSSEC_SENDER,
        receiver=_bogus_receiver(tlsa=tlsa),
        references=("RFC 4035 §5.5", *error_references),
        result_type=ResultType.DNSSEC_INVALID,
        code=code,
        cause=DNSSEC_FAILURE,
    )
    yield info_for(
        Reason(f"{prefix}-dnssec-indeterminate"),
        f"The {what} could not be validated, because part of its chain of trust was not available.",
        fault=Fault.DNS_OPERATOR,
        severity=Severity.ERROR,
        sender=_INDETERMINATE_SENDER,
        receiver=_INDETERMINATE_RECEIVER,
        references=("RFC 4035 §4.3", *error_references),
        result_type=ResultType.DNSSEC_INVALID,
        code=code,
        cause=DNSSEC_FAILURE,
        transient=True,
    )
    for suffix, sentence, fault in (
        (f"{prefix}-lookup-failed", f"The {what} ends with SERVFAIL.", Fault.DNS_OPERATOR),
        (f"{prefix}-lookup-timeout", f"The {what} gets no answer.", Fault.NETWORK),
        (f"{prefix}-lookup-refused", f"The {what} is refused.", Fault.DNS_OPERATOR),
        (
            f"{prefix}-lookup-malformed",
            f"The {what} gets an answer that is not valid DNS.",
            Fault.DNS_OPERATOR,
        ),
        (
            f"{prefix}-alias-loop",
            f"The {what} runs into an alias loop, or into more aliases than resolvers follow.",
            Fault.DOMAIN_OWNER,
        ),
    ):
        yield info_for(
            Reason(suffix),
            sentence,
            fault=fault,
            severity=Severity.ERROR,
            sender=_TLSA_SENDER if tlsa else _LOOKUP_SENDER,
            receiver=_plain_receiver(suffix, tlsa=tlsa),
            references=error_references,
            result_type=plain_type,
            code=code,
            transient=True,
        )


def _bogus_receiver(*, tlsa: bool) -> str:
    if not tlsa:
        return _DNSSEC_RECEIVER
    return (
        _DNSSEC_RECEIVER + " A name without TLSA records needs a valid NSEC or NSEC3 proof of its"
        " absence as well."
    )


def _plain_receiver(suffix: str, *, tlsa: bool) -> str:
    if suffix.endswith("alias-loop"):
        return "Remove the CNAME loop or shorten the chain; one alias is enough for any purpose."
    return _TLSA_RECEIVER if tlsa else _LOOKUP_RECEIVER


_MX = Section(
    title="The MX stage",
    intro="Where mail for the domain goes. A failure here concerns the whole domain: no host is"
    " asked for, and a sender must not fall back to the domain's own address.",
    entries=dict(
        [
            info_for(
                Reason.DOMAIN_DOES_NOT_EXIST,
                "The domain does not exist in DNS (NXDOMAIN).",
                fault=Fault.DOMAIN_OWNER,
                severity=Severity.ERROR,
                sender="Check the spelling of the address. Mail is returned at once (5.4.310 at"
                " Exchange Online, 5.1.2 elsewhere).",
                receiver="Check that the registration has not lapsed and that the zone is"
                " delegated.",
                references=("RFC 5321 §5.1", "RFC 2308 §2.1"),
                code="4.310",
                permanent=True,
            ),
            info_for(
                Reason.NULL_MX,
                "The domain publishes a null MX: it accepts no mail.",
                fault=Fault.DOMAIN_OWNER,
                severity=Severity.INFO,
                sender="Nothing to repair: the partner says that this domain takes no mail. Use"
                " another address. Mail is returned at once with 5.1.10.",
                receiver='Remove the MX record "0 ." if the domain should receive mail.',
                references=("RFC 7505 §3",),
                code="1.10",
                permanent=True,
            ),
            info_for(
                Reason.NO_MAIL_HOST,
                "No host of the domain has an address, so mail cannot be delivered anywhere.",
                fault=Fault.DOMAIN_OWNER,
                severity=Severity.ERROR,
                sender="Tell the partner that all its MX hosts lack an address. Senders do not"
                " fall back to the domain's own address.",
                receiver="Point the MX records to host names that have A or AAAA records.",
                references=("RFC 5321 §5.1",),
            ),
            *_lookup_stage("mx", "MX lookup", stage_references=("RFC 7672 §2.2.1",), tlsa=False),
            info_for(
                Reason.DOMAIN_UNSIGNED,
                "The MX records of the domain are not protected by DNSSEC, so DANE does not apply.",
                fault=Fault.NOBODY,
                severity=Severity.INFO,
                sender="Mail is delivered with opportunistic TLS. Ask the partner to sign its"
                " domain if you need protection against interception.",
                receiver="Sign the domain with DNSSEC and publish the DS record at the registrar."
                " TLSA records of your MX hosts take effect only then.",
                references=("RFC 7672 §2.2.1", "RFC 4035 §5.2"),
            ),
        ]
    ),
)

_ADDRESS = Section(
    title="The address stage",
    intro="The A and AAAA records of each MX host. DANE is looked for only where at least one of"
    " them is proven authentic.",
    entries=dict(
        [
            *_lookup_stage(
                "address",
                "address lookup of the MX host",
                stage_references=("RFC 7672 §2.2.2",),
                tlsa=False,
            ),
            info_for(
                Reason.HOST_NO_ADDRESS,
                "The MX host has neither an A nor an AAAA record.",
                fault=Fault.DOMAIN_OWNER,
                severity=Severity.ERROR,
                sender="Senders skip this host. Tell the partner which MX record points nowhere.",
                receiver="Give the host an address or remove it from the MX records. In an"
                " unsigned zone anyone on the path could give it one.",
                references=("RFC 5321 §5.1",),
            ),
            info_for(
                Reason.HOST_UNSIGNED,
                "The addresses of the MX host are not protected by DNSSEC, so DANE does not apply"
                " to it.",
                fault=Fault.NOBODY,
                severity=Severity.INFO,
                sender="Mail to this host uses opportunistic TLS. Only the operator of the host"
                " can change that.",
                receiver="Sign the zone of the MX host. If a provider runs it, ask for DNSSEC and"
                " DANE; at Microsoft move the MX to a name under mx.microsoft. MTA-STS helps in"
                " the meantime.",
                references=("RFC 7672 §2.2.2",),
            ),
            info_for(
                Reason.MX_TARGET_UNUSABLE,
                "The MX record does not point to a host name that mail can be sent to: an address"
                " literal, a single label, localhost or an invalid name.",
                fault=Fault.DOMAIN_OWNER,
                severity=Severity.ERROR,
                sender="Tell the partner which MX record is wrong.",
                receiver="An MX record needs a full host name that has A or AAAA records.",
                references=("RFC 5321 §5.1", "RFC 2181 §10.3", "RFC 7672 §2.2"),
            ),
            info_for(
                Reason.SPECIAL_PURPOSE_ADDRESS,
                "The address of the MX host lies in a special-purpose range (loopback, private,"
                " link-local or alike) and was not contacted.",
                fault=Fault.DOMAIN_OWNER,
                severity=Severity.ERROR,
                sender="Mail to this address would stay inside your own network. Tell the partner.",
                receiver="Publish public addresses only for hosts named in MX records.",
                references=("RFC 6890 §2", "RFC 5321 §5.1"),
            ),
        ]
    ),
)

_TLSA = Section(
    title="The TLSA stage",
    intro="The TLSA records at `_25._tcp` below each MX host. A definite absence means that DANE"
    " does not apply; any failure means that the host must not be used.",
    entries=dict(
        [
            info_for(
                Reason.TLSA_ABSENT,
                "The MX host publishes no DNSSEC-protected TLSA record, so DANE does not apply to"
                " it.",
                fault=Fault.NOBODY,
                severity=Severity.INFO,
                sender="Mail to this host uses opportunistic TLS.",
                receiver="Publish a TLSA record 3 1 1 for every MX host, the backup hosts"
                " included.",
                references=("RFC 7672 §2.2.3",),
            ),
            *_lookup_stage("tlsa", "TLSA lookup", stage_references=("RFC 7672 §2.2.3",), tlsa=True),
        ]
    ),
)


def _unusable(reason: Reason, sentence: str, receiver: str) -> tuple[Reason, ReasonInfo]:
    return info_for(
        reason,
        sentence,
        fault=Fault.DOMAIN_OWNER,
        severity=Severity.WARNING,
        sender="The record is ignored. While no other record is usable, mail needs TLS and the"
        " certificate is not checked.",
        receiver=receiver,
        references=("RFC 6698 §2.1", "RFC 7672 §3.1.3"),
        result_type=ResultType.TLSA_INVALID,
    )


_USABILITY = Section(
    title="Usability of TLSA records",
    intro="Records that mail servers cannot use are left out. If no usable record is left, TLS"
    " stays mandatory but nothing is authenticated.",
    entries=dict(
        [
            _unusable(
                Reason.TLSA_ALL_UNUSABLE,
                "TLSA records exist, and none of them is usable for mail: TLS is mandatory, the"
                " certificate is not checked.",
                "Publish a record 3 1 1. The hash of an existing 1 1 1 record can often be reused.",
            ),
            _unusable(
                Reason.TLSA_USAGE_UNUSABLE,
                "The certificate usage of the TLSA record is not defined for mail; only 2"
                " (DANE-TA) and 3 (DANE-EE) are.",
                "Replace usages 0 and 1 by 3 1 1; the hash of a 1 1 1 record stays the same.",
            ),
            _unusable(
                Reason.TLSA_SELECTOR_UNKNOWN,
                "The selector of the TLSA record is neither 0 (certificate) nor 1 (public key).",
                "Use selector 1, the public key.",
            ),
            _unusable(
                Reason.TLSA_MATCHING_TYPE_UNKNOWN,
                "The matching type of the TLSA record is none of 0 (full), 1 (SHA-256) and 2"
                " (SHA-512).",
                "Use matching type 1, SHA-256.",
            ),
            _unusable(
                Reason.TLSA_DIGEST_LENGTH,
                "The digest in the TLSA record has the wrong length: 32 octets for SHA-256, 64"
                " for SHA-512.",
                "Compute the record again; a digest was cut, or has another algorithm's length.",
            ),
            _unusable(
                Reason.TLSA_DATA_MALFORMED,
                "The full data in the TLSA record is not a certificate (selector 0) or public key"
                " (selector 1) in DER.",
                "Publish a SHA-256 digest instead of full data.",
            ),
            _unusable(
                Reason.TLSA_TOO_SHORT,
                "The TLSA record is too short to hold its fields and data.",
                "Compute the record again and publish it whole.",
            ),
        ]
    ),
)

SECTIONS: tuple[Section, ...] = (_MX, _ADDRESS, _TLSA, _USABILITY)
