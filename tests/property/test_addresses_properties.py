"""Special-purpose blocks against the standard library's own view, and transition addresses."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from scanner.model.addresses import network_of, special_purpose
from scanner.model.names import Name, is_address_literal
from scanner.model.observation import AddressRecord
from scanner.model.vocabulary import RRType
from scanner.wire.dnsframe import RawRecord
from scanner.wire.dnsrdata import read_record

ipv4 = st.ip_addresses(v=4)
ipv6 = st.ip_addresses(v=6)


OURS_ALONE = (
    ipaddress.IPv4Network("192.88.99.0/24"),  # deprecated by RFC 7526
    ipaddress.IPv4Network("192.0.0.0/24"),  # Python versions differ about its parts
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@given(ipv4)
def test_ipv4_agrees_with_the_standard_library(address: ipaddress.IPv4Address) -> None:
    """We contact exactly what Python calls global and no multicast, two blocks apart."""
    if not any(address in network for network in OURS_ALONE):
        contacted = special_purpose(str(address)) is None
        assert contacted == (address.is_global and not address.is_multicast)


@given(ipv6)
def test_what_is_local_or_reserved_is_never_contacted(address: ipaddress.IPv6Address) -> None:
    """Nothing that the standard library calls local, multicast or reserved gets through."""
    local = address.is_link_local or address.is_site_local or address.is_loopback
    reserved = address.is_reserved and address not in NAT64
    if local or address.is_multicast or address.is_unspecified or reserved:
        assert special_purpose(str(address)) is not None


@given(ipv4)
def test_6to4_is_as_special_as_what_it_carries(address: ipaddress.IPv4Address) -> None:
    """Both are contacted or neither."""
    carrier = ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80) | 1)
    inside = special_purpose(str(address)) is None
    assert (special_purpose(str(carrier)) is None) == inside


@given(ipv4)
def test_a_mapped_address_is_never_contacted(address: ipaddress.IPv4Address) -> None:
    """It has no business in a AAAA record."""
    assert special_purpose(f"::ffff:{address}") is not None


@given(st.ip_addresses(), st.integers(0, 32), st.integers(0, 128))
def test_a_network_is_the_one_of_the_standard_library(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, ipv4_bits: int, ipv6_bits: int
) -> None:
    """Any address, any number of bits."""
    bits = ipv4_bits if address.version == 4 else ipv6_bits
    expected = str(ipaddress.ip_network(f"{address}/{bits}", strict=False))
    assert network_of(str(address), ipv4_bits=ipv4_bits, ipv6_bits=ipv6_bits) == expected


@given(ipv4)
def test_an_a_record_reads_as_the_standard_library_has_it(address: ipaddress.IPv4Address) -> None:
    """Dotted, without leading zeros."""
    raw = RawRecord(Name("x.test"), 1, 1, 60, 0, 4)
    assert read_record(address.packed, raw, RRType.A) == AddressRecord(address=str(address))


@given(
    st.one_of(
        st.ip_addresses().map(str),
        st.text("0123456789abcdef.:%[]IPv6 ", max_size=16),
        st.text(max_size=8),
        st.sampled_from(
            ["1.2.3.4.", "[::1]", "[IPv6:::1]", "fe80::1%eth0", "1.2.3.\u0664", "²", ""]
        ),
    )
)
def test_a_literal_is_what_the_standard_library_takes_for_an_address(text: str) -> None:
    """Bare, in brackets, with or without the tag of RFC 5321; and nothing else."""
    bare = text.strip().removesuffix(".").removeprefix("[").removesuffix("]").lower()
    try:
        ipaddress.ip_address(bare.removeprefix("ipv6:"))
        expected = True
    except ValueError:
        expected = False
    assert is_address_literal(text) is expected
