"""A signed zone as text, one record a line, and ways to break it after it was signed.

``SignedText`` reads what dnssec-signzone and ldns-signzone write. A break is a function that edits
it. What must stay validly signed although it is a lie (a type bitmap, a wildcard's label count) is
signed again with the zone's own key by dnspython, a third signer that shares nothing with
danewatch.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.RRSIG import RRSIG

_LINE = re.compile(r"(\S+)\s+(\d+)\s+IN\s+(\S+)\s+(.*?)\s*$")
_CURVES = {13: ec.SECP256R1(), 14: ec.SECP384R1()}


@dataclass(frozen=True, slots=True)
class Rr:
    """One record in presentation form; ``owner`` is absolute and lower case."""

    owner: str
    ttl: int
    rdtype: str
    rdata: str

    @property
    def covers(self) -> str:
        """The type an RRSIG is over; "" for every other record."""
        return self.rdata.split()[0] if self.rdtype == "RRSIG" else ""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key with its private half, as dnssec-keygen and ldns-keygen store it."""

    dnskey: DNSKEY
    private: Any

    @classmethod
    def load(cls, key_file: Path) -> "SigningKey":
        """Read ``K….key`` and the ``K….private`` beside it."""
        line = next(text for text in key_file.read_text().splitlines() if text and text[0] != ";")
        text = line.split("DNSKEY", 1)[1].split(";")[0]
        dnskey = dns.rdata.from_text("IN", "DNSKEY", text)
        assert isinstance(dnskey, DNSKEY)
        fields = dict(
            line.split(":", 1) for line in key_file.with_suffix(".private").read_text().splitlines()
        )
        octets = {
            name: base64.b64decode(value)
            for name, value in fields.items()
            if name[0].isupper()
            and name not in ("Private-key-format", "Algorithm", "Created", "Publish", "Activate")
            and name not in ("Revoke", "Inactive", "Delete", "SyncPublish", "SyncDelete")
        }
        return cls(dnskey, _private_key(int(dnskey.algorithm), octets))


def _private_key(algorithm: int, octets: dict[str, bytes]) -> Any:
    if algorithm in _CURVES:
        return ec.derive_private_key(int.from_bytes(octets["PrivateKey"]), _CURVES[algorithm])
    if algorithm == 15:
        return ed25519.Ed25519PrivateKey.from_private_bytes(octets["PrivateKey"])
    if algorithm == 16:
        return ed448.Ed448PrivateKey.from_private_bytes(octets["PrivateKey"])
    numbers = {name: int.from_bytes(value) for name, value in octets.items()}
    public = rsa.RSAPublicNumbers(numbers["PublicExponent"], numbers["Modulus"])
    return rsa.RSAPrivateNumbers(
        p=numbers["Prime1"],
        q=numbers["Prime2"],
        d=numbers["PrivateExponent"],
        dmp1=numbers["Exponent1"],
        dmq1=numbers["Exponent2"],
        iqmp=numbers["Coefficient"],
        public_numbers=public,
    ).private_key()


