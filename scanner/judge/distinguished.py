"""Distinguished names (RFC 5280 §4.1.2.4): to compare, to show, and to find common names in.

Issuers are found by name, so two names must compare equal exactly when RFC 5280 §7.1 says so: in
whichever string type, with whatever capitals and spaces the two certificates wrote them. What is
shown follows RFC 4514 and never carries control characters to a terminal.
"""

from functools import lru_cache

from scanner.judge import der
from scanner.judge.der import DerError, Element
from scanner.model.record import record

MAX_NAME_ATTRIBUTES = 64
"""Attributes of one distinguished name; real ones have fewer than ten."""
OID_COMMON_NAME = "2.5.4.3"
OID_EMAIL_ADDRESS = "1.2.840.113549.1.9.1"

REMEMBERED_NAMES = 512
"""Names kept as read: few issuers sign most certificates."""
MAX_REMEMBERED_OCTETS = 4_096
"""Larger names are read anew each time, so that what is kept stays small."""
_SPECIAL_4514 = frozenset(',+"<>;=')
"""Escaped wherever they stand (RFC 4514 §2.4), beside the backslash."""

CanonicalName = tuple[tuple[tuple[str, int, bytes], ...], ...]
"""A distinguished name in a form that compares equal exactly when RFC 5280 §7.1 says so."""


@record
class DistinguishedName:
    """A distinguished name: for comparing, for reading, and its common names."""

    encoded: bytes
    canonical: CanonicalName
    text: str
    common_names: tuple[str, ...] = ()
    emails: tuple[bytes, ...] = ()


_STRING_CODECS = {
    0x0C: "utf-8",  # UTF8String
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, in practice Latin-1
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
_ATTRIBUTE_NAMES = {
    OID_COMMON_NAME: "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    OID_EMAIL_ADDRESS: "emailAddress",
}


def distinguished_name(element: Element) -> DistinguishedName:
    """Return a Name (RFC 5280 §4.1.2.4); raises DerError when it is not one.

    ``text`` follows RFC 4514: most specific first, special characters escaped.
    """
    return (_read if len(element.encoded) > MAX_REMEMBERED_OCTETS else _remembered)(element)


def _read(element: Element) -> DistinguishedName:
    canonical: list[tuple[tuple[str, int, bytes], ...]] = []
    texts: list[str] = []
    common_names: list[str] = []
    emails: list[bytes] = []
    for count, relative in enumerate(der.children(element)):
        attributes = [_attribute(item) for item in der.children(relative, der.SET)]
        if count >= MAX_NAME_ATTRIBUTES or len(attributes) > MAX_NAME_ATTRIBUTES:
            raise DerError("a distinguished name with too many attributes")
        canonical.append(tuple(sorted(_canonical(oid, value) for oid, value in attributes)))
        texts.append("+".join(_attribute_text(oid, value) for oid, value in attributes))
        for oid, value in attributes:
            if oid == OID_COMMON_NAME and (text := _decode(value)):
                common_names.append(printable(text))
            elif oid == OID_EMAIL_ADDRESS:
                emails.append(value.body)
    return DistinguishedName(
        encoded=element.encoded,
        canonical=tuple(canonical),
        text=",".join(reversed(texts)),
        common_names=tuple(common_names),
        emails=tuple(emails),
    )


_remembered = lru_cache(maxsize=REMEMBERED_NAMES)(_read)


def _attribute(element: Element) -> tuple[str, Element]:
    parts = der.children(element)
    if len(parts) != 2:
        raise DerError("malformed name attribute")
    return der.oid(parts[0]), parts[1]


def _decode(value: Element) -> str | None:
    codec = _STRING_CODECS.get(value.tag)
    if codec is None:
        return None
    try:
        return value.body.decode(codec)
    except UnicodeDecodeError:
        return None


def _canonical(oid: str, value: Element) -> tuple[str, int, bytes]:
    """Return an attribute so that equal means equal under RFC 5280 §7.1.

    String types compare by content, without regard to ASCII case and to runs of spaces, whichever
    type each side used; everything else compares by its encoding.
    """
    text = _decode(value)
    if text is None:
        return oid, value.tag, value.body
    folded = " ".join(text.split()).encode("utf-8", "surrogatepass")
    return oid, 0, folded.lower()


def _attribute_text(oid: str, value: Element) -> str:
    text = _decode(value)
    shown = f"#{value.encoded.hex()}" if text is None else _escape_4514(printable(text))
    return f"{_ATTRIBUTE_NAMES.get(oid, oid)}={shown}"


def _escape_4514(text: str) -> str:
    escaped = text
    if not _SPECIAL_4514.isdisjoint(text):
        escaped = "".join("\\" + c if c in _SPECIAL_4514 else c for c in text)
    if escaped.startswith(("#", " ")):
        escaped = "\\" + escaped
    if escaped.endswith(" ") and len(escaped) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped


def printable(text: str) -> str:
    """Return ``text`` with backslashes and everything a terminal would act upon escaped."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )
