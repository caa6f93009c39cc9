"""The lab's certificates are what their specs say, by cryptography's own reading of them."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtensionOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from scanner.lab.ca import (
    CaSpec,
    Chain,
    Foundry,
    KeyKind,
    LeafSpec,
    for_host,
    renewed,
    tlsa_data,
    tlsa_text,
)
from scanner.model.names import Name

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOST = Name("mx1.a.test")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def foundry() -> Foundry:
    """A foundry with a pinned clock."""
    return Foundry(NOW)


def signed_by_next(chain: Chain) -> list[bool]:
    """Return for each link whether the next certificate really signed it."""
    links = []
    for child, issuer in zip(chain.certificates, chain.certificates[1:], strict=False):
        try:
            child.verify_directly_issued_by(issuer)
        except (ValueError, TypeError):
            links.append(False)
        else:
            links.append(True)
    return links


def test_an_ordinary_chain_has_leaf_intermediate_and_root(foundry: Foundry) -> None:
    """Every link is signed by the next and the root, sent too, by itself."""
    chain = foundry.leaf(for_host(HOST))
    assert len(chain.certificates) == 3
    assert signed_by_next(chain) == [True, True]
    chain.certificates[-1].verify_directly_issued_by(chain.certificates[-1])
    names = chain.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert chain.leaf.not_valid_before_utc < NOW < chain.leaf.not_valid_after_utc


def test_dates_are_relative_to_now(foundry: Foundry) -> None:
    """Expired, future and current certificates by the spec's offsets."""
    expired = foundry.leaf(LeafSpec(names=(HOST,), starts=-90 * DAY, ends=-DAY)).leaf
    future = foundry.leaf(LeafSpec(names=(HOST,), starts=DAY)).leaf
    assert expired.not_valid_after_utc == NOW - DAY
    assert future.not_valid_before_utc == NOW + DAY


def test_a_renewal_keeps_the_key_and_changes_the_certificate(foundry: Foundry) -> None:
    """The same key label gives the same key; the certificate differs."""
    spec = LeafSpec(names=(HOST,), key_label="kept")
    old, new = foundry.leaf(spec), foundry.leaf(renewed(spec))
    assert tlsa_data(old.leaf, 1, 1) == tlsa_data(new.leaf, 1, 1)
    assert tlsa_data(old.leaf, 0, 1) != tlsa_data(new.leaf, 0, 1)


def test_two_leaves_have_two_keys(foundry: Foundry) -> None:
    """Without a label every leaf has a key of its own."""
    first, second = foundry.leaf(for_host(HOST)), foundry.leaf(for_host(HOST))
    assert tlsa_data(first.leaf, 1, 1) != tlsa_data(second.leaf, 1, 1)


def test_without_names_there_is_no_alternative_name(foundry: Foundry) -> None:
    """A certificate may have a common name only."""
    leaf = foundry.leaf(LeafSpec(common_name=HOST)).leaf
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == HOST


def test_a_self_signed_leaf_stands_alone(foundry: Foundry) -> None:
    """One certificate, signed with its own key."""
    chain = foundry.self_signed(for_host(HOST))
    assert len(chain.certificates) == 1
    chain.leaf.verify_directly_issued_by(chain.leaf)


def test_key_kinds(foundry: Foundry) -> None:
    """RSA keys have the size their kind says."""
    for kind, bits in ((KeyKind.RSA_1024, 1024), (KeyKind.RSA_2048, 2048)):
        key = foundry.leaf(LeafSpec(names=(HOST,), key_kind=kind, key_label="rsa")).key
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.key_size == bits


def test_a_long_chain_is_linked_throughout(foundry: Foundry) -> None:
    """One hundred certificates, each signed by the next."""
    chain = foundry.long_chain([HOST], 100)
    assert len(chain.certificates) == 100
    assert all(signed_by_next(chain))


def verifies(chain: Chain, anchor: x509.Certificate) -> bool:
    """Return whether a path validator (webpki) accepts the chain under ``anchor``."""
    builder = PolicyBuilder().store(Store([anchor])).time(NOW.replace(tzinfo=None))
    try:
        builder.build_client_verifier().verify(chain.leaf, list(chain.certificates[1:]))
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize(
    "spec",
    [
        CaSpec(name="expired", ends=-DAY),
        CaSpec(name="no ca", is_ca=False),
        CaSpec(name="narrow", permitted=("elsewhere.test",)),
    ],
    ids=lambda spec: spec.name,
)
def test_forbidden_issuers_are_signed_well_and_still_forbidden(
    foundry: Foundry, spec: CaSpec
) -> None:
    """Signatures hold; what is wrong is what the issuer may do (RFC 5280 §6.1)."""
    chain = foundry.leaf(for_host(HOST), foundry.issuer(spec, foundry.root))
    assert signed_by_next(chain) == [True, True]
    assert not verifies(chain, foundry.root.certificate)


def test_a_path_longer_than_its_constraint(foundry: Foundry) -> None:
    """A CA with path length 0 that issued another CA."""
    short = foundry.issuer(CaSpec(name="short", path_length=0), foundry.root)
    chain = foundry.leaf(for_host(HOST), foundry.issuer(CaSpec(name="below"), short))
    assert all(signed_by_next(chain))
    assert not verifies(chain, foundry.root.certificate)


def test_certificates_can_be_left_out_and_added(foundry: Foundry) -> None:
    """What is sent may differ from what exists."""
    chain = foundry.leaf(for_host(HOST))
    root = foundry.root.certificate
    assert root not in chain.without(root).certificates
    assert chain.without(root).plus(root).certificates == chain.certificates


def test_tlsa_text_follows_rfc_6698(foundry: Foundry) -> None:
    """Selector chooses what is hashed, matching type how (RFC 6698 §2.1.2, §2.1.3)."""
    leaf = foundry.leaf(for_host(HOST)).leaf
    der = leaf.public_bytes(serialization.Encoding.DER)
    key = leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert tlsa_text(leaf) == f"3 1 1 {hashlib.sha256(key).hexdigest()}"
    assert tlsa_text(leaf, 2, 0, 2) == f"2 0 2 {hashlib.sha512(der).hexdigest()}"
    assert tlsa_text(leaf, 3, 1, 0) == f"3 1 0 {key.hex()}"
