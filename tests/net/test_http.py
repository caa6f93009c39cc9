"""The page over real sockets on loopback: what each path answers, and to whom."""

import base64
import gzip
import http.client
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import sample_checks
import web_tls
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporters import http_auth
from exporters.exposition import ResultFragments
from exporters.http import (
    HttpCallbacks,
    HttpLimits,
    MetricsServer,
    ProbeUnavailableError,
    WebConfigError,
    exposure_of,
)
from exporters.own_metrics import OwnMetrics
from exporters.webconfig import Protection
from scanner.model.names import Name
from scanner.model.verdict import Check

SECONDS = 20
"""A failsafe: nothing here should take long, and nothing may hang."""


@dataclass(frozen=True)
class Answer:
    """A response as the client saw it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


@dataclass
class Service:
    """What the page reaches: what each callback answers may be set by a test."""

    not_ready: str | None = None
    unhealthy: str | None = None
    problems: tuple[str, ...] = ()
    probe: Callable[[Name, float], Check] = lambda name, seconds: sample_checks.protected()
    reloads: int = 0
    board: ResultFragments = field(default_factory=ResultFragments)
    own: OwnMetrics = field(default_factory=lambda: OwnMetrics(version="1.2.3"))

    def reload(self) -> tuple[str, ...]:
        self.reloads += 1
        return self.problems

    def callbacks(self) -> HttpCallbacks:
        return HttpCallbacks(
            not_ready=lambda: self.not_ready,
            unhealthy=lambda: self.unhealthy,
            reload=lambda: self.reload(),
            is_target=lambda name: name == "example.org",
            probe=lambda name, seconds: self.probe(name, seconds),
        )


@dataclass
class Site:
    """A served page."""

    server: MetricsServer
    host: str
    port: int
    context: ssl.SSLContext | None = None

    def connection(self) -> http.client.HTTPConnection:
        if self.context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=SECONDS, context=self.context
        )

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = self.connection()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, headers=named)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, body)


Serve = Callable[..., Site]


@pytest.fixture
def service() -> Service:
    made = Service()
    for make in sample_checks.ALL.values():
        made.board.show(make(), states={}, labels=(("partner", "Ä"),))
    return made


@pytest.fixture
def serve(service: Service) -> Iterator[Serve]:
    """Start pages; they end with the test."""
    with ExitStack() as stack:

        def serving(context: ssl.SSLContext | None = None, **settings: Any) -> Site:
            server = MetricsServer(
                service.board,
                service.own,
                service.callbacks(),
                **({"listen": "127.0.0.1:0", "version": "1.2.3"} | settings),
            )
            stack.callback(server.stop)
            host, port = server.start()
            return Site(server=server, host=host, port=port, context=context)

        yield serving


@pytest.fixture
def site(serve: Serve) -> Site:
    return serve()


def names_in(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text)}


class TestMetrics:
    """GET /metrics."""

    def test_text_is_the_default(self, site: Site) -> None:
        """Results and own metrics on one page."""
        answer = site.ask("/metrics")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert {"danewatch_domain_up", "danewatch_checks"} & names_in(answer.text)
        assert "danewatch_domain_verdict" in names_in(answer.text)
        assert "danewatch_build_info" in names_in(answer.text)

    def test_openmetrics_where_it_is_preferred(self, site: Site) -> None:
        """As Prometheus asks; the strict parser takes it to its end."""
        answer = site.ask(
            "/metrics", accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        )
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("\n# EOF\n")
        names = {one.name for one in openmetrics.text_string_to_metric_families(answer.text)}
        assert {"danewatch_domain_verdict", "danewatch_build", "danewatch_checks"} <= names

    def test_gzip_is_the_same_page(self, site: Site) -> None:
        """One member, with its length told before."""
        plain = site.ask("/metrics?shard=1&shards=2")
        answer = site.ask("/metrics?shard=1&shards=2", accept_encoding="gzip")
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert gzip.decompress(answer.body) == plain.body

    def test_head_tells_the_length_and_sends_nothing(self, site: Site) -> None:
        """RFC 9110 §9.3.2; the connection stays usable."""
        connection = site.connection()
        connection.request("HEAD", "/metrics?shard=1&shards=2")
        response = connection.getresponse()
        assert response.read() == b""
        connection.request("GET", "/metrics?shard=1&shards=2")
        body = connection.getresponse().read()
        connection.close()
        assert int(response.headers["content-length"]) == len(body)

    def test_parts_make_up_the_whole_and_own_metrics_stand_in_the_first(self, site: Site) -> None:
        """For a large page in several scrapes."""
        parts = [site.ask(f"/metrics?shard={one}&shards=2").text for one in range(2)]
        assert "danewatch_build_info" in parts[0]
        assert "danewatch_build_info" not in parts[1]
        whole = [line for line in site.ask("/metrics").text.splitlines() if "_domain_" in line]
        found = {line for part in parts for line in part.splitlines() if "_domain_" in line}
        assert found == set(whole)

    @pytest.mark.parametrize("query", ["shards=9", "shard=1", "shard=x&shards=2", "shards=0"])
    def test_impossible_parts_are_refused(self, site: Site, query: str) -> None:
        """With a sentence."""
        answer = site.ask(f"/metrics?{query}")
        assert answer.status == 400
        assert "shards is 1 to 8" in answer.text

    def test_the_page_tells_about_itself(self, site: Site, service: Service) -> None:
        """Series and duration; not truncated."""
        text = site.ask("/metrics").text
        series = service.board.page().series
        assert f"\ndanewatch_exposition_series {series}.0\n" in text
        assert "\ndanewatch_exposition_truncated 0.0\n" in text
        assert "\ndanewatch_exposition_duration_seconds " in site.ask("/metrics").text

    def test_leaving_series_out_is_shown(self, serve: Serve, service: Service) -> None:
        """Never silently."""
        service.board = ResultFragments(max_series=10)
        for make in sample_checks.ALL.values():
            service.board.show(make(), states={})
        assert "\ndanewatch_exposition_truncated 1.0\n" in serve().ask("/metrics").text

    def test_several_clients_get_whole_pages_while_results_change(
        self, site: Site, service: Service
    ) -> None:
        """Two threads, one board."""
        stop = threading.Event()

        def change() -> None:
            checks = [make() for make in sample_checks.ALL.values()]
            while not stop.is_set():
                for check in checks:
                    service.board.show(check, states={})

        changing = threading.Thread(target=change)
        changing.start()
        try:
            for _ in range(10):
                body = gzip.decompress(site.ask("/metrics", accept_encoding="gzip").body)
                assert "danewatch_domain_verdict" in names_in(body.decode("utf-8"))
        finally:
            stop.set()
            changing.join()

    def test_a_large_backlog_is_worked_off_before_anyone_asks(
        self, serve: Serve, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a restart; the first scrape then finds the page made."""
        prepared = threading.Event()
        prepare = ResultFragments.prepare

        def preparing(board: ResultFragments) -> None:
            prepare(board)
            prepared.set()

        monkeypatch.setattr(ResultFragments, "prepare", preparing)
        assert service.board.backlog > 5
        serve(limits=HttpLimits(backlog_pieces=5, backlog_seconds=0.01))
        assert prepared.wait(SECONDS)
        assert service.board.backlog == 0


