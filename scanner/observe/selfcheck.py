"""One thing that was tested about our own side, and the remedy where it is not well."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfTestCheck:
    """One thing that was tested; ``remedy`` is None when it is well."""

    name: str
    ok: bool
    sentence: str
    remedy: str | None = None
