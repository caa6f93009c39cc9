"""Special-purpose addresses: each block of the registries at its edges, and what they carry."""

import ipaddress

import pytest

from scanner.model.addresses import special_purpose

REACHABLE = [
    "1.0.0.0",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.0.9",
    "192.0.0.10",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.48.1",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:1::1",
    "2001:1::2",
    "2001:1::3",
    "2001:3::1",
    "2001:4:112::1",
    "2001:20::1",
    "2001:3f:ffff::1",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2606:4700::1111",
    "2620:4f:8000::1",
    "2a01:4f8::1",
    "3ffe:ffff::1",
    "3fff:1000::1",
]

SPECIAL = {
    "This network": ["0.0.0.1", "0.255.255.255"],
    "Unspecified": ["0.0.0.0", "::"],
    "Private-Use": [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
    ],
    "Shared Address Space": ["100.64.0.0", "100.127.255.255"],
    "Loopback": ["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"],
    "Link Local": ["169.254.0.0", "169.254.169.254", "169.254.255.255"],
    "IETF Protocol Assignments": [
        "192.0.0.0",
        "192.0.0.8",
        "192.0.0.11",
        "192.0.0.170",
        "192.0.0.255",
        "2001:1::4",
        "2001:1ff:ffff::1",
    ],
    "Documentation": [
        "192.0.2.0",
        "192.0.2.255",
        "198.51.100.0",
        "203.0.113.255",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff::1",
        "3fff:fff:ffff::1",
    ],
    "Deprecated 6to4 Relay Anycast": ["192.88.99.0", "192.88.99.255"],
    "Benchmarking": ["198.18.0.0", "198.19.255.255", "2001:2::1", "2001:2:0:ffff::1"],
    "Multicast": ["224.0.0.0", "239.255.255.255", "ff00::", "ff02::1", "ffff::1"],
    "Reserved": ["240.0.0.0", "255.255.255.254"],
    "Reserved by IETF": ["4000::1", "::1:0:0:0", "6000::1", "fb00::1", "64:ff9b:2::1"],
    "Limited Broadcast": ["255.255.255.255"],
    "IPv4-compatible": ["::2", "::8.8.8.8", "::ffff:ffff"],
    "IPv4-mapped": ["::ffff:0:0", "::ffff:127.0.0.1", "::ffff:8.8.8.8"],
    "Local-Use Translation": ["64:ff9b:1::", "64:ff9b:1:ffff::1"],
    "Discard-Only": ["100::", "100::ffff:ffff:ffff:ffff"],
    "Dummy Prefix": ["100:0:0:1::1"],
    "Deprecated ORCHID": ["2001:10::1", "2001:1f::1"],
    "Segment Routing SIDs": ["5f00::1", "5f00:ffff::1"],
    "Unique-Local": ["fc00::", "fd12:3456::1", "fdff:ffff::1"],
    "Link-Local": ["fe80::", "fe80::1", "febf::1", "fe80::1%eth0"],
    "Deprecated Site-Local": ["fec0::", "feff::1"],
}


@pytest.mark.parametrize("address", REACHABLE)
def test_a_globally_reachable_address_is_not_special(address) -> None:
    """Neighbours of every block, and the entries the registry calls globally reachable."""
    assert special_purpose(address) is None


@pytest.mark.parametrize(
    ("name", "address"),
    [(name, address) for name, addresses in SPECIAL.items() for address in addresses],
)
def test_a_special_address_is_named_by_its_block(name, address) -> None:
    """First and last address of each block (case 12); the name comes with its RFC."""
    found = special_purpose(address)
    assert found is not None
    assert found.startswith(f"{name} (RFC ")


def carriers(address: str) -> dict[str, str]:
    """Return the IPv6 addresses that carry an IPv4 one, by kind."""
    number = int(ipaddress.IPv4Address(address))
    six = ipaddress.IPv6Address
    public = int(ipaddress.IPv4Address("8.8.8.8"))
    teredo = 0x2001_0000 << 96
    return {
        "6to4": str(six((0x2002 << 112) | (number << 80) | 1)),
        "NAT64": str(six((0x0064_FF9B << 96) | number)),
        "Teredo server": str(six(teredo | (number << 64) | (~public & 0xFFFF_FFFF))),
        "Teredo client": str(six(teredo | (public << 64) | (~number & 0xFFFF_FFFF))),
    }


@pytest.mark.parametrize("kind", ["6to4", "NAT64", "Teredo server", "Teredo client"])
@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.1.2.3", "Private-Use"),
        ("127.0.0.1", "Loopback"),
        ("169.254.169.254", "Link Local"),
        ("100.64.0.1", "Shared Address Space"),
        ("0.0.0.0", "Unspecified"),
        ("224.0.0.1", "Multicast"),
        ("255.255.255.255", "Limited Broadcast"),
    ],
)
def test_what_carries_a_special_ipv4_address_is_special(kind, address, name) -> None:
    """A transition address leads to the IPv4 address inside (case 12)."""
    found = special_purpose(carriers(address)[kind])
    assert found is not None
    assert found.startswith(f"{kind.split()[0]} of {name} (RFC ")


@pytest.mark.parametrize("kind", ["6to4", "NAT64", "Teredo server", "Teredo client"])
def test_what_carries_a_public_ipv4_address_is_not_special(kind) -> None:
    """Seldom used, and nothing to be afraid of."""
    assert special_purpose(carriers("1.1.1.1")[kind]) is None


@pytest.mark.parametrize("text", ["", "mx.test", "1.2.3", "1.2.3.4.5", "01.2.3.4", ":::", "[::1]"])
def test_what_is_no_address_is_refused(text) -> None:
    """A caller's mistake, not an answer."""
    with pytest.raises(ValueError, match="IP"):
        special_purpose(text)
