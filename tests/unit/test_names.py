"""Names: one spelling for every way an operator or a zone may write them."""

import pytest

from scanner.model.names import (
    ROOT,
    InvalidNameError,
    Name,
    is_address_literal,
    labels_of,
    name_from_labels,
    parent_of,
    parse_domain,
    tlsa_owner,
    to_unicode,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org", "example.org"),
        ("  Example.ORG. ", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("faß.example", "xn--fa-hia.example"),
        ("_dmarc.example.org", "_dmarc.example.org"),
        ("a-b.1.example", "a-b.1.example"),
    ],
)
def test_every_usual_spelling_gives_the_same_a_labels(text: str, name: str) -> None:
    """Case, trailing dot, U-labels and ideographic dots are normalised (cases 13 and 14)."""
    assert parse_domain(text) == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty name"),
        (".", "empty name"),
        ("localhost", "a single label"),
        ("192.0.2.1", "an IP address"),
        ("[192.0.2.1]", "an IP address"),
        ("[IPv6:2001:db8::1]", "an IP address"),
        ("2001:db8::1", "an IP address"),
        ("postmaster@example.org", "a mail address"),
        ("https://example.org", "a URL or path"),
        ("example.org/path", "a URL or path"),
        ("a..example", "empty label"),
        (".example.org", "empty label"),
        ("exam ple.org", "character ' '"),
        ("exa\x00mple.org", "character '\\x00'"),
        ("-a.example", "begins or ends with a hyphen"),
        ("a-.example", "begins or ends with a hyphen"),
        ("xn--zzzzzzz99999.example", "not a valid A-label"),
        ("a\u200db.example", "not valid IDNA"),
        ("a" * 64 + ".example", "longer than 63 octets"),
        (".".join(["a" * 60] * 5), "longer than 255 octets"),
        ("a" * 3_000, "longer than 2000 characters"),
    ],
)
def test_what_is_no_domain_name_is_refused_with_its_reason(text: str, reason: str) -> None:
    """The message is for the person who wrote the line."""
    with pytest.raises(InvalidNameError) as caught:
        parse_domain(text)
    assert reason in str(caught.value)


def test_the_longest_name_of_255_octets_is_accepted() -> None:
    """253 characters of text are 255 octets on the wire (RFC 1035 §2.3.4)."""
    text = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(text) == 253
    assert parse_domain(text) == text
    with pytest.raises(InvalidNameError):
        parse_domain(text + "d")


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ((), "."),
        ((b"MX1", b"Example"), "mx1.example"),
        ((b"a.b", b"test"), "a\\.b.test"),
        ((b"a\\b", b"test"), "a\\\\b.test"),
        ((b"\x00\xff ", b"test"), "\\000\\255\\032.test"),
        ((b"_25", b"_tcp", b"mx"), "_25._tcp.mx"),
    ],
)
def test_wire_labels_become_lower_case_presentation_form(
    labels: tuple[bytes, ...], name: str
) -> None:
    """Odd octets are escaped as in RFC 1035 §5.1, so no two names look alike."""
    assert name_from_labels(labels) == name


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        (".", ()),
        ("a.b.test", ("a", "b", "test")),
        ("a\\.b.test", ("a\\.b", "test")),
        ("a\\\\.b.test", ("a\\\\", "b", "test")),
    ],
)
def test_labels_split_at_real_dots_only(name: str, labels: tuple[str, ...]) -> None:
    """An escaped dot is part of its label."""
    assert labels_of(Name(name)) == labels


def test_the_parent_drops_the_leftmost_label() -> None:
    """Up to the root, which is its own parent."""
    assert parent_of(Name("a.b.test")) == "b.test"
    assert parent_of(Name("test")) == ROOT
    assert parent_of(ROOT) == ROOT


def test_the_tlsa_owner_names_port_25_whatever_port_is_used() -> None:
    """RFC 6698 §3: port and protocol of the service."""
    assert tlsa_owner(Name("mx1.p.test")) == "_25._tcp.mx1.p.test"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("192.0.2.1", True),
        ("192.0.2.1.", True),
        ("[192.0.2.1]", True),
        ("[IPv6:2001:db8::1]", True),
        ("2001:db8::1", True),
        ("mx.192.0.2", False),
        ("1.example", False),
    ],
)
def test_address_literals_are_told_from_names(text: str, literal: bool) -> None:
    """An MX target must be a name (case 10)."""
    assert is_address_literal(text) is literal


def test_names_are_shown_to_people_in_their_script() -> None:
    """A-labels that do not decode stay as they are."""
    assert to_unicode(Name("xn--bcher-kva.example")) == "bücher.example"
    assert to_unicode(Name("xn--zzzzzzz99999.example")) == "xn--zzzzzzz99999.example"
    assert to_unicode(Name("plain.example")) == "plain.example"
