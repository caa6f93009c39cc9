"""Special-purpose blocks against the standard library's own view, and transition addresses."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from scanner.model.addresses import special_purpose

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
