"""A zone whose keys are trusted, and what one step of the walk towards it found."""

from collections.abc import Iterable, Mapping
from dataclasses import field

from scanner.judge.dnssec.algorithms import LoadedKey, load_key
from scanner.judge.dnssec.policy import DnssecPolicy
from scanner.model.canonical import CanonicalName
from scanner.model.dnssec import ChainLink, Dnskey
from scanner.model.names import Name
from scanner.model.record import record
from scanner.model.vocabulary import DnssecStatus

_KeyId = tuple[int, int]


@record
class TrustedZone:
    """The apex of a zone and the keys that may sign its data.

    ``keys`` are by key tag and algorithm. Revoked keys and keys with a problem are among them,
    so that a signature they made can be told from one by an unknown key.
    """

    name: Name
    labels: CanonicalName
    keys: Mapping[_KeyId, tuple[LoadedKey, ...]] = field(default_factory=dict)

    def keys_for(self, key_tag: int, algorithm: int) -> tuple[LoadedKey, ...]:
        """Return the keys of this tag and algorithm; several where tags collide."""
        return self.keys.get((key_tag, algorithm), ())

    def only(self, dnskeys: Iterable[Dnskey]) -> "TrustedZone":
        """Return the same zone with no other keys than ``dnskeys``."""
        wanted = {dnskey.rdata for dnskey in dnskeys}
        if len(self.keys) == 1:
            (only,) = self.keys.values()
            if wanted.issuperset([key.dnskey.rdata for key in only]):
                return self  # as with every zone that signs everything with one key
        kept = {
            key_id: tuple(key for key in keys if key.dnskey.rdata in wanted)
            for key_id, keys in self.keys.items()
        }
        keys = {key_id: found for key_id, found in kept.items() if found}
        return TrustedZone(name=self.name, labels=self.labels, keys=keys)

    @property
    def algorithms(self) -> frozenset[int]:
        """The algorithms of the keys."""
        return frozenset(algorithm for _, algorithm in self.keys)


def trusted_zone(
    name: Name, labels: CanonicalName, dnskeys: Iterable[Dnskey], policy: DnssecPolicy
) -> TrustedZone:
    """Return the zone with those of ``dnskeys`` that are zone keys (RFC 4035 §5.3.1)."""
    keys: dict[_KeyId, tuple[LoadedKey, ...]] = {}
    for dnskey in [key for key in dnskeys if key.is_zone_key][: policy.max_dnskeys]:
        key_id = (dnskey.key_tag, dnskey.algorithm)
        keys[key_id] = (*keys.get(key_id, ()), load_key(dnskey, policy))
    return TrustedZone(name=name, labels=labels, keys=keys)


@record
class Step:
    """One step of the walk: what it found, and the zone to go on from.

    ``zone`` is the new zone, or the old one where no zone begins here; None where the chain ends.
    """

    link: ChainLink
    zone: TrustedZone | None = None


@record
class Path:
    """The steps from an anchor to a name, the last one the deepest that was needed.

    The walk ends early where the chain ends: insecure, bogus or indeterminate.
    """

    steps: tuple[Step, ...]

    @property
    def last(self) -> Step:
        """The deepest step."""
        return self.steps[-1]

    @property
    def status(self) -> DnssecStatus:
        """What data at the end of the path can be at best."""
        return self.last.link.status

    @property
    def zone(self) -> TrustedZone | None:
        """The zone of the name; None unless the path is secure."""
        return self.last.zone

    @property
    def links(self) -> tuple[ChainLink, ...]:
        """The links, anchor first."""
        return tuple(step.link for step in self.steps)
