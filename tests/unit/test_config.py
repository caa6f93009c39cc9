"""The configuration file: every mistake at once, each with file, line, value and remedy."""

from pathlib import Path

import pytest

from scanner.config import Config, ConfigError, ConfigProblem, load_config
from scanner.config.declare import parse_listen_address
from scanner.config.lines import line_of, locate_keys
from scanner.config.reference import example
from scanner.model.vocabulary import CodeSet, Profile, Scenario1Scope, ValidationMode


def load(tmp_path: Path, text: str | bytes) -> Config:
    file = tmp_path / "danewatch.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_config(file)


def problems(tmp_path: Path, text: str | bytes) -> tuple[ConfigProblem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return caught.value.problems


def only(tmp_path: Path, text: str | bytes) -> tuple[int | None, str, str, str, str]:
    (problem,) = problems(tmp_path, text)
    assert problem.file == str(tmp_path / "danewatch.toml")
    return problem.line, problem.key, problem.value, problem.reason, problem.remedy


def test_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """Nothing has to be configured."""
    assert load(tmp_path, "") == Config()


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    """Lists, text, numbers, booleans and closed sets come out as their types."""
    config = load(
        tmp_path,
        """
        [resolver]
        servers = ["127.0.0.1", "[::1]:5353"]
        [policy]
        profile = "rfc7672"
        scenario1_scope = "host"
        code_set = "seed"
        mandatory = true
        [smtp]
        port = 2525
        ehlo_name = "Scanner.Example.COM."
        [limits]
        domain_timeout_seconds = 5
        """,
    )
    assert config.resolver.servers == ("127.0.0.1", "[::1]:5353")
    assert config.policy.profile is Profile.RFC7672
    assert config.policy.scenario1_scope is Scenario1Scope.HOST
    assert config.policy.code_set is CodeSet.SEED
    assert config.policy.mandatory is True
    assert config.smtp.port == 2525
    assert config.smtp.ehlo_name == "scanner.example.com"
    assert config.limits.domain_timeout_seconds == 5.0
    assert config.validation.mode is ValidationMode.LOCAL


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    """A file saved by Notepad is the same file."""
    assert load(tmp_path, b"\xef\xbb\xbf[smtp]\r\nport = 26\r\n").smtp.port == 26


def test_config_is_frozen(tmp_path: Path) -> None:
    """What was checked cannot be changed afterwards."""
    config = load(tmp_path, "")
    with pytest.raises(ValueError, match="frozen"):
        config.smtp.port = 26  # type: ignore[misc]


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """A service does not run in the directory its configuration was written in."""
    config = load(
        tmp_path,
        """
        targets.files = ["lists", "/etc/partners.txt"]
        history.directory = "history"
        metrics.textfile = "/x/danewatch.prom"
        validation.trust_anchor = "root.anchors"
        dask = {tls_ca = "ca.pem", tls_certificate = "/x/own.pem", tls_key = "own.key"}
        """,
    )
    assert config.targets.files == (str(tmp_path / "lists"), "/etc/partners.txt")
    assert config.history.directory == str(tmp_path / "history")
    assert config.metrics.textfile == "/x/danewatch.prom"
    assert config.validation.trust_anchor == str(tmp_path / "root.anchors")
    assert config.dask.tls_ca == str(tmp_path / "ca.pem")
    assert config.dask.tls_certificate == "/x/own.pem"
    assert config.dask.tls_key == str(tmp_path / "own.key")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "\n[resolvr]\nservers = []",
            (2, "resolvr", "", "unknown table", "did you mean resolver?"),
        ),
        ("[smtp]\nprt = 25", (2, "smtp.prt", "", "unknown setting", "did you mean port?")),
        (
            "[smtp]\ndomains_in_flight = 2",
            (
                2,
                "smtp.domains_in_flight",
                "",
                "unknown setting",
                "it belongs to [limits] domains_in_flight",
            ),
        ),
        (
            "[state]\nqqq = 1",
            (2, "state.qqq", "", "unknown setting", "[state] has file"),
        ),
        (
            "port = 25",
            (1, "port", "", "unknown setting", "it belongs to [smtp] port"),
        ),
        (
            '[policy]\nprofile = "exo"',
            (
                2,
                "policy.profile",
                '"exo"',
                "not one of the values known here",
                'write "rfc7672" or "exchange-online"',
            ),
        ),
        (
            "[smtp]\nport = 0",
            (2, "smtp.port", "0", "out of bounds", "write a number from 1 to 65535"),
        ),
        (
            "[limits]\ndomain_timeout_seconds = 1e9",
            (
                2,
                "limits.domain_timeout_seconds",
                "1000000000.0",
                "out of bounds",
                "write a number from 1 to 3600 seconds",
            ),
        ),
        (
            "[limits]\ndomain_timeout_seconds = nan",
            (2, "limits.domain_timeout_seconds", "nan", "must be a finite number", ""),
        ),
        ("[smtp]\nport = 25.0", (2, "smtp.port", "25.0", "must be a whole number", "")),
        ('[smtp]\nport = "25"', (2, "smtp.port", '"25"', "must be a whole number", "")),
        (
            '[limits]\ndomain_timeout_seconds = "5"',
            (2, "limits.domain_timeout_seconds", '"5"', "must be a number", ""),
        ),
        (
            "[policy]\nmandatory = 1",
            (2, "policy.mandatory", "1", "must be true or false", ""),
        ),
        (
            "[history]\ndirectory = 5",
            (
                2,
                "history.directory",
                "5",
                'must be text in quotation marks, as in "value"',
                "",
            ),
        ),
        ("[history]\ndirectory = ' '", (2, "history.directory", '" "', "not a path", "")),
        (
            '[resolver]\nservers = "127.0.0.1"',
            (
                2,
                "resolver.servers",
                '"127.0.0.1"',
                'must be a list, as in ["one", "two"]',
                "",
            ),
        ),
        (
            '[resolver]\nservers = [\n "::1",\n "dns.example"]',
            (
                2,
                "resolver.servers",
                '"dns.example"',
                "'dns.example' is not an IPv4 or IPv6 address",
                "",
            ),
        ),
        (
            '[smtp]\nehlo_name = "a b.example"',
            (
                2,
                "smtp.ehlo_name",
                '"a b.example"',
                "not a host name: character ' ' in label 'a b'",
                "",
            ),
        ),
        ("smtp = 3", (1, "smtp", "3", "this is a table", "write [smtp] and its settings below")),
    ],
)
def test_each_mistake_is_named_with_line_value_and_remedy(
    tmp_path: Path, text: str, expected: tuple[int | None, str, str, str, str]
) -> None:
    """One mistake, one problem, in the words of an operator."""
    assert only(tmp_path, text) == expected


