"""What is remembered or read in haste of a certificate is what the plain way says of it."""

from collections.abc import Iterator

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from minting import UNKNOWN_EXTENSION, key_usage, mint

from scanner.judge import certificate, der, distinguished, publickey
from scanner.judge.der import DerError, Element
from scanner.judge.distinguished import distinguished_name, printable

ROOT = mint("shortcut root", ca=True)
RICH = mint(
    "shortcut ca, with a comma",
    ROOT,
    ca=True,
    dns=["a.example.com", "*.example.com"],
    extensions=[
        (key_usage("key_cert_sign"), True),
        (x509.SubjectKeyIdentifier(b"\x01" * 20), False),
        (x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"), False),
    ],
)
LEAF = mint("shortcut leaf", RICH, dns=["mx1.example.com"])
SEEDS = [ROOT.der, RICH.der, LEAF.der]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good certificate, possibly with a few octets changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 2)):
            case 0 if data:
                data[at] = draw(st.integers(0, 255))
            case 1:
                data[at:at] = draw(st.binary(max_size=3))
            case _:
                del data[at : at + draw(st.integers(1, 4))]
    return bytes(data)


@given(mutated())
def test_facts_are_the_same_remembered_or_not(data: bytes) -> None:
    """Asked for once, twice, or read anew."""
    plain = certificate._facts(data)
    assert certificate.read_certificate(data) == plain
    assert certificate.read_certificate(data) == plain
    assert certificate.load(data) == certificate.load(bytes(bytearray(data)))


@given(mutated())
def test_the_key_of_a_certificate_is_the_one_at_its_place(data: bytes) -> None:
    """Whether the whole could be read or only what stands before the key."""
    assert certificate.spki_of(data) == certificate._spki_at_its_place(data)


@given(mutated())
def test_a_key_is_described_the_same_remembered_or_not(data: bytes) -> None:
    """Any octets: keys, and what is none."""
    for octets in (data, certificate.spki_of(data) or b""):
        assert publickey.describe_key(octets) == publickey._describe(octets)


def plain_children(data: bytes) -> Iterator[Element]:
    """Read elements as X.690 §8.1 has them, one octet after the other."""
    rest = list(data)
    while rest:
        begun = list(rest)
        if len(rest) < 2:
            raise DerError("truncated header")
        tag, first = rest.pop(0), rest.pop(0)
        if tag % 32 == 31:
            raise DerError("multi-octet identifier")
        length = first
        if first >= 128:
            count = first - 128
            if count == 0 or count > der.MAX_LENGTH_OCTETS:
                raise DerError("indefinite or oversized length")
            octets, rest = rest[:count], rest[count:]
            length = sum(octet * 256**place for place, octet in enumerate(reversed(octets)))
            if len(octets) < count or octets[0] == 0 or length < 128:
                raise DerError("length is truncated or not minimal")
        if len(rest) < length:
            raise DerError("truncated contents")
        body, rest = rest[:length], rest[length:]
        yield Element(tag, bytes(body), bytes(begun[: len(begun) - len(rest)]))


def outcome(found: object) -> object:
    """Return the elements, or the text of the refusal."""
    try:
        return tuple(found)  # type: ignore[arg-type]
    except DerError as error:
        return str(error)


short_elements = st.builds(
    lambda tag, length, body: bytes((tag, length)) + body,
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 5, 0x80, 0x81, 0x82, 0x84, 0x85, 0xFF]),
    st.binary(max_size=6),
)


@given(st.one_of(mutated(), st.lists(short_elements, max_size=4).map(b"".join)))
def test_elements_are_what_a_plain_reader_finds(data: bytes) -> None:
    """One by one, as children of a sequence, and in the same words where there is a fault."""
    expected = outcome(plain_children(data))
    assert outcome(der.elements(data)) == expected
    try:
        found: object = der.children(Element(der.SEQUENCE, data, b""))
    except DerError as error:
        found = str(error)
    assert found == expected


@given(mutated())
def test_names_are_the_same_remembered_or_not(data: bytes) -> None:
    """Good names, and refusals."""
    try:
        element = der.parse(data)
    except DerError:
        return
    for child in (element, *walk(element, 4)):
        try:
            expected: object = distinguished._read(child)
        except DerError as error:
            with pytest.raises(DerError, match="^" + "".join(f"[{c}]" for c in str(error))):
                distinguished_name(child)
            continue
        assert distinguished_name(child) == expected


def walk(element: Element, depth: int) -> Iterator[Element]:
    """Yield what is inside, a few levels down."""
    if depth == 0:
        return
    try:
        inside = tuple(der.elements(element.body))
    except DerError:
        return
    for child in inside:
        yield child
        yield from walk(child, depth - 1)


@given(st.text(max_size=20))
def test_printable_text_is_escaped_character_by_character(text: str) -> None:
    """Whole texts that need no escape are no exception."""
    assert printable(text) == "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


@given(st.lists(st.sampled_from(list(',+"<>;=# ab')), max_size=6).map("".join))
def test_special_characters_are_escaped_wherever_they_stand(text: str) -> None:
    """RFC 4514 §2.4; the first "#" or space and the last space too."""
    plain = "".join("\\" + c if c in ',+"<>;=' else c for c in text)
    if plain.startswith(("#", " ")):
        plain = "\\" + plain
    if plain.endswith(" ") and len(plain) > 1:
        plain = plain[:-1] + "\\ "
    assert distinguished._escape_4514(text) == plain
