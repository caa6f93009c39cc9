"""Result metrics of a finished pass as a file for node_exporter's textfile collector.

Rules:

- What was not measured is absent; there are no sentinel values. An inconclusive check says so in
  ``domain_verdict``, while ``domain_up`` and ``domain_blocked`` keep what was last known.
- The same results give the same text: families as declared in ``exporters.metrics``, series sorted.
- Addresses, serial numbers and fingerprints are never labels (they would grow without bound).

Which look at a shared MX host or zone counts: ``exporters.results``.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from exporters.metrics_text import FAMILIES, Format, escape_label, header, lines_of
from exporters.results import Results
from exporters.samples import DEFAULT_QUEUE_LIFE, Pairs, Sampler
from scanner.model.monitoring import EntityKey
from scanner.model.names import Name
from scanner.model.transition import State
from scanner.model.verdict import Check
from scanner.model.vocabulary import Profile

__all__ = [
    "ResultMetrics",
    "escape_label",
    "may_become_textfile",
    "render_results",
    "write_textfile",
]


class ResultMetrics:
    """The latest result of each domain and host, kept small: about 1 KiB a domain.

    Not for several threads at once; ``render`` returns a text that is.
    """

    def __init__(
        self,
        *,
        profile: Profile = Profile.EXCHANGE_ONLINE,
        queue_life: timedelta = DEFAULT_QUEUE_LIFE,
    ) -> None:
        self._results = Results(Sampler(profile=profile, queue_life=queue_life))

    def add(
        self,
        check: Check,
        *,
        states: Mapping[EntityKey, State] | None = None,
        labels: Pairs = (),
    ) -> None:
        """Take ``check`` in place of an earlier one of the same domain.

        ``states`` are those after the check was folded; without them nothing is known of the last
        transition, nor of what held before an inconclusive check. ``labels`` are the operator's.
        """
        self._results.add(check, states or {}, labels)

    def retain(self, domains: Iterable[Name]) -> None:
        """Forget every domain not in ``domains``, and hosts and zones that no domain has then."""
        self._results.retain(domains)

    def render(self, form: Format = Format.TEXT) -> str:
        """Return the text exposition: UTF-8 text with HELP and TYPE for each family it holds."""
        return "".join(self._chunks(form))

    def _chunks(self, form: Format) -> Iterator[str]:
        for entity_type, metrics in FAMILIES.items():
            records = sorted(self._results.records[entity_type].items())
            entities = [(name, cells) for name, (cells, _, _, _) in records]
            for position, metric in enumerate(metrics):
                lines = lines_of(metric, position, entities)
                if lines:
                    yield header(metric, form)
                    yield from lines


def render_results(
    checks: Iterable[Check],
    *,
    profile: Profile = Profile.EXCHANGE_ONLINE,
    states: Mapping[EntityKey, State] | None = None,
    labels: Mapping[Name, Pairs] | None = None,
    queue_life: timedelta = DEFAULT_QUEUE_LIFE,
) -> str:
    """Return the exposition of a finished pass; ``labels`` are the operator's, by domain."""
    metrics = ResultMetrics(profile=profile, queue_life=queue_life)
    for check in checks:
        metrics.add(check, states=states, labels=(labels or {}).get(check.domain, ()))
    return metrics.render()


def may_become_textfile(path: Path) -> bool:
    """Return whether nothing stands at ``path``, or a regular file: what may be replaced."""
    return not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode)


def write_textfile(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` in one step, readable by all (the node exporter's textfile
    collector may read at any moment). Raises OSError and leaves the old file as it was, and
    anything else that stands there: a device such as /dev/null must not become a file."""
    if not may_become_textfile(path):
        raise FileExistsError(errno.EEXIST, "what stands there is not a regular file", str(path))
    temporary = path.with_name(f".{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
