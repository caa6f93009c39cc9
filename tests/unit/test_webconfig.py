"""The web configuration file: what is taken, what is refused and where, what is read again."""

import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import web_tls
from hypothesis import given
from hypothesis import strategies as st

from exporters.webconfig import (
    ClientAuth,
    WebConfig,
    WebConfigError,
    WebConfigKeeper,
    load_web_config,
    parse_web_config,
    tls_context,
)

HASH = "$2y$10$" + "a" * 53
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a web configuration and return where it is."""

    def writing(text: str) -> Path:
        path = tmp_path / "web.yml"
        path.write_text(text)
        return path

    return writing


def problems(path: Path) -> list[str]:
    """Return what is wrong with the file, without its path."""
    with pytest.raises(WebConfigError) as raised:
        load_web_config(path)
    assert all(one.startswith(f"{path}") for one in raised.value.problems)
    return [one.removeprefix(f"{path}:") for one in raised.value.problems]


class TestReading:
    """Strict, with file and line."""

    def test_everything_supported_is_taken(self, write: Write, tmp_path: Path) -> None:
        """Paths are relative to the file."""
        path = write(
            "tls_server_config:\n"
            "  cert_file: page.pem\n"
            "  key_file: /keys/page.key\n"
            "  client_ca_file: clients.pem\n"
            "  client_auth_type: RequireAndVerifyClientCert\n"
            "  min_version: TLS13\n"
            "basic_auth_users:\n"
            f"  prometheus: {HASH}\n"
            f'  "someone else": "{HASH}"\n'
        )
        config = load_web_config(path)
        assert config.tls is not None
        assert config.tls.cert_file == tmp_path / "page.pem"
        assert config.tls.key_file == Path("/keys/page.key")
        assert config.tls.client_ca_file == tmp_path / "clients.pem"
        assert config.tls.client_auth is ClientAuth.REQUIRED
        assert config.tls.min_version is ssl.TLSVersion.TLSv1_3
        assert config.users == {"prometheus": HASH, "someone else": HASH}

    @pytest.mark.parametrize("text", ["", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n"])
    def test_nothing_is_no_protection(self, write: Write, text: str) -> None:
        """As with Prometheus' own exporters."""
        assert load_web_config(write(text)) == WebConfig()

    def test_tls_is_12_at_least_by_default(self, write: Write) -> None:
        """Older versions are broken."""
        config = load_web_config(write("tls_server_config: {cert_file: a, key_file: b}"))
        assert config.tls is not None
        assert config.tls.min_version is ssl.TLSVersion.TLSv1_2
        assert config.tls.client_auth is ClientAuth.NONE

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("basic_auth_user:\n  a: b\n", "1: unknown key 'basic_auth_user'; known are"),
            ("- a\n", "1: here should be keys with values"),
            ("tls_server_config: yes\n", "1: here should be keys with values"),
            ("tls_server_config:\n  cert_file: a\n", "2: tls_server_config has no key_file"),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  cert_file: c\n",
                "4: 'cert_file' stands twice",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  min_version: TLS10\n",
                "4: min_version 'TLS10' is not one of TLS12, TLS13",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, cipher_suites: [x]}\n",
                "1: 'cipher_suites' is not supported: the defaults of OpenSSL are used",
            ),
            ("http_server_config:\n  http2: false\n", "1: 'http_server_config' is not supported"),
            (
                "tls_server_config: {cert_file: a, key_file: b,\n"
                " client_auth_type: RequireAnyClientCert}\n",
                "2: client_auth_type 'RequireAnyClientCert' is not one of NoClientCert",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b,\n"
                " client_auth_type: RequireAndVerifyClientCert}\n",
                "2: RequireAndVerifyClientCert needs client_ca_file",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b,\n client_ca_file: c}\n",
                "2: client_ca_file has no effect without client_auth_type",
            ),
            ("tls_server_config: {cert_file: [a], key_file: b}\n", "1: here should be a text"),
            ("basic_auth_users:\n  a: secret\n", "2: the password of 'a' is not a bcrypt hash"),
            (f"basic_auth_users:\n  a:b: {HASH}\n", "2: the name of a user"),
            (f"basic_auth_users:\n  '': {HASH}\n", "2: the name of a user"),
            (
                f"basic_auth_users:\n  a: {HASH.replace('$10$', '$31$')}\n",
                "2: the cost of 'a' is 31, not 4 to 15",
            ),
            ("a: [\n", "2: "),
            ("a: b: c\n", "1: mapping values are not allowed here"),
            ("a: !!python/object:os.system x\n", "1: unknown key 'a'"),
            ("? [a, b]\n: c\n", "1: here should be a text"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line(
        self, write: Write, text: str, problem: str
    ) -> None:
        """Never ignored: it may be what was to protect something."""
        assert problems(write(text))[0].startswith(problem)

    def test_all_problems_are_told_at_once(self, write: Write) -> None:
        """Not one for each try."""
        found = problems(write("tls_server_config: {a: b}\nbasic_auth_users: {c: d}\ne: f\n"))
        assert [one.split(":")[0] for one in found] == ["3", "1", "1", "1", "2"]

    def test_a_password_never_shows_in_a_problem(self, write: Write) -> None:
        """Somebody may have put it there unhashed."""
        assert "hunter2" not in "".join(problems(write("basic_auth_users: {a: hunter2}\n")))

    def test_a_file_that_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        """Missing, a directory, not UTF-8, too large."""
        assert "No such file" in problems(tmp_path / "missing.yml")[0]
        assert "directory" in problems(tmp_path)[0]
        (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
        assert "not UTF-8" in problems(tmp_path / "binary.yml")[0]
        (tmp_path / "large.yml").write_bytes(b"#" * ((1 << 20) + 1))
        assert "larger than" in problems(tmp_path / "large.yml")[0]

    def test_deep_nesting_is_an_error(self, write: Write) -> None:
        """Not the end of the interpreter."""
        assert "nested too deeply" in problems(write("[" * 3_000))[0]

    @given(st.text(max_size=200))
    def test_any_text_is_a_configuration_or_a_declared_error(self, text: str) -> None:
        """And nothing else."""
        found: object
        try:
            found = parse_web_config(text.encode("utf-8", "replace"), Path("web.yml"))
        except WebConfigError as error:
            found = error.problems
        assert isinstance(found, WebConfig) or found


def certificate_files(directory: Path, name: str = "page") -> tuple[Path, Path]:
    """Write a new certificate for 127.0.0.1 with its key."""
    return web_tls.authority().write(directory, name)


TLS = "tls_server_config: {cert_file: page.pem, key_file: page.key}\n"


class TestContext:
    """From files to a TLS server."""

    def test_missing_and_broken_files_are_told_in_words(self, write: Write, tmp_path: Path) -> None:
        """Which of them, and why."""
        tls = load_web_config(write(TLS)).tls
        assert tls is not None
        with pytest.raises(WebConfigError, match=r"page\.pem and .*page\.key: .*No such file"):
            tls_context(tls)
        (tmp_path / "page.pem").write_text("nonsense")
        (tmp_path / "page.key").write_text("nonsense")
        with pytest.raises(WebConfigError, match="no certificate with its key"):
            tls_context(tls)

    def test_a_key_that_belongs_to_another_certificate_is_refused(
        self, write: Write, tmp_path: Path
    ) -> None:
        """The usual accident of a renewal."""
        certificate_files(tmp_path)
        _, other = certificate_files(tmp_path, "other")
        (tmp_path / "page.key").write_bytes(other.read_bytes())
        tls = load_web_config(write(TLS)).tls
        assert tls is not None
        with pytest.raises(WebConfigError, match="key values mismatch"):
            tls_context(tls)

    def test_client_certificates_are_asked_for(self, write: Write, tmp_path: Path) -> None:
        """When configured; a CA file that is none is refused."""
        certificate_files(tmp_path)
        path = write(
            "tls_server_config: {cert_file: page.pem, key_file: page.key,"
            " client_ca_file: page.pem, client_auth_type: VerifyClientCertIfGiven}\n"
        )
        tls = load_web_config(path).tls
        assert tls is not None
        assert tls_context(tls).verify_mode is ssl.CERT_OPTIONAL
        (tmp_path / "ca.pem").write_text("nonsense")
        text = path.read_text().replace("client_ca_file: page.pem", "client_ca_file: ca.pem")
        tls = load_web_config(write(text)).tls
        assert tls is not None
        with pytest.raises(WebConfigError, match=r"ca\.pem"):
            tls_context(tls)


class Monotonic:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TestReadingAgain:
    """Files that change are read again; what cannot be read changes nothing."""

    @pytest.fixture
    def clock(self) -> Monotonic:
        return Monotonic()

    def test_without_a_file_nothing_is_protected(self, clock: Monotonic) -> None:
        """And nothing is looked at."""
        protection = WebConfigKeeper(None, monotonic=clock).current()
        assert (protection.context, protection.users) == (None, {})

    def test_what_is_wrong_at_the_start_is_an_error(self, write: Write, clock: Monotonic) -> None:
        """Nothing is ever served unprotected by mistake."""
        with pytest.raises(WebConfigError):
            WebConfigKeeper(write("nonsense: true\n"), monotonic=clock)

    def test_a_new_user_is_taken(self, write: Write, clock: Monotonic) -> None:
        """After a look, of which there is one a second."""
        keeper = WebConfigKeeper(write(f"basic_auth_users: {{a: '{HASH}'}}"), monotonic=clock)
        write(f"basic_auth_users: {{a: '{HASH}', bb: '{HASH}'}}")
        assert set(keeper.current().users) == {"a"}
        clock.now += 1.1
        assert set(keeper.current().users) == {"a", "bb"}

    def test_a_renewed_certificate_is_taken(
        self, write: Write, clock: Monotonic, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also when certificate and key are replaced one after the other."""
        certificate_files(tmp_path)
        keeper = WebConfigKeeper(write(TLS), monotonic=clock)
        before = keeper.current().context
        pem, key = certificate_files(tmp_path, "new")
        pem.replace(tmp_path / "page.pem")
        clock.now += 2
        with caplog.at_level(logging.ERROR):
            assert keeper.current().context is before
            clock.now += 2
            assert keeper.current().context is before
        assert len(caplog.records) == 1
        key.replace(tmp_path / "page.key")
        clock.now += 2
        assert keeper.current().context is not before

    def test_a_broken_file_keeps_what_was_in_force(
        self, write: Write, clock: Monotonic, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Passwords are not dropped because somebody is editing."""
        path = write(f"basic_auth_users: {{a: '{HASH}'}}")
        keeper = WebConfigKeeper(path, monotonic=clock)
        with caplog.at_level(logging.ERROR):
            write("basic_auth_users: {a: half")
            clock.now += 2
            assert set(keeper.current().users) == {"a"}
            path.unlink()
            clock.now += 2
            assert set(keeper.current().users) == {"a"}
        assert len(caplog.records) == 2

    def test_tls_neither_begins_nor_ends_while_it_runs(
        self, write: Write, clock: Monotonic, tmp_path: Path
    ) -> None:
        """A file emptied by accident must not turn the page to clear text."""
        certificate_files(tmp_path)
        keeper = WebConfigKeeper(write(TLS), monotonic=clock)
        write("")
        clock.now += 2
        assert keeper.current().context is not None

    @pytest.mark.parametrize("text", ["", "{}", "# nothing\n"])
    def test_passwords_do_not_end_while_it_runs(
        self, write: Write, clock: Monotonic, text: str
    ) -> None:
        """An editor that truncates before it writes must not open the page to everybody."""
        keeper = WebConfigKeeper(write(f"basic_auth_users: {{a: '{HASH}'}}"), monotonic=clock)
        write(text)
        clock.now += 2
        assert set(keeper.current().users) == {"a"}

    def test_a_pipe_in_place_of_the_file_holds_nobody(self, write: Write, clock: Monotonic) -> None:
        """It is refused at once, and what was in force stays."""
        path = write(f"basic_auth_users: {{a: '{HASH}'}}")
        keeper = WebConfigKeeper(path, monotonic=clock)
        path.unlink()
        os.mkfifo(path)
        clock.now += 2
        assert set(keeper.current().users) == {"a"}
        assert problems(path) == [" not a regular file"]

    def test_a_pipe_in_place_of_a_certificate_is_refused(
        self, write: Write, clock: Monotonic, tmp_path: Path
    ) -> None:
        """OpenSSL would wait for a writer for ever."""
        certificate_files(tmp_path)
        path = write(TLS)
        (tmp_path / "page.key").unlink()
        os.mkfifo(tmp_path / "page.key")
        with pytest.raises(WebConfigError, match="no regular file"):
            WebConfigKeeper(path, monotonic=clock)
