"""Which names a DANE-TA(2) certificate may bear, and whether it bears one (RFC 7672 §3.2).

Names count for usage DANE-TA(2) only; DANE-EE(3) must ignore them (RFC 7672 §3.1.1).

Why our own comparison, and not that of ``service-identity`` (which was tried): it follows RFC 6125
for clients in general and departs from RFC 7672 §3.2.3 in three ways that would be false alarms.
It lets no wildcard stand for an A-label (``xn--``), where a wildcard that is a whole label covers
any label; it never looks at the common name, which RFC 7672 allows where there is no DNS-ID; and it
gives up on the whole certificate at the first entry it finds odd, where the good entries still
count.
"""

import re
from collections.abc import Sequence

from scanner.judge.certificate import OID_SUBJECT_ALT_NAME, ParsedCertificate
from scanner.model.names import Name
from scanner.model.record import record

_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
"""Names that can be compared: letters, digits, hyphen, and the underscore some MX hosts have."""
MIN_LABELS_UNDER_WILDCARD = 2
"""Labels a wildcard needs to its right. ``*.example`` would speak for a whole top-level domain;
OpenSSL, under nearly every DANE-enforcing sender, refuses it too."""


@record
class NameMatch:
    """Whether a certificate bears an acceptable name.

    ``reference`` is the identifier that was found and ``presented`` what the certificate says;
    both are None when ``matched`` is false. ``from_common_name`` says that the subject's common
    names were what was compared, for want of any DNS-ID.
    """

    matched: bool
    reference: Name | None = None
    presented: str | None = None
    from_common_name: bool = False


def reference_identifiers(
    *, tlsa_base: Name, domain: Name, expanded: Name, mx_secure: bool, mx_host: Name
) -> tuple[Name, ...]:
    """Return the names a DANE-TA(2) certificate may bear, most preferred first (RFC 7672 §3.2.2).

    The TLSA base domain, the next-hop domain, and what that is an alias for. Behind an insecure MX
    lookup an attacker can choose the MX host, but not make a certificate for the domain mean
    anything: then only the MX host's own name is accepted. A name in the middle of an alias chain
    never is.
    """
    names = (tlsa_base, domain, expanded) if mx_secure else (mx_host,)
    return tuple(dict.fromkeys(names))


def names_match(certificate: ParsedCertificate, reference_ids: Sequence[Name]) -> NameMatch:
    """Return whether one of ``reference_ids`` is among the names the certificate presents.

    RFC 7672 §3.2.3: with at least one DNS-ID only those count, otherwise the common names. A
    wildcard is the whole first label and stands for exactly one label. ASCII case and a trailing
    dot do not matter.
    """
    extensions = certificate.extensions
    # An unreadable subjectAltName may hold DNS-IDs, so it does not open the way to common names.
    has_dns_ids = bool(extensions.dns_names) or OID_SUBJECT_ALT_NAME in extensions.malformed
    presented = extensions.dns_names if has_dns_ids else certificate.subject.common_names
    for reference in reference_ids:
        for name in presented:
            if host_matches(name, reference):
                return NameMatch(
                    matched=True,
                    reference=reference,
                    presented=name,
                    from_common_name=not has_dns_ids,
                )
    return NameMatch(matched=False, from_common_name=not has_dns_ids)


def host_matches(presented: str, reference: Name) -> bool:
    """Return whether the presented identifier stands for ``reference``, an A-label name."""
    if not presented.isascii() or not _HOST.fullmatch(reference):
        # str.lower() would turn the Kelvin sign into a "k": only ASCII letters have a case here.
        return False
    # A trailing dot marks the name as absolute, which both always are.
    pattern = presented.lower().removesuffix(".")
    if not pattern.startswith("*."):
        return pattern == reference
    tail = pattern[2:]
    if not _HOST.fullmatch(tail) or tail.count(".") + 1 < MIN_LABELS_UNDER_WILDCARD:
        return False
    _, _, parent = reference.partition(".")
    return parent == tail
