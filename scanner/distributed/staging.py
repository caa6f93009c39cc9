"""Evidence on its way from one round to the next, staged in the place of the results.

Why there, and not in the memory of the workers: a worker that dies takes nothing with it, so that
no mail server is contacted once more only because a result was lost; and no worker's memory grows
with the pass.

What is staged is pickled, and whoever can write into the place could plant something else. So each
record carries a keyed digest (HMAC-SHA256) under a key of the pass, which travels with the jobs
over mutual TLS and is never staged; what does not carry it is refused unread.

    .passes/<pass>/owner             the token of whoever conducts the pass now
    .passes/<pass>/<round>-<number>-<random>
"""

import hmac
import pickle
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from exporters.history.files import HistoryError
from scanner.distributed.values import Located, PassPlan, UnwantedError, Wish
from scanner.model.observation import AddressObservation

FOLDER = ".passes"
_DIGEST_OCTETS = 32


def folder_of(pass_id: str) -> str:
    """Return the name of what a pass stages."""
    return f"{FOLDER}/{pass_id}"


def put(plan: PassPlan, what: str, number: int, value: object) -> str:
    """Stage ``value`` and return its name. Raises HistoryError."""
    name = _new_name(plan, what, number)
    plan.place.stage(name, _signed(plan, value))
    return name


def get(plan: PassPlan, name: str) -> Any:
    """Return the value staged at ``name``. Raises HistoryError."""
    return _opened(plan, name, plan.place.read(name))


def put_probes(
    plan: PassPlan, number: int, results: Iterable[tuple[Wish, AddressObservation]]
) -> tuple[str, dict[Wish, tuple[int, int]]]:
    """Stage many results in one file; return its name, and offset and length of each."""
    name = _new_name(plan, "probes", number)
    records: list[bytes] = []
    where: dict[Wish, tuple[int, int]] = {}
    offset = 0
    for wish, result in results:
        record = _signed(plan, result)
        where[wish] = offset, len(record)
        offset += len(record)
        records.append(record)
    plan.place.stage(name, b"".join(records))
    return name, where


def get_probes(plan: PassPlan, located: Mapping[Wish, Located]) -> dict[Wish, AddressObservation]:
    """Return the results of probes that are staged anywhere. Raises HistoryError."""
    by_name: dict[str, list[Wish]] = {}
    for wish, where in located.items():
        by_name.setdefault(where.name, []).append(wish)
    found: dict[Wish, AddressObservation] = {}
    for name, wishes in by_name.items():
        wishes.sort(key=lambda wish: located[wish].offset)
        ranges = [(located[wish].offset, located[wish].length) for wish in wishes]
        for wish, record in zip(wishes, plan.place.read_ranges(name, ranges), strict=True):
            found[wish] = _opened(plan, name, record)
    return found


def take_over(plan: PassPlan) -> None:
    """Make this the one conductor whose tasks may publish. Raises HistoryError."""
    plan.place.stage(f"{folder_of(plan.pass_id)}/owner", plan.token.encode())


def check_owner(plan: PassPlan) -> None:
    """Raise UnwantedError when another conductor has taken the pass over, or it is over."""
    if plan.place.read_if_there(f"{folder_of(plan.pass_id)}/owner") != plan.token.encode():
        raise UnwantedError(f"another one conducts the pass {plan.pass_id} now")


def _new_name(plan: PassPlan, what: str, number: int) -> str:
    # A task that runs twice stages twice, and only what its report names is read.
    return f"{folder_of(plan.pass_id)}/{what}-{number:06d}-{secrets.token_hex(4)}"


def _signed(plan: PassPlan, value: object) -> bytes:
    body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _digest(plan, body) + body


def _opened(plan: PassPlan, name: str, record: bytes) -> Any:
    digest, body = record[:_DIGEST_OCTETS], record[_DIGEST_OCTETS:]
    if not hmac.compare_digest(digest, _digest(plan, body)):
        raise HistoryError(
            f"{plan.place}/{name}: not what this pass has staged there; "
            "let nobody else write into that place",
            path=Path(str(plan.place)),
        )
    return pickle.loads(body)  # noqa: S301 - the digest shows that a task of this pass made it


def _digest(plan: PassPlan, body: bytes) -> bytes:
    return hmac.digest(plan.key, body, "sha256")
