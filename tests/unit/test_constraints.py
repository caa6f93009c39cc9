"""Name constraints: every name form, inside and outside (RFC 5280 §4.2.1.10)."""

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from minting import mint, rebuilt

from scanner.judge.certificate import GeneralName, NameConstraints, load
from scanner.judge.constraints import allowed


def directory(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


def verdict(
    name: x509.GeneralName | None,
    *,
    permitted: x509.GeneralName | None = None,
    excluded: x509.GeneralName | None = None,
    subject: str = "",
    is_leaf: bool = True,
) -> bool:
    """Whether a certificate with ``name`` may stand under a CA with these constraints."""
    constraints = x509.NameConstraints(
        None if permitted is None else [permitted], None if excluded is None else [excluded]
    )
    extensions = [] if name is None else [(x509.SubjectAlternativeName([name]), False)]
    issuer = load(mint("CA", ca=True, extensions=[(constraints, True)]).der)
    server = load(mint(subject, key="server", extensions=extensions).der)
    assert issuer is not None
    assert server is not None
    assert issuer.extensions.name_constraints is not None
    return allowed(issuer.extensions.name_constraints, server, is_leaf=is_leaf)


@pytest.mark.parametrize(
    ("host", "subtree", "inside"),
    [
        ("mx1.example.com", "example.com", True),
        ("example.com", "example.com", True),
        ("MX1.EXAMPLE.COM", "Example.com", True),
        ("mx1.example.com.", "example.com", True),
        ("mx1.notexample.com", "example.com", False),
        ("example.org", "example.com", False),
        ("mx1.example.com", ".example.com", True),
        ("example.com", ".example.com", False),
        ("*.example.com", "example.com", True),
        ("anything.test", "", True),
    ],
)
def test_dns_names_are_inside_with_labels_added_on_the_left(
    host: str, subtree: str, inside: bool
) -> None:
    """Permitted means inside, excluded means outside."""
    assert verdict(x509.DNSName(host), permitted=x509.DNSName(subtree)) is inside
    assert verdict(x509.DNSName(host), excluded=x509.DNSName(subtree)) is not inside


@pytest.mark.parametrize(
    ("address", "network", "inside"),
    [
        ("192.0.2.7", "192.0.2.0/24", True),
        ("192.0.3.7", "192.0.2.0/24", False),
        ("2001:db8::1", "2001:db8::/32", True),
        ("2001:db9::1", "2001:db8::/32", False),
        ("2001:db8::1", "192.0.2.0/24", False),
    ],
)
def test_addresses_are_inside_a_network(address: str, network: str, inside: bool) -> None:
    """Address and mask, of the same family."""
    name = x509.IPAddress(ipaddress.ip_address(address))
    subtree = x509.IPAddress(ipaddress.ip_network(network))
    assert verdict(name, permitted=subtree) is inside
    assert verdict(name, excluded=subtree) is not inside


@pytest.mark.parametrize(
    ("address", "subtree", "inside"),
    [
        ("a@example.com", "example.com", True),
        ("a@EXAMPLE.com", "example.com", True),
        ("a@mx.example.com", "example.com", False),
        ("a@mx.example.com", ".example.com", True),
        ("a@example.com", ".example.com", False),
        ("a@example.com", "a@example.com", True),
        ("A@example.com", "a@example.com", False),
        ("b@example.com", "a@example.com", False),
    ],
)
def test_mail_addresses_are_inside_a_host_a_domain_or_a_mailbox(
    address: str, subtree: str, inside: bool
) -> None:
    """The three forms of an rfc822Name constraint."""
    name, base = x509.RFC822Name(address), x509.RFC822Name(subtree)
    assert verdict(name, permitted=base) is inside
    assert verdict(name, excluded=base) is not inside


@pytest.mark.parametrize(
    ("uri", "subtree", "inside"),
    [
        ("https://example.com/x", "example.com", True),
        ("https://user@example.com:443", "example.com", True),
        ("https://www.example.com?q", "example.com", False),
        ("https://www.example.com", ".example.com", True),
    ],
)
def test_uris_are_inside_by_their_host(uri: str, subtree: str, inside: bool) -> None:
    """Scheme, user, port and path do not matter."""
    name, base = x509.UniformResourceIdentifier(uri), x509.UniformResourceIdentifier(subtree)
    assert verdict(name, permitted=base) is inside
    assert verdict(name, excluded=base) is not inside


@pytest.mark.parametrize("uri", ["urn:x", "https://192.0.2.1/", "https://[2001:db8::1]/"])
def test_a_uri_without_a_host_name_is_rejected_either_way(uri: str) -> None:
    """RFC 5280 §4.2.1.10."""
    name, base = x509.UniformResourceIdentifier(uri), x509.UniformResourceIdentifier("example.com")
    assert not verdict(name, permitted=base)
    assert not verdict(name, excluded=base)


def test_directory_names_are_inside_by_their_first_attributes() -> None:
    """Compared as names are: capitals and spaces do not matter."""
    inside = directory((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "some  org"))
    base = directory((NameOID.COUNTRY_NAME, "DE"))
    deeper = directory((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Some Org"))
    other = directory((NameOID.COUNTRY_NAME, "AT"))
    name = x509.DirectoryName(inside)
    assert verdict(name, permitted=x509.DirectoryName(base))
    assert verdict(name, permitted=x509.DirectoryName(deeper))
    assert not verdict(name, permitted=x509.DirectoryName(other))
    assert not verdict(name, excluded=x509.DirectoryName(deeper))


def test_the_subject_is_a_directory_name_too() -> None:
    """A constraint on directory names binds the subject, unless it is empty."""
    base = x509.DirectoryName(directory((NameOID.COMMON_NAME, "allowed")))
    assert verdict(None, permitted=base, subject="allowed")
    assert not verdict(None, permitted=base, subject="other")
    assert verdict(x509.DNSName("a.test"), permitted=base, subject="")


@pytest.mark.parametrize(("beside", "permitted"), [((), False), (("b@good.test",), True)])
def test_a_mail_address_in_the_subject_counts_where_there_is_no_other(
    beside: tuple[str, ...], permitted: bool
) -> None:
    """The old place for them (RFC 5280 §4.1.2.6)."""
    names = [x509.RFC822Name(item) for item in beside]
    extensions = [(x509.SubjectAlternativeName(names), False)] if names else []
    plain = mint("server", mint("CA", ca=True), extensions=extensions)
    subject = directory((NameOID.EMAIL_ADDRESS, "a@bad.test")).public_bytes()
    replace = (plain.certificate.subject.public_bytes(), subject)
    server = load(rebuilt(plain, plain.key, replace=replace))
    assert server is not None
    assert server.subject.text == "emailAddress=a@bad.test"
    limits = NameConstraints(excluded=(GeneralName(0x81, b"bad.test"),))
    assert allowed(limits, server, is_leaf=True) is permitted


@pytest.mark.parametrize("is_leaf", [True, False])
def test_a_common_name_that_is_a_host_name_is_constrained(is_leaf: bool) -> None:
    """It is compared with host names where there is no DNS name; not so that of an issuer."""
    base = x509.DNSName("example.com")
    outside = verdict(None, permitted=base, subject="mx1.example.org", is_leaf=is_leaf)
    assert outside is not is_leaf
    assert verdict(None, permitted=base, subject="mx1.example.com", is_leaf=is_leaf)
    assert verdict(None, permitted=base, subject="not a host name", is_leaf=is_leaf)


def test_a_constraint_on_one_form_leaves_the_others_alone() -> None:
    """A CA limited in DNS names may certify any address."""
    address = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))
    assert verdict(address, permitted=x509.DNSName("example.com"))


def test_a_constraint_on_a_form_we_cannot_judge_rejects_that_form() -> None:
    """RFC 5280 §4.2.1.10: process it or reject the certificate."""
    other = x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))
    assert not verdict(other, permitted=other)
    assert not verdict(other, excluded=other)
    assert verdict(x509.DNSName("a.test"), permitted=other)


