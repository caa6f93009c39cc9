"""Many small zones under one throw-away root, signed by two foreign signers, then broken.

A ``CorpusZone`` says how a zone is signed, what its parent publishes and how it is broken
afterwards. Children are signed first, because the parent signs their DS records.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import dns.dnssec
import dns.name
from dns.dnssectypes import DSDigest
from real_processes import SYSTEM_PATH, program
from real_zones import NAMESERVER
from signed_text import Break, SignedText, SigningKey

ALGORITHM_NAMES = {
    5: "RSASHA1",
    7: "NSEC3RSASHA1",
    8: "RSASHA256",
    10: "RSASHA512",
    13: "ECDSAP256SHA256",
    14: "ECDSAP384SHA384",
    15: "ED25519",
    16: "ED448",
}
_POOL_NAME = "key-pool.invalid."
RECORDS = """
@ MX 10 mx
mx A 127.0.1.1
mx TXT "mail"
_25._tcp.mx TLSA 3 1 1 abababababababababababababababababababababababababababababababab
alias CNAME mx
ent.deep.tree A 127.0.1.2
* TXT "wild"
*.wild A 127.0.1.3
*.walias CNAME mx
z A 127.0.1.4
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key of a zone.

    ``role``: ``ksk`` signs keys, ``zsk`` data, ``csk`` both. ``state``: ``standby`` is published
    and does not sign, ``revoked`` signs the keys with the REVOKE bit set, ``gone`` is announced by
    the parent only. ``ds`` says whether the parent publishes a DS record for it.
    """

    algorithm: int = 13
    role: Literal["ksk", "zsk", "csk"] = "csk"
    state: Literal["active", "standby", "revoked", "gone"] = "active"
    bits: int = 2048
    ds: bool = True


SPLIT = (Key(role="ksk"), Key(role="zsk"))
DsEdit = Callable[[list[str]], list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusZone:
    """One zone: contents, signing, delegation, breakage.

    ``days`` is when signatures begin and end, counted from now. ``ds`` edits the DS records
    ("tag algorithm digest-type digest") the parent publishes. ``glue`` False leaves the NS record
    out of the parent. ``served`` False makes every question about it fail.
    """

    apex: str
    records: str = RECORDS
    signer: Literal["bind", "ldns", "none"] = "bind"
    denial: Literal["nsec", "nsec3"] = "nsec"
    salt: str = "-"
    iterations: int = 0
    opt_out: bool = False
    keys: tuple[Key, ...] = (Key(),)
    digests: tuple[int, ...] = (2,)
    days: tuple[float, float] = (-10, 20)
    ds: DsEdit | None = None
    delegated: bool = True
    served: bool = True
    broken: tuple[Break, ...] = ()


@dataclass(slots=True)
class Corpus:
    """Where the signed zones are."""

    directory: Path
    zones: list[CorpusZone]
    pool: "KeyPool"

    @property
    def anchor(self) -> Path:
        """The root's entry key in presentation form, for danewatch and unbound-host."""
        return self.directory / "root.key"

    @property
    def delv_anchor(self) -> Path:
        """The same in the syntax of BIND's tools."""
        return self.directory / "root.bindkeys"

    def file(self, apex: str) -> Path:
        """Return the file of one zone."""
        return self.directory / f"zone-{apex.strip('.') or 'root'}"


def sign_corpus(directory: Path, zones: Sequence[CorpusZone]) -> Corpus:
    """Sign all zones, level by level from the leaves, and the root above them."""
    root = CorpusZone(apex=".", records="", keys=SPLIT)
    corpus = Corpus(directory, [*zones, root], KeyPool(directory / "keys"))
    known = {zone.apex for zone in zones}
    assert len(known) == len(zones), "two zones of one name"
    delegations: dict[str, list[str]] = {}
    levels = sorted({_depth(zone) for zone in corpus.zones}, reverse=True)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for level in levels:
            here = [zone for zone in corpus.zones if _depth(zone) == level]
            signed = pool.map(
                lambda zone: _sign(corpus, zone, delegations.get(zone.apex, [])), here
            )
            for zone, lines in zip(here, signed, strict=True):
                if zone.apex != ".":
                    delegations.setdefault(_parent(zone.apex, known), []).extend(lines)
    return corpus


