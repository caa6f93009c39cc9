"""Certificates in every state: the facts that can be had, and no more than one problem for each."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from minting import (
    CLIENT_AUTH,
    DAY,
    ECDSA_SHA256,
    NOW,
    SERVER_AUTH,
    UNKNOWN_EXTENSION,
    contents,
    key_usage,
    mint,
    named_key,
    rebuilt,
    tlv,
)

from scanner.judge.certificate import ParsedCertificate, load, read_certificate, spki_of
from scanner.judge.publickey import describe_key, is_public_key, is_weak_key, public_key

TLS_VECTORS = Path(__file__).parents[1] / "vectors" / "tls"
CA = mint("Issuing CA", ca=True)
LEAF = mint("mx1.example.com", CA, dns=["mx1.example.com", "MX2.example.com"])
KEY = named_key("Issuing CA")


def parsed(data: bytes) -> ParsedCertificate:
    certificate = load(data)
    assert certificate is not None
    return certificate


def test_the_facts_of_a_good_certificate_are_all_there() -> None:
    """What a person would want to see, with hashes in lower-case hex."""
    facts = read_certificate(LEAF.der)
    assert facts.problem is None
    assert facts.sha256 == hashlib.sha256(LEAF.der).hexdigest()
    assert facts.spki_sha256 == hashlib.sha256(LEAF.spki).hexdigest()
    assert (facts.subject, facts.issuer) == ("CN=mx1.example.com", "CN=Issuing CA")
    assert facts.serial == "1"
    assert facts.not_before == NOW - 30 * DAY
    assert facts.not_after == NOW + 60 * DAY
    assert facts.names == ("mx1.example.com", "MX2.example.com")
    assert (facts.key_type, facts.key_bits) == ("ec", 256)
    assert facts.signature_algorithm == "ecdsa-with-SHA256"
    assert facts.is_ca is False
    assert read_certificate(CA.der).is_ca is True


def test_common_names_stand_in_where_there_is_no_dns_name() -> None:
    """As they do for a sender (RFC 7672 §3.2.3)."""
    assert read_certificate(mint("host.example.com").der).names == ("host.example.com",)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x30", b"\x30\x00", b"junk", LEAF.der[:-1], LEAF.der + b"\x00", LEAF.spki, b"\x05\x00"],
    ids=["empty", "cut", "hollow", "junk", "truncated", "longer", "a key", "null"],
)
def test_what_is_no_certificate_has_a_problem_and_a_hash(data: bytes) -> None:
    """Nothing else can be said of it, and nothing is raised."""
    facts = read_certificate(data)
    assert facts.problem is not None
    assert facts.problem.startswith("not a certificate in DER: ")
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert facts.spki_sha256 is None
    assert facts.names == ()
    assert load(data) is None


def test_a_certificate_too_large_for_the_cache_is_read_all_the_same() -> None:
    """A thousand names are legal."""
    names = [f"host-{number}.example.com" for number in range(1200)]
    large = mint("large", dns=names)
    assert len(large.der) > 16_384
    assert read_certificate(large.der).names == tuple(names)


def test_names_beyond_the_limit_are_not_read() -> None:
    """Two thousand are looked at; memory stays bounded."""
    names = [f"h{number}.example.com" for number in range(2_100)]
    assert read_certificate(mint("larger", dns=names).der).names == tuple(names[:2_000])


@pytest.mark.parametrize("serial", ["0200", "0201 00", "0202 00ff", "0201 ff", "0215" + "7f" * 21])
def test_odd_serial_numbers_hurt_nothing_but_an_empty_one(serial: str) -> None:
    """Zero, negative and over-long ones exist in the wild."""
    data = rebuilt(LEAF, KEY, replace=(bytes.fromhex("020101"), bytes.fromhex(serial)))
    assert (load(data) is None) is (serial == "0200")


def test_a_serial_number_is_shown_in_hexadecimal() -> None:
    """Also a negative one, with its sign."""
    data = rebuilt(LEAF, KEY, replace=(bytes.fromhex("020101"), bytes.fromhex("0202ff00")))
    assert read_certificate(data).serial == "-100"


def test_dates_that_are_none_leave_the_rest_readable() -> None:
    """DANE-EE(3) ignores dates, so they may be nonsense (RFC 7672 §3.1.1)."""
    data = rebuilt(LEAF, KEY, replace=(b"261025120000Z", b"269925120000Z"))
    facts = read_certificate(data)
    assert facts.problem is None
    assert facts.not_before is None
    assert facts.not_after == NOW + 60 * DAY
    assert facts.names == ("mx1.example.com", "MX2.example.com")


def test_a_version_1_certificate_has_no_extensions() -> None:
    """Old roots are of this kind."""
    body = contents(CA.certificate.tbs_certificate_bytes)
    extensions = body[body.index(CA.spki) + len(CA.spki) :]
    tbs = tlv(0x30, body.removesuffix(extensions).removeprefix(bytes.fromhex("a003020102")))
    certificate = parsed(tlv(0x30, tbs, ECDSA_SHA256, b"\x03\x02\x00\x00"))
    assert certificate.version == 1
    assert certificate.extensions.is_ca is None
    assert certificate.extensions.malformed == ()


def test_unique_identifiers_are_passed_over() -> None:
    """issuerUniqueID of version 2 (RFC 5280 §4.1.2.8)."""
    marker = LEAF.spki
    data = rebuilt(LEAF, KEY, replace=(marker, marker + b"\x81\x02\x00\xff"))
    assert parsed(data).extensions.dns_names == ("mx1.example.com", "MX2.example.com")


def test_extensions_are_read_as_the_path_needs_them() -> None:
    """Every extension that path validation looks at."""
    certificate = mint(
        "CA",
        ca=True,
        path_length=3,
        dns=["a.example.com"],
        extensions=[
            (key_usage("key_cert_sign", "crl_sign"), True),
            (x509.ExtendedKeyUsage([SERVER_AUTH, CLIENT_AUTH]), False),
            (x509.SubjectKeyIdentifier(b"\x01\x02"), False),
            (x509.AuthorityKeyIdentifier(b"\x03\x04", None, None), False),
            (x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"), True),
            (x509.NameConstraints([x509.DNSName("example.com")], [x509.DNSName("x.test")]), True),
        ],
    )
    found = parsed(certificate.der).extensions
    assert (found.is_ca, found.path_length) == (True, 3)
    assert found.key_usage == {5, 6}
    assert found.extended_key_usage == ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")
    assert (found.subject_key_id, found.authority_key_id) == (b"\x01\x02", b"\x03\x04")
    assert found.unknown_critical == ("1.3.6.1.4.1.55555.1",)
    assert found.name_constraints is not None
    assert [name.value for name in found.name_constraints.permitted] == [b"example.com"]
    assert [name.value for name in found.name_constraints.excluded] == [b"x.test"]
    assert found.malformed == ()


def test_an_unknown_extension_that_is_not_critical_is_passed_over() -> None:
    """RFC 5280 §4.2: it may be ignored."""
    extension = x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00")
    found = parsed(mint("CA", ca=True, extensions=[(extension, False)]).der).extensions
    assert found.unknown_critical == ()


def with_extension(oid: str, value: str) -> ParsedCertificate:
    """A certificate whose one extension has ``value``, in hexadecimal."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), bytes.fromhex(value))
    return parsed(mint("odd", ca=None, extensions=[(extension, False)]).der)


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        ("2.5.29.19", "0500"),  # basicConstraints that is no SEQUENCE
        ("2.5.29.19", "3006 0101ff 0201ff"),  # negative path length
        ("2.5.29.15", "0300"),  # keyUsage without bits
        ("2.5.29.37", "3002 0500"),  # extendedKeyUsage of no OID
        ("2.5.29.17", "0400"),  # subjectAltName that is no SEQUENCE
        ("2.5.29.17", "3004 a4020500"),  # directoryName that is none
        ("2.5.29.30", "3002 a200"),  # nameConstraints with a third part
        ("2.5.29.30", "3004 a0023000"),  # an empty subtree
        ("2.5.29.14", "0500"),  # subjectKeyIdentifier that is no OCTET STRING
        ("2.5.29.35", "0500"),  # authorityKeyIdentifier that is no SEQUENCE
        ("2.5.29.17", "30"),  # nothing whole
    ],
)
def test_a_malformed_extension_spoils_only_itself(oid: str, value: str) -> None:
    """It is named, so that a path can fail for it; the key stays readable."""
    certificate = with_extension(oid, value)
    assert certificate.extensions.malformed == (oid,)
    assert len(certificate.spki_sha256) == 64


