"""Name constraints of CA certificates (RFC 5280 §4.2.1.10, §6.1.3 (b) and (c)).

A CA may be limited to subtrees of names; a certificate below it must have no name outside the
permitted ones, and none inside the excluded ones, of every name form that is constrained. DNS
names, addresses, directory names, mail addresses and URIs are understood; a constraint on any
other form fails a certificate that has such a name, as RFC 5280 demands of those who cannot tell.
"""

import ipaddress
import re
from collections.abc import Iterator

from scanner.judge.certificate import (
    GN_DIRECTORY,
    GN_DNS,
    GN_EMAIL,
    GN_IP,
    GN_URI,
    GeneralName,
    NameConstraints,
    ParsedCertificate,
)

_DNS_LIKE = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+\.?")


def allowed(constraints: NameConstraints, certificate: ParsedCertificate, *, is_leaf: bool) -> bool:
    """Return whether every name of ``certificate`` respects ``constraints``.

    ``is_leaf`` says that the host may be known by its common names (RFC 7672 §3.2.3). Subtrees with
    a minimum or maximum, which RFC 5280 forbids, allow nothing.
    """
    if constraints.distances:
        return False
    return all(_name_allowed(constraints, name) for name in _names(certificate, is_leaf=is_leaf))


def _names(certificate: ParsedCertificate, *, is_leaf: bool) -> Iterator[GeneralName]:
    """Yield the names that constraints apply to."""
    yield from certificate.extensions.alternative_names
    subject = certificate.subject
    if subject.canonical:
        yield GeneralName(GN_DIRECTORY, subject.encoded, subject.canonical)
    forms = {name.tag for name in certificate.extensions.alternative_names}
    if GN_EMAIL not in forms:
        for email in subject.emails:
            yield GeneralName(GN_EMAIL, email)
    # A common name that would be compared with host names (RFC 7672 §3.2.3) is a DNS name, or a CA
    # confined to one domain could name any host in it. OpenSSL does the same.
    if is_leaf and GN_DNS not in forms:
        for name in subject.common_names:
            if _DNS_LIKE.fullmatch(name):
                yield GeneralName(GN_DNS, name.encode("ascii"))


def _name_allowed(constraints: NameConstraints, name: GeneralName) -> bool:
    permitted = [base for base in constraints.permitted if base.tag == name.tag]
    excluded = [base for base in constraints.excluded if base.tag == name.tag]
    if not permitted and not excluded:
        return True
    if name.tag not in _WITHIN:
        return False
    within = _WITHIN[name.tag]
    # None means that name or constraint makes no sense: then neither "inside" nor "outside" holds.
    inside_permitted = [within(name, base) for base in permitted]
    inside_excluded = [within(name, base) for base in excluded]
    if None in inside_permitted or None in inside_excluded:
        return False
    return not any(inside_excluded) and (not permitted or any(inside_permitted))


def _dns_within(name: GeneralName, base: GeneralName) -> bool | None:
    """Return whether a DNS name is ``base`` with zero or more labels added on the left."""
    host, domain = _text(name.value), _text(base.value)
    if host is None or domain is None:
        return None
    return _domain_within(host.removesuffix("."), domain.removesuffix("."))


def _domain_within(host: str, domain: str) -> bool:
    # A leading dot, which RFC 5280 has for URIs only, is common and means "below, not itself".
    if not domain or domain.startswith("."):
        return host.endswith(domain)
    return host == domain or host.endswith("." + domain)


def _address_within(name: GeneralName, base: GeneralName) -> bool | None:
    """Return whether an address is in a range of address and mask (8 or 32 octets)."""
    half = len(base.value) // 2
    if len(base.value) not in (8, 32) or len(name.value) not in (4, 16):
        return None
    if len(name.value) != half:
        return False
    network, mask = base.value[:half], base.value[half:]
    return all(n & m == a & m for n, a, m in zip(network, name.value, mask, strict=True))


def _directory_within(name: GeneralName, base: GeneralName) -> bool | None:
    """Return whether a directory name begins with the attributes of ``base``."""
    if name.directory is None or base.directory is None:
        return None
    return name.directory[: len(base.directory)] == base.directory


def _email_within(name: GeneralName, base: GeneralName) -> bool | None:
    """Return whether a mail address is ``base``, at the host ``base``, or below ``.base``."""
    address, constraint = _text(name.value), _text(base.value)
    if address is None or constraint is None or "@" not in address:
        return None
    if "@" in constraint:
        # RFC 5280 §4.2.1.10: a mailbox is that mailbox; its local part is case-sensitive.
        local = name.value.rpartition(b"@")[0]
        return address.rpartition("@")[2] == constraint.rpartition("@")[2] and (
            local == base.value.rpartition(b"@")[0]
        )
    return _host_or_below(address.rpartition("@")[2], constraint)


def _uri_within(name: GeneralName, base: GeneralName) -> bool | None:
    """Return whether the host of a URI is ``base``, or below ``.base``."""
    uri, constraint = _text(name.value), _text(base.value)
    if uri is None or constraint is None or "://" not in uri:
        return None
    authority = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    if host.startswith("[") or _is_address(host.partition(":")[0]):
        return None  # RFC 5280: a URI without a host name is to be rejected
    return _host_or_below(host.partition(":")[0], constraint)


def _host_or_below(host: str, constraint: str) -> bool:
    return host.endswith(constraint) if constraint.startswith(".") else host == constraint


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _text(value: bytes) -> str | None:
    """Return an IA5String in lower case, or None when it is not printable ASCII."""
    if any(not 0x21 <= octet <= 0x7E for octet in value):
        return None
    return value.decode("ascii").lower()


_WITHIN = {
    GN_DNS: _dns_within,
    GN_IP: _address_within,
    GN_DIRECTORY: _directory_within,
    GN_EMAIL: _email_within,
    GN_URI: _uri_within,
}
