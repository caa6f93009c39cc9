"""Basic authentication (RFC 7617) with bcrypt, as Prometheus' exporters have it.

Rules: the answer to a wrong password and to an unknown user is the same and takes the same time; a
password is hashed off the event loop, one at a time, so that guessing costs the guesser time and
the scanner at most one core's share; what was found out is remembered under a keyed digest, so
that a scrape does not hash, and the memory holds no password.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from typing import Any

import bcrypt

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_REMEMBERED = 1_000
"""Answers kept, right and wrong."""
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
        self._known: OrderedDict[bytes, bool] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or pass the request on."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            users = self._users()
            if users and not await self._may_pass(scope, users):
                await _refuse(send)
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
        known = self._known.get(digest)
        if known is None:
            loop = asyncio.get_running_loop()
            matches = await loop.run_in_executor(self._executor, _matches, password, against)
            known = matches and hashed is not None
            self._known[digest] = known
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(digest)
        return known


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


async def _refuse(send: Send) -> None:
    body = b"user and password, please\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"www-authenticate", b'Basic realm="danewatch", charset="UTF-8"'),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