def _depth(zone: CorpusZone) -> int:
    return 0 if zone.apex == "." else zone.apex.count(".")


def _parent(apex: str, known: set[str]) -> str:
    labels = apex.rstrip(".").split(".")
    candidates = (".".join(labels[start:]) + "." for start in range(1, len(labels)))
    return next((each for each in candidates if each in known), ".")


def _sign(corpus: Corpus, zone: CorpusZone, delegations: list[str]) -> list[str]:
    """Write the zone, signed and broken; return what its parent publishes of it."""
    output = corpus.file(zone.apex)
    plain = output.with_name(f"{output.name}.plain")
    server = f"ns.{zone.apex.lstrip('.')}"
    plain.write_text(
        f"$ORIGIN {zone.apex}\n$TTL 300\n"
        f"@ 300 IN SOA {server} hostmaster.{zone.apex.lstrip('.')} 1 7200 3600 1209600 300\n"
        f"@ 300 IN NS {server}\n{server} 300 IN A {NAMESERVER}\n{zone.records}\n"
        + "\n".join(delegations)
        + "\n"
    )
    lines = [f"{zone.apex} 3600 IN NS {server}", f"{server} 3600 IN A {NAMESERVER}"]
    if not zone.delegated:
        lines = []
    if zone.signer == "none":
        output.write_text(plain.read_text())
        ds = zone.ds([]) if zone.ds else []
    else:
        keys = output.with_name(f"{output.name}.keys")
        keys.mkdir()
        files = [corpus.pool.copy(key, slot, zone.apex, keys) for slot, key in enumerate(zone.keys)]
        announced = _announced(zone, files)  # before a revocation changes the tag
        ds = zone.ds(announced) if zone.ds else announced
        files = [_finish_key(key, file, keys) for key, file in zip(zone.keys, files, strict=True)]
        signing = [file for key, file in zip(zone.keys, files, strict=True) if key.state != "gone"]
        _SIGNERS[zone.signer](zone, plain, output, keys, signing)
        if zone.apex == ".":
            _write_anchors(corpus, files[0])
        text = SignedText(zone.apex, output, [SigningKey.load(file) for file in signing])
        for number, edit in enumerate(zone.broken):
            try:
                edit(text)
            except Exception as error:
                error.add_note(f"break {number} of {zone.apex}")
                raise
        text.write()
    return lines + [f"{zone.apex} 300 IN DS {each}" for each in ds]


