"""Writes a load laboratory into a directory: what its servers serve, and what a scan must find.

    replies.bin    for nameserver.c: every reply a client may ask for
    hosts.bin      for mailserver.c: every address with its certificate
    targets.txt    the domains, one a line
    expected.json  the right verdicts
    anchor.ds      the trust anchor of its root
    root.pem       the certificate authority behind every host, for programs that want one
    mix.json       what it was made from, and when

Making 100,000 domains takes minutes, so a directory is used again while its signatures are fresh.
"""

import hashlib
import ipaddress
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from load_plan import (
    TOP_LEVELS,
    Certificate,
    DomainPlan,
    Fault,
    HostPlan,
    Mix,
    domains,
    operator_hosts,
)
from load_zones import (
    AAAA,
    BOGUS,
    DNSKEY,
    DS,
    EDE_BOGUS,
    EDE_EXPIRED,
    EDE_KEYS_MISSING,
    EDE_UNREACHABLE,
    MX,
    NS,
    NSEC,
    NXDOMAIN,
    RRSIG,
    SECURE,
    SERVFAIL,
    SLOW,
    SOA,
    TLSA,
    TXT,
    A,
    Labels,
    ReplyFile,
    RRset,
    Zone,
    labels_of,
    mx_rdata,
    type_bitmap,
    unsigned,
    wire_of,
)

RSA_KEYS = 10
"""RSA keys in stock, since making one takes 50 ms; certificates and zones share them."""
FRESH_SECONDS = 7 * 86_400
NAME_SERVER = "ns1.elm"
"""Of every zone, for those who ask for it; its address is the laboratory's."""
FORMAT = 4
"""Raised when what this file writes changes, so that no old directory is used."""

_DER, _PKCS8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
_TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
_PLAIN = serialization.NoEncryption()
_SHA256 = hashes.SHA256()


def make_lab(mix: Mix, directory: Path) -> Path:
    """Return ``directory`` with the laboratory of ``mix`` in it, made anew if it must be."""
    note = directory / "mix.json"
    made = {**asdict(mix), "format": FORMAT}
    if note.exists():
        found = json.loads(note.read_text())
        if time.time() - found.pop("made_at") < FRESH_SECONDS and found == made:
            return directory
        note.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    now = int(time.time())
    with (directory / "replies.bin").open("wb") as replies:
        hosts = _Lab(mix, now, ReplyFile(replies), directory).write()
    _write_hosts(directory / "hosts.bin", hosts)
    note.write_text(json.dumps({**made, "made_at": now}))
    return directory


