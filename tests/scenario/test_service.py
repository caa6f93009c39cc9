"""The service against the laboratory: reload, restart, page, signals; the clock a minute a second.

The parts have tests of their own; here they are put together as ``danewatch monitor`` does.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import trio
import trio.testing

from exporters.own_metrics import OwnMetrics
from scanner.cli.errors import CommandError
from scanner.cli.service import Loaded, Service, ServiceLimits
from scanner.cli.service_open import Pulse, _obey_signals, open_service, serve_page
from scanner.cli.service_parts import places_of
from scanner.cli.wiring import Settings
from scanner.config import Config
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.faults import NamedFault
from scanner.lab.lab import Lab, open_lab
from scanner.model.names import Name
from scanner.observe.dnsserver import ServerAddress
from scanner.run.clock import ScaledClock

pytestmark = pytest.mark.scenario

PACE = 600.0
BANK = Name("bank.test")
PATIENCE_SECONDS = 60.0


class World:
    """A laboratory, a directory for the service, and a clock that goes on over its restarts."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.clock = ScaledClock(datetime.now(UTC).replace(microsecond=0), factor=PACE)
        self.targets = directory / "targets.txt"
        self.write_targets(*lab.domains)
        self.loaded = self.load()
        self.broken: str | None = None
        self.url = ""

    def write_targets(self, *domains: str) -> None:
        self.targets.write_text("".join(f"{domain}\n" for domain in domains))

    def load(self, **sections: dict[str, Any]) -> Loaded:
        data: dict[str, Any] = {
            "targets": {"files": [str(self.targets)], "watch_seconds": 60.0},
            "schedule": {"interval_seconds": 600.0},
            "self_test": {"interval_seconds": 300.0},
            "history": {"directory": str(self.directory / "history"), "flush_seconds": 60.0},
            "http": {"listen": "127.0.0.1:0"},
        }
        config = Config.model_validate(data | sections)
        host, port = self.lab.resolver
        settings = Settings(
            resolvers=(ServerAddress(host, port),),
            anchors=read_anchors(self.lab.trust_anchor),
            smtp_port=self.lab.smtp_port,
            allow_private_addresses=True,
        )
        return Loaded(config=config, settings=settings)

    def load_again(self) -> Loaded:
        if self.broken is not None:
            raise CommandError(self.broken)
        return self.loaded

    @asynccontextmanager
    async def service(self) -> AsyncIterator[Service]:
        """Run the service until the block ends; then stop it as SIGTERM does."""
        places = places_of(self.loaded.config, "test")
        with open_service(
            self.loaded,
            load=self.load_again,
            places=places,
            meter=OwnMetrics(version="test"),
            now=self.clock.now(),
            limits=ServiceLimits(pace=PACE),
        ) as service:
            async with trio.open_nursery() as nursery:
                with serve_page(service, Pulse(), trio.lowlevel.current_trio_token()) as self.url:
                    steady: Callable[[], float] = lambda: trio.current_time() * PACE  # noqa: E731
                    await nursery.start(self._run, service, steady)
                    yield service
                    service.stop()
                    await service.ended.wait()

    async def _run(
        self,
        service: Service,
        steady: Callable[[], float],
        task_status: "trio.TaskStatus[None]",
    ) -> None:
        await service.run(self.clock, steady_seconds=steady, task_status=task_status)

    async def fetch(self, path: str, *, method: str = "GET") -> tuple[int, str]:
        return await trio.to_thread.run_sync(partial(_fetch, self.url + path, method))

    async def until(self, path: str, pattern: str) -> str:
        """Return the page at ``path`` once it has ``pattern``."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                _, page = await self.fetch(path)
                if re.search(pattern, page, re.MULTILINE):
                    return page
                await trio.sleep(0.2)

    def transitions(self, entity: str) -> list[tuple[str | None, str]]:
        """Return the changes of ``entity`` in the history, oldest first."""
        rows = [
            row
            for path in sorted((self.directory / "history" / "transitions").rglob("*.parquet"))
            for row in pyarrow.parquet.ParquetFile(path).read().to_pylist()
            if row["entity"] == entity and row["entity_type"] == "domain"
        ]
        rows.sort(key=lambda row: row["observed_at"])
        return [(row["from_status"], row["to_status"]) for row in rows]


def _fetch(url: str, method: str) -> tuple[int, str]:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode("utf-8")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8")


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    now = datetime.now(UTC).replace(microsecond=0)
    async with open_lab(demo_plan(now)) as lab:
        yield World(lab, directory)


async def test_states_and_page_survive_a_restart(tmp_path: Path) -> None:
    """What was known is shown at once, nothing is recorded twice, and changes are seen on."""
    async with world(tmp_path) as w:
        async with w.service():
            await w.until("metrics", r'^danewatch_domain_up\{domain="bank\.test"\} 1$')
        async with w.service():
            _, page = await w.fetch("metrics")
            assert 'danewatch_domain_up{domain="bank.test"} 1' in page
            w.lab.break_domain(BANK, NamedFault.TLSA_MISMATCH)
            await w.until("metrics", r'^danewatch_domain_blocked\{domain="bank\.test"\} 1$')
        w.lab.clear_fault(BANK)
        async with w.service():
            await w.until("metrics", r'^danewatch_domain_blocked\{domain="bank\.test"\} 0$')
        assert w.transitions(BANK) == [
            (None, "protected"),
            ("protected", "blocked"),
            ("blocked", "protected"),
        ]


async def test_a_reload_takes_targets_and_refuses_what_is_wrong(tmp_path: Path) -> None:
    """A wrong configuration changes nothing; new targets are watched, old ones forgotten."""
    async with world(tmp_path) as w, w.service() as service:
        everybody = list(w.lab.domains)
        w.broken = "danewatch.toml:1: smtp.prt: unknown setting"
        status, text = await w.fetch("-/reload", method="POST")
        assert (status, text) == (500, "danewatch.toml:1: smtp.prt: unknown setting\n")
        page = await w.until("metrics", r"^danewatch_config_last_reload_successful 0(\.0)?$")
        assert f"danewatch_targets {len(everybody)}.0" in page
        w.broken = None
        w.write_targets(BANK, "city.test")
        assert (await w.fetch("-/reload", method="POST"))[0] == 200
        assert {target.domain for target in service.targets()} == {BANK, "city.test"}
        await w.until("metrics", r'^danewatch_domain_up\{domain="city\.test"\} 1$')
        _, page = await w.fetch("metrics")
        assert 'domain="clinic.test"' not in page
        assert "danewatch_config_last_reload_successful 1.0" in page


async def test_a_list_that_shrinks_by_itself_is_refused(tmp_path: Path) -> None:
    """The old one stays, a metric says so, and a reload confirms it."""
    async with world(tmp_path) as w, w.service() as service:
        count = len(service.targets())
        w.write_targets(BANK)
        await w.until("metrics", r"^danewatch_targets_shrink_refused 1(\.0)?$")
        assert len(service.targets()) == count
        assert (await w.fetch("-/reload", method="POST"))[0] == 200
        assert len(service.targets()) == 1
        await w.until("metrics", r"^danewatch_targets_shrink_refused 0(\.0)?$")


async def test_a_reload_that_fails_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log as in the answer."""
    async with world(tmp_path) as w, w.service():
        w.write_targets()
        status, text = await w.fetch("-/reload", method="POST")
        sentence = "the old target list stays: the new target lists name no domain"
        assert (status, text) == (500, f"{sentence}\n")
        told = [record.getMessage() for record in caplog.records]
        assert [one for one in told if "name no domain" in one] == [f"reload: {sentence}"]


