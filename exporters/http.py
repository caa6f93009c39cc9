"""The service's page: metrics, health, reload and probe over HTTP, on Starlette and uvicorn.

    GET  /metrics           results and danewatch's own metrics; ?shard=i&shards=n for a part
    GET  /-/healthy         200 while the service runs, 503 with a sentence when it is stuck
    GET  /-/ready           503 with a sentence until there is something to show, 200 ever after
    POST /-/reload          read configuration and targets again; 500 with the problems
    GET  /probe?target=NAME check one domain now; &debug=true: the check document as JSON
    GET  /                  a page with links

Everything runs in threads of its own (``exporters.http_server``): the probing loop is reached only
through the callables of HttpCallbacks, which block a worker thread and never the loop. A client
never sees a traceback. TLS and passwords: ``exporters.webconfig`` and ``exporters.http_auth``.
"""

import asyncio
import html
import ipaddress
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from exporters.deflate import piece_of
from exporters.document import to_json_line
from exporters.exposition import LANES, Page, ResultFragments
from exporters.http_auth import BasicAuth
from exporters.http_negotiation import accepts_gzip, wanted_format
from exporters.http_server import ServerLimits, ServerThread
from exporters.metrics_text import CONTENT_TYPE, Format
from exporters.own_metrics import OwnMetrics
from exporters.prometheus import ResultMetrics
from exporters.webconfig import Protection, WebConfigError, WebConfigKeeper
from scanner.model.meter import OwnMetric
from scanner.model.names import InvalidNameError, Name, parse_domain
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile

__all__ = [
    "HttpCallbacks",
    "HttpLimits",
    "MetricsServer",
    "ProbeUnavailableError",
    "ServerLimits",
    "WebConfigError",
]

