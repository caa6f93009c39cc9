"""Our reader beside cryptography's: whatever that accepts, we read the same."""

import hashlib
import ipaddress
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from minting import named_key

from scanner.judge import der
from scanner.judge.certificate import load, read_certificate, spki_of
from scanner.judge.der import DerError
from scanner.judge.distinguished import distinguished_name

KEY = named_key("property")

ATTRIBUTES = st.sampled_from(
    [
        NameOID.COMMON_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
        NameOID.LOCALITY_NAME,
        NameOID.STATE_OR_PROVINCE_NAME,
    ]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NAMES = st.lists(st.builds(x509.NameAttribute, ATTRIBUTES, TEXT), max_size=4).map(x509.Name)
LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12)
HOSTS = st.builds(
    lambda star, labels: ("*." if star else "") + ".".join(labels),
    st.booleans(),
    st.lists(LABEL, min_size=1, max_size=4),
)
GENERAL_NAMES = st.one_of(
    HOSTS.map(x509.DNSName),
    st.ip_addresses().map(x509.IPAddress),
    HOSTS.map(lambda host: x509.RFC822Name(f"a@{host}")),
    NAMES.map(x509.DirectoryName),
    st.just(x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))),
)
OIDS = st.builds(
    lambda first, second, rest: x509.ObjectIdentifier(".".join(map(str, [first, second, *rest]))),
    st.integers(0, 2),
    st.integers(0, 39),
    st.lists(st.integers(0, 2**40), min_size=1, max_size=8),
)
MOMENTS = st.integers(0, 8_000 * 365 * 86_400).map(
    lambda seconds: datetime(1951, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
USAGE_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


@st.composite
def certificates(draw: st.DrawFn) -> x509.Certificate:
    """Certificates with any names, times, serial numbers and extensions."""
    start = draw(MOMENTS)
    builder = (
        x509.CertificateBuilder()
        .subject_name(draw(NAMES))
        .issuer_name(draw(NAMES))
        .public_key(KEY.public_key())
        .serial_number(draw(st.integers(1, 2**159 - 1)))
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=draw(st.integers(0, 300))))
    )
    for extension in draw(st.lists(extensions(), max_size=5, unique_by=lambda item: item.oid)):
        builder = builder.add_extension(extension, critical=draw(st.booleans()))
    return builder.sign(KEY, hashes.SHA256(), ecdsa_deterministic=True)


@st.composite
def extensions(draw: st.DrawFn) -> x509.ExtensionType:
    match draw(st.integers(0, 6)):
        case 0:
            ca = draw(st.booleans())
            length = draw(st.none() | st.integers(0, 20)) if ca else None
            return x509.BasicConstraints(ca=ca, path_length=length)
        case 1:
            chosen = draw(st.sets(st.sampled_from(USAGE_BITS), min_size=1))
            bits = {name: name in chosen for name in USAGE_BITS}
            return x509.KeyUsage(**bits, encipher_only=False, decipher_only=False)
        case 2:
            return x509.ExtendedKeyUsage(draw(st.lists(OIDS, min_size=1, max_size=3)))
        case 3:
            return x509.SubjectAlternativeName(draw(st.lists(GENERAL_NAMES, max_size=5)))
        case 4:
            return x509.SubjectKeyIdentifier(draw(st.binary(min_size=1, max_size=20)))
        case 5:
            return x509.AuthorityKeyIdentifier(draw(st.binary(min_size=1)), None, None)
        case _:
            network = ipaddress.ip_network("192.0.2.0/24")
            subtrees = [x509.DNSName(draw(HOSTS).removeprefix("*.")), x509.IPAddress(network)]
            return x509.NameConstraints(subtrees, draw(st.sampled_from([None, subtrees[:1]])))


@settings(max_examples=300)
@given(certificate=certificates())
def test_what_cryptography_reads_we_read_alike(certificate: x509.Certificate) -> None:
    """Every field both know of."""
    data = certificate.public_bytes(Encoding.DER)
    found = load(data)
    assert found is not None
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.spki == spki == spki_of(data)
    assert found.spki_sha256 == hashlib.sha256(spki).hexdigest()
    assert found.sha256 == certificate.fingerprint(hashes.SHA256()).hex()
    assert found.tbs == certificate.tbs_certificate_bytes
    assert found.signature == certificate.signature
    assert found.signature_algorithm == certificate.signature_algorithm_oid.dotted_string
    assert found.algorithms_agree
    assert found.serial == certificate.serial_number
    assert found.version == 3
    assert found.not_before == certificate.not_valid_before_utc
    assert found.not_after == certificate.not_valid_after_utc
    assert found.subject.encoded == certificate.subject.public_bytes()
    assert found.issuer.encoded == certificate.issuer.public_bytes()
    same = certificate.subject == certificate.issuer
    assert found.is_self_issued or not same
    compare_extensions(certificate, data)


