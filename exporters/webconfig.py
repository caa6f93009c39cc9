"""TLS and passwords of the page, in the form of Prometheus' web configuration file.

    tls_server_config:
      cert_file: page.pem           # relative to this file
      key_file: page.key
      client_auth_type: RequireAndVerifyClientCert
      client_ca_file: clients.pem
      min_version: TLS12
    basic_auth_users:
      prometheus: $2y$10$...        # bcrypt

Rules: a key that is unknown, stands twice or is not supported here is an error with file and line,
never ignored, because it may be the one that was to protect something. TLS is 1.2 at least. Files
that changed are read again; while they cannot be read, what was read before stays in force.
"""

import errno
import logging
import os
import re
import ssl
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import yaml

MAX_CONFIG_OCTETS = 1 << 20
"""A web configuration file is at most so large; a list of ten thousand users is."""
MIN_COST, MAX_COST = 4, 15
"""Of a bcrypt hash: what bcrypt allows, and 3 s of work for one password (10 is usual: 70 ms)."""

_logger = logging.getLogger("danewatch.page")
_BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}\Z")
_TLS_KEYS = ("cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version")
_NOT_SUPPORTED = {
    "http_server_config": "the server speaks HTTP/1.1 and sends its own headers",
    "rate_limit": "connections and requests are bounded already",
    "cert": "use cert_file",
    "key": "use key_file",
    "client_ca": "use client_ca_file",
    "client_allowed_sans": "limit who may connect by client_ca_file",
    "max_version": "the newest version of TLS is used that both sides speak",
    "cipher_suites": "the defaults of OpenSSL are used",
    "curve_preferences": "the defaults of OpenSSL are used",
    "prefer_server_cipher_suites": "the defaults of OpenSSL are used",
}


