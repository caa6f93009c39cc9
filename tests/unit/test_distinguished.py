"""Distinguished names: equal when RFC 5280 §7.1 says so, and safe to show."""

import pytest
from minting import tlv

from scanner.judge import der
from scanner.judge.der import DerError
from scanner.judge.distinguished import DistinguishedName, distinguished_name, printable

CN, ORG, OU = b"\x06\x03\x55\x04\x03", b"\x06\x03\x55\x04\x0a", b"\x06\x03\x55\x04\x0b"


def attribute(oid: bytes, value: bytes, tag: int = 0x0C) -> bytes:
    return tlv(0x30, oid, tlv(tag, value))


def name(*relative: bytes) -> DistinguishedName:
    """A name of one SET for each argument, each of one or more attributes."""
    return distinguished_name(der.parse(tlv(0x30, *(tlv(0x31, item) for item in relative))))


@pytest.mark.parametrize(
    "other",
    [
        attribute(CN, b"some ca"),
        attribute(CN, b"SOME CA"),
        attribute(CN, b"  Some \t  CA "),
        attribute(CN, b"Some CA", 0x13),
        attribute(CN, b"Some CA", 0x14),
        attribute(CN, b"Some CA", 0x16),
        attribute(CN, "Some CA".encode("utf-16-be"), 0x1E),
        attribute(CN, "Some CA".encode("utf-32-be"), 0x1C),
    ],
)
def test_capitals_spaces_and_string_types_do_not_matter(other: bytes) -> None:
    """Whatever the issuer's tool made of the subject."""
    assert name(other).canonical == name(attribute(CN, b"Some CA")).canonical


@pytest.mark.parametrize(
    "other",
    [
        (attribute(CN, b"SomeCA"),),
        (attribute(ORG, b"Some CA"),),
        (attribute(CN, b"Some CA", 0x04),),
        (attribute(CN, b"Some CA"), attribute(CN, b"Some CA")),
        (attribute(CN, "Söme CA".encode()),),
        (),
    ],
)
def test_other_content_attribute_type_or_number_do(other: tuple[bytes, ...]) -> None:
    """An octet string is no string, and twice is not once."""
    assert name(*other).canonical != name(attribute(CN, b"Some CA")).canonical


def test_non_ascii_letters_keep_their_case() -> None:
    """Only ASCII letters are folded, as OpenSSL does."""
    assert (
        name(attribute(CN, "Ö".encode())).canonical != name(attribute(CN, "ö".encode())).canonical
    )


def test_the_order_inside_a_set_does_not_matter_but_that_of_the_sets_does() -> None:
    """A relative name is a set, a distinguished name a sequence."""
    one, two = attribute(CN, b"a"), attribute(OU, b"b")
    assert name(one + two).canonical == name(two + one).canonical
    assert name(one, two).canonical != name(two, one).canonical


def test_names_are_shown_as_rfc_4514_says() -> None:
    """Most specific first, special characters escaped, unknown types by number."""
    shown = name(
        attribute(ORG, b'A, "B" + C=D;<E>'),
        attribute(OU, b" #lead and trail "),
        attribute(CN, b"x") + attribute(b"\x06\x02\x2a\x03", b"y"),
        attribute(CN, b"\x01\x02", 0x04),
        attribute(CN, b"\xff"),
    )
    assert shown.text == (
        "CN=#0c01ff,CN=#04020102,CN=x+1.2.3=y,OU=\\ #lead and trail\\ ,"
        'O=A\\, \\"B\\" \\+ C\\=D\\;\\<E\\>'
    )


def test_a_value_that_begins_with_a_hash_is_escaped() -> None:
    """Or it would read as hexadecimal."""
    assert name(attribute(CN, b"#1")).text == "CN=\\#1"


def test_common_names_are_all_those_that_can_be_read() -> None:
    """In the order they stand; an empty or unreadable one is none."""
    many = name(
        attribute(CN, b"one"),
        attribute(CN, b"\xff"),
        attribute(CN, b""),
        attribute(ORG, b"no"),
        attribute(CN, b"two", 0x13),
    )
    assert many.common_names == ("one", "two")


def test_the_empty_name_is_a_name() -> None:
    """RFC 5280 allows it in a subject."""
    empty = name()
    assert (empty.canonical, empty.text, empty.common_names) == ((), "", ())


@pytest.mark.parametrize(
    "data",
    [
        b"\x05\x00",
        tlv(0x30, b"\x05\x00"),
        tlv(0x30, tlv(0x31, b"\x05\x00")),
        tlv(0x30, tlv(0x31, tlv(0x30, CN))),
        tlv(0x30, tlv(0x31, *[attribute(CN, b"x")] * 65)),
        tlv(0x30, *[tlv(0x31, attribute(CN, b"x"))] * 65),
    ],
)
def test_what_is_no_name_is_refused(data: bytes) -> None:
    """Wrong shapes, and more attributes than any name has."""
    with pytest.raises(DerError):
        distinguished_name(der.parse(data))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü", "plain ü"),
        ("a\\b", "a\\\\b"),
        ("\x1b[31m\x00\r\n", "\\x1b[31m\\x00\\r\\n"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_nothing_a_terminal_would_act_upon_is_printed(text: str, shown: str) -> None:
    """Escape sequences, line ends, and characters that turn text around."""
    assert printable(text) == shown
