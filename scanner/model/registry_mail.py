"""Registry entries of the connection, SMTP, TLS and certificate stages.

Codes as Exchange Online documents them: 7.321 for everything up to a working TLS session, 7.322
for an expired certificate, 7.323 for any other failure to match, 7.325 for a name mismatch under
usage 2 (in the older code table 7.323 as well).
"""

from collections.abc import Mapping

from scanner.model.reason_info import ReasonInfo, Section, info_for
from scanner.model.reasons import Reason
from scanner.model.vocabulary import CodeSet, Fault, ResultType, Severity

NO_STARTTLS = "7.321"
EXPIRED = "7.322"
NOT_MATCHING = "7.323"
NAME_MISMATCH: Mapping[CodeSet, str | None] = {
    CodeSet.CODES_2024: "7.325",
    CodeSet.SEED: "7.323",
}
REFUSED = "4.316"

_DOWN_SENDER = (
    "The host could not be used just now; senders try the next address and the next host. Repeat"
    " the check before contacting the partner."
)
_STARTTLS_SENDER = (
    "Send the partner the code, the host, the address and the time of the check. Send the message"
    " again after the repair and look at the message trace."
)
_STARTTLS_RECEIVER = (
    "Offer STARTTLS on port 25 to every client: no exception by reputation or greylisting, and no"
    " firewall that filters SMTP. Check that key and certificate are loaded, and test every MX"
    " host and every address. Removing the TLSA records is an emergency step only: wait for their"
    " TTL, and keep the proof of their absence signed."
)
_MATCH_SENDER = (
    "Send the partner the code and the hashes expected and seen. Do not work around it: an attack"
    " looks exactly like this."
)
_MATCH_RECEIVER = (
    "Publish the TLSA record shown as expected, or install the certificate that the published"
    " record names. During a key change publish the old and the new record together, and wait two"
    " TTLs before switching."
)
_CHAIN_RECEIVER = (
    "Send the whole chain up to and including the certificate that the TLSA record names, each"
    " signed by the next, or publish a record 3 1 1 for the server's own key instead."
)


def _down(
    reason: Reason,
    sentence: str,
    receiver: str,
    *,
    fault: Fault = Fault.NETWORK,
    code: str | None = None,
    references: tuple[str, ...] = ("RFC 5321 §5.1", "RFC 7672 §2.1.1"),
) -> tuple[Reason, ReasonInfo]:
    return info_for(
        reason,
        sentence,
        fault=fault,
        severity=Severity.WARNING,
        sender=_DOWN_SENDER,
        receiver=receiver,
        references=references,
        code=code,
        transient=True,
    )


def _starttls(
    reason: Reason,
    sentence: str,
    *,
    result_type: ResultType = ResultType.STARTTLS_NOT_SUPPORTED,
    receiver: str = _STARTTLS_RECEIVER,
    references: tuple[str, ...] = ("RFC 3207 §4", "RFC 7672 §2.2"),
    transient: bool = False,
    code: str = NO_STARTTLS,
) -> tuple[Reason, ReasonInfo]:
    return info_for(
        reason,
        sentence,
        fault=Fault.MAIL_OPERATOR,
        severity=Severity.ERROR,
        sender=_STARTTLS_SENDER,
        receiver=receiver,
        references=references,
        result_type=result_type,
        code=code,
        transient=transient,
    )


def _certificate(
    reason: Reason,
    sentence: str,
    *,
    result_type: ResultType,
    code: str | None = NOT_MATCHING,
    codes: Mapping[CodeSet, str | None] | None = None,
    receiver: str,
    sender: str = _MATCH_SENDER,
    references: tuple[str, ...],
    fault: Fault = Fault.MAIL_OPERATOR,
) -> tuple[Reason, ReasonInfo]:
    return info_for(
        reason,
        sentence,
        fault=fault,
        severity=Severity.ERROR,
        sender=sender,
        receiver=receiver,
        references=references,
        result_type=result_type,
        code=code,
        codes=codes,
    )


