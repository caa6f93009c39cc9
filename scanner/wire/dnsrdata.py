"""RDATA to model records (RFC 1035 §3.3, RFC 3596, RFC 6698, RFC 4034).

The types every check asks for are read by hand, exactly and cheaply; the others, which people only
look at, go through dnspython into presentation form. Names inside RDATA may be compressed, so
everything works on the whole message. Raises MalformedResponseError and nothing else.
"""

import ipaddress
from typing import NamedTuple

import dns.exception
import dns.rdata
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from scanner.model.names import Name
from scanner.model.observation import (
    AddressRecord,
    CnameRecord,
    MxRecord,
    OtherRecord,
    Record,
    TlsaRecord,
)
from scanner.model.vocabulary import RRType
from scanner.wire.dnsframe import MalformedResponseError, RawRecord, read_name

CLASS_IN = 1
TYPE_CODES = {
    RRType.A: 1,
    RRType.NS: 2,
    RRType.CNAME: 5,
    RRType.SOA: 6,
    RRType.MX: 15,
    RRType.TXT: 16,
    RRType.AAAA: 28,
    RRType.DS: 43,
    RRType.DNSKEY: 48,
    RRType.TLSA: 52,
}
TYPE_DNAME = 39
TYPE_OPT = 41
TYPE_RRSIG = 46
TYPE_NSEC = 47
TYPE_NSEC3 = 50

_SOA_MIN_OCTETS = 22  # two root names and five 32-bit numbers (RFC 1035 §3.3.13)
_RRSIG_FIXED_OCTETS = 18  # before the signer's name (RFC 4034 §3.1)


def read_record(wire: bytes, raw: RawRecord, rdtype: RRType) -> Record:
    """Return the record whose RDATA is ``wire[raw.start:raw.end]``, read as ``rdtype``.

    A TLSA record of any length is a record; for the others, RDATA that does not have exactly the
    form of its type raises MalformedResponseError.
    """
    match rdtype:
        case RRType.TLSA:
            return _read_tlsa(wire[raw.start : raw.end])
        case RRType.A | RRType.AAAA:
            return AddressRecord(address=_read_address(wire[raw.start : raw.end], rdtype))
        case RRType.MX:
            return _read_mx(wire, raw)
        case RRType.CNAME:
            return CnameRecord(target=read_alias(wire, raw))
        case _:
            return _read_other(wire, raw)


def read_alias(wire: bytes, raw: RawRecord) -> Name:
    """Return the name that is the whole RDATA, as in CNAME."""
    return _whole_name(wire, raw.start, raw.end)


class Signature(NamedTuple):
    """What is read of an RRSIG: the type it covers and its raw expiration time."""

    covered: int
    expiration: int


def read_signature(wire: bytes, raw: RawRecord) -> Signature | None:
    """Return the RRSIG (RFC 4034 §3.1), or None when it is too short to be one.

    Signatures are read for their dates only; a broken one takes nothing from the records.
    """
    if raw.end - raw.start < _RRSIG_FIXED_OCTETS:
        return None
    covered = int.from_bytes(wire[raw.start : raw.start + 2])
    expiration = int.from_bytes(wire[raw.start + 8 : raw.start + 12])
    return Signature(covered, expiration)


def soa_minimum(wire: bytes, raw: RawRecord) -> int:
    """Return the MINIMUM field of an SOA record, seconds; it is the last of the RDATA."""
    if raw.end - raw.start < _SOA_MIN_OCTETS:
        raise MalformedResponseError("an SOA record that is too short")
    return int.from_bytes(wire[raw.end - 4 : raw.end])


def _read_tlsa(rdata: bytes) -> TlsaRecord:
    # RFC 6698 §2.1. A digest of the wrong length, or RDATA with fields missing, still says that
    # there is DANE; whether the record is usable is judged elsewhere.
    return TlsaRecord(
        usage=rdata[0] if rdata else None,
        selector=rdata[1] if len(rdata) > 1 else None,
        matching_type=rdata[2] if len(rdata) > 2 else None,
        data=rdata[3:],
    )


def _read_address(rdata: bytes, rdtype: RRType) -> str:
    if rdtype is RRType.A:
        if len(rdata) != 4:
            raise MalformedResponseError(f"an A record of {len(rdata)} octets")
        return ".".join(map(str, rdata))
    if len(rdata) != 16:
        raise MalformedResponseError(f"an AAAA record of {len(rdata)} octets")
    address = ipaddress.IPv6Address(rdata)
    # Python before 3.13 prints mapped addresses in hexadecimal; RFC 5952 §5 wants them mixed.
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def _read_mx(wire: bytes, raw: RawRecord) -> MxRecord:
    if raw.end - raw.start < 3:
        raise MalformedResponseError("an MX record that is too short")
    preference = int.from_bytes(wire[raw.start : raw.start + 2])
    return MxRecord(preference=preference, exchange=_whole_name(wire, raw.start + 2, raw.end))


def _whole_name(wire: bytes, start: int, end: int) -> Name:
    name, after = read_name(wire, start)
    if after != end:
        raise MalformedResponseError("a name that does not fill its RDATA")
    return name


def _read_other(wire: bytes, raw: RawRecord) -> OtherRecord:
    try:
        rdtype = RdataType.make(raw.rdtype)
        rdata = dns.rdata.from_wire(RdataClass.IN, rdtype, wire, raw.start, raw.end - raw.start)
        return OtherRecord(text=rdata.to_text())
    except dns.exception.DNSException as error:
        raise MalformedResponseError(f"RDATA that is not of its type: {error}") from error
