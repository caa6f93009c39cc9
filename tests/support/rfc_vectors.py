"""The example zones and responses of RFC 4035 and RFC 5155, read from tests/vectors/dnssec."""

import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dns.rdata
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.RRSIG import RRSIG
from signed_replies import renamed, reply

from scanner.model.dnssec import SignedMessage
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType

DIRECTORY = Path(__file__).parent.parent / "vectors" / "dnssec"
Key = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class RfcZone:
    """One example zone: its record sets and RRSIGs by owner and type, and the responses."""

    label: str
    rrsets: dict[Key, dns.rrset.RRset]
    rrsigs: dict[Key, list[RRSIG]]
    document: dict[str, Any]

    @property
    def now(self) -> datetime:
        """The pinned moment, within the validity of every signature."""
        moment: datetime = self.document["now"]
        return moment

    def responses(self) -> list[dict[str, Any]]:
        """The responses of appendix B."""
        found: list[dict[str, Any]] = self.document["response"]
        return found

    def message(self, response: dict[str, Any]) -> SignedMessage:
        """Return a response as it is read from its octets."""
        question = Question(Name(response["name"]), RRType(response["type"]))
        sections = [
            [rrset for entry in response.get(section, ()) for rrset in self._signed(entry)]
            for section in ("answer", "authority")
        ]
        return reply(question, *sections, rcode=response["rcode"])

    def dnskey_message(self) -> SignedMessage:
        """Return the reply to the question for the keys."""
        return reply(Question(Name("example"), RRType.DNSKEY), self._signed("example DNSKEY"))

    def _signed(self, entry: str) -> list[dns.rrset.RRset]:
        shown, _, source = entry.partition(" from ")
        owner, rdtype = shown.split()
        key = (source or owner, int(dns.rdatatype.from_text(rdtype)))
        found = [self.rrsets[key]]
        if self.rrsigs.get(key):
            found.append(dns.rrset.from_rdata(found[0].name, 3600, *self.rrsigs[key]))
        return [renamed(rrset, f"{owner}.") for rrset in found]


def load(label: str) -> RfcZone:
    """Return the zone and responses of one RFC, such as "rfc4035"."""
    rdatas: dict[Key, list[dns.rdata.Rdata]] = {}
    rrsigs: dict[Key, list[RRSIG]] = {}
    for line in (DIRECTORY / f"{label}.zone").read_text("ascii").splitlines():
        if line.startswith(";"):
            continue
        owner, _ttl, rdclass, rdtype, text = line.split(None, 4)
        owner = owner.removesuffix(".")
        rdata = dns.rdata.from_text(rdclass, rdtype, text)
        if isinstance(rdata, RRSIG):
            rrsigs.setdefault((owner, int(rdata.type_covered)), []).append(rdata)
        else:
            rdatas.setdefault((owner, int(rdata.rdtype)), []).append(rdata)
    rrsets = {
        key: dns.rrset.from_rdata(f"{key[0]}.", 3600, *found) for key, found in rdatas.items()
    }
    document = tomllib.loads((DIRECTORY / f"{label}.toml").read_text("utf-8"))
    return RfcZone(label=label, rrsets=rrsets, rrsigs=rrsigs, document=document)
