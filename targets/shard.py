"""Shares a target list among several machines without any of them knowing the others.

The shard of a domain follows from its name alone (SHA-256), so that every scanner agrees on it,
today and after every restart, and adding a domain moves no other.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from scanner.model.names import Name
from scanner.model.ports import Target

MAX_SHARDS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Share ``index`` (from 1) of ``count``."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, domain: Name) -> bool:
        """Return whether ``domain`` belongs to this share."""
        return shard_of(domain, self.count) == self.index

    def select(self, targets: Iterable[Target]) -> tuple[Target, ...]:
        """Return the targets of this share, in their order."""
        return tuple(target for target in targets if self.holds(target.domain))


def shard_of(domain: Name, count: int) -> int:
    """Return which of ``count`` shares ``domain`` belongs to, from 1."""
    digest = hashlib.sha256(domain.encode("ascii")).digest()
    return int.from_bytes(digest[:8]) % count + 1


def parse_shard(text: str) -> Shard:
    """Return the shard written as ``I/N``, from ``1/N`` to ``N/N``.

    Raises ValueError with a sentence for an operator.
    """
    found = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text.strip())
    if found is None:
        raise ValueError(f"{text[:20]!r} is no share; write I/N, as in 1/4")
    index, count = int(found[1]), int(found[2])
    if not 1 <= count <= MAX_SHARDS or not 1 <= index <= count:
        raise ValueError(f"{text[:20]!r}: I must be from 1 to N, and N at most {MAX_SHARDS:,}")
    return Shard(index=index, count=count)