class SignedText:
    """The records of one signed zone, to be edited and written again.

    Names in the methods are relative to the apex, "@" being the apex itself.
    """

    def __init__(self, apex: str, path: Path, keys: list[SigningKey]) -> None:
        self.apex = apex
        self.path = path
        self.keys = keys
        found = (_LINE.match(line) for line in path.read_text().splitlines())
        self.records = [
            Rr(match[1].lower(), int(match[2]), match[3], match[4]) for match in found if match
        ]

    def write(self) -> None:
        """Write the zone where it was read from."""
        lines = [f"{rr.owner} {rr.ttl} IN {rr.rdtype} {rr.rdata}\n" for rr in self.records]
        self.path.write_text("".join(lines))

    def owner(self, name: str) -> str:
        """Return the absolute name."""
        if name.endswith("."):
            return name
        return self.apex if name == "@" else f"{name}.{self.apex}".replace("..", ".")

    def find(self, name: str, rdtype: str) -> list[Rr]:
        """Return the records of one owner and type, which must be there."""
        owner = self.owner(name)
        found = [rr for rr in self.records if (rr.owner, rr.rdtype) == (owner, rdtype)]
        assert found, f"{owner} has no {rdtype} in {self.path}"
        return found

    def signatures(self, name: str, covers: str) -> list[Rr]:
        """Return the RRSIGs over one record set, which must be there."""
        owner = self.owner(name)
        found = [rr for rr in self.records if (rr.owner, rr.covers) == (owner, covers)]
        assert found, f"{owner} has no RRSIG {covers} in {self.path}"
        return found

    def remove(self, *records: Rr) -> None:
        """Take out these records."""
        gone = {id(rr) for rr in records}
        self.records = [rr for rr in self.records if id(rr) not in gone]

    def exchange(self, old: Rr, new: Rr) -> None:
        """Put ``new`` where ``old`` is."""
        self.records = [new if rr is old else rr for rr in self.records]

    def add(self, name: str, rdtype: str, rdata: str, ttl: int = 300) -> None:
        """Add a record, unsigned."""
        self.records.append(Rr(self.owner(name), ttl, rdtype, rdata))

    def nsec3_owner(self, name: str) -> str:
        """Return the owner of the NSEC3 record that matches ``name``."""
        _hash, _flags, iterations, salt, *_ = self.any_of("NSEC3").rdata.split()
        salted = None if salt == "-" else salt
        hashed = dns.dnssec.nsec3_hash(self.owner(name), salted, int(iterations), 1)
        return f"{hashed.lower()}.{self.apex}".replace("..", ".")

    def nsec3_covering(self, name: str) -> str:
        """Return the owner of the NSEC3 record in whose span the hash of ``name`` falls."""
        wanted = self.nsec3_owner(name).split(".")[0]
        hashes = sorted(rr.owner.split(".")[0] for rr in self.records if rr.rdtype == "NSEC3")
        below = [each for each in hashes if each < wanted]
        return f"{(below or hashes)[-1]}.{self.apex}".replace("..", ".")

    def any_of(self, rdtype: str) -> Rr:
        """Return one record of this type."""
        return next(rr for rr in self.records if rr.rdtype == rdtype)

    def owners(self, rdtype: str) -> list[str]:
        """Return the owners of all records of this type."""
        return [rr.owner for rr in self.records if rr.rdtype == rdtype]

    def key(self, *, entry: bool = False) -> SigningKey:
        """Return the key that signs data, or the one the parent announces."""
        fit = [key for key in self.keys if bool(key.dnskey.flags & 1) is entry]
        return (fit or self.keys)[0]

    def resign(
        self,
        name: str,
        rdtype: str,
        *,
        key: SigningKey | None = None,
        signer: str | None = None,
        labels: int | None = None,
        begins: timedelta = timedelta(days=-10),
        ends: timedelta = timedelta(days=20),
        original_ttl: int | None = None,
        signed_as: str | None = None,
    ) -> None:
        """Replace the signatures of one record set by a new one that is valid.

        ``signed_as`` signs the records as those of another owner (a wildcard); ``labels`` only
        changes that field, which is signed too. ``original_ttl`` signs that TTL while the record
        keeps its own.
        """
        chosen = key or self.key()
        found = self.find(name, rdtype)
        owner = dns.name.from_text(self.owner(signed_as or name))
        ttl = found[0].ttl if original_ttl is None else original_ttl
        rrset = dns.rrset.from_text(owner, ttl, "IN", rdtype, *(rr.rdata for rr in found))
        now = datetime.now(UTC)
        made = _sign(
            rrset, chosen, dns.name.from_text(signer or self.apex), now + begins, now + ends, labels
        )
        absolute = self.owner(name)
        old = [rr for rr in self.records if (rr.owner, rr.covers) == (absolute, rdtype)]
        self.remove(*old)
        self.records.append(Rr(absolute, found[0].ttl, "RRSIG", made.to_text()))


def _sign(
    rrset: dns.rrset.RRset,
    key: SigningKey,
    signer: dns.name.Name,
    begins: datetime,
    ends: datetime,
    labels: int | None,
) -> RRSIG:
    def sign(target: dns.rrset.RRset) -> RRSIG:
        return dns.dnssec.sign(
            target,
            key.private,
            signer,
            key.dnskey,
            inception=begins,
            expiration=ends,
            policy=dns.dnssec.allow_all_policy,
        )

    if labels is None:
        return sign(rrset)
    if labels < len(rrset.name) - 1:  # what a wildcard at that depth would be signed as
        parent = dns.name.Name(rrset.name.labels[-(labels + 1) :])
        wildcard = dns.name.Name((b"*", *parent.labels))
        return sign(dns.rrset.from_rdata_list(wildcard, rrset.ttl, list(rrset)))
    made = sign(rrset)
    return made.replace(labels=labels)  # type: ignore[return-value]


Break = Callable[[SignedText], None]
"""An edit of a signed zone."""


def strip(name: str, rdtype: str) -> Break:
    """Take out the signatures over one record set."""
    return lambda zone: zone.remove(*zone.signatures(name, rdtype))


def drop(name: str, rdtype: str) -> Break:
    """Take out one record set with its signatures."""

    def edit(zone: SignedText) -> None:
        zone.remove(*zone.find(name, rdtype))
        zone.remove(*[r for r in zone.records if (r.owner, r.covers) == (zone.owner(name), rdtype)])

    return edit


def drop_all(rdtype: str) -> Break:
    """Take out every record set of one type, with their signatures."""

    def edit(zone: SignedText) -> None:
        zone.records = [rr for rr in zone.records if rdtype not in (rr.rdtype, rr.covers)]

    return edit


def strip_all(rdtype: str = "") -> Break:
    """Take out the signatures over every record set of one type, or all signatures."""

    def edit(zone: SignedText) -> None:
        zone.records = [
            rr for rr in zone.records if rr.rdtype != "RRSIG" or (rdtype and rr.covers != rdtype)
        ]

    return edit