_CONNECTION = Section(
    title="Connection and SMTP",
    intro="What happens before TLS. A host that is down is skipped; a host that announces TLS by"
    " its TLSA records and then lacks it fails.",
    entries=dict(
        [
            _down(
                Reason.CONNECTION_REFUSED,
                "The host refuses connections to port 25.",
                "Check that the mail server runs and that the firewall lets port 25 through, or"
                " remove the MX record.",
                fault=Fault.MAIL_OPERATOR,
                code=REFUSED,
            ),
            _down(
                Reason.CONNECTION_TIMEOUT,
                "The connection to port 25 gets no answer.",
                "Check routing and firewall for port 25 on this address.",
            ),
            _down(
                Reason.CONNECTION_UNREACHABLE,
                "The network reports the address as unreachable.",
                "Check routing to this address; remove the AAAA record of a host without working"
                " IPv6.",
            ),
            _down(
                Reason.CONNECTION_CLOSED,
                "The host closes the connection before STARTTLS could be asked for.",
                "Check the log of the mail server for this time; look for connection limits.",
            ),
            _down(
                Reason.GREETING_DEFERRED,
                "The host answers with a temporary error (4yz) before STARTTLS could be asked for.",
                "Check connection limits and greylisting; the reply text is shown with the check.",
                fault=Fault.MAIL_OPERATOR,
            ),
            _down(
                Reason.GREETING_REJECTED,
                "The host rejects the connection (5yz) before STARTTLS could be asked for. This"
                " says nothing about its TLS.",
                "If this sender should be accepted, check the block list or policy named in the"
                " reply.",
                fault=Fault.MAIL_OPERATOR,
            ),
            _down(
                Reason.SMTP_TIMEOUT,
                "The host accepts the connection and then does not answer in time.",
                "Check the load of the mail server, and filters that delay the greeting.",
                fault=Fault.MAIL_OPERATOR,
            ),
            _down(
                Reason.SMTP_PROTOCOL_ERROR,
                "The host sends replies that are not SMTP.",
                "Check that a mail server listens on port 25 of this address.",
                fault=Fault.MAIL_OPERATOR,
                references=("RFC 5321 §4.2",),
            ),
            _starttls(
                Reason.STARTTLS_NOT_OFFERED,
                "The host does not offer STARTTLS.",
                references=("RFC 3207 §2", "RFC 7672 §2.2", "RFC 7672 §9.2"),
            ),
            _starttls(
                Reason.STARTTLS_DEFERRED,
                "The host offers STARTTLS and answers it with a temporary error (4yz).",
                transient=True,
            ),
            _starttls(
                Reason.STARTTLS_REFUSED,
                "The host offers STARTTLS and refuses it (5yz).",
            ),
            _starttls(
                Reason.STARTTLS_NO_ANSWER,
                "The host offers STARTTLS and then does not answer it properly: silence, a closed"
                " connection or an unexpected reply.",
            ),
            _starttls(
                Reason.TLS_HANDSHAKE_FAILED,
                "STARTTLS is accepted and the TLS handshake then fails.",
                result_type=ResultType.VALIDATION_FAILURE,
                receiver="Support TLS 1.2 or later with common cipher suites, check that the key"
                " belongs to the certificate, and look for the alert in the server's log.",
                references=("RFC 7672 §2.2", "RFC 8446 §6.2"),
            ),
            _starttls(
                Reason.TLS_VERSION_TOO_OLD,
                "The host speaks only TLS versions older than 1.2, which Exchange Online does not"
                " use.",
                result_type=ResultType.VALIDATION_FAILURE,
                receiver="Enable TLS 1.2 and TLS 1.3.",
                references=("RFC 8996", "RFC 9325 §3.1.1"),
            ),
            _starttls(
                Reason.TLS_NO_CERTIFICATE,
                "TLS comes up without any certificate, so nothing can match the TLSA records.",
                result_type=ResultType.VALIDATION_FAILURE,
                receiver="Load a certificate and switch anonymous cipher suites off.",
                references=("RFC 7672 §8.2",),
                code=NOT_MATCHING,
            ),
        ]
    ),
)

