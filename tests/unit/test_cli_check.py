"""``danewatch check`` with a scanner that fakes: exit codes, output, options, what goes wrong."""

import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
import sample_checks as sample
from fake_scanner import WELL, FakeScanner

from exporters.jsonl import CHECK_SCHEMA
from scanner.cli.main import run
from scanner.cli.options import own_host_name
from scanner.cli.wiring import Settings
from scanner.model.policy import Policy
from scanner.model.vocabulary import (
    CodeSet,
    Profile,
    Scenario1Scope,
    Sha1Policy,
    ValidationMode,
)
from scanner.observe.dnsserver import ServerAddress
from scanner.observe.selftest import SelfTestCheck

RESOLVER = ("--resolver", "127.0.0.1")


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    """Commands set up logging for a whole process; undo that."""
    logger = logging.getLogger("danewatch")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def scanner(monkeypatch: pytest.MonkeyPatch) -> FakeScanner:
    return FakeScanner(
        checks={
            "blocked.example": sample.mismatch,
            "bogus.example": sample.bogus,
            "nomail.example": sample.no_mail,
            "unknown.example": sample.inconclusive,
            "plain.example": sample.opportunistic,
            "mixed.example": sample.degraded,
            "expired.example": sample.expired,
        }
    ).install(monkeypatch)


@pytest.mark.parametrize(
    ("domains", "code"),
    [
        (["good.example"], 0),
        (["plain.example", "mixed.example"], 0),
        (["good.example", "blocked.example"], 1),
        (["bogus.example"], 1),
        (["nomail.example"], 1),
        (["unknown.example", "good.example"], 3),
        (["unknown.example", "blocked.example"], 1),
    ],
)
def test_exit_code_tells_whether_mail_is_delivered(
    scanner: FakeScanner, domains: list[str], code: int
) -> None:
    """0 delivered, 1 not delivered, 3 nothing can be said and none is 1."""
    assert run(["check", *RESOLVER, *domains]) == code


@pytest.mark.parametrize(("profile", "code"), [("exchange-online", 1), ("rfc7672", 0)])
def test_exit_code_follows_the_chosen_profile(
    scanner: FakeScanner, profile: str, code: int
) -> None:
    """An expired DANE-EE certificate blocks under one profile only."""
    assert run(["check", *RESOLVER, "--profile", profile, "expired.example"]) == code


