"""Reference identifiers and how certificates are compared with them (cases 75 to 78)."""

import pytest
from cryptography import x509
from minting import mint

from scanner.judge.certificate import load
from scanner.judge.refnames import (
    NameMatch,
    host_matches,
    names_match,
    reference_identifiers,
)
from scanner.model.names import Name


def identifiers(*, mx_secure: bool = True, **names: str) -> tuple[Name, ...]:
    values = {"tlsa_base": "mx1.p.test", "domain": "p.test", "expanded": "p.test"} | names
    values = {"mx_host": values["tlsa_base"]} | values
    return reference_identifiers(
        mx_secure=mx_secure, **{key: Name(value) for key, value in values.items()}
    )


def test_the_base_domain_comes_first_then_the_mail_domain() -> None:
    """RFC 7672 §3.2.2; equal names are listed once."""
    assert identifiers() == ("mx1.p.test", "p.test")


def test_both_ends_of_an_aliased_mail_domain_count_and_no_middle() -> None:
    """Case 75: what the next-hop domain is called and what it is an alias for."""
    assert identifiers(expanded="q.test") == ("mx1.p.test", "p.test", "q.test")


def test_implicit_mx_through_an_alias_gives_two_names() -> None:
    """Case 78: the base domain is the expanded domain itself."""
    assert identifiers(tlsa_base="q.test", expanded="q.test") == ("q.test", "p.test")


def test_behind_insecure_mx_records_only_the_mx_host_counts() -> None:
    """An attacker may have chosen the host, so a name for the domain would prove nothing."""
    assert identifiers(mx_secure=False, expanded="q.test", mx_host="mx1.p.test") == ("mx1.p.test",)
    assert identifiers(mx_secure=False, tlsa_base="real.test", mx_host="mx1.p.test") == (
        "mx1.p.test",
    )


@pytest.mark.parametrize(
    ("presented", "reference", "matched"),
    [
        ("mx1.example.com", "mx1.example.com", True),
        ("MX1.Example.COM", "mx1.example.com", True),
        ("mx1.example.com.", "mx1.example.com", True),
        ("mx1.example.com..", "mx1.example.com", False),
        ("mx2.example.com", "mx1.example.com", False),
        ("example.com", "mx1.example.com", False),
        ("*.example.com", "mx1.example.com", True),
        ("*.EXAMPLE.com.", "mx1.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "mx1.example.org", False),
        ("*.example.com", "xn--mx-fka.example.com", True),
        ("*.example.com", "_mx.example.com", True),
        ("mx*.example.com", "mx1.example.com", False),
        ("*1.example.com", "mx1.example.com", False),
        ("mx1.*.com", "mx1.example.com", False),
        ("*.*.com", "mx1.example.com", False),
        ("**.example.com", "mx1.example.com", False),
        ("*", "mx1", False),
        ("*.com", "example.com", False),
        ("*.", "example.com", False),
        ("*.example..com", "mx1.example..com", False),
        ("", "mx1.example.com", False),
        (".example.com", "mx1.example.com", False),
        (" mx1.example.com", "mx1.example.com", False),
        ("mx1.example.com\\x00.evil.test", "mx1.example.com", False),
        ("xn--mller-kva.example.com", "xn--mller-kva.example.com", True),
        ("XN--MLLER-KVA.example.com", "xn--mller-kva.example.com", True),
        ("müller.example.com", "xn--mller-kva.example.com", False),
        ("\u212ax1.example.com", "kx1.example.com", False),
        ("a\\.b.example.com", "a\\.b.example.com", False),
        ("*.example.com", "a\\.b.example.com", False),
        ("192.0.2.1", "192.0.2.1", True),
    ],
)
def test_names_are_compared_label_by_label(presented: str, reference: str, matched: bool) -> None:
    """Case 77 and its neighbours; a name with escapes is no host name and matches nothing."""
    assert host_matches(presented, Name(reference)) is matched


def match_of(
    subject: str, *references: str, dns: tuple[str, ...] = (), **more: object
) -> NameMatch:
    certificate = load(mint(subject, dns=dns, **more).der)  # type: ignore[arg-type]
    assert certificate is not None
    return names_match(certificate, [Name(reference) for reference in references])


def test_the_match_says_what_was_found_in_which_name() -> None:
    """For the report: the reference identifier and what the certificate says."""
    found = match_of("x", "mx1.p.test", "p.test", dns=("other.test", "*.p.test"))
    assert found == NameMatch(matched=True, reference=Name("mx1.p.test"), presented="*.p.test")


def test_any_reference_will_do() -> None:
    """The mail domain is as good as the host (case 75)."""
    assert match_of("x", "mx1.p.test", "p.test", dns=("p.test",)).reference == "p.test"


def test_no_reference_matches_nothing() -> None:
    """Nor does an empty list of names."""
    assert not match_of("x", dns=("p.test",)).matched
    assert not match_of("", "p.test").matched


def test_the_common_name_counts_only_without_dns_names() -> None:
    """Case 76, RFC 7672 §3.2.3."""
    alone = match_of("mx1.p.test", "mx1.p.test")
    assert alone.matched
    assert alone.from_common_name
    assert not match_of("mx1.p.test", "mx1.p.test", dns=("other.test",)).matched


def test_a_wildcard_common_name_follows_the_same_rules() -> None:
    """RFC 7672 §3.2.3: valid in either."""
    assert match_of("*.p.test", "mx1.p.test").matched
    assert not match_of("mx*.p.test", "mx1.p.test").matched


def test_alternative_names_of_other_kinds_leave_the_common_name_valid() -> None:
    """Only a DNS name closes that door."""
    names = x509.SubjectAlternativeName([x509.RFC822Name("postmaster@p.test")])
    assert match_of("mx1.p.test", "mx1.p.test", extensions=[(names, False)]).matched


def test_unreadable_alternative_names_do_not_open_the_way_to_the_common_name() -> None:
    """They may hold DNS names, and then the common name would not count."""
    oid = x509.ObjectIdentifier("2.5.29.17")
    broken = x509.UnrecognizedExtension(oid, b"\x04\x00")
    assert not match_of("mx1.p.test", "mx1.p.test", extensions=[(broken, False)]).matched
