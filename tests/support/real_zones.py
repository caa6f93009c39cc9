"""Zones signed by BIND's and NLnet Labs' own signers, and the servers that serve and validate them.

The signers, the name server and the validator are all foreign, so that agreement with them says
something about danewatch. One NSD serves every zone; unbound reaches it in one of two ways:

- on any machine, through a ``stub-zone`` for each zone, on a port the system chose;
- in a private namespace, by following delegations from its root hints, on port 53.
"""

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from real_processes import Namespace, RealServer, program

NAMESERVER = "127.0.0.53"
"""Where NSD listens; the address every delegation names."""

Signer = Literal["bind", "ldns", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """One zone as it is to be signed and served.

    ``records`` are in presentation form, relative to the apex. ``days`` says when the signatures
    end, counted from now; they began 30 days before that. So -3 means they have expired, 60 that
    they are not yet valid. ``ds`` says what the parent publishes.
    ``spoil`` names RRsets (``owner type``) whose signatures are damaged after signing;
    ``drop`` names those whose signatures are taken out.
    """

    apex: str
    records: str = ""
    signer: Signer = "bind"
    nsec3: bool = False
    opt_out: bool = False
    days: int = 20
    algorithm: str = "ECDSAP256SHA256"
    ds: Literal["right", "wrong-tag", "wrong-digest", "unknown-algorithm", "unknown-digest"] = (
        "right"
    )
    spoil: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(slots=True)
class SignedTree:
    """A root zone and what hangs below it, signed and ready to be served."""

    directory: Path
    zones: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> Path:
        """The trust anchor: the root's DNSKEY in presentation form."""
        return self.directory / "root.key"

    @property
    def delv_anchor(self) -> Path:
        """The same in the syntax of BIND's tools."""
        return self.directory / "root.bindkeys"

    def file(self, apex: str) -> Path:
        """Where the signed zone is."""
        return self.directory / f"zone-{apex.strip('.') or 'root'}"


def sign_tree(directory: Path, zones: list[Zone]) -> SignedTree:
    """Sign ``zones`` and a root above them; each is delegated by its closest parent among them."""
    tree = SignedTree(directory)
    root = Zone(apex=".")
    pending = sorted(zones, key=lambda zone: -zone.apex.count("."))
    delegations: dict[str, str] = {}
    for zone in [*pending, root]:
        ds = _sign(tree, zone, delegations.get(zone.apex, ""))
        parent = _parent(zone.apex, {other.apex for other in zones})
        if zone.apex != ".":
            lines = (
                f"{zone.apex} 3600 IN NS ns.{zone.apex}\nns.{zone.apex} 3600 IN A {NAMESERVER}\n"
            )
            delegations[parent] = delegations.get(parent, "") + lines + ds
    return tree


def _parent(apex: str, known: set[str]) -> str:
    labels = apex.rstrip(".").split(".")
    for start in range(1, len(labels)):
        candidate = ".".join(labels[start:]) + "."
        if candidate in known:
            return candidate
    return "."


def _sign(tree: SignedTree, zone: Zone, delegations: str) -> str:
    """Write the signed zone; return the DS records its parent publishes."""
    output = tree.file(zone.apex)
    plain = output.with_name(f"{output.name}.plain")
    server = f"ns.{zone.apex}" if zone.apex != "." else "ns."
    plain.write_text(
        f"$ORIGIN {zone.apex}\n$TTL 300\n"
        f"@ 300 IN SOA {server} hostmaster.{zone.apex.lstrip('.')} 1 7200 3600 1209600 300\n"
        f"@ 300 IN NS {server}\n{server} 300 IN A {NAMESERVER}\n{zone.records}\n{delegations}"
    )
    tree.zones.append(zone.apex)
    if zone.signer == "none":
        shutil.copy(plain, output)
        return ""
    sign = _sign_with_bind if zone.signer == "bind" else _sign_with_ldns
    key_file = sign(zone, plain, output)
    _damage(output, zone)
    if zone.apex == ".":
        key = key_file.read_text()
        tree.anchor.write_text(key)
        fields = next(line for line in key.splitlines() if not line.startswith(";")).split()
        flags, protocol, algorithm, *base64 = fields[fields.index("DNSKEY") + 1 :]
        statement = f'. static-key {flags} {protocol} {algorithm} "{"".join(base64)}";'
        tree.delv_anchor.write_text(f"trust-anchors {{ {statement} }};\n")
    return _delegation_signer(zone, key_file)


def _delegation_signer(zone: Zone, key_file: Path) -> str:
    """Return the DS record the parent publishes, spoilt as the zone wants it."""
    owner, _in, _ds, tag, algorithm, kind, digest = _run(
        "dnssec-dsfromkey", "-2", str(key_file)
    ).split()
    if zone.ds == "wrong-tag":  # the seed's cause A: a DS that points to nothing in the child
        tag = "1"
    elif zone.ds == "wrong-digest":
        digest = "00" + digest[2:] if digest[:2] != "00" else "11" + digest[2:]
    elif zone.ds == "unknown-algorithm":
        algorithm = "200"
    elif zone.ds == "unknown-digest":
        kind = "200"
    return f"{owner} 300 IN DS {tag} {algorithm} {kind} {digest}\n"


def _sign_with_bind(zone: Zone, plain: Path, output: Path) -> Path:
    keys = output.with_name(f"{output.name}.keys")
    keys.mkdir()
    name = _run(
        "dnssec-keygen", "-q", "-a", zone.algorithm, "-f", "KSK", "-K", str(keys), zone.apex
    ).strip()
    _run("dnssec-keygen", "-q", "-a", zone.algorithm, "-K", str(keys), zone.apex)
    start, end = _validity(zone)
    denial = ["-3", "-", *(["-A"] if zone.opt_out else [])] if zone.nsec3 else []
    _run(
        *("dnssec-signzone", "-q", "-P", "-S", "-K", str(keys), "-d", str(keys), "-o", zone.apex),
        *(*denial, "-s", f"{start:%Y%m%d%H%M%S}", "-e", f"{end:%Y%m%d%H%M%S}"),
        *("-O", "full", "-f", str(output), str(plain)),
    )
    return keys / f"{name}.key"


def _sign_with_ldns(zone: Zone, plain: Path, output: Path) -> Path:
    keys = output.with_name(f"{output.name}.keys")
    keys.mkdir()
    name = _run("ldns-keygen", "-a", zone.algorithm, "-k", zone.apex, cwd=keys).strip()
    start, end = _validity(zone)
    denial = ["-n", "-t", "0", *(["-p"] if zone.opt_out else [])] if zone.nsec3 else []
    _run(
        *("ldns-signzone", "-o", zone.apex, *denial, "-f", str(output)),
        *("-i", f"{start:%Y%m%d%H%M%S}", "-e", f"{end:%Y%m%d%H%M%S}"),
        *(str(plain), str(keys / name)),
    )
    return keys / f"{name}.key"


def _validity(zone: Zone) -> tuple[datetime, datetime]:
    end = datetime.now(UTC) + timedelta(days=zone.days)
    return end - timedelta(days=30), end


def _damage(output: Path, zone: Zone) -> None:
    """Damage or remove the signatures of single RRsets, as a broken signer would."""
    lines = output.read_text().splitlines()
    for index, line in enumerate(lines):
        match = re.match(r"(\S+)\s+\d+\s+IN\s+RRSIG\s+(\S+)\s", line)
        if match is None:
            continue
        rrset = f"{match[1]} {match[2]}"
        if rrset in zone.drop:
            lines[index] = ""
        elif rrset in zone.spoil:
            head, signature = line.rsplit(maxsplit=1)
            other = "BBBB" if signature.startswith("AAAA", 4) else "AAAA"
            lines[index] = f"{head} {signature[:4]}{other}{signature[8:]}"
    output.write_text("\n".join(lines) + "\n")


def _run(command: str, *arguments: str, stdin: str | None = None, cwd: Path | None = None) -> str:
    result = subprocess.run(
        [program(command), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )
    if result.returncode != 0:
        raise RuntimeError(f"{command} {' '.join(arguments)}:\n{result.stdout}{result.stderr}")
    return result.stdout


def free_port(address: str) -> int:
    """Return a port that is free for UDP and TCP on ``address``."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind((address, 0))
            port = stream.getsockname()[1]
            try:
                datagram.bind((address, port))
            except OSError:
                continue
            return int(port)


def start_nsd(
    directory: Path, zone_files: dict[str, Path], *, port: int, inside: Namespace | None = None
) -> RealServer:
    """Start NSD serving ``zone_files`` (apex to file) at NAMESERVER."""
    zones = "".join(
        f'zone:\n  name: "{apex}"\n  zonefile: "{path}"\n' for apex, path in zone_files.items()
    )
    configuration = directory / "nsd.conf"
    # rrl-ratelimit: NSD limits what one address may ask; a test is one address.
    configuration.write_text(
        f"""server:
  ip-address: {NAMESERVER}@{port}
  username: ""
  chroot: ""
  zonesdir: "{directory}"
  pidfile: "{directory}/nsd.pid"
  xfrdir: "{directory}"
  xfrdfile: "{directory}/xfrd.state"
  zonelistfile: "{directory}/zone.list"
  database: ""
  server-count: 1
  rrl-ratelimit: 0
  verbosity: 1
remote-control:
  control-enable: no
{zones}"""
    )
    command = [program("nsd"), "-d", "-c", str(configuration)]
    return RealServer("nsd", inside.command(command) if inside else command, ready="nsd started")


def start_unbound(
    directory: Path,
    anchor: Path,
    *,
    port: int,
    stubs: dict[str, str] | None = None,
    inside: Namespace | None = None,
) -> RealServer:
    """Start a validating unbound at 127.0.0.1; ``stubs`` maps zones to ``address@port``."""
    hints = directory / "root.hints"
    hints.write_text(f". 3600 IN NS ns.\nns. 3600 IN A {NAMESERVER}\n")
    zones = "".join(
        f'stub-zone:\n  name: "{apex}"\n  stub-addr: {address}\n'
        for apex, address in (stubs or {}).items()
    )
    roots = "" if stubs else f'root-hints: "{hints}"'
    configuration = directory / f"unbound-{port}.conf"
    # val-log-level 2 puts the reason of each bogus answer into the log; without qname-minimisation
    # NSD is asked what was asked; by default unbound overlooks dates that are off by up to a day.
    configuration.write_text(
        f"""server:
  directory: "{directory}"
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  val-log-level: 2
  val-sig-skew-min: 0
  val-sig-skew-max: 0
  interface: 127.0.0.1
  port: {port}
  access-control: 127.0.0.0/8 allow
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  rrset-roundrobin: no
  trust-anchor-file: "{anchor}"
  module-config: "validator iterator"
  harden-dnssec-stripped: yes
  ede: yes
  edns-buffer-size: 1232
  qname-minimisation: no
  local-zone: "test." nodefault
  local-zone: "invalid." nodefault
  unblock-lan-zones: yes
  {roots}
remote-control:
  control-enable: no
{zones}"""
    )
    command = [program("unbound"), "-d", "-p", "-c", str(configuration)]
    return RealServer(
        "unbound", inside.command(command) if inside else command, ready="start of service"
    )
