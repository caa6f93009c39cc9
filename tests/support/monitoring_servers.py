"""A page of metrics to scrape, and a real Prometheus and Alertmanager that do what they do.

Everything is on loopback, on ports that were free, with its data in a directory of the test. The
rules are those that are shipped, with their waits shortened: what is waited for is tested with
promtool's clock, not with ours.
"""

import contextlib
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from real_processes import RealServer, program

ALERTS = Path(__file__).resolve().parents[2] / "grafana" / "alerts"
SECONDS_TO_SETTLE = 30.0
"""Scrapes and evaluations come every second; a busy machine may take a few."""
_POLL = 0.2


class Page:
    """A page of metrics at ``/metrics``; ``text`` is what the next scrape gets, None an error."""

    def __init__(self) -> None:
        self.text: str | None = ""
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = page.text
                self.send_response(200 if text is not None else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="page")
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


class Prometheus:
    """A Prometheus that scrapes ``targets`` every second under the job ``danewatch``."""

    def __init__(self, directory: Path, targets: Sequence[str], alertmanager: str) -> None:
        directory.mkdir()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(directory / "*.rules.yml")],
            "scrape_configs": [
                {"job_name": "danewatch", "static_configs": [{"targets": list(targets)}]}
            ],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}],
            },
        }
        # JSON is YAML.
        (directory / "prometheus.yml").write_text(json.dumps(config))
        self._address = f"127.0.0.1:{free_port()}"
        self._server = RealServer(
            "prometheus",
            [
                program("prometheus"),
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={self._address}",
                "--rules.alert.resend-delay=1s",
                "--web.enable-lifecycle",
            ],
            ready="Server is ready to receive web requests",
        )
        # Rules come once the page was scraped: with waits as short as these, danewatch would seem
        # to be gone before.
        wait_for(lambda: self.values("sum(up)"), [str(len(targets))])
        for path in ALERTS.glob("*.rules.yml"):
            (directory / path.name).write_text(quick(path.read_text("utf-8")))
        with urllib.request.urlopen(f"http://{self._address}/-/reload", data=b"", timeout=30):
            pass

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query. Raises ValueError when Prometheus refuses it."""
        answer = _get(f"http://{self._address}/api/v1/query", query=expr)
        if answer["status"] != "success":
            raise ValueError(f"{answer['error']}: {expr}")
        result = answer["data"]["result"]
        return result if answer["data"]["resultType"] == "vector" else [{"metric": {}}]

    def values(self, expr: str) -> list[str]:
        """Return the values of an instant query."""
        return [one["value"][1] for one in self.query(expr)]

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health and what it found."""
        answer = _get(f"http://{self._address}/api/v1/rules")
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    def firing(self) -> set[tuple[str, str]]:
        """Return what fires: (alert, what it is about)."""
        alerts = _get(f"http://{self._address}/api/v1/alerts")["data"]["alerts"]
        return {named(one["labels"]) for one in alerts if one["state"] == "firing"}

    def stop(self) -> None:
        """End the server."""
        self._server.stop()


class Alertmanager:
    """An Alertmanager with the example configuration."""

    def __init__(self, directory: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._server = RealServer(
            "alertmanager",
            [
                program("prometheus-alertmanager"),
                f"--config.file={ALERTS / 'alertmanager.example.yml'}",
                f"--storage.path={directory}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
            ],
            ready="Listening on",
        )

    def post(self, *alerts: Mapping[str, str]) -> None:
        """Take ``alerts`` by their labels, as Prometheus sends them."""
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        request = urllib.request.Request(
            f"http://{self.address}/api/v2/alerts",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def muted(self) -> dict[tuple[str, str], bool]:
        """Return for each alert whether it is inhibited."""
        alerts = _get(f"http://{self.address}/api/v2/alerts")
        return {named(one["labels"]): bool(one["status"]["inhibitedBy"]) for one in alerts}

    def muted_by_instance(self) -> dict[tuple[str, str, str], bool]:
        """Return for each alert whether it is inhibited, by name, severity and danewatch."""
        alerts = _get(f"http://{self.address}/api/v2/alerts")
        return {
            (
                one["labels"]["alertname"],
                one["labels"]["severity"],
                one["labels"]["instance"],
            ): bool(one["status"]["inhibitedBy"])
            for one in alerts
        }

    def stop(self) -> None:
        """End the server."""
        self._server.stop()


def named(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return an alert as (name, what it is about)."""
    about = [labels[key] for key in ("mx", "domain", "reason", "family") if key in labels]
    if "mx" not in labels and "domain" not in labels and "dns_zone" in labels:
        about.insert(0, labels["dns_zone"])
    return labels["alertname"], " ".join(about)


def quick(rules: str) -> str:
    """Return a rule file with every wait cut to two seconds, and every memory to some more."""
    rules = re.sub(
        r"^ +interval: \w+\n", "", rules.replace("[7d:3h]", "[60s:1s]"), flags=re.MULTILINE
    )
    rules = re.sub(r"^( +for:) \w+$", r"\1 2s", rules, flags=re.MULTILINE)
    return re.sub(r"^( +keep_firing_for:) \w+$", r"\1 5s", rules, flags=re.MULTILINE)


def wait_for(what: Callable[[], Any], expected: Any) -> Any:
    """Return what ``what`` returns once it equals ``expected``, or at last if it never does."""
    deadline = time.monotonic() + SECONDS_TO_SETTLE
    found = what()
    while found != expected and time.monotonic() < deadline:
        time.sleep(_POLL)
        found = what()
    return found


def free_port() -> int:
    """Return a port of loopback that nobody uses at this moment."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _get(url: str, **parameters: str) -> Any:
    # POST, because an expression may be longer than a line of HTTP should be.
    data = urllib.parse.urlencode(parameters).encode() if parameters else None
    try:
        with urllib.request.urlopen(url, data=data, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)
