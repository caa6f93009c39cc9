"""The order of a pass: one that has nothing to do with the list.

Theory. Lists come sorted: by name, by customer, by operator. The mail operator of a domain is not
known before it is asked, and yet it decides how a pass goes. Where all of one operator's domains
come at once they queue before its few addresses, where one connection is made at a time; the whole
pass waits with them and asks others nothing. Where they are far apart, what is remembered of the
operator's hosts may have been forgotten.

In an order by a hash of the name the domains of every operator lie evenly over the whole pass,
however the list was sorted. An operator with k of N domains comes again after N/k domains on the
average. In 100,000 domains that lead to 40,000 hosts the 20,000 results that are remembered
(``scanner.run.probes``) cover the last 50,000 domains, and whatever is used again is remembered
anew; so only hosts of two or three domains in all can be forgotten between two of them, at the cost
of one more probe. A hash of its own, so that a share of a list (``targets.shard``) is spread too.
"""

import hashlib
from collections.abc import Iterable

from scanner.model.names import Name
from scanner.model.ports import Target


def spread(targets: Iterable[Target]) -> list[Target]:
    """Return ``targets`` in an order that is the same today, tomorrow and for any list of them."""
    return sorted(targets, key=lambda target: _place(target.domain))


def _place(domain: Name) -> bytes:
    return hashlib.blake2b(
        domain.encode("ascii"), digest_size=8, person=b"danewatch order"
    ).digest()
