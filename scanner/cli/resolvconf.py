"""The name servers of resolv.conf(5): where to ask when the operator names no resolver.

Whether they validate is for the self-test to find out; most stub resolvers of desktop systems do,
most routers of providers do not.
"""

import ipaddress
from pathlib import Path

RESOLV_CONF = Path("/etc/resolv.conf")
MAX_OCTETS = 65_536
MAX_SERVERS = 3
"""MAXNS of the C library; more lines are ignored there, and here."""


def read_name_servers(path: Path = RESOLV_CONF) -> tuple[str, ...]:
    """Return the addresses of the ``nameserver`` lines, in order; none if there is no such file.

    Lines that hold no IP address are passed over, as the C library does. A zone such as ``%eth0``
    stays on its address.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_OCTETS).decode("utf-8", errors="replace")
    except OSError:
        return ()
    servers: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = str(ipaddress.ip_address(words[1]))
        except ValueError:
            continue
        if address not in servers:
            servers.append(address)
    return tuple(servers[:MAX_SERVERS])