def test_subtrees_with_a_distance_allow_nothing() -> None:
    """RFC 5280: minimum must be zero and maximum absent."""
    server = load(mint("server", dns=["a.test"]).der)
    assert server is not None
    assert not allowed(NameConstraints(distances=True), server, is_leaf=True)


@pytest.mark.parametrize(
    ("tag", "name", "base"),
    [
        (0x82, b"mx\x00.example.com", b"example.com"),
        (0x82, b"mx.example.com", b"exam\xffple.com"),
        (0x87, b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x00\xff"),
        (0x87, b"\xc0\x00\x02", b"\xc0\x00\x02\x00\xff\xff\xff\x00"),
        (0x81, b"no address", b"example.com"),
        (0x81, b"address.without.at", b"example.com"),
        (0x86, b"no uri", b"example.com"),
    ],
)
def test_names_that_make_no_sense_are_neither_inside_nor_outside(
    tag: int, name: bytes, base: bytes
) -> None:
    """A hostile certificate cannot slip past a constraint by being malformed."""
    server = load(mint("", key="server", extensions=[(san(tag, name), False)]).der)
    assert server is not None
    subtree = (GeneralName(tag, base),)
    assert not allowed(NameConstraints(permitted=subtree), server, is_leaf=True)
    assert not allowed(NameConstraints(excluded=subtree), server, is_leaf=True)


def san(tag: int, value: bytes) -> x509.UnrecognizedExtension:
    """A subjectAltName of one GeneralName, whatever it holds."""
    name = bytes([tag, len(value)]) + value
    oid = x509.ObjectIdentifier("2.5.29.17")
    return x509.UnrecognizedExtension(oid, bytes([0x30, len(name)]) + name)