class TestHealth:
    """GET /-/healthy and /-/ready."""

    def test_healthy_while_it_runs(self, site: Site, service: Service) -> None:
        """And 503 with a sentence when it is stuck."""
        assert site.ask("/-/healthy").status == 200
        service.unhealthy = "the event loop has not run for 90 seconds"
        answer = site.ask("/-/healthy")
        assert (answer.status, answer.text) == (503, f"{service.unhealthy}\n")

    def test_ready_is_a_latch(self, site: Site, service: Service) -> None:
        """Not before there is something to show, and ever after."""
        service.not_ready = "the first self-test has not ended"
        answer = site.ask("/-/ready")
        assert (answer.status, answer.text) == (503, "the first self-test has not ended\n")
        service.not_ready = None
        assert site.ask("/-/ready").status == 200
        service.not_ready = "blind"
        assert site.ask("/-/ready").status == 200


class TestReload:
    """POST and PUT /-/reload."""

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_a_reload_is_answered_when_it_is_done(
        self, site: Site, service: Service, method: str
    ) -> None:
        """200, and the callback ran once."""
        assert site.ask("/-/reload", method).status == 200
        assert service.reloads == 1

    def test_problems_are_told(self, site: Site, service: Service) -> None:
        """One a line, with 500; the old configuration stays."""
        service.problems = ("danewatch.toml:3: unknown key", "targets.csv:9: empty name")
        answer = site.ask("/-/reload", "POST")
        assert answer.status == 500
        assert answer.text.splitlines() == list(service.problems)

    def test_get_does_not_reload(self, site: Site, service: Service) -> None:
        """A crawler or prefetch must not."""
        answer = site.ask("/-/reload")
        assert answer.status == 405
        assert "POST" in answer.headers["allow"]
        assert service.reloads == 0

    def test_a_page_of_another_site_may_not_reload(self, site: Site, service: Service) -> None:
        """A browser tells where a form came from."""
        assert site.ask("/-/reload", "POST", origin="https://evil.example").status == 403
        assert service.reloads == 0
        assert site.ask("/-/reload", "POST", origin=site.server.url.rstrip("/")).status == 200

    def test_a_bug_is_500_and_no_traceback(
        self, site: Site, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log has it; the client does not."""

        def broken(name: Name, seconds: float) -> Check:
            raise RuntimeError("a secret path")

        service.probe = broken
        answer = site.ask("/probe?target=example.org")
        assert answer.status == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        site.server.stop()  # the record is written once the answer is out
        assert "a secret path" in caplog.text


class TestProbe:
    """GET /probe?target=NAME."""

    def test_a_target_is_checked_and_shown(self, site: Site) -> None:
        """Metrics of that domain alone."""
        answer = site.ask("/probe?target=Example.ORG.")
        assert answer.status == 200
        domains = {
            sample.labels["domain"]
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if "domain" in sample.labels
        }
        assert domains == {"example.org"}
        assert "danewatch_domain_up" in names_in(answer.text)

    def test_openmetrics_too(self, site: Site) -> None:
        """To its end."""
        answer = site.ask("/probe?target=example.org", accept="application/openmetrics-text")
        assert list(openmetrics.text_string_to_metric_families(answer.text))

    def test_debug_gives_the_check_document(self, site: Site) -> None:
        """As JSON."""
        answer = site.ask("/probe?target=example.org&debug=true")
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.body)["schema"] == "danewatch.check/1"

    @pytest.mark.parametrize("question", ["/probe", "/probe?target=", "/probe?debug=true"])
    def test_without_a_target_it_says_how_to_name_one(self, serve: Serve, question: str) -> None:
        """Not that an empty name is no domain."""
        answer = serve().ask(question)
        assert answer.status == 400
        assert answer.body == b"name the domain to check, as in /probe?target=example.org\n"

    def test_others_are_refused_unless_any_domain_is_allowed(self, serve: Serve) -> None:
        """Otherwise whoever reaches the page sends this machine anywhere."""
        assert serve().ask("/probe?target=other.example").status == 403
        assert serve(probe_any_domain=True).ask("/probe?target=other.example").status == 200

    @pytest.mark.parametrize("target", ["localhost", "192.0.2.1", "a..b", "x@example.org"])
    def test_what_is_no_domain_is_refused(self, site: Site, target: str) -> None:
        """400 with a sentence."""
        answer = site.ask(f"/probe?target={target}")
        assert answer.status == 400
        assert answer.text.startswith("target: ")

    def test_a_probe_that_takes_too_long_is_504(self, site: Site, service: Service) -> None:
        """The deadline is what the asking Prometheus will wait, less a margin."""
        told: list[float] = []

        def slow(name: Name, seconds: float) -> Check:
            told.append(seconds)
            raise TimeoutError

        service.probe = slow
        answer = site.ask("/probe?target=example.org", x_prometheus_scrape_timeout_seconds="10")
        assert answer.status == 504
        site.ask("/probe?target=example.org")
        site.ask("/probe?target=example.org", x_prometheus_scrape_timeout_seconds="x")
        site.ask("/probe?target=example.org", x_prometheus_scrape_timeout_seconds="0.1")
        assert told == [9.5, 60.0, 60.0, 60.0]

    def test_a_blind_service_says_so(self, site: Site, service: Service) -> None:
        """503 with its words."""

        def blind(name: Name, seconds: float) -> Check:
            raise ProbeUnavailableError("danewatch is blind: no resolver answers")

        service.probe = blind
        answer = site.ask("/probe?target=example.org")
        assert (answer.status, answer.text) == (503, "danewatch is blind: no resolver answers\n")

    def test_probes_at_a_time_are_bounded(self, serve: Serve, service: Service) -> None:
        """More are turned away and do not wait; health still answers."""
        going, go = threading.Semaphore(0), threading.Event()

        def waiting(name: Name, seconds: float) -> Check:
            going.release()
            assert go.wait(SECONDS)
            return sample_checks.protected()

        service.probe = waiting
        site = serve(limits=HttpLimits(probes=2))
        answers: list[Answer] = []
        clients = [
            threading.Thread(target=lambda: answers.append(site.ask("/probe?target=example.org")))
            for _ in range(2)
        ]
        for client in clients:
            client.start()
        for _ in clients:
            assert going.acquire(timeout=SECONDS)
        assert site.ask("/probe?target=example.org").status == 503
        assert site.ask("/-/healthy").status == 200
        go.set()
        for client in clients:
            client.join()
        assert [answer.status for answer in answers] == [200, 200]


class TestOtherPaths:
    """The landing page, and nothing else."""

    def test_the_landing_page_has_links_and_the_version(self, site: Site) -> None:
        """For people."""
        answer = site.ask("/")
        assert answer.headers["content-type"].startswith("text/html")
        assert "danewatch 1.2.3" in answer.text
        assert 'href="/metrics"' in answer.text

    @pytest.mark.parametrize(
        "path", ["/metric", "/-/", "/../etc/passwd", "/%00", "//", "/metrics/"]
    )
    def test_other_paths_are_not_found(self, site: Site, path: str) -> None:
        """404, and no redirect either."""
        assert site.ask(path).status == 404

    @pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "OPTIONS", "BREW"])
    def test_other_methods_are_not_allowed(self, site: Site, method: str) -> None:
        """405 says which are."""
        answer = site.ask("/metrics", method)
        assert answer.status == 405
        assert "GET" in answer.headers["allow"]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


@pytest.fixture(scope="module")
def hashed() -> str:
    """A hash as ``htpasswd -B`` makes it, at the least cost."""
    made = bcrypt.hashpw(b"geheim", bcrypt.gensalt(4)).decode("ascii")
    return made.replace("$2b$", "$2y$")


@pytest.fixture
def web_config(tmp_path: Path, hashed: str) -> Path:
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users:\n  prometheus: {hashed}\n")
    return path


class TestPasswords:
    """Basic authentication as in Prometheus' web configuration file."""

    def test_the_password_lets_through(self, serve: Serve, web_config: Path) -> None:
        """Every path of the page."""
        site = serve(web_config_file=web_config)
        for path in ("/", "/metrics", "/-/healthy", "/probe?target=example.org"):
            assert site.ask(path).status == 401
            answer = site.ask(path, authorization=basic("prometheus", "geheim"))
            assert answer.status == 200

    @pytest.mark.parametrize(
        "header",
        [
            basic("prometheus", "falsch"),
            basic("prometheus", ""),
            basic("somebody", "geheim"),
            basic("", ""),
            "Basic",
            "Basic !!!",
            "Basic " + base64.b64encode(b"no colon").decode("ascii"),
            "Basic " + base64.b64encode(b"\xff\xfe:x").decode("ascii"),
            "Bearer geheim",
            "Basic " + base64.b64encode(b"prometheus:" + b"x" * 9000).decode("ascii"),
        ],
    )
    def test_nothing_else_does(self, serve: Serve, web_config: Path, header: str) -> None:
        """401 with the challenge; the same for an unknown user."""
        answer = serve(web_config_file=web_config).ask("/metrics", authorization=header)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith('Basic realm="danewatch"')
        assert answer.text == "user and password, please\n"

    def test_a_password_is_hashed_once(
        self, serve: Serve, web_config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Right or wrong, known user or not: a scrape does not hash, and each answer costs one."""
        hashes: list[str] = []
        original = http_auth._matches

        def counting(password: bytes, against: str) -> bool:
            hashes.append(against)
            return original(password, against)

        monkeypatch.setattr(http_auth, "_matches", counting)
        site = serve(web_config_file=web_config)
        for credentials in (("prometheus", "geheim"), ("prometheus", "x"), ("nobody", "x")):
            first = site.ask("/-/healthy", authorization=basic(*credentials)).status
            assert site.ask("/-/healthy", authorization=basic(*credentials)).status == first
        assert len(hashes) == 3
        assert [against[4:6] for against in hashes] == ["04", "04", "04"]

    def test_no_number_of_wrong_passwords_makes_a_right_one_forgotten(
        self, serve: Serve, web_config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or a scrape would have to wait behind those who guess."""
        monkeypatch.setattr(http_auth, "MAX_REMEMBERED", 2)
        site = serve(web_config_file=web_config)
        right = basic("prometheus", "geheim")
        assert site.ask("/-/healthy", authorization=right).status == 200
        for guess in "abc":
            wrong = basic("prometheus", guess)
            assert site.ask("/-/healthy", authorization=wrong).status == 401
        monkeypatch.setattr(http_auth, "_matches", lambda password, against: False)
        assert site.ask("/-/healthy", authorization=right).status == 200

    def test_guessing_and_hanging_up_keeps_out_nobody_known(
        self, serve: Serve, web_config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Passwords that wait are few, and one more is turned away at once, not queued."""
        site = serve(web_config_file=web_config)
        right = basic("prometheus", "geheim")
        assert site.ask("/-/healthy", authorization=right).status == 200
        go = threading.Event()
        monkeypatch.setattr(http_auth, "_matches", lambda password, against: not go.wait(SECONDS))
        try:
            with ExitStack() as stack:
                guesses = [
                    stack.enter_context(socket.create_connection((site.host, site.port), SECONDS))
                    for _ in range(http_auth.MAX_WAITING_OF_ONE + 1)
                ]
                for number, guess in enumerate(guesses):
                    wrong = basic("prometheus", f"guess {number}")
                    guess.sendall(
                        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {wrong}\r\n\r\n".encode()
                    )
                answered, _, _ = select.select(guesses, (), (), SECONDS)
                assert [one.recv(12) for one in answered] == [b"HTTP/1.1 503"]
            # All have hung up, and what they asked for still counts.
            more = site.ask("/-/healthy", authorization=basic("prometheus", "one more"))
            assert more.status == 503
            assert site.ask("/-/healthy", authorization=right).status == 200
        finally:
            go.set()

    def test_health_is_open_only_where_configured(self, serve: Serve, web_config: Path) -> None:
        """For load balancers; nothing else is open then."""
        site = serve(web_config_file=web_config, open_health=True)
        assert site.ask("/-/healthy").status == 200
        assert site.ask("/-/ready").status == 200
        assert site.ask("/-/healthy/../../metrics").status == 401
        assert site.ask("/metrics").status == 401
        assert site.ask("/-/reload", "POST").status == 401

    def test_what_cannot_be_protected_is_not_served(self, serve: Serve, tmp_path: Path) -> None:
        """A mistake in the file is an error at the start."""
        path = tmp_path / "web.yml"
        path.write_text("basic_auth_user: {}\n")
        with pytest.raises(WebConfigError, match=r"web\.yml:1: unknown key"):
            serve(web_config_file=path)


class TestTls:
    """HTTPS."""

    @pytest.fixture
    def ca(self) -> web_tls.Issued:
        return web_tls.authority()

    @pytest.fixture
    def config(self, tmp_path: Path, ca: web_tls.Issued) -> Path:
        ca.write(tmp_path, "ca")
        web_tls.issued_by(ca, "page").write(tmp_path, "page")
        path = tmp_path / "web.yml"
        path.write_text("tls_server_config: {cert_file: page.pem, key_file: page.key}\n")
        return path

    @pytest.fixture
    def trusting(self, config: Path) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=config.parent / "ca.pem")

    def test_the_page_is_served_over_tls(
        self, serve: Serve, config: Path, trusting: ssl.SSLContext
    ) -> None:
        """The whole of it, compressed too."""
        site = serve(trusting, web_config_file=config)
        assert site.server.url.startswith("https://127.0.0.1:")
        answer = site.ask("/metrics", accept_encoding="gzip")
        assert b"danewatch_domain_verdict" in gzip.decompress(answer.body)

    def test_clear_text_and_old_versions_get_nothing(
        self, serve: Serve, config: Path, trusting: ssl.SSLContext
    ) -> None:
        """TLS 1.2 at least."""
        site = serve(trusting, web_config_file=config)
        with pytest.raises((http.client.HTTPException, OSError)):
            replace(site, context=None).ask("/metrics")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            trusting.maximum_version = ssl.TLSVersion.TLSv1_1
        trusting.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        trusting.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(OSError):
            site.ask("/metrics")

    def test_a_renewed_certificate_serves_the_next_connection(
        self,
        serve: Serve,
        config: Path,
        trusting: ssl.SSLContext,
        ca: web_tls.Issued,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Without a restart."""
        site = serve(trusting, web_config_file=config)
        monkeypatch.setattr(site.server._keeper, "_look_every", 0.0)
        renewed = web_tls.issued_by(ca, "page")
        renewed.write(config.parent, "page")
        connection = site.connection()
        connection.connect()
        shown = connection.sock.getpeercert()
        connection.close()
        assert int(shown["serialNumber"], 16) == renewed.serial

    def test_clients_without_a_certificate_are_turned_away(
        self, serve: Serve, config: Path, trusting: ssl.SSLContext, ca: web_tls.Issued
    ) -> None:
        """When one is required."""
        config.write_text(
            "tls_server_config:\n  cert_file: page.pem\n  key_file: page.key\n"
            "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
        )
        site = serve(trusting, web_config_file=config)
        with pytest.raises(OSError):
            site.ask("/metrics")
        trusting.load_cert_chain(*web_tls.issued_by(ca, "client").write(config.parent, "client"))
        assert site.ask("/-/healthy").status == 200


class TestTheServer:
    """Starting and stopping."""

    def test_a_port_that_is_taken_is_an_error(self, serve: Serve, site: Site) -> None:
        """Before anything runs."""
        with pytest.raises(OSError, match="in use"):
            serve(listen=f"127.0.0.1:{site.port}")

    @pytest.mark.parametrize(
        ("address", "tls", "users", "verify", "words"),
        [
            ("127.0.0.1", False, {}, ssl.CERT_NONE, None),
            ("::1", False, {}, ssl.CERT_NONE, None),
            ("0.0.0.0", False, {"a": "b"}, ssl.CERT_NONE, "has no TLS"),
            ("fe80::1%eth0", True, {}, ssl.CERT_NONE, "has no passwords"),
            ("192.0.2.1", True, {}, ssl.CERT_REQUIRED, None),
            ("192.0.2.1", True, {"a": "b"}, ssl.CERT_NONE, None),
        ],
    )
    def test_an_exposed_page_is_warned_of(
        self,
        address: str,
        tls: bool,
        users: dict[str, str],
        verify: ssl.VerifyMode,
        words: str | None,
    ) -> None:
        """Anything but loopback should have TLS, and passwords or certificates of clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if context is not None:
            context.verify_mode = verify
        warning = exposure_of(address, Protection(context=context, users=users))
        assert (warning is None) == (words is None)
        assert (words or "") in (warning or "")

    def test_ipv6_is_served(self, serve: Serve) -> None:
        """In brackets, as everywhere."""
        site = serve(listen="[::1]:0")
        assert site.server.url.startswith("http://[::1]:")
        assert site.ask("/-/healthy").status == 200

    def test_it_stops_while_a_client_waits_and_can_be_stopped_twice(
        self, serve: Serve, service: Service
    ) -> None:
        """Connections that are only held open end at once."""
        site = serve()
        connection = site.connection()
        connection.request("GET", "/-/healthy")
        connection.getresponse().read()
        assert site.server.is_alive
        site.server.stop()
        site.server.stop()
        assert not site.server.is_alive
        with pytest.raises(OSError):
            site.ask("/-/healthy")
        connection.close()
