"""DNS questions to octets (RFC 1035 §4.1, RFC 6891, RFC 4035 §3.2.1)."""

from functools import lru_cache

from scanner.model.names import MAX_LABEL_OCTETS, MAX_NAME_OCTETS, ROOT, Name, labels_of
from scanner.model.observation import Question
from scanner.wire.dnsrdata import CLASS_IN, TYPE_CODES, TYPE_OPT

PAYLOAD_OCTETS = 1232
"""EDNS UDP payload size announced: no fragmentation on any ordinary path (DNS flag day 2020)."""

_RD = 0x0100
_AD = 0x0020
_CD = 0x0010
_DNSSEC_OK = 0x8000  # in the OPT record's TTL field (RFC 6891 §6.1.3)


REMEMBERED_NAMES = 8_192
"""Names whose octets are kept; a domain's few names are asked for several types each."""


class UnencodableNameError(ValueError):
    """The name has no wire form: it, or a label of it, is too long, empty or badly escaped."""


def build_query(
    question: Question,
    *,
    query_id: int,
    checking_disabled: bool,
    payload: int = PAYLOAD_OCTETS,
) -> bytes:
    """Return the query for ``question`` in class IN.

    RD=1; AD=1, which asks for the AD bit (RFC 6840 §5.7); EDNS with DO=1, so that signatures and
    their expiry are seen. ``checking_disabled`` sets CD. Raises UnencodableNameError.
    """
    return query_about(
        question_octets(question),
        query_id=query_id,
        checking_disabled=checking_disabled,
        payload=payload,
    )


def query_about(
    asked: bytes, *, query_id: int, checking_disabled: bool, payload: int = PAYLOAD_OCTETS
) -> bytes:
    """Return the query whose question section is ``asked``, as ``build_query`` does."""
    head, tail = _around_question(checking_disabled, payload)
    return query_id.to_bytes(2) + head + asked + tail


@lru_cache(maxsize=8)
def _around_question(checking_disabled: bool, payload: int) -> tuple[bytes, bytes]:
    """Return what stands between id and question, and after the question."""
    flags = _RD | _AD | (_CD if checking_disabled else 0)
    counts = b"\x00\x01\x00\x00\x00\x00\x00\x01"
    opt = b"".join(
        (
            b"\x00",
            TYPE_OPT.to_bytes(2),
            payload.to_bytes(2),
            _DNSSEC_OK.to_bytes(4),
            b"\x00\x00",
        )
    )
    return flags.to_bytes(2) + counts, opt


def question_octets(question: Question) -> bytes:
    """Return the question section for ``question``. Raises UnencodableNameError."""
    return name_octets(question.name) + _TYPE_AND_CLASS[question.rdtype]


_TYPE_AND_CLASS = {
    rdtype: code.to_bytes(2) + CLASS_IN.to_bytes(2) for rdtype, code in TYPE_CODES.items()
}


@lru_cache(maxsize=REMEMBERED_NAMES)
def name_octets(name: Name) -> bytes:
    """Return the wire form of ``name``, uncompressed. Raises UnencodableNameError."""
    if "\\" not in name and name.isascii() and name != ROOT:
        labels = name.encode("ascii").split(b".")
        lengths = [len(label) for label in labels]
        fits = len(name) + 2 <= MAX_NAME_OCTETS and max(lengths) <= MAX_LABEL_OCTETS
        if fits and min(lengths) > 0:
            return b"".join([bytes((len(label),)) + label for label in labels]) + b"\x00"
    return _escaped_name_octets(name)


def _escaped_name_octets(name: Name) -> bytes:
    """Return the same for any name, octet by octet, or say what is wrong with it."""
    out = bytearray()
    for text in labels_of(name):
        label = _label_octets(text)
        if not 0 < len(label) <= MAX_LABEL_OCTETS:
            raise UnencodableNameError(f"a label of {len(label)} octets in {name}")
        out.append(len(label))
        out += label
    out.append(0)
    if len(out) > MAX_NAME_OCTETS:
        raise UnencodableNameError(f"longer than {MAX_NAME_OCTETS} octets: {name}")
    return bytes(out)


def _label_octets(text: str) -> bytes:
    """Undo the escapes of RFC 1035 §5.1."""
    out = bytearray()
    position = 0
    while position < len(text):
        character = text[position]
        digits = text[position + 1 : position + 4]
        if character != "\\":
            octet, width = ord(character), 1
        elif len(digits) == 3 and digits.isascii() and digits.isdigit():
            octet, width = int(digits), 4
        elif digits:
            octet, width = ord(digits[0]), 2
        else:
            raise UnencodableNameError(f"a backslash at the end of label {text!r}")
        if octet > 0xFF:
            raise UnencodableNameError(f"a character that is no octet in label {text!r}")
        out.append(octet)
        position += width
    return bytes(out)