def test_all_mistakes_are_found_in_one_go(tmp_path: Path) -> None:
    """Sorted by line, so that one round of editing is enough."""
    found = problems(tmp_path, "[smtp]\nport = 0\nx = 1\n[policy]\nmandatory = 2\n[zzz]\n")
    assert [(one.line, one.key) for one in found] == [
        (2, "smtp.port"),
        (3, "smtp.x"),
        (5, "policy.mandatory"),
        (6, "zzz"),
    ]


def test_message_reads_as_one_line(tmp_path: Path) -> None:
    """File and line first, as editors and other programs understand."""
    (problem,) = problems(tmp_path, "[smtp]\nport = 0")
    file = tmp_path / "danewatch.toml"
    expected = f"{file}:2: smtp.port = 0: out of bounds; write a number from 1 to 65535"
    assert str(problem) == expected


def test_text_that_is_not_toml_is_named_with_its_line(tmp_path: Path) -> None:
    """The parser's position becomes the line."""
    line, _, _, reason, _ = only(tmp_path, "[smtp]\nport = twenty\n")
    assert line == 2
    assert reason.startswith("not TOML: ")


def test_toml_that_ends_too_early_is_named_with_the_last_line(tmp_path: Path) -> None:
    """An open bracket is noticed at the end."""
    line, _, _, reason, _ = only(tmp_path, "[resolver]\nservers = [\n")
    assert line == 3
    assert reason.startswith("not TOML: ")


def test_octets_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    """The offending octet is shown."""
    assert only(tmp_path, b"[smtp]\n# caf\xe9\n")[:4] == (2, "", "byte 0xe9", "not UTF-8")


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    """The parser's recursion is no traceback."""
    assert only(tmp_path, "x = " + "[" * 50_000)[3] == "nested too deeply"