class KeyPool:
    """Keys made once and used by many zones: making them is most of the time it takes to sign.

    A key file is the same for every zone but for the zone's name, because the tag in its own name
    is over the record's data alone (RFC 4034 appendix B).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir()
        self._made: dict[tuple[Key, int], Path] = {}
        self._lock = threading.Lock()

    def copy(self, key: Key, slot: int, apex: str, directory: Path) -> Path:
        """Return the file of the key, made out to ``apex``; other slots are other keys."""
        with self._lock:
            source = self._made.get((key, slot)) or self._make(key, slot)
        name = source.name.replace(f"K{_POOL_NAME}", f"K{apex}")
        for suffix in (".key", ".private"):
            text = source.with_suffix(suffix).read_text().replace(_POOL_NAME, apex)
            directory.joinpath(name).with_suffix(suffix).write_text(text)
        return directory / name

    def _make(self, key: Key, slot: int) -> Path:
        arguments = ["-q", "-K", str(self._directory), "-a", ALGORITHM_NAMES[key.algorithm]]
        if key.algorithm in (5, 7, 8, 10):
            arguments += ["-b", str(key.bits)]
        if key.role != "zsk":
            arguments += ["-f", "KSK"]
        if key.state == "standby":
            arguments += ["-P", "now", "-A", "none"]
        if key.state == "gone":
            arguments += ["-P", "none", "-A", "none"]
        name = run("dnssec-keygen", *arguments, _POOL_NAME).strip()
        made = self._made[key, slot] = self._directory / f"{name}.key"
        return made


def _finish_key(key: Key, file: Path, directory: Path) -> Path:
    if key.state != "revoked":
        return file
    revoked = run("dnssec-revoke", "-K", str(directory), str(file)).strip()
    file.unlink()
    file.with_suffix(".private").unlink()
    found = Path(revoked.split()[-1])
    name = found.name.removesuffix(".key").removesuffix(".private")
    return directory / f"{name}.key"


def _announced(zone: CorpusZone, files: list[Path]) -> list[str]:
    """Return the DS records, as "tag algorithm digest-type digest"."""
    apex = dns.name.from_text(zone.apex)
    return [
        dns.dnssec.make_ds(
            apex, SigningKey.load(file).dnskey, DSDigest(digest), policy=dns.dnssec.allow_all_policy
        ).to_text()
        for key, file in zip(zone.keys, files, strict=True)
        if key.ds and key.role != "zsk"
        for digest in zone.digests
    ]


def _sign_with_bind(
    zone: CorpusZone, plain: Path, output: Path, keys: Path, signing: list[Path]
) -> None:
    start, end = _validity(zone)
    denial = []
    if zone.denial == "nsec3":
        denial = ["-3", zone.salt, "-H", str(zone.iterations), *(["-A"] if zone.opt_out else [])]
    whole = ["-z"] if all(key.role == "csk" for key in zone.keys) else []
    run(
        *("dnssec-signzone", "-q", "-P", "-S", "-K", str(keys), "-d", str(keys), "-o", zone.apex),
        *(*denial, *whole, "-s", f"{start:%Y%m%d%H%M%S}", "-e", f"{end:%Y%m%d%H%M%S}"),
        *("-O", "full", "-f", str(output), str(plain)),
    )


def _sign_with_ldns(
    zone: CorpusZone, plain: Path, output: Path, keys: Path, signing: list[Path]
) -> None:
    start, end = _validity(zone)
    denial = []
    if zone.denial == "nsec3":
        salt = [] if zone.salt == "-" else ["-s", zone.salt]
        denial = ["-n", "-t", str(zone.iterations), *salt, *(["-p"] if zone.opt_out else [])]
    run(
        *("ldns-signzone", "-o", zone.apex, *denial, "-f", str(output)),
        *("-i", f"{start:%Y%m%d%H%M%S}", "-e", f"{end:%Y%m%d%H%M%S}"),
        *(str(plain), *(str(file.with_suffix("")) for file in signing)),
    )


_SIGNERS = {"bind": _sign_with_bind, "ldns": _sign_with_ldns}


def _validity(zone: CorpusZone) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now + timedelta(days=zone.days[0]), now + timedelta(days=zone.days[1])


def _write_anchors(corpus: Corpus, key_file: Path) -> None:
    key = key_file.read_text()
    corpus.anchor.write_text(key)
    line = next(line for line in key.splitlines() if not line.startswith(";"))
    words = line.split()
    flags, protocol, algorithm, *base64 = words[words.index("DNSKEY") + 1 :]
    statement = f'. static-key {flags} {protocol} {algorithm} "{"".join(base64)}";'
    corpus.delv_anchor.write_text(f"trust-anchors {{ {statement} }};\n")


def run(command: str, *arguments: str) -> str:
    """Run a signer's tool to its end and return what it printed."""
    result = subprocess.run(
        [program(command), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PATH": SYSTEM_PATH},
    )
    if result.returncode != 0:
        raise RuntimeError(f"{command} {' '.join(arguments)}:\n{result.stdout}{result.stderr}")
    return result.stdout