class ClientAuth(StrEnum):
    """Whether a client must show a certificate; the names are those of the file."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


_VERIFY = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


class WebConfigError(OSError):
    """The web configuration cannot be used; ``problems`` say where and why, one line each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsConfig:
    """What a TLS server needs."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth: ClientAuth = ClientAuth.NONE
    min_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it consists of."""
        return tuple(
            path
            for path in (self.cert_file, self.key_file, self.client_ca_file)
            if path is not None
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WebConfig:
    """TLS or not, and the bcrypt hashes of users; no users: anyone may ask."""

    tls: TlsConfig | None = None
    users: Mapping[str, str] = field(default_factory=dict)


def load_web_config(path: Path) -> WebConfig:
    """Return the configuration in ``path``. Raises WebConfigError."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            data = file.read(MAX_CONFIG_OCTETS + 1)
    except OSError as error:
        raise WebConfigError((f"{path}: {error.strerror or error}",)) from error
    if len(data) > MAX_CONFIG_OCTETS:
        raise WebConfigError((f"{path}: larger than {MAX_CONFIG_OCTETS} octets",))
    return parse_web_config(data, path)


def _open_at_once(path: str, flags: int) -> int:
    """Open a regular file; a pipe that nobody writes to would hold the whole page."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # of a directory, open() says so itself
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file")


def parse_web_config(data: bytes, path: Path) -> WebConfig:
    """Return the configuration that ``data``, from ``path``, says. Raises WebConfigError."""
    return _Reader(path).read(data)


class _Reader:
    """Reads one file and gathers all that is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[str] = []

    def read(self, data: bytes) -> WebConfig:
        try:
            root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            raise WebConfigError((f"{self._path}: not UTF-8",)) from error
        except RecursionError as error:
            raise WebConfigError((f"{self._path}: nested too deeply",)) from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = "" if mark is None else f":{mark.line + 1}"
            problem = getattr(error, "problem", None) or "not YAML"
            raise WebConfigError((f"{self._path}{line}: {problem}",)) from error
        found = WebConfig() if root is None else self._root(root)
        if self._problems:
            raise WebConfigError(tuple(self._problems))
        return found

    def _root(self, root: yaml.Node) -> WebConfig:
        parts = self._mapping(root, ("tls_server_config", "basic_auth_users"))
        tls = parts.get("tls_server_config")
        users = parts.get("basic_auth_users")
        return WebConfig(
            tls=None if tls is None else self._tls(tls),
            users={} if users is None else self._users(users),
        )

    def _tls(self, node: yaml.Node) -> TlsConfig | None:
        found = self._mapping(node, _TLS_KEYS)
        if not found and not self._problems:
            return None  # an empty section is no TLS, as with Prometheus
        texts = {key: self._text(value) for key, value in found.items()}
        for key in ("cert_file", "key_file"):
            if not texts.get(key):
                self._say(node, f"tls_server_config has no {key}")
        auth = self._one_of(found, "client_auth_type", [one.value for one in ClientAuth])
        version = self._one_of(found, "min_version", list(_VERSIONS))
        client_ca = texts.get("client_ca_file")
        needs_ca = auth in (ClientAuth.IF_GIVEN, ClientAuth.REQUIRED)
        if needs_ca and not client_ca:
            self._say(found["client_auth_type"], f"{auth} needs client_ca_file")
        if client_ca and not needs_ca:
            self._say(
                found["client_ca_file"],
                f"client_ca_file has no effect without client_auth_type {ClientAuth.REQUIRED}",
            )
        if self._problems:
            return None
        return TlsConfig(
            cert_file=self._file(texts["cert_file"]),
            key_file=self._file(texts["key_file"]),
            client_ca_file=self._file(client_ca) if client_ca else None,
            client_auth=ClientAuth(auth or ClientAuth.NONE),
            min_version=_VERSIONS[version or "TLS12"],
        )

    def _users(self, node: yaml.Node) -> dict[str, str]:
        users: dict[str, str] = {}
        for user, value in self._mapping(node, None).items():
            hashed = self._text(value)
            cost = _BCRYPT.match(hashed)
            if not user or ":" in user:
                self._say(value, "the name of a user is not empty and has no colon (RFC 7617)")
            elif cost is None:
                self._say(value, f"the password of {user!r} is not a bcrypt hash")
            elif not MIN_COST <= int(cost[1]) <= MAX_COST:
                self._say(
                    value, f"the cost of {user!r} is {int(cost[1])}, not {MIN_COST} to {MAX_COST}"
                )
            users[user] = hashed
        return users

    def _mapping(self, node: yaml.Node, known: tuple[str, ...] | None) -> dict[str, yaml.Node]:
        """Return the members of ``node``; ``known`` are the keys it may have, None for any."""
        if isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null"):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self._say(node, "here should be keys with values")
            return {}
        found: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self._text(key_node)
            if key in found:
                self._say(key_node, f"{key!r} stands twice")
            elif known is not None and key in _NOT_SUPPORTED and key not in known:
                self._say(key_node, f"{key!r} is not supported: {_NOT_SUPPORTED[key]}")
            elif known is not None and key not in known:
                self._say(key_node, f"unknown key {key!r}; known are {', '.join(known)}")
            else:
                found[key] = value
        return found

    def _one_of(self, found: Mapping[str, yaml.Node], key: str, words: list[str]) -> str | None:
        if key not in found:
            return None
        word = self._text(found[key])
        if word not in words:
            self._say(found[key], f"{key} {word!r} is not one of {', '.join(words)}")
            return None
        return word

    def _text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._say(node, "here should be a text")
            return ""
        return str(node.value)

    def _file(self, name: str) -> Path:
        return self._path.parent / name

    def _say(self, node: yaml.Node, problem: str) -> None:
        self._problems.append(f"{self._path}:{node.start_mark.line + 1}: {problem}")


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """Return the context of a server. Raises WebConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = tls.min_version
    context.verify_mode = _VERIFY[tls.client_auth]
    for file in tls.files:
        if file.exists() and not file.is_file():
            raise WebConfigError((f"{file}: no regular file",))
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        both = f"{tls.cert_file} and {tls.key_file}"
        raise WebConfigError((f"{both}: no certificate with its key: {_words(error)}",)) from error
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (OSError, ValueError) as error:
            raise WebConfigError((f"{tls.client_ca_file}: {_words(error)}",)) from error
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted, and there is nobody to ask for its password")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


Fingerprint = tuple[tuple[str, int, int, int] | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Protection:
    """What is in force: the context of TLS, if any, and the users."""

    context: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict)


class WebConfigKeeper:
    """Keeps what a web configuration file says in force, and looks whether it changed.

    ``monotonic`` gives seconds that never go back. Not for several threads at once.
    """

    def __init__(
        self, path: Path | None, *, monotonic: Callable[[], float], look_every: float = 1.0
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._look_every = look_every
        self._looked_at = monotonic()
        self._fingerprint: Fingerprint = ()
        self._files: tuple[Path, ...] = ()
        self._protection = Protection()
        if path is not None:
            self._fingerprint = self._read(path)

    def current(self) -> Protection:
        """Return what is in force, after another look at the files where that is due."""
        now = self._monotonic()
        if self._path is None or now - self._looked_at < self._look_every:
            return self._protection
        self._looked_at = now
        if _fingerprint(self._files) == self._fingerprint:
            return self._protection
        self._fingerprint = _fingerprint(self._files)
        try:
            self._fingerprint = self._read(self._path)
        except WebConfigError as error:
            _logger.error("the page keeps its TLS and passwords of before: %s", error)
        else:
            _logger.info("TLS and passwords of the page were read again from %s", self._path)
        return self._protection

    def _read(self, path: Path) -> Fingerprint:
        """Take what the files say. Raises WebConfigError and takes nothing then."""
        config = load_web_config(path)
        files = (path, *(() if config.tls is None else config.tls.files))
        fingerprint = _fingerprint(files)
        context = None if config.tls is None else tls_context(config.tls)
        if self._files and (context is None) != (self._protection.context is None):
            raise WebConfigError((f"{path}: TLS begins or ends only with a restart",))
        if self._protection.users and not config.users:
            # An editor that truncates a file before it writes must not open the page to everybody.
            raise WebConfigError((f"{path}: passwords end only with a restart",))
        self._protection = Protection(context=context, users=config.users)
        self._files = files
        return fingerprint


def _fingerprint(files: tuple[Path, ...]) -> Fingerprint:
    return tuple(_fingerprint_of(path) for path in files)


def _fingerprint_of(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