def compare_extensions(certificate: x509.Certificate, data: bytes) -> None:
    found = load(data)
    assert found is not None
    assert found.extensions.malformed == ()
    assert found.extensions.unknown_critical == ()
    constraints = value_of(certificate, x509.BasicConstraints)
    assert found.extensions.is_ca == (constraints.ca if constraints else None)
    assert found.extensions.path_length == (constraints.path_length if constraints else None)
    usage = value_of(certificate, x509.KeyUsage)
    bits = usage and {index for index, name in enumerate(USAGE_BITS) if getattr(usage, name)}
    assert found.extensions.key_usage == bits
    extended = value_of(certificate, x509.ExtendedKeyUsage)
    assert found.extensions.extended_key_usage == (
        None if extended is None else tuple(oid.dotted_string for oid in extended)
    )
    names = value_of(certificate, x509.SubjectAlternativeName)
    hosts = tuple(names.get_values_for_type(x509.DNSName)) if names else ()
    assert found.extensions.dns_names == hosts
    subject_id = value_of(certificate, x509.SubjectKeyIdentifier)
    assert found.extensions.subject_key_id == (subject_id and subject_id.digest)
    authority_id = value_of(certificate, x509.AuthorityKeyIdentifier)
    assert found.extensions.authority_key_id == (authority_id and authority_id.key_identifier)
    limits = value_of(certificate, x509.NameConstraints)
    assert (found.extensions.name_constraints is None) is (limits is None)


def value_of(certificate: x509.Certificate, kind: type) -> object:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


@given(one=NAMES, two=NAMES)
def test_names_that_cryptography_finds_equal_are_equal(one: x509.Name, two: x509.Name) -> None:
    """Ours is more generous, never less."""
    ours = [distinguished_name(der.parse(name.public_bytes())) for name in (one, two)]
    assert ours[0].canonical == ours[1].canonical or one != two
    commons = [item.value for item in one.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert len(ours[0].common_names) == len(commons)


@given(oid=OIDS)
def test_object_identifiers_are_read_as_they_were_written(oid: x509.ObjectIdentifier) -> None:
    """Of any number and size of arcs."""
    extension = x509.ExtendedKeyUsage([oid]).public_bytes()
    assert der.oid(der.children(der.parse(extension))[0]) == oid.dotted_string


@given(data=st.recursive(st.binary(max_size=8), lambda inner: st.lists(inner, max_size=4)))
def test_what_is_built_is_read_back(data: object) -> None:
    """Any nesting of sequences and octet strings."""

    def build(item: object) -> bytes:
        if isinstance(item, bytes):
            return wrapped(4, item)
        assert isinstance(item, list)
        return wrapped(0x30, b"".join(map(build, item)))

    def rebuild(element: der.Element) -> object:
        if element.tag == 4:
            return element.body
        return [rebuild(child) for child in der.children(element)]

    encoded = build(data)
    assert rebuild(der.parse(encoded)) == data
    with pytest.raises(DerError):
        der.parse(encoded[:-1])
    with pytest.raises(DerError):
        der.parse(encoded + b"\x00")


def wrapped(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(body).to_bytes(size, "big") + body


@given(certificate=certificates())
def test_the_facts_are_those_of_the_certificate(certificate: x509.Certificate) -> None:
    """What reports show, and that nothing in it can act upon a terminal."""
    facts = read_certificate(certificate.public_bytes(Encoding.DER))
    assert facts.problem is None
    assert facts.serial == f"{certificate.serial_number:x}"
    assert (facts.not_before, facts.not_after) == (
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    assert facts.subject is not None
    assert facts.issuer is not None
    assert facts.subject.isprintable()
    assert facts.issuer.isprintable()
    assert all(name.isprintable() for name in facts.names)


@given(certificate=certificates(), at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_what_cryptography_still_reads_after_a_change_we_read_too(
    certificate: x509.Certificate, at: int, bits: int
) -> None:
    """Ours gives up on no certificate that the stricter parser takes."""
    data = bytearray(certificate.public_bytes(Encoding.DER))
    data[at % len(data)] ^= bits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what it will refuse one day
        try:
            theirs = x509.load_der_x509_certificate(bytes(data))
        except (ValueError, x509.InvalidVersion):
            reject()
    ours = load(bytes(data))
    assert ours is not None
    assert ours.tbs == theirs.tbs_certificate_bytes
    assert ours.subject.encoded is not None