def test_endless_number_is_refused(tmp_path: Path) -> None:
    """Python reads no whole number of thousands of digits, and that is no traceback either."""
    assert only(tmp_path, "x = " + "9" * 5_000)[3] == "a number in it is far too long"


def test_large_file_is_refused(tmp_path: Path) -> None:
    """Nothing larger than the limit is read."""
    assert only(tmp_path, "#" * (1024 * 1024 + 1))[3] == "larger than 1,048,576 bytes"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing.toml", "no such file"), (".", "not a regular file"), ("a\0b", "")],
)
def test_path_that_is_no_file_is_a_mistake(tmp_path: Path, name: str, reason: str) -> None:
    """A missing file, a directory, and what is no path at all."""
    with pytest.raises(ConfigError) as caught:
        load_config(f"{tmp_path}/{name}")
    (problem,) = caught.value.problems
    assert problem.line is None
    assert reason in problem.reason


def test_hostile_values_are_shown_safely(tmp_path: Path) -> None:
    """A value is quoted without terminal controls and cut when long."""
    _, _, value, _, _ = only(tmp_path, '[policy]\nprofile = "\\u001b[31m' + "x" * 500 + '"')
    assert value.isprintable()
    assert len(value) <= 60


def test_long_values_do_not_make_long_reasons(tmp_path: Path) -> None:
    """A reason that quotes the value is cut too."""
    (problem,) = problems(tmp_path, f'[resolver]\nservers = ["{"x" * 5_000}"]')
    assert len(str(problem)) < 500


def test_keys_are_located_in_every_way_toml_writes_them() -> None:
    """Tables, dotted and quoted keys, long strings and arrays that look like keys."""
    text = (
        "a = 1\n"  # 1
        "b.c = 2 # [x]\n"  # 2
        "[t] # comment\n"  # 3
        'd = """\n'  # 4
        "e = 3\n"  # 5
        '[u]"""\n'  # 6
        "'f' = [\n"  # 7
        "  # ]\n"  # 8
        "  'g = 4',\n"  # 9
        "]\n"  # 10
        'h = { i = 5, j = "}" }\n'  # 11
        '[v."w"]\n'  # 12
        "k = '''\n"  # 13
        "l = 6\n"  # 14
        "'''\n"  # 15
        "m = 7\n"  # 16
        "[[n]]\n"  # 17
        "o = 8\n"  # 18
    )
    assert dict(locate_keys(text)) == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 2,
        ("t",): 3,
        ("t", "d"): 4,
        ("t", "f"): 7,
        ("t", "h"): 11,
        ("v", "w"): 12,
        ("v", "w", "k"): 13,
        ("v", "w", "m"): 16,
        ("n",): 17,
        ("n", "o"): 18,
    }
    assert line_of(("t", "h", "i"), locate_keys(text)) == 11
    assert line_of(("z",), locate_keys(text)) is None


@pytest.mark.parametrize(
    "text", ["9798", "localhost:9798", "::1:9798", "[127.0.0.1]:1", "1.1.1.1:x"]
)
def test_a_listen_address_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """An address and a port, IPv6 in brackets; names are not looked up."""
    (problem,) = problems(tmp_path, f'[http]\nlisten = "{text}"')
    assert problem.reason == "write ADDR:PORT, as in 127.0.0.1:9798 or [::1]:9798"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:9798", ("::1", 9798))],
)
def test_a_listen_address_is_address_and_port(text: str, meant: tuple[str, int]) -> None:
    """Port 0 is any free one."""
    assert parse_listen_address(text) == meant


def test_example_shows_every_setting_and_loads(tmp_path: Path) -> None:
    """The printed example is right as it stands, and with every setting switched on."""
    text = example()
    assert load(tmp_path, text) == Config()
    assert max(map(len, text.splitlines())) <= 100
    switched_on = text.replace("\n#", "\n").replace("\n ", "\n# ")
    config = load(tmp_path, switched_on)
    assert config.resolver.servers
    for name, field in Config.model_fields.items():
        assert f"[{name}]" in text
        for key in getattr(field.annotation, "model_fields", {}):
            assert f"\n#{key} = " in text