def test_an_extension_that_comes_twice_is_malformed() -> None:
    """RFC 5280 §4.2: not more than one instance."""
    identifier = x509.SubjectKeyIdentifier(b"\x01\x02")
    item = mint("twice", ca=None, extensions=[(identifier, False)])
    body = contents(item.certificate.tbs_certificate_bytes)
    extensions = body[body.index(item.spki) + len(item.spki) :]
    one = contents(contents(extensions))
    doubled = tlv(0xA3, tlv(0x30, one, one))
    certificate = parsed(rebuilt(item, item.key, replace=(extensions, doubled)))
    assert certificate.extensions.malformed == ("2.5.29.14",)


def test_the_rare_shapes_of_extensions_are_understood() -> None:
    """An authority key identifier without key, and subtrees with a distance."""
    assert with_extension("2.5.29.35", "3000").extensions.authority_key_id is None
    limited = with_extension("2.5.29.30", "300a a008 3006 8201 61 8001 01").extensions
    assert limited.name_constraints is not None
    assert limited.name_constraints.distances


def test_control_characters_never_reach_a_terminal() -> None:
    """Names from strangers are shown escaped."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x1b[2J\\\nb")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(KEY.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    data = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)
    assert read_certificate(data).subject == "CN=a\\x1b[2J\\\\\\nb"


def test_a_nul_inside_a_dns_name_is_kept_visible() -> None:
    """The trick of 2009: ``mx1.example.com\\0.evil.test``."""
    evil = mint("evil", dns=["mx1.example.comX.evil.test"])
    data = evil.der.replace(b"comX.evil", b"com\x00.evil")
    assert read_certificate(data).names == ("mx1.example.com\\x00.evil.test",)


@pytest.mark.parametrize(
    ("make", "kind", "bits", "weak"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "rsa", 2048, False),
        (lambda: rsa.generate_private_key(65537, 1024), "rsa", 1024, True),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ec", 384, False),
        (lambda: ec.generate_private_key(ec.SECP192R1()), "ec", 192, True),
        (ed25519.Ed25519PrivateKey.generate, "ed25519", 256, False),
        (ed448.Ed448PrivateKey.generate, "ed448", 456, False),
        (mldsa.MLDSA44PrivateKey.generate, "ml-dsa", None, False),
    ],
    ids=["rsa", "rsa short", "p-384", "p-192", "ed25519", "ed448", "ml-dsa"],
)
def test_keys_of_every_kind_are_described(
    make: object, kind: str, bits: int | None, weak: bool
) -> None:
    """Kind, size, and whether senders of today refuse it."""
    key = make()  # type: ignore[operator]
    digest = None if kind.startswith(("ed", "ml")) else hashes.SHA256()
    builder = x509.CertificateBuilder().subject_name(LEAF.certificate.subject)
    builder = builder.issuer_name(LEAF.certificate.subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + DAY)
    facts = read_certificate(builder.sign(key, digest).public_bytes(Encoding.DER))
    assert (facts.key_type, facts.key_bits) == (kind, bits)
    assert is_weak_key(parsed(facts.der).spki) is weak


UNHEARD_OF = bytes.fromhex("300b 3005 0603 2a0304 0302 00 01")


def test_a_key_of_an_unknown_kind_is_named_by_its_number() -> None:
    """Its bytes still have a hash: 3 1 1 works for keys nobody here has heard of."""
    data = rebuilt(LEAF, KEY, replace=(LEAF.spki, UNHEARD_OF))
    facts = read_certificate(data)
    assert (facts.key_type, facts.key_bits) == ("1.2.3.4", None)
    assert facts.spki_sha256 == hashlib.sha256(UNHEARD_OF).hexdigest()
    assert spki_of(data) == UNHEARD_OF


def test_the_key_is_found_where_little_else_can_be_read() -> None:
    """Only the outline up to the key is needed."""
    data = rebuilt(LEAF, KEY, replace=(bytes.fromhex("020101"), bytes.fromhex("0200")))
    assert load(data) is None
    assert spki_of(data) == LEAF.spki
    assert spki_of(b"\x30\x00") is None
    assert spki_of(CA.spki) is None


@pytest.mark.parametrize(
    ("data", "usable"),
    [
        (LEAF.spki, True),
        (UNHEARD_OF, True),
        (LEAF.spki + b"\x00", False),
        (LEAF.spki[:-1], False),
        (LEAF.der, False),
        (b"", False),
        (bytes.fromhex("3000"), False),
        (bytes.fromhex("3004 3000 3000"), False),
        (LEAF.spki.replace(b"\x04", b"\x05", 1), False),
        (bytes.fromhex("3013300d06092a864886f70d0101010500030200ff"), False),
    ],
    ids=[
        "key",
        "unknown kind",
        "longer",
        "cut",
        "certificate",
        "empty",
        "hollow",
        "no algorithm",
        "point off the curve",
        "RSA key of junk",
    ],
)
def test_full_data_for_a_key_must_be_a_public_key(data: bytes, usable: bool) -> None:
    """Case 56."""
    assert is_public_key(data) is usable


def test_an_enormous_key_is_taken_by_its_outline_and_never_decoded() -> None:
    """Decoding grows with the square of the size; the bytes can still be compared."""
    modulus = tlv(2, b"\x00" + b"\xff" * 9_000)
    numbers = tlv(0x30, modulus, b"\x02\x03\x01\x00\x01")
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    data = tlv(0x30, algorithm, tlv(3, b"\x00", numbers))
    assert is_public_key(data)
    assert public_key(data) is None


def test_weak_and_ancient_certificates_are_evidence_not_crashes() -> None:
    """RSA of 512 and 1024 bits, signed over SHA-1."""
    for name, bits in (("rsa512-sha1.pem", 512), ("rsa1024-sha1.pem", 1024)):
        text = (TLS_VECTORS / name).read_bytes()
        start = text.index(b"-----BEGIN CERTIFICATE")
        der = x509.load_pem_x509_certificate(text[start:]).public_bytes(Encoding.DER)
        facts = read_certificate(der)
        assert (facts.key_type, facts.key_bits) == ("rsa", bits)
        assert facts.signature_algorithm == "sha1WithRSAEncryption"


SUBJECT = LEAF.certificate.subject.public_bytes()
VALIDITY = bytes.fromhex("301e170d") + b"261025120000Z" + bytes.fromhex("170d") + b"270123120000Z"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ECDSA_SHA256, b"\x05\x00"),
        (VALIDITY, b"\x30\x00"),
        (VALIDITY, tlv(0x30, b"\x05\x00", b"\x05\x00")),
        (SUBJECT, b"\x05\x00"),
        (SUBJECT, tlv(0x30, tlv(0x31, tlv(0x30)))),
        (SUBJECT, tlv(0x30, *[tlv(0x31)] * 65)),
        (LEAF.spki, b"\x30\x00"),
        (LEAF.spki, tlv(0x30, tlv(0x30), b"\x03\x01\x00")),
        (LEAF.spki, b""),
    ],
)
def test_an_outline_with_a_part_wrong_is_no_certificate(old: bytes, new: bytes) -> None:
    """Each part has to have its shape; what stands in it is another matter."""
    body = contents(LEAF.certificate.tbs_certificate_bytes)
    assert old in body
    data = tlv(0x30, tlv(0x30, body.replace(old, new, 1)), ECDSA_SHA256, b"\x03\x01\x00")
    assert read_certificate(data).problem is not None


@pytest.mark.parametrize("parts", [b"", b"\x30\x00", tlv(0x30, b"\x06\x01\x2a")])
def test_an_extension_without_a_value_is_no_certificate(parts: bytes) -> None:
    """The list itself cannot be followed any more."""
    body = contents(LEAF.certificate.tbs_certificate_bytes)
    extensions = body[body.index(LEAF.spki) + len(LEAF.spki) :]
    broken = body.replace(extensions, tlv(0xA3, tlv(0x30, parts)) if parts else b"\xa3\x00")
    data = tlv(0x30, tlv(0x30, broken), ECDSA_SHA256, b"\x03\x01\x00")
    assert read_certificate(data).problem is not None


def test_a_signature_that_is_no_whole_number_of_octets_signs_nothing() -> None:
    """The certificate is readable; its signature can never hold."""
    tbs = LEAF.certificate.tbs_certificate_bytes
    assert parsed(tlv(0x30, tbs, ECDSA_SHA256, b"\x03\x02\x01\x80")).signature == b""


def test_a_dsa_key_and_bytes_that_are_no_key_are_described() -> None:
    """One by its size, the other not at all."""
    key = dsa.generate_private_key(1024).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert describe_key(spki) == ("dsa", 1024)
    assert is_weak_key(spki)
    assert describe_key(b"junk") == (None, None)
    assert describe_key(b"\x30\x00") == (None, None)
