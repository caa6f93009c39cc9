"""Basic authentication (RFC 7617) with bcrypt, as Prometheus' exporters have it.

Rules: the answer to a wrong password and to an unknown user is the same and takes the same time; a
password is hashed off the event loop, one at a time, so that guessing costs the guesser time and
the scanner at most one core's share; what was found out is remembered under a keyed digest, so
that a scrape does not hash, and the memory holds no password. Passwords that wait to be hashed are
few, in all and from one address, also of clients that hung up; and no number of wrong ones makes a
right one forgotten: whoever guesses keeps out nobody who was let through before.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from typing import Any

import bcrypt

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_REMEMBERED = 1_000
"""Answers kept, so many right ones and so many wrong ones."""
MAX_WAITING = 64
"""Passwords that wait to be hashed, or are; about three seconds at bcrypt's usual cost."""
MAX_WAITING_OF_ONE = 4
"""The same from one address."""
MAX_PASSWORD_OCTETS = 72
"""What bcrypt looks at; more is cut off, as every implementation of it does."""
_NOBODY = "$2b${cost:02d}$abcdefghijklmnopqrstuuZ3pW8c3jQf6bS0lJ9mV4yq2nT1rD5eK"
"""A well-formed hash that belongs to nobody, hashed against when a user is unknown."""
_DEFAULT_COST = 10


class BasicAuth:
    """An ASGI application in front of another that lets nobody through without a password.

    ``users`` gives the bcrypt hashes by user at each request; without users all may pass. Paths in
    ``open_paths`` need no password. ``executor`` runs the hashing.
    """

    def __init__(
        self,
        app: App,
        *,
        users: Callable[[], Mapping[str, str]],
        open_paths: frozenset[str],
        executor: Executor,
    ) -> None:
        self._app = app
        self._users = users
        self._open_paths = open_paths
        self._executor = executor
        self._key = secrets.token_bytes(32)
        self._known: dict[bool, OrderedDict[bytes, None]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._waiting: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or 503 when too many wait; or pass the request on."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            users = self._users()
            try:
                passes = not users or await self._may_pass(scope, users)
            except _TooManyError:
                await _answer(send, 503, b"too many passwords are being tried; try again\n")
                return
            if not passes:
                await _answer(send, 401, b"user and password, please\n", _CHALLENGE)
                return
        await self._app(scope, receive, send)

    async def _may_pass(self, scope: Scope, users: Mapping[str, str]) -> bool:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        credentials = _credentials(values[0]) if len(values) == 1 else None
        if credentials is None:
            return False
        user, password = credentials
        hashed = users.get(user)
        against = hashed or _NOBODY.format(cost=_highest_cost(users))
        parts = (user.encode("utf-8"), password, against.encode("ascii"))
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        digest = hmac.digest(self._key, message, hashlib.sha256)
        for known, digests in self._known.items():
            if digest in digests:
                digests.move_to_end(digest)
                return known
        matches = await self._hash(str((scope.get("client") or ("",))[0]), password, against)
        known = matches and hashed is not None
        self._known[known][digest] = None
        if len(self._known[known]) > MAX_REMEMBERED:
            self._known[known].popitem(last=False)
        return known

    async def _hash(self, client: str, password: bytes, against: str) -> bool:
        """Return whether the hash is that of ``password``. Raises _TooManyError."""
        if self._waiting.total() >= MAX_WAITING or self._waiting[client] >= MAX_WAITING_OF_ONE:
            raise _TooManyError
        self._waiting[client] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, _matches, password, against)
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]


class _TooManyError(Exception):
    """Too many passwords wait to be hashed."""


def _credentials(header: bytes) -> tuple[str, bytes] | None:
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
        user, colon, password = decoded.partition(b":")
        return (user.decode("utf-8"), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _matches(password: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(password[:MAX_PASSWORD_OCTETS], hashed.encode("ascii"))
    except ValueError:  # a hash that only looks like one
        return False


def _highest_cost(users: Mapping[str, str]) -> int:
    """Return the cost by which an unknown user takes as long as a known one."""
    costs = [int(hashed[4:6]) for hashed in users.values() if hashed[4:6].isdigit()]
    return max(costs, default=_DEFAULT_COST)


_CHALLENGE = ((b"www-authenticate", b'Basic realm="danewatch", charset="UTF-8"'),)


async def _answer(
    send: Send, status: int, body: bytes, further: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        *further,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
