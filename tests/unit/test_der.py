"""The DER reader: what it takes, and that everything else is a DerError."""

from datetime import UTC, datetime

import pytest

from scanner.judge import der
from scanner.judge.der import DerError


def element(text: str) -> der.Element:
    return der.parse(bytes.fromhex(text))


def test_an_element_has_its_contents_and_its_whole_encoding() -> None:
    """Both are slices of what came, so hashes are over the original bytes."""
    found = element("0403 414243")
    assert (found.tag, found.body, found.encoded) == (4, b"ABC", bytes.fromhex("0403414243"))


def test_long_lengths_are_read() -> None:
    """Lengths of one to four octets after the first."""
    for size in (0x80, 0xFF, 0x100, 0x10000):
        octets = (size.bit_length() + 7) // 8
        data = bytes([4, 0x80 | octets]) + size.to_bytes(octets, "big") + bytes(size)
        assert len(der.parse(data).body) == size


@pytest.mark.parametrize(
    "data",
    [
        "",
        "30",
        "3001",
        "0480",  # indefinite
        "0485 0000000001 00",  # five length octets
        "0481 7f" + "00" * 0x7F,  # fits the short form
        "0482 00ff" + "00" * 0xFF,  # leading zero
        "0482 01",  # length cut off
        "0481",
        "1f01 00",  # identifier in more than one octet
        "0400 00",  # one octet too many
    ],
)
def test_what_is_no_single_der_element_is_refused(data: str) -> None:
    """Truncated, indefinite, not minimal, or followed by junk."""
    with pytest.raises(DerError):
        element(data)


def test_the_elements_of_a_sequence_come_in_order() -> None:
    """And a defect in a later one is told when it is reached."""
    assert [item.tag for item in der.children(element("3004 0500 0400"))] == [5, 4]
    with pytest.raises(DerError):
        der.children(element("3003 0500 04"))


def test_another_tag_than_the_expected_one_is_refused() -> None:
    """Both directly and for a sequence."""
    with pytest.raises(DerError, match="0x30"):
        der.children(element("3100"))
    with pytest.raises(DerError, match="0x02"):
        der.parse(b"\x05\x00", der.INTEGER)
    assert der.parse(b"\x05\x00", 5).body == b""


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("0201 00", 0),
        ("0201 80", -128),
        ("0202 0080", 128),
        ("0203 000001", 1),
        ("0202 ff7f", -129),
    ],
)
def test_integers_are_signed_and_may_be_padded(data: str, value: int) -> None:
    """Serial numbers with superfluous zeros exist."""
    assert der.integer(element(data)) == value


@pytest.mark.parametrize(
    ("data", "value"), [("0101 ff", True), ("0101 00", False), ("0101 01", True)]
)
def test_booleans_are_true_unless_zero(data: str, value: bool) -> None:
    """As BER says and OpenSSL reads."""
    assert der.boolean(element(data)) is value


@pytest.mark.parametrize(
    ("reader", "data"),
    [
        (der.integer, "0200"),
        (der.integer, "0401 00"),
        (der.boolean, "0100"),
        (der.boolean, "0102 0000"),
        (der.bit_string, "0300"),
        (der.bit_string, "0301 01"),
        (der.bit_string, "0302 0800"),
        (der.oid, "0600"),
        (der.oid, "0602 2a80"),
        (der.oid, "0603 2a8001"),
        (der.oid, "0681 81" + "01" * 0x81),
        (der.time, "0400"),
    ],
)
def test_malformed_values_are_refused(reader: object, data: str) -> None:
    """Each reader has its own defects, and one error."""
    with pytest.raises(DerError):
        reader(element(data))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("data", "dotted"),
    [
        ("0603 551d11", "2.5.29.17"),
        ("0606 2a864886f70d", "1.2.840.113549"),
        ("0601 27", "0.39"),
        ("0602 8837", "2.999"),
    ],
)
def test_object_identifiers_become_dotted(data: str, dotted: str) -> None:
    """Also below arc 2, where the first octets hold more than 79 (X.690 §8.19.4)."""
    assert der.oid(element(data)) == dotted


def test_named_bits_are_counted_from_the_left() -> None:
    """keyCertSign is bit 5 (RFC 5280 §4.2.1.3); only the first four octets can matter."""
    assert der.named_bits(element("0302 0204")) == {5}
    assert der.named_bits(element("0303 078080")) == {0, 8}
    assert der.named_bits(element("0301 00")) == frozenset()


FIRST = datetime.min.replace(tzinfo=UTC)


def at(tag: int, text: str) -> datetime:
    return der.time(der.Element(tag, text.encode(), b""))


@pytest.mark.parametrize(
    ("tag", "text", "moment"),
    [
        (der.UTC_TIME, "261124120000Z", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        (der.UTC_TIME, "500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (der.UTC_TIME, "491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (der.UTC_TIME, "2611241200Z", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        (der.UTC_TIME, "261124120000+0130", datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
        (der.UTC_TIME, "261124120000-0130", datetime(2026, 11, 24, 13, 30, tzinfo=UTC)),
        (der.GENERALIZED_TIME, "99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (der.GENERALIZED_TIME, "20261124120000.5Z", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        (der.GENERALIZED_TIME, "00000229000000Z", FIRST),
        (der.GENERALIZED_TIME, "00010101000000+0100", FIRST),
        (der.GENERALIZED_TIME, "99991231235959-0100", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_times_of_every_shape_are_points_in_time(tag: int, text: str, moment: datetime) -> None:
    """RFC 5280 §4.1.2.5, and what issuers wrote before it; no end is too far away to compare."""
    assert at(tag, text) == moment


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (der.UTC_TIME, ""),
        (der.UTC_TIME, "Z"),
        (der.UTC_TIME, "261324120000Z"),
        (der.UTC_TIME, "261124120000"),
        (der.UTC_TIME, "2611241200000Z"),
        (der.UTC_TIME, "26112412000xZ"),
        (der.UTC_TIME, "261124120000+01x0"),
        (der.UTC_TIME, "+0130"),
        (der.GENERALIZED_TIME, "00001301000000Z"),
        (der.GENERALIZED_TIME, "20261124120000.xZ"),
        (der.GENERALIZED_TIME, "é"),
    ],
)
def test_what_is_no_point_in_time_is_refused(tag: int, text: str) -> None:
    """Impossible dates, missing zones, days the calendar does not have."""
    with pytest.raises(DerError):
        at(tag, text)