def test_pages_come_in_the_order_given(
    scanner: FakeScanner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Domains are checked side by side; the slow one delays the page of the next."""
    scanner.waits_for = {"first.example": "second.example"}
    assert run(["check", *RESOLVER, "first.example", "second.example", "first.example"]) == 0
    out = capsys.readouterr().out
    assert sorted(scanner.asked) == ["first.example", "second.example"]
    assert out.index("first.example is delivered") < out.index("second.example is delivered")
    assert "\x1b" not in out


def test_json_is_one_valid_document_a_line_and_nothing_else(
    scanner: FakeScanner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line validates against the schema that --schema prints."""
    assert run(["check", *RESOLVER, "--json", "good.example", "bogus.example"]) == 1
    captured = capsys.readouterr()
    documents = [json.loads(line) for line in captured.out.splitlines()]
    assert [one["domain"] for one in documents] == ["good.example", "bogus.example"]
    assert captured.err == ""
    assert run(["check", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == CHECK_SCHEMA
    for document in documents:
        jsonschema.validate(document, schema)


def test_wrong_domains_are_all_named_before_anything_is_looked_up(
    scanner: FakeScanner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, every wrong name with its reason, terminal controls escaped."""
    assert run(["check", *RESOLVER, "good.example", "a@b.example", "x\x1b[31m.example"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "danewatch: not a domain:\n"
        "  a@b.example: a mail address, not a domain name\n"
        "  x\\x1b[31m.example: character '\\x1b' in label 'x\\x1b[31m'\n"
    )
    assert scanner.asked == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--timeout", "x"), "'x' is not a valid number."),
        (("--smtp-port", "x"), "'x' is not a valid whole number."),
    ],
)
def test_wrong_number_is_told_in_plain_words(
    option: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No word of the parser's own."""
    assert run(["check", *RESOLVER, *option, "good.example"]) == 2
    assert message in capsys.readouterr().err


def test_no_domain_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """With an example of the right one."""
    assert run(["check"]) == 2
    assert "as in: danewatch check example.org" in capsys.readouterr().err


def test_self_test_that_fails_is_told_and_the_check_goes_on(
    scanner: FakeScanner, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict says inconclusive where it must; the sentence comes with its remedy."""
    scanner.self_tests = (
        *WELL,
        SelfTestCheck(
            name="resolver-validating", ok=False, sentence="It does not.", remedy="Make it."
        ),
    )
    assert run(["check", *RESOLVER, "--json", "unknown.example"]) == 3
    captured = capsys.readouterr()
    assert captured.err == "danewatch: It does not.\n  Make it.\n"
    assert json.loads(captured.out)["domain"] == "unknown.example"


def test_options_reach_the_scanner(scanner: FakeScanner) -> None:
    """Each one, in the form it was given."""
    arguments = [
        "check", "good.example",
        "--resolver", "127.0.0.1:5353",
        "--resolver", "::1",
        "--validation", "resolver",
        "--profile", "rfc7672",
        "--smtp-port", "2525",
        "--timeout", "7.5",
        "--allow-private-addresses",
        "--at", "2026-11-24T13:00:00+01:00",
        "--no-color",
        "--log-level", "error",
        "--log-format", "json",
    ]  # fmt: skip
    assert run(arguments) == 0
    settings = scanner.settings
    assert settings is not None
    assert settings.resolvers == (ServerAddress("127.0.0.1", 5353), ServerAddress("::1", 53))
    assert settings.policy.profile is Profile.RFC7672
    assert (settings.smtp_port, settings.timeout_seconds) == (2525, 7.5)
    assert settings.allow_private_addresses is True
    assert settings.judge_at == datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_defaults_are_those_of_the_scanner(scanner: FakeScanner) -> None:
    """No default stands in two places with two values."""
    assert run(["check", *RESOLVER, "good.example"]) == 0
    assert scanner.settings == Settings(
        resolvers=(ServerAddress("127.0.0.1"),),
        ehlo_name=own_host_name(),
        always_compare=True,
        without_sni=True,
    )


def test_every_setting_of_the_file_reaches_the_scanner(
    scanner: FakeScanner, tmp_path: Path
) -> None:
    """A setting that had no effect would be worse than none."""
    file = tmp_path / "danewatch.toml"
    file.write_text(
        """
        [resolver]
        servers = ["192.0.2.53:5353"]
        try_timeout_seconds = 1
        tries = 2
        total_timeout_seconds = 4
        lookups_in_flight = 5
        least_lookups_in_flight = 3
        [validation]
        sha1 = "validate"
        sha1_ds = "insecure"
        name_server_port = 5353
        [policy]
        profile = "rfc7672"
        scenario1_scope = "host"
        code_set = "seed"
        mandatory = true
        dane_on_insecure_mx = true
        digest_agility = false
        expiry_warning_days = 3
        [smtp]
        port = 26
        ehlo_name = "scanner.example"
        allow_private_addresses = true
        both_algorithms = false
        connect_timeout_seconds = 6
        greeting_timeout_seconds = 7
        reply_timeout_seconds = 8
        handshake_timeout_seconds = 9
        total_timeout_seconds = 10
        [limits]
        domain_timeout_seconds = 11
        domains_in_flight = 12
        probes_in_flight = 13
        probes_per_network = 14
        seconds_between_probes = 15
        slow_after_seconds = 19
        slow_domains_in_flight = 20
        slow_probes_in_flight = 21
        probes_per_network_per_second = 22
        probes_per_operator_per_second = 23
        mx_hosts = 16
        addresses_per_host = 17
        blind_patience_seconds = 18
        """
    )
    assert run(["check", "--config", str(file), "good.example"]) == 0
    settings = scanner.settings
    assert settings is not None
    assert settings.resolvers == (ServerAddress("192.0.2.53", 5353),)
    assert settings.policy == Policy(
        profile=Profile.RFC7672,
        scenario1_scope=Scenario1Scope.HOST,
        code_set=CodeSet.SEED,
        mandatory=True,
        dane_on_insecure_mx=True,
        digest_agility=False,
        expiry_warning=timedelta(days=3),
    )
    assert (settings.smtp_port, settings.ehlo_name) == (26, "scanner.example")
    assert settings.allow_private_addresses is True
    assert settings.both_algorithms is False
    assert settings.name_server_port == 5353
    assert settings.dnssec_policy.sha1 is Sha1Policy.VALIDATE
    assert settings.dnssec_policy.sha1_ds is Sha1Policy.INSECURE
    dns, probe = settings.dns_limits, settings.probe_limits
    assert (dns.try_timeout_seconds, dns.tries) == (1, 2)
    assert (dns.total_timeout_seconds, dns.max_in_flight, dns.min_in_flight) == (4, 5, 3)
    assert (probe.connect_seconds, probe.greeting_seconds) == (6, 7)
    assert (probe.reply_seconds, probe.handshake_seconds, probe.total_seconds) == (8, 9, 10)
    assert settings.timeout_seconds == 11
    assert settings.engine_limits.domains_in_flight == 12
    assert settings.engine_limits.blind_patience_seconds == 18
    sharing = settings.sharing_limits
    assert (sharing.max_concurrent, sharing.max_per_network) == (13, 14)
    assert (sharing.min_gap_seconds, probe.other_pause_seconds) == (15, 15)
    assert (sharing.slow_after_seconds, sharing.max_slow) == (19, 21)
    assert (sharing.network_per_second, sharing.operator_per_second) == (22, 23)
    assert settings.engine_limits.slow_after_seconds == 19
    assert settings.engine_limits.slow_domains_in_flight == 20
    assert settings.routing_limits.max_mx_hosts == 16
    assert settings.routing_limits.max_addresses_per_host == 17


def test_option_wins_over_the_file(scanner: FakeScanner, tmp_path: Path) -> None:
    """What is typed now is meant more than what was written once."""
    file = tmp_path / "danewatch.toml"
    file.write_text('[smtp]\nport = 26\n[resolver]\nservers = ["192.0.2.53"]\n')
    arguments = ["--config", str(file), "--smtp-port", "27", *RESOLVER]
    assert run(["check", *arguments, "good.example"]) == 0
    assert scanner.settings is not None
    assert scanner.settings.smtp_port == 27
    assert scanner.settings.resolvers == (ServerAddress("127.0.0.1"),)


def test_wrong_configuration_names_every_mistake(
    scanner: FakeScanner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line for each."""
    file = tmp_path / "danewatch.toml"
    file.write_text("[smtp]\nport = 0\nx = 1\n")
    assert run(["check", "--config", str(file), "good.example"]) == 2
    err = capsys.readouterr().err
    assert f"{file}:2: smtp.port = 0: out of bounds" in err
    assert f"{file}:3: smtp.x: unknown setting" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--validation", "nobody"], "'nobody' is not one of"),
        (["--trust-anchor", "/nonexistent"], "/nonexistent: no such file"),
        (["--trust-anchor", "/dev/null"], "/dev/null: not a regular file"),
        (["--trust-anchor", ""], ": no such file"),
        (["--trust-anchor", "/"], "/: is a directory"),
        (["--trust-anchor", "/\x1b[31m\n"], "/\\x1b[31m"),
        (["--resolver", "dns.example"], "'dns.example' is not an IPv4 or IPv6 address"),
        (["--resolver", "127.0.0.1:0"], "'0' is not a port between 1 and 65535"),
        (["--at", "2026-11-24T12:00:00"], "has no time zone; end it with Z for UTC"),
        (["--at", "yesterday"], "is neither RFC 3339, as in 2026-11-24T12:00:00Z, nor seconds"),
        (["--at", "999999999999"], "is neither RFC 3339"),
        (["--at", "253402300799"], "is not between the years 1970 and 9000"),
        (["--at", "1969-12-31T23:59:59Z"], "is not between the years 1970 and 9000"),
        (["--timeout", "nan"], "'nan' is not a valid number."),
        (["--timeout", "0"], "0.0 is not in the range"),
        (["--smtp-port", "70000"], "70000 is not in the range"),
        (["--profile", "gmail"], "'gmail' is not one of"),
        (["--config", "/nonexistent.toml"], "/nonexistent.toml: no such file"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_options_end_with_two_and_a_reason(
    scanner: FakeScanner, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    """Nothing is looked up."""
    assert run(["check", *arguments, "good.example"]) == 2
    assert text in capsys.readouterr().err
    assert scanner.asked == []


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"\xff", "anchors: not text in UTF-8"), (b"; nothing\n", "anchors: no DS or DNSKEY record")],
)
def test_trust_anchors_that_are_none_are_told_with_their_file(
    scanner: FakeScanner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    octets: bytes,
    text: str,
) -> None:
    """The root's own are not used instead."""
    file = tmp_path / "anchors"
    file.write_bytes(octets)
    assert run(["check", *RESOLVER, "--trust-anchor", str(file), "good.example"]) == 2
    assert text in capsys.readouterr().err
    assert scanner.asked == []


def test_trust_anchors_are_not_waited_for(
    scanner: FakeScanner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody may ever write to a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert run(["check", *RESOLVER, "--trust-anchor", str(pipe), "good.example"]) == 2
    assert "pipe: not a regular file" in capsys.readouterr().err
    assert scanner.asked == []


def test_trust_anchors_of_the_file_reach_the_scanner(scanner: FakeScanner, tmp_path: Path) -> None:
    """Named in the configuration, relative to it; an option wins."""
    (tmp_path / "island").write_text("island.test. IN DS 1 13 2 " + "ab" * 32)
    (tmp_path / "root").write_text(". 172800 IN DS 2 13 2 " + "cd" * 32)
    file = tmp_path / "danewatch.toml"
    file.write_text('[validation]\nmode = "local"\ntrust_anchor = "island"')
    arguments = ["check", *RESOLVER, "--config", str(file), "good.example"]
    for more, zone in ([], "island.test"), (["--trust-anchor", str(tmp_path / "root")], "."):
        assert run([*arguments, *more]) == 0
        settings = scanner.settings
        assert settings is not None
        assert settings.validation is ValidationMode.LOCAL
        assert [anchor.zone for anchor in settings.anchors] == [zone]


def test_seconds_are_a_time_too(scanner: FakeScanner) -> None:
    """As ``date +%s`` prints them."""
    assert run(["check", *RESOLVER, "--at", "1790000000.5", "good.example"]) == 0
    assert scanner.settings is not None
    assert scanner.settings.judge_at == datetime.fromtimestamp(1790000000.5, UTC)


def test_resolvers_come_from_resolv_conf_where_none_is_named(
    scanner: FakeScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they validate is for the self-test to say."""
    monkeypatch.setattr("scanner.cli.resolvconf.read_name_servers", lambda: ("192.0.2.1",))
    assert run(["check", "good.example"]) == 0
    assert scanner.settings is not None
    assert scanner.settings.resolvers == (ServerAddress("192.0.2.1"),)


def test_no_resolver_at_all_is_told_with_a_remedy(
    scanner: FakeScanner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty resolv.conf."""
    monkeypatch.setattr("scanner.cli.resolvconf.read_name_servers", lambda: ())
    assert run(["check", "good.example"]) == 2
    assert "Run a validating resolver such as unbound" in capsys.readouterr().err