def spoil(name: str, rdtype: str, *, at: int = 20) -> Break:
    """Change one octet of every signature over one record set."""

    def edit(zone: SignedText) -> None:
        for rr in zone.signatures(name, rdtype):
            *head, signature = rr.rdata.split(maxsplit=8)
            octets = bytearray(base64.b64decode(signature.replace(" ", "")))
            octets[at % len(octets)] ^= 0x01
            zone.exchange(
                rr, replace(rr, rdata=" ".join([*head, base64.b64encode(octets).decode()]))
            )

    return edit


def shorten(name: str, rdtype: str, octets_left: int) -> Break:
    """Cut every signature over one record set short."""

    def edit(zone: SignedText) -> None:
        for rr in zone.signatures(name, rdtype):
            *head, signature = rr.rdata.split(maxsplit=8)
            octets = base64.b64decode(signature.replace(" ", ""))[:octets_left]
            zone.exchange(
                rr, replace(rr, rdata=" ".join([*head, base64.b64encode(octets).decode()]))
            )

    return edit


def field(name: str, rdtype: str, index: int, value: str) -> Break:
    """Change one field of every RRSIG over a record set, its octets staying as they were.

    Fields: 1 algorithm, 2 labels, 3 original TTL, 4 expiration, 5 inception, 6 key tag, 7 signer.
    """

    def edit(zone: SignedText) -> None:
        for rr in zone.signatures(name, rdtype):
            words = rr.rdata.split(maxsplit=8)
            words[index] = value.replace("@", zone.apex)
            zone.exchange(rr, replace(rr, rdata=" ".join(words)))

    return edit


def change(name: str, rdtype: str, old: str, new: str) -> Break:
    """Replace text in the data of one record set, its signatures staying as they were."""

    def edit(zone: SignedText) -> None:
        found = [rr for rr in zone.find(name, rdtype) if old in rr.rdata]
        assert found, f"no {old!r} in {name} {rdtype}"
        for rr in found:
            zone.exchange(rr, replace(rr, rdata=rr.rdata.replace(old, new)))

    return edit


def add(name: str, rdtype: str, rdata: str) -> Break:
    """Add a record that no signature knows."""
    return lambda zone: zone.add(name, rdtype, rdata)


def take_away(name: str, rdtype: str, text: str) -> Break:
    """Take out one record of a record set, its signature staying as it was."""

    def edit(zone: SignedText) -> None:
        found = [rr for rr in zone.find(name, rdtype) if text in rr.rdata]
        assert found
        zone.remove(*found)

    return edit


def ttl(name: str, rdtype: str, seconds: int) -> Break:
    """Publish a record set and its signatures with another TTL than the one signed."""

    def edit(zone: SignedText) -> None:
        for rr in (*zone.find(name, rdtype), *zone.signatures(name, rdtype)):
            zone.exchange(rr, replace(rr, ttl=seconds))

    return edit


def resign(name: str, rdtype: str, **how: Any) -> Break:
    """Sign one record set anew; see ``SignedText.resign``."""
    return lambda zone: zone.resign(name, rdtype, **how)


def bitmap(name: str, *, plus: tuple[str, ...] = (), minus: tuple[str, ...] = ()) -> Break:
    """Let the NSEC or NSEC3 record of a name lie about its types, validly signed."""

    def edit(zone: SignedText) -> None:
        plain = any(rr.rdtype == "NSEC" for rr in zone.records)
        owner, rdtype, first = (name, "NSEC", 1) if plain else (zone.nsec3_owner(name), "NSEC3", 5)
        (record,) = zone.find(owner, rdtype)
        words = record.rdata.split()
        types = sorted(({*words[first:]} | {*plus}) - {*minus}, key=dns.rdatatype.from_text)
        zone.exchange(record, replace(record, rdata=" ".join([*words[:first], *types])))
        zone.resign(owner, rdtype)

    return edit


def denial_next(name: str, following: str) -> Break:
    """Let the NSEC record of a name end at another name, validly signed."""

    def edit(zone: SignedText) -> None:
        (record,) = zone.find(name, "NSEC")
        words = record.rdata.split()
        words[0] = zone.owner(following)
        zone.exchange(record, replace(record, rdata=" ".join(words)))
        zone.resign(name, "NSEC")

    return edit


def nsec3_fields(*, flags: str = "", algorithm: str = "") -> Break:
    """Set flags or hash algorithm of every NSEC3 record, validly signed."""

    def edit(zone: SignedText) -> None:
        for owner in zone.owners("NSEC3"):
            (record,) = zone.find(owner, "NSEC3")
            words = record.rdata.split()
            words[1] = flags or words[1]
            words[0] = algorithm or words[0]
            zone.exchange(record, replace(record, rdata=" ".join(words)))
            zone.resign(owner, "NSEC3")

    return edit


def of_nsec3(name: str, then: Callable[[str, str], Break], *, covering: bool = False) -> Break:
    """Apply a break to the NSEC3 record that matches, or covers, a name."""

    def edit(zone: SignedText) -> None:
        owner = zone.nsec3_covering(name) if covering else zone.nsec3_owner(name)
        then(owner, "NSEC3")(zone)

    return edit


def each(*breaks: Break) -> Break:
    """Apply several breaks in turn."""

    def edit(zone: SignedText) -> None:
        for one in breaks:
            one(zone)

    return edit
