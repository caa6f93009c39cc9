"""How a setting is declared: its type, default, unit, bounds and one sentence, all in one place."""

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from scanner.model.names import InvalidNameError, parse_any_name, parse_domain
from scanner.observe.dnsserver import parse_server


class Section(BaseModel):
    """One table of the file. Unknown keys are mistakes, and nothing is converted silently."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def setting(
    default: Any,
    sentence: str,
    *,
    unit: str | None = None,
    shown_default: str | None = None,
    example: str | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    lax: bool = False,
) -> Any:
    """Declare one setting.

    ``shown_default`` replaces the default in the documentation where the value alone says little.
    ``example`` is a TOML value. ``lax`` lets TOML text become an enum member, or an array a tuple.
    """
    return Field(
        default=default,
        description=sentence,
        ge=at_least,
        le=at_most,
        strict=False if lax else None,
        json_schema_extra={"unit": unit, "shown_default": shown_default, "example": example},
    )


def bounds_of(field: FieldInfo) -> str | None:
    """Return "LEAST to MOST" of a declared setting, None where it has no bounds."""
    low = next((m.ge for m in field.metadata if getattr(m, "ge", None) is not None), None)
    high = next((m.le for m in field.metadata if getattr(m, "le", None) is not None), None)
    return None if low is None or high is None else f"{low:.15g} to {high:.15g}"


def _server(text: str) -> str:
    parse_server(text)
    return text.strip()


def parse_ehlo_name(text: str) -> str:
    """Return ``text`` as an EHLO argument: a domain name or ``localhost`` (RFC 5321 §4.1.1.1).

    Raises ValueError with a sentence for an operator.
    """
    if text.strip().lower() == "localhost":
        return "localhost"
    try:
        return parse_domain(text)
    except InvalidNameError as error:
        raise ValueError(f"not a host name: {error}") from None


def _path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("not a path")
    if "://" in text:
        raise ValueError("a URI, not a path; only scan --engine dask takes one, with --output")
    return text


def _domain(text: str) -> str:
    try:
        return parse_any_name(text)
    except InvalidNameError as error:
        raise ValueError(f"not a domain name: {error}") from None


def parse_listen_address(text: str) -> tuple[str, int]:
    """Return address and port of ``ADDR:PORT`` or ``[ADDR]:PORT``; port 0 is any free one.

    Raises ValueError with a sentence for an operator.
    """
    address, colon, port = text.strip().rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    try:
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ValueError
        parsed = ipaddress.ip_address(address[1:-1] if bracketed else address)
        if bracketed != (parsed.version == 6):
            raise ValueError
    except ValueError:
        raise ValueError("write ADDR:PORT, as in 127.0.0.1:9798 or [::1]:9798") from None
    return str(parsed), int(port)


def _listen_address(text: str) -> str:
    parse_listen_address(text)
    return text.strip()


def _scanner_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}", text):
        raise ValueError("use up to 48 letters, digits, dots, underscores and hyphens")
    return text


Server = Annotated[str, Field(strict=True), AfterValidator(_server)]
Path = Annotated[str, Field(strict=True), AfterValidator(_path)]
EhloName = Annotated[str, AfterValidator(parse_ehlo_name)]
ScannerId = Annotated[str, Field(strict=True), AfterValidator(_scanner_id)]
DomainName = Annotated[str, Field(strict=True), AfterValidator(_domain)]
ListenAddress = Annotated[str, Field(strict=True), AfterValidator(_listen_address)]


def section(kind: type[Section]) -> Any:
    """Declare one table of the file, with the defaults of its settings."""
    return Field(default_factory=kind)