async def test_what_is_wrong_with_a_list_is_told_from_the_start(tmp_path: Path) -> None:
    """Not only once the list changes."""
    async with world(tmp_path) as w:
        w.write_targets(BANK, "not a domain")
        async with w.service():
            await w.until("metrics", r"^danewatch_targets_load_problems 1(\.0)?$")


async def test_told_to_reload_while_it_starts_it_reloads_once_it_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A service manager may send its signal at any time."""
    caplog.set_level(logging.INFO)
    async with world(tmp_path) as a:
        loaded = a.load()
        with open_service(
            loaded,
            load=a.load_again,
            places=places_of(loaded.config, "test"),
            meter=OwnMetrics(version="1"),
            now=a.clock.now(),
        ) as service:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_obey_signals, service, nursery.cancel_scope)
                await trio.testing.wait_all_tasks_blocked()
                signal.raise_signal(signal.SIGHUP)
                await trio.testing.wait_all_tasks_blocked(0.2)  # reading the files takes less
                assert "reload" not in caplog.text
                await nursery.start(service.run, a.clock)
                with trio.fail_after(60):
                    while "reloaded" not in caplog.text:
                        await trio.testing.wait_all_tasks_blocked(0.01)
                nursery.cancel_scope.cancel()


async def test_a_reload_that_hangs_keeps_no_end_waiting(tmp_path: Path) -> None:
    """Such as one that reads a target list from a server that is gone."""
    reading, go = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    async with world(tmp_path) as a:
        loaded = a.load()

        def hang() -> Loaded:
            token.run_sync_soon(reading.set)
            go.wait(60)
            return loaded

        with open_service(
            loaded,
            load=hang,
            places=places_of(loaded.config, "test"),
            meter=OwnMetrics(version="1"),
            now=a.clock.now(),
        ) as service:
            try:
                with trio.fail_after(40):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_obey_signals, service, nursery.cancel_scope)
                        await nursery.start(service.run, a.clock)
                        signal.raise_signal(signal.SIGHUP)
                        await reading.wait()
                        signal.raise_signal(signal.SIGTERM)
                        await service.ended.wait()
                        nursery.cancel_scope.cancel()
            finally:
                go.set()


async def test_a_reload_replaces_the_scanner(tmp_path: Path) -> None:
    """Other resolvers are asked from then on; here one that is not there, and we are blind."""
    async with world(tmp_path) as w, w.service():
        await w.until("metrics", r"^danewatch_blind 0(\.0)?$")
        old = w.loaded
        nowhere = (ServerAddress("127.0.0.1", 9),)
        w.loaded = Loaded(
            config=old.config,
            settings=Settings(
                resolvers=nowhere,
                anchors=old.settings.anchors,
                smtp_port=old.settings.smtp_port,
                allow_private_addresses=True,
            ),
        )
        assert (await w.fetch("-/reload", method="POST"))[0] == 200
        await w.until("metrics", r'^danewatch_blind_reason\{reason="resolver-down"\} 1(\.0)?$')
        w.loaded = old
        assert (await w.fetch("-/reload", method="POST"))[0] == 200
        await w.until("metrics", r"^danewatch_blind 0(\.0)?$")


async def test_a_probe_checks_a_target_now_and_nobody_else(tmp_path: Path) -> None:
    """The page of one domain, or its document; others are refused."""
    async with world(tmp_path) as w, w.service():
        await w.until("-/ready", "ready")
        status, page = await w.fetch("probe?target=bank.test")
        assert status == 200
        assert 'danewatch_domain_up{domain="bank.test"} 1' in page
        status, text = await w.fetch("probe?target=bank.test&debug=true")
        assert json.loads(text)["verdicts"]["exchange-online"]["verdict"] == "protected"
        assert (await w.fetch("probe?target=elsewhere.test"))[0] in (403, 404)


async def test_who_has_not_seen_yet_is_blind_and_answers_no_probe(tmp_path: Path) -> None:
    """The page says so from the first scrape on, and when it last looked at itself."""
    async with world(tmp_path) as w:
        w.loaded = w.load(self_test={"canary_domains": ["bank.test"]})
        w.lab.break_domain(BANK, NamedFault.TLSA_MISMATCH)
        with open_service(
            w.loaded,
            load=w.load_again,
            places=places_of(w.loaded.config, "test"),
            meter=OwnMetrics(version="test"),
            now=w.clock.now(),
        ) as service:
            page = service.meter.render().decode()
            assert "\ndanewatch_blind 1.0\n" in page
            assert "danewatch_last_self_test_timestamp_seconds" not in page
        async with w.service():
            page = await w.until("metrics", r'^danewatch_blind_reason\{reason="canary.*1(\.0)?$')
            assert re.search(
                r"^danewatch_last_self_test_timestamp_seconds 1.*e\+09$", page, re.MULTILINE
            )
            status, text = await w.fetch("probe?target=bank.test")
            assert status == 503
            assert text.startswith("danewatch cannot see, so this is no verdict: Canaries do not")


async def test_a_second_service_on_the_same_state_is_refused(tmp_path: Path) -> None:
    """With a sentence that names the file."""
    async with world(tmp_path) as w, w.service():
        with pytest.raises(CommandError, match=r"state\.sqlite"):
            async with w.service():
                pytest.fail("two services share one state")


def test_the_command_obeys_signals(tmp_path: Path) -> None:
    """SIGHUP reloads, SIGTERM ends it with 0 and everything written."""
    with subprocess.Popen(
        [sys.executable, "-m", "scanner.lab", "--demo", "--seconds", "120"],
        stdout=subprocess.PIPE,
        text=True,
    ) as lab:
        try:
            assert lab.stdout is not None
            facts = json.loads(lab.stdout.readline())
            config = _write_configuration(tmp_path, facts)
            with subprocess.Popen(
                [sys.executable, "-m", "scanner", "monitor", "--config", str(config)],
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"NO_COLOR": "1"},
            ) as service:
                try:
                    assert service.stderr is not None
                    log = iter(service.stderr.readline, "")
                    assert any("running page=http://127.0.0.1:" in line for line in log)
                    service.send_signal(signal.SIGHUP)
                    assert any("info: reloaded" in line for line in log)
                    service.send_signal(signal.SIGTERM)
                    rest = list(log)
                    assert service.wait(60) == 0
                    assert any("info: stopping: no new checks" in line for line in rest)
                    assert rest[-1].endswith("info: stopped\n")
                    assert not any("Traceback" in line for line in rest)
                finally:
                    service.kill()
            runs = list((tmp_path / "history" / "runs").rglob("*.parquet"))
            outcomes = [
                row["outcome"]
                for path in runs
                for row in pyarrow.parquet.ParquetFile(path).read().to_pylist()
            ]
            assert sorted(outcomes) == ["started", "stopped"]
        finally:
            lab.kill()


def _write_configuration(directory: Path, facts: dict[str, Any]) -> Path:
    (directory / "anchor.ds").write_text(facts["trust_anchor"] + "\n")
    (directory / "targets.txt").write_text(
        "".join(f"{one['domain']}\n" for one in facts["domains"])
    )
    config = directory / "danewatch.toml"
    config.write_text(
        f'[resolver]\nservers = ["{facts["resolver"]}"]\n'
        '[validation]\ntrust_anchor = "anchor.ds"\n'
        f"[smtp]\nport = {facts['smtp_port']}\nallow_private_addresses = true\n"
        '[targets]\nfiles = ["targets.txt"]\n'
        '[history]\ndirectory = "history"\n'
        '[http]\nlisten = "127.0.0.1:0"\n'
    )
    return config