_MATCHING = Section(
    title="Certificates and TLSA",
    intro="How the certificate presented at the host fails the TLSA records. A record 3 1 1 needs"
    " only the server's own key; a record with usage 2 needs a valid chain, dates and a name.",
    entries=dict(
        [
            _certificate(
                Reason.TLSA_MISMATCH,
                "No usable TLSA record matches the certificate of the host.",
                result_type=ResultType.TLSA_INVALID,
                receiver=_MATCH_RECEIVER + " Usual causes: a renewal with a new key, a record 3 0 1"
                " after any renewal, the certificate of another host, an intermediate that the CA"
                " changed.",
                references=("RFC 7672 §3.1", "RFC 7671 §5", "RFC 7671 §8"),
                fault=Fault.DOMAIN_OWNER,
            ),
            _certificate(
                Reason.TRUST_ANCHOR_IS_LEAF,
                "A TLSA record with usage 2 names the server's own certificate; such a record"
                " matches issuers only.",
                result_type=ResultType.TLSA_INVALID,
                receiver="Publish the same data with usage 3: a record 3 1 1.",
                references=("RFC 7672 §3.1.2", "RFC 7671 §5.2"),
                fault=Fault.DOMAIN_OWNER,
            ),
            _certificate(
                Reason.TRUST_ANCHOR_MISSING,
                "The host does not send the issuer certificate that its usage 2 TLSA record names.",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver=_CHAIN_RECEIVER,
                references=("RFC 7672 §3.1.2", "RFC 7671 §5.2.2"),
            ),
            _certificate(
                Reason.TRUST_ANCHOR_NOT_IN_PATH,
                "The host sends the certificate that its usage 2 TLSA record names, but the"
                " server certificate does not lead to it.",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver="Send the intermediates between the server certificate and that issuer;"
                " or name the CA that really issued it, or publish a record 3 1 1.",
                references=("RFC 7671 §5.2.2", "RFC 5280 §6.1"),
            ),
            _certificate(
                Reason.CHAIN_SIGNATURE_INVALID,
                "A certificate of the chain is not signed by its issuer.",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver=_CHAIN_RECEIVER,
                references=("RFC 5280 §6.1.3", "RFC 7671 §5.2"),
            ),
            _certificate(
                Reason.CHAIN_ISSUER_NOT_CA,
                "A certificate that issued another one is not a CA certificate.",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver=_CHAIN_RECEIVER,
                references=("RFC 5280 §4.2.1.9", "RFC 5280 §6.1.4"),
            ),
            _certificate(
                Reason.CHAIN_PATH_LENGTH,
                "The chain has more intermediates than one of its CA certificates allows.",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver=_CHAIN_RECEIVER,
                references=("RFC 5280 §4.2.1.9",),
            ),
            _certificate(
                Reason.CHAIN_NAME_CONSTRAINT,
                "A CA of the chain may not issue for the name in the certificate.",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver="Use a CA whose name constraints include the host, or a record 3 1 1.",
                references=("RFC 5280 §4.2.1.10",),
            ),
            _certificate(
                Reason.CHAIN_KEY_USAGE,
                "A certificate of the chain is not allowed to be used this way (key usage).",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver="Have the certificate issued again with fitting key usages, or use a"
                " record 3 1 1.",
                references=("RFC 5280 §4.2.1.3", "RFC 5280 §4.2.1.12"),
            ),
            _certificate(
                Reason.CHAIN_CRITICAL_EXTENSION,
                "A certificate of the chain has a critical extension that mail senders do not"
                " understand.",
                result_type=ResultType.CERTIFICATE_NOT_TRUSTED,
                receiver="Have the certificate issued again without it, or use a record 3 1 1.",
                references=("RFC 5280 §4.2", "RFC 5280 §6.1.4"),
            ),
            _certificate(
                Reason.CERTIFICATE_NAME_MISMATCH,
                "The certificate matches by usage 2 but names neither the MX host nor the mail"
                " domain.",
                result_type=ResultType.CERTIFICATE_HOST_MISMATCH,
                code=None,
                codes=NAME_MISMATCH,
                receiver="Put the MX host name (or the mail domain) into the subject alternative"
                " names; a wildcard stands for one label. The common name counts only where there"
                " is no alternative name. Or publish a record 3 1 1, where names do not matter.",
                references=("RFC 7672 §3.2.2", "RFC 7672 §3.2.3", "RFC 7671 §5.2"),
            ),
            _certificate(
                Reason.CERTIFICATE_EXPIRED,
                "The certificate, or one of its chain, has expired.",
                result_type=ResultType.CERTIFICATE_EXPIRED,
                code=EXPIRED,
                sender="Send the partner the code and allow for the renewal and the change of the"
                " TLSA record. Other senders may deliver: RFC 7672 ignores the dates under usage"
                " 3, Exchange Online does not.",
                receiver="Renew the certificate on every address and reload the mail server. Keep"
                " the key, then a record 3 1 1 stays valid; for a new key publish the new record"
                " two TTLs before the switch.",
                references=("RFC 7672 §3.1.1", "RFC 7672 §3.1.2", "RFC 7671 §5.1"),
            ),
            _certificate(
                Reason.CERTIFICATE_NOT_YET_VALID,
                "The certificate, or one of its chain, is not valid yet.",
                result_type=ResultType.VALIDATION_FAILURE,
                receiver="Check the clock of the host that requested the certificate, and renew it"
                " if its start lies in the future.",
                references=("RFC 7672 §3.1.1", "RFC 7671 §5.1"),
            ),
            _certificate(
                Reason.CERTIFICATE_UNREADABLE,
                "The certificate presented by the host is not valid DER, or not X.509.",
                result_type=ResultType.VALIDATION_FAILURE,
                receiver="Have the certificate issued again by a CA or tool that follows RFC 5280.",
                references=("RFC 5280 §4.1",),
            ),
        ]
    ),
)

_POLICY = Section(
    title="Policy of the sender",
    intro="What a sender may demand beyond opportunistic DANE.",
    entries=dict(
        [
            info_for(
                Reason.DANE_REQUIRED,
                "The sender demands DANE for this destination, and it has no usable TLSA records.",
                fault=Fault.DOMAIN_OWNER,
                severity=Severity.ERROR,
                sender="Ask the partner to deploy DANE, or set the connector for this partner back"
                " to opportunistic DANE.",
                receiver="Sign the domain and the MX hosts, and publish a TLSA record 3 1 1 for"
                " each host.",
                references=("RFC 7672 §6", "RFC 8460 §4.3.2.1"),
                result_type=ResultType.DANE_REQUIRED,
            ),
        ]
    ),
)

SECTIONS: tuple[Section, ...] = (_CONNECTION, _MATCHING, _POLICY)