@dataclass(frozen=True, slots=True)
class _Served:
    address: str
    behaviour: int
    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class _Hosts:
    intermediate: bytes
    served: list[_Served]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A certificate and its key in DER, and the digest of its public key."""

    certificate: bytes
    key: bytes
    spki_sha256: bytes


class _Authority:
    """Issues the certificates of mail hosts, through one intermediate."""

    def __init__(self, now: int, rsa_keys: list[rsa.RSAPrivateKey]) -> None:
        self._now = datetime.fromtimestamp(now, UTC)
        self._rsa_keys = rsa_keys
        self._issued = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        root_key = ec.generate_private_key(ec.SECP256R1())
        root_name = _common_name("Load Test Root")
        root = self._builder(root_name, root_name, 1, expired=False)
        root = root.public_key(root_key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.root_pem = root.sign(root_key, _SHA256).public_bytes(serialization.Encoding.PEM)
        self._name = _common_name("Load Test Intermediate")
        builder = self._builder(self._name, root_name, 2, expired=False)
        builder = builder.public_key(self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.intermediate = builder.sign(root_key, _SHA256).public_bytes(_DER)
        self.spki_sha256 = _spki_sha256(self._key.public_key())

    def issue(self, host: str, *, use_rsa: bool, expired: bool) -> _Shown:
        """Return a fresh certificate for ``host``."""
        self._issued += 1
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
        if use_rsa:
            key, form = self._rsa_keys[self._issued % len(self._rsa_keys)], _TRADITIONAL
        else:
            key, form = ec.generate_private_key(ec.SECP256R1()), _TRADITIONAL
        builder = self._builder(_common_name(host), self._name, self._issued + 2, expired=expired)
        public = key.public_key()
        certificate = (
            builder.public_key(public)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, _SHA256)
        )
        return _Shown(
            certificate.public_bytes(_DER),
            key.private_bytes(_DER, form, _PLAIN),
            _spki_sha256(public),
        )

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, serial: int, *, expired: bool
    ) -> x509.CertificateBuilder:
        ends = self._now + timedelta(days=-1 if expired else 80)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .serial_number(serial)
            .not_valid_before(self._now - timedelta(days=10))
            .not_valid_after(ends)
        )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _spki_sha256(public: "ec.EllipticCurvePublicKey | rsa.RSAPublicKey") -> bytes:
    return hashlib.sha256(public.public_bytes(_DER, _SPKI)).digest()


@dataclass(frozen=True, slots=True)
class _TopLevel:
    zone: Zone
    apex: RRset


@dataclass(slots=True)
class _Lab:
    mix: Mix
    now: int
    replies: ReplyFile
    directory: Path
    served: list[_Served] = field(default_factory=list)

    def write(self) -> _Hosts:
        rsa_keys = [rsa.generate_private_key(65_537, 2_048) for _ in range(RSA_KEYS)]
        authority = _Authority(self.now, rsa_keys)
        (self.directory / "root.pem").write_bytes(authority.root_pem)
        top_levels = self._write_root(rsa_keys)
        for operator in operator_hosts():
            self._write_mail_zone(operator, top_levels, authority)
        expected = {}
        with (self.directory / "targets.txt").open("w") as targets:
            for plan in domains(self.mix):
                targets.write(f"{plan.name}\n")
                expected[plan.name] = {**asdict(plan.expected), "fault": plan.fault}
                self._write_domain(plan, top_levels, authority)
        (self.directory / "expected.json").write_text(json.dumps(expected))
        return _Hosts(authority.intermediate, self.served)

    def _write_root(self, rsa_keys: list[rsa.RSAPrivateKey]) -> dict[bytes, _TopLevel]:
        """Write the root and the top-level domains, and return those."""
        add = self.replies.add
        root = Zone((), self.now, key=rsa_keys[0])
        digest = root.ds()
        tag, algorithm, kind = int.from_bytes(digest[:2]), digest[2], digest[3]
        anchor = f". 86400 IN DS {tag} {algorithm} {kind} {digest[4:].hex()}\n"
        (self.directory / "anchor.ds").write_text(anchor)
        add((), SOA, [root.soa], flags=SECURE)
        add((), DNSKEY, [root.keys()], flags=SECURE)
        # What is asked to see whether a resolver reaches the world: neither exists here. One record
        # spans the name and another, the root's own, the wildcard (RFC 4035 §5.4).
        apex = _nsec(root, (), TOP_LEVELS[0], (NS, SOA, DNSKEY))
        for name, before, following in (("com", "", TOP_LEVELS[0]), ("org", "oak", "pine")):
            spanning = [_nsec(root, labels_of(before), following, (NS, DS))] if before else []
            denial = [root.soa, apex, *spanning]
            add(labels_of(name), DS, (), denial, flags=SECURE, rcode=NXDOMAIN)
            add((b"*", *labels_of(name)), A, (), denial, flags=SECURE, rcode=NXDOMAIN)
        found = {}
        for index, name in enumerate(TOP_LEVELS):
            labels = labels_of(name)
            key = rsa_keys[1 + index] if index % 2 else None
            zone = Zone(labels, self.now, key=key, nsec3=True)
            add(labels, DS, [root.sign(labels, DS, (zone.ds(),))], flags=SECURE)
            add(labels, DNSKEY, [zone.keys()], flags=SECURE)
            add(labels, SOA, [zone.soa], flags=SECURE)
            found[labels[0]] = _TopLevel(zone, zone.apex_nsec3())
        name = labels_of(NAME_SERVER)
        zone = found[name[-1]].zone
        add(
            name, A, [zone.sign(name, A, [ipaddress.IPv4Address("127.0.0.1").packed])], flags=SECURE
        )
        return found

    def _write_mail_zone(
        self, hosts: Iterable[HostPlan], top_levels: dict[bytes, _TopLevel], authority: _Authority
    ) -> None:
        """Write a signed zone that holds nothing but mail hosts."""
        hosts = list(hosts)
        origin = labels_of(hosts[0].zone)
        zone = self._write_delegation(origin, top_levels)
        for host in hosts:
            self._write_host(host, zone, authority)

    def _write_delegation(
        self, origin: Labels, top_levels: dict[bytes, _TopLevel], *, mismatch: bool = False
    ) -> Zone:
        """Write the delegation of a signed zone and its keys; return the zone."""
        parent = top_levels[origin[-1]].zone
        zone = Zone(origin, self.now, nsec3=sum(origin[0]) % 2 == 0)
        ds = parent.sign(origin, DS, (zone.ds(mismatch=mismatch),))
        self.replies.add(origin, DS, [ds], flags=SECURE)
        flags, ede = (BOGUS, EDE_KEYS_MISSING) if mismatch else (SECURE, 0)
        self.replies.add(origin, DNSKEY, [zone.keys()], flags=flags, ede=ede)
        if self.mix.for_others:
            servers = zone.sign(origin, NS, (wire_of(labels_of(NAME_SERVER)),))
            self.replies.add(origin, NS, [servers], flags=flags, ede=ede)
        return zone

    def _write_host(self, host: HostPlan, zone: Zone, authority: _Authority) -> None:
        """Write the records of one mail host, and what its addresses serve."""
        add = self.replies.add
        shown = authority.issue(
            host.name, use_rsa=host.rsa, expired=host.fault is Fault.CERTIFICATE_EXPIRED
        )
        self.served += [
            _Served(address, host.behaviour, shown.certificate, shown.key)
            for address in host.addresses
        ]
        name = labels_of(host.name)
        owner = (b"_25", b"_tcp", *name)
        with_tlsa = host.certificate is not Certificate.NONE
        packed = [ipaddress.IPv4Address(address).packed for address in host.addresses]
        add(name, A, [zone.sign(name, A, packed)], flags=SECURE)
        following = owner if with_tlsa else zone.origin
        if self.mix.for_others:
            add(name, NS, (), zone.no_data(name, (A,), following), flags=SECURE)
        add(name, AAAA, (), zone.no_data(name, (A,), following), flags=SECURE)
        if not with_tlsa:
            denial = zone.no_name(owner, name, (A,))
            add(owner, TLSA, (), denial, flags=SECURE, rcode=NXDOMAIN)
        elif host.fault is Fault.TLSA_SERVFAIL:
            add(owner, TLSA, rcode=SERVFAIL, ede=EDE_UNREACHABLE)
        else:
            corrupt = host.fault is Fault.TLSA_BOGUS
            records = zone.sign(owner, TLSA, [_tlsa(host, shown, authority)], corrupt=corrupt)
            flags, ede = (BOGUS, EDE_BOGUS) if corrupt else (SECURE, 0)
            add(owner, TLSA, [records], flags=flags, ede=ede)
            if corrupt:
                self._write_no_cuts(owner, zone)

    def _write_no_cuts(self, owner: Labels, zone: Zone) -> None:
        """Write that no zone begins at ``owner`` nor on the way to it, which decides what a wrong
        signature means."""
        for depth in range(len(owner) - len(zone.origin)):
            name = owner[depth:]
            has = {0: (TLSA,), 1: ()}.get(depth, (A,))
            following = owner if depth else zone.origin
            denial = zone.no_data(name, has, following)
            self.replies.add(name, DS, (), denial, flags=SECURE)

    def _write_domain(
        self, plan: DomainPlan, top_levels: dict[bytes, _TopLevel], authority: _Authority
    ) -> None:
        name = labels_of(plan.name)
        records = [mx_rdata(10 * (rank + 1), host) for rank, host in enumerate(plan.hosts)]
        if not plan.signed:
            self._write_unsigned(name, records, top_levels[name[-1]])
            zone = None
        else:
            zone = self._write_signed(plan, name, records, top_levels)
        if plan.own is None:
            return
        if plan.own.zone != plan.name:
            self._write_mail_zone([plan.own], top_levels, authority)
        elif zone is not None:
            self._write_host(plan.own, zone, authority)
        else:
            raise ValueError("an unsigned domain cannot hold a host with TLSA records")

    def _write_unsigned(self, name: Labels, records: list[bytes], parent: _TopLevel) -> None:
        denial = parent.zone.no_ds(name, parent.apex)
        self.replies.add(name, DS, (), denial, flags=SECURE)
        self.replies.add(name, MX, [unsigned(name, MX, records)])

    def _write_signed(
        self,
        plan: DomainPlan,
        name: Labels,
        records: list[bytes],
        top_levels: dict[bytes, _TopLevel],
    ) -> Zone:
        mismatch = plan.fault is Fault.DS_MISMATCH
        zone = self._write_delegation(name, top_levels, mismatch=mismatch)
        add = self.replies.add
        if plan.fault in (Fault.SERVERS_DOWN, Fault.SERVERS_SILENT):
            late = SLOW if plan.fault is Fault.SERVERS_SILENT else 0
            add(name, MX, rcode=SERVFAIL, ede=EDE_UNREACHABLE, flags=late)
            return zone
        expired = plan.fault is Fault.MX_EXPIRED
        mx = zone.sign(name, MX, records, expired=expired)
        bogus = BOGUS if expired or mismatch else 0
        ede = EDE_EXPIRED if expired else EDE_KEYS_MISSING
        add(name, MX, [mx], flags=bogus or SECURE, ede=ede if bogus else 0)
        following = (b"mx1", *name)
        add(name, A, (), zone.no_data(name, (NS, SOA, MX, TXT, DNSKEY), following), flags=SECURE)
        return zone


def _nsec(zone: Zone, owner: Labels, following: str, has: Sequence[int]) -> RRset:
    bitmap = type_bitmap((*has, RRSIG, NSEC))
    return zone.sign(owner, NSEC, (wire_of(labels_of(following)) + bitmap,))


def _tlsa(host: HostPlan, shown: _Shown, authority: _Authority) -> bytes:
    if host.certificate is Certificate.TRUST_ANCHOR:
        return b"\x02\x01\x01" + authority.spki_sha256
    digest = shown.spki_sha256
    if host.fault is Fault.TLSA_MISMATCH:
        digest = bytes(octet ^ 0xFF for octet in digest)
    return b"\x03\x01\x01" + digest


def _write_hosts(path: Path, hosts: _Hosts) -> None:
    with path.open("wb") as stream:
        stream.write(len(hosts.intermediate).to_bytes(2) + hosts.intermediate)
        for octets in sorted(_host_records(hosts.served)):
            stream.write(octets)


def _host_records(served: Iterable[_Served]) -> Iterator[bytes]:
    for host in served:
        yield b"".join(
            (
                ipaddress.IPv4Address(host.address).packed,
                bytes((host.behaviour,)),
                len(host.certificate).to_bytes(2),
                len(host.key).to_bytes(2),
                host.certificate,
                host.key,
            )
        )