_logger = logging.getLogger("danewatch.page")
_T = TypeVar("_T")
_CHUNK_OCTETS = 256 * 1024
"""Of the page, written at once: large enough to be few, small beside what a slow client holds."""
HEALTH_PATHS = frozenset({"/-/healthy", "/-/ready"})
_SCRAPE_TIMEOUT = "x-prometheus-scrape-timeout-seconds"
_NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class ProbeUnavailableError(Exception):
    """A probe cannot be made now; the text says why, in words for an operator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpCallbacks:
    """How the page reaches the service. All are called from worker threads and may block.

    ``not_ready`` and ``unhealthy`` return a sentence, or None when all is well. ``reload`` returns
    the problems that keep the old configuration in force, none when the new one is. ``probe``
    checks a domain afresh within so many seconds; it raises TimeoutError when that is not enough
    and ProbeUnavailableError when it will not (blind, stopping).
    """

    not_ready: Callable[[], str | None]
    reload: Callable[[], tuple[str, ...]]
    is_target: Callable[[Name], bool]
    probe: Callable[[Name, float], Check]
    unhealthy: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpLimits:
    """Bounds of what requests may cost; all ours."""

    probe_seconds: float = 60.0
    """For one fresh check: the deadline of a check in the schedule."""
    probe_margin_seconds: float = 0.5
    """Kept back of the scrape timeout a Prometheus tells, for the answer to arrive in."""
    probes: int = 4
    """Fresh checks at a time; more are turned away with 503."""
    scrapes: int = 4
    """Pages at a time; more wait."""
    backlog_pieces: int = 200
    """Pieces of the page that changed, from which they are made anew without waiting for a scrape:
    after a restart, or when very many results change at once. About 0.2 s of work."""
    backlog_seconds: float = 1.0
    """How often that is looked at."""
    server: ServerLimits = field(default_factory=ServerLimits)


class MetricsServer:
    """The page. ``start`` binds and serves, ``stop`` ends it; both may block for some seconds.

    ``listen`` is ``host:port``, port 0 for a free one. Raises WebConfigError from the constructor
    when TLS or passwords cannot be used as configured, so that nothing is ever served unprotected
    by mistake.
    """

    def __init__(
        self,
        board: ResultFragments,
        own: OwnMetrics,
        callbacks: HttpCallbacks,
        *,
        listen: str = "127.0.0.1:9798",
        web_config_file: Path | None = None,
        open_health: bool = False,
        probe_any_domain: bool = False,
        profile: Profile = Profile.EXCHANGE_ONLINE,
        version: str = "",
        limits: HttpLimits | None = None,
    ) -> None:
        self._board = board
        self._own = own
        self._callbacks = callbacks
        self._listen = listen
        self._probe_any_domain = probe_any_domain
        self._profile = profile
        self._version = version
        self._limits = limits or HttpLimits()
        self._keeper = WebConfigKeeper(web_config_file, monotonic=time.monotonic)
        self._has_tls = self._protection().context is not None
        self._ready = False
        self._probing = 0
        self._scraping = asyncio.Semaphore(self._limits.scrapes)
        self._reloading = asyncio.Lock()
        # Enough that pages and probes, which are bounded above, leave some for health.
        workers = self._limits.probes + self._limits.scrapes + 4
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="http-worker")
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="http-password")
        app = BasicAuth(
            self._application(),
            users=lambda: self._protection().users,
            open_paths=HEALTH_PATHS if open_health else frozenset(),
            executor=self._hashing,
        )
        self._thread = ServerThread(
            app,
            context=lambda: self._protection().context,
            limits=self._limits.server,
            background=self._work_ahead,
        )
        self._address: tuple[str, int] | None = None

    def start(self) -> tuple[str, int]:
        """Bind, serve, and return the address. Raises OSError."""
        host, _, port = self._listen.rpartition(":")
        self._address = self._thread.start(host.strip("[]"), int(port))
        warning = exposure_of(self._address[0], self._protection())
        if warning is not None:
            _logger.warning("%s", warning)
        return self._address

    def stop(self) -> None:
        """Stop serving, in bounded time."""
        self._thread.stop()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._hashing.shutdown(wait=False, cancel_futures=True)

    @property
    def is_alive(self) -> bool:
        """Whether the page is being served."""
        return self._thread.is_alive

    @property
    def url(self) -> str:
        """Where the page is, once started."""
        assert self._address is not None
        host, port = self._address
        scheme = "https" if self._has_tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"

    def _protection(self) -> Protection:
        return self._keeper.current()

    def _application(self) -> Starlette:
        application = Starlette(
            routes=[
                Route("/", self._landing),
                Route("/metrics", self._metrics),
                Route("/probe", self._probe),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._is_ready),
                Route("/-/reload", self._reload, methods=["POST", "PUT"]),
            ]
        )
        application.router.redirect_slashes = False  # to an address made of the client's words
        return application

    async def _in_thread(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function)

    async def _work_ahead(self) -> None:
        """Keep small what the next scrape has to make anew."""
        while True:
            await asyncio.sleep(self._limits.backlog_seconds)
            if self._board.backlog > self._limits.backlog_pieces:
                await self._in_thread(self._board.prepare)

    # /metrics

    async def _metrics(self, request: Request) -> Response:
        shard = _whole(request.query_params.get("shard", "0"))
        shards = _whole(request.query_params.get("shards", "1"))
        if shard is None or shards is None or not 1 <= shards <= LANES or shard >= shards:
            return _sentence(400, f"shards is 1 to {LANES}, and shard 0 to one less than that")
        form = wanted_format(request.headers.getlist("accept"))
        gzip = accepts_gzip(request.headers.getlist("accept-encoding"))
        async with self._scraping:
            page = await self._in_thread(lambda: self._page(form, shard, shards))
        headers = {
            **_NO_STORE,
            "content-type": CONTENT_TYPE[form],
            "content-length": str(page.gzip_size if gzip else page.size),
            "vary": "accept, accept-encoding",
        }
        if gzip:
            headers["content-encoding"] = "gzip"
        if request.method == "HEAD":
            return Response(headers=headers)
        chunks = page.gzip_chunks if gzip else page.text_chunks
        return StreamingResponse(self._stream(chunks(chunk_size=_CHUNK_OCTETS)), headers=headers)

    def _page(self, form: Format, shard: int, shards: int) -> Page:
        """Return the whole page; danewatch's own metrics stand in the first part only."""
        begun = time.monotonic()
        page = self._board.page(form, shard=shard, shards=shards)
        if shards == 1:
            self._own.put(OwnMetric.EXPOSITION_SERIES, page.series)
        self._own.put(OwnMetric.EXPOSITION_TRUNCATED, bool(page.truncated))
        own = self._own.render(form) if shard == 0 else b""
        end = b"# EOF\n" if form is Format.OPENMETRICS else b""
        whole = page.between(piece_of(own), piece_of(end))
        self._own.put(OwnMetric.EXPOSITION_DURATION, time.monotonic() - begun)
        return whole

    async def _stream(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        while chunk := await self._in_thread(lambda: next(chunks, b"")):
            yield chunk

    # /-/

    async def _healthy(self, request: Request) -> Response:
        sentence = await self._in_thread(self._callbacks.unhealthy)
        return _sentence(503, sentence) if sentence else _sentence(200, "danewatch is healthy")

    async def _is_ready(self, request: Request) -> Response:
        if not self._ready:
            sentence = await self._in_thread(self._callbacks.not_ready)
            if sentence:
                return _sentence(503, sentence)
            self._ready = True
        return _sentence(200, "danewatch is ready")

    async def _reload(self, request: Request) -> Response:
        if _is_from_elsewhere(request):
            return _sentence(403, "a page of another site may not reload danewatch")
        async with self._reloading:
            problems = await self._in_thread(self._callbacks.reload)
        if problems:
            return PlainTextResponse("".join(f"{one}\n" for one in problems), 500, _NO_STORE)
        return _sentence(200, "reloaded")

    # /probe

    async def _probe(self, request: Request) -> Response:
        if not request.query_params.get("target"):
            return _sentence(400, "name the domain to check, as in /probe?target=example.org")
        try:
            target = parse_domain(request.query_params["target"])
        except InvalidNameError as error:
            return _sentence(400, f"target: {error}")
        if not self._probe_any_domain and not await self._in_thread(
            lambda: self._callbacks.is_target(target)
        ):
            return _sentence(403, f"{target} is no target; only targets are checked on demand")
        if self._probing >= self._limits.probes:
            return _sentence(503, f"{self._limits.probes} domains are being checked; try again")
        seconds = self._probe_seconds(request)
        self._probing += 1
        try:
            check = await self._in_thread(lambda: self._callbacks.probe(target, seconds))
        except ProbeUnavailableError as error:
            return _sentence(503, str(error))
        except TimeoutError:
            return _sentence(504, f"{target} was not checked within {seconds:g} seconds")
        finally:
            self._probing -= 1
        if request.query_params.get("debug") == "true":
            text = to_json_line(check, profile=self._profile)
            return Response(text, 200, _NO_STORE, "application/json")
        form = wanted_format(request.headers.getlist("accept"))
        metrics = ResultMetrics(profile=self._profile)
        metrics.add(check)
        text = metrics.render(form) + ("# EOF\n" if form is Format.OPENMETRICS else "")
        return Response(text, 200, {**_NO_STORE, "content-type": CONTENT_TYPE[form]})

    def _probe_seconds(self, request: Request) -> float:
        """Return how long a probe may take: no longer than the Prometheus that asks will wait."""
        most = self._limits.probe_seconds
        try:
            told = float(request.headers.get(_SCRAPE_TIMEOUT, "inf"))
        except ValueError:
            return most
        told -= self._limits.probe_margin_seconds
        return min(most, told) if told > 0 else most

    # /

    async def _landing(self, request: Request) -> Response:
        headers = {**_NO_STORE, "content-security-policy": "default-src 'none'"}
        return HTMLResponse(_LANDING.format(version=html.escape(self._version)), 200, headers)


_LANDING = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>danewatch</title></head>
<body>
<h1>danewatch {version}</h1>
<p>Watches the DANE, DNSSEC and TLSA health of mail domains as a sending mail server sees it.</p>
<ul>
<li><a href="/metrics">Metrics</a></li>
<li><a href="/-/healthy">Health</a>, <a href="/-/ready">readiness</a></li>
</ul>
<form action="/probe">
<label>Check a target now: <input name="target" required></label>
<input type="hidden" name="debug" value="true">
<button>Check</button>
</form>
</body>
</html>
"""


def exposure_of(address: str, protection: Protection) -> str | None:
    """Return a warning when a page at ``address`` is less protected than its place asks for."""
    if ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return None
    if protection.context is None:
        return f"the page at {address} has no TLS: whoever is on the way can read and change it"
    if not protection.users and protection.context.verify_mode is not ssl.CERT_REQUIRED:
        return f"the page at {address} has no passwords: whoever reaches it can use it"
    return None


def _sentence(status: int, sentence: str) -> Response:
    return PlainTextResponse(f"{sentence}\n", status, _NO_STORE)


def _whole(text: str) -> int | None:
    """Return a small whole number, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None


def _is_from_elsewhere(request: Request) -> bool:
    """Return whether a browser sends this for a page that is not ours (RFC 6454 §7)."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    return origin is not None and origin not in (f"http://{host}", f"https://{host}")
