"""Questions to the history: what changed, who fails or failed, which operators; or any SQL.

The files are read where they lie by an embedded DuckDB, through one view for each table of
``exporters.schema`` and a few more:

``transitions``      each event once, also while files are being merged
``all_transitions``  the rows as they lie: an event may be there twice for a moment
``current``          the last transition of every entity: how it is now
``domain_hosts``     which MX hosts a domain had at its last check, and their operator

Rules:

- Nothing is written and nothing but the history is read: one statement, of the kind that selects;
  no other file, no network, no extension, no change of settings.
- Views have every column of the schema: one that older files lack is null in them.
- Memory is bounded (``QuestionLimits``), that of the answer too; a question that needs more fails
  with a sentence.
- No two columns of an answer have one name: the second ``a`` becomes ``a_2``.
- Times are UTC.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.history.files import HistoryError, data_files
from exporters.schema import TABLES, TRANSITIONS, Column, ColumnType, Partition, Table
from scanner.model.vocabulary import DomainVerdict, HostOutcome

if TYPE_CHECKING:
    import duckdb
    import pyarrow

FAILING = {
    "domain": (DomainVerdict.BLOCKED, DomainVerdict.DEFERRED, DomainVerdict.NO_MAIL),
    "mx": (
        HostOutcome.FAILED,
        HostOutcome.LOOKUP_FAILED,
        HostOutcome.UNREACHABLE,
        HostOutcome.NO_ADDRESS,
    ),
    "zone": ("bogus",),
}
"""Statuses that count as failing, by entity type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionLimits:
    """Bounds of one question; ours."""

    memory_mib: int = 1_024
    """For finding the answer."""
    answer_mib: int = 1_024
    """For the answer itself, which is held as a whole."""
    threads: int = 2
    batch_rows: int = 10_000
    look_back: timedelta = timedelta(days=40)
    """How old the last check of a domain may be that tells its MX hosts: more than a month, so
    that the daily heartbeat of an unchanged domain is surely in."""
    retries: int = 5
    """How often a question is asked again because a merge took a file away under it."""


class QuestionError(ValueError):
    """The question cannot be answered; the text is a sentence for whoever asked."""


class Questions:
    """The history in one directory, open for questions. Not for several threads at once."""

    def __init__(self, directory: Path, *, limits: QuestionLimits | None = None) -> None:
        """Raises HistoryError when there is no such directory or it cannot be listed."""
        self._directory = directory.absolute()
        self._limits = limits or QuestionLimits()
        if not self._directory.is_dir():
            raise HistoryError(f"{directory}: no such directory", path=directory)

    def transitions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        entity: str | None = None,
        entity_type: str | None = None,
        to_status: str | None = None,
        first_sights: bool = False,
        limit: int | None = None,
    ) -> "pyarrow.Table":
        """Return what changed, oldest first; the latest ``limit`` of them.

        ``since`` is inclusive, ``until`` is not. First sights are no changes and left out unless
        asked for.
        """
        text = """
            SELECT * FROM (
              SELECT observed_at, entity_type, entity, from_status, to_status, to_reason,
                     to_phase, code, since, failing_since, bounces_from, profile, event_id
              FROM all_transitions
              WHERE ($since IS NULL OR observed_at >= $since)
                AND ($until IS NULL OR observed_at < $until)
                AND ($entity IS NULL OR entity = $entity)
                AND ($kind IS NULL OR entity_type = $kind)
                AND ($status IS NULL OR to_status = $status)
                AND ($first_sights OR from_status IS NOT NULL)
              QUALIFY row_number() OVER (PARTITION BY event_id) = 1
              ORDER BY observed_at DESC, event_id DESC LIMIT $limit)
            ORDER BY observed_at, event_id"""
        values = {
            "since": since,
            "until": until,
            "entity": entity,
            "kind": entity_type,
            "status": to_status,
            "first_sights": first_sights,
            "limit": _NO_LIMIT if limit is None else limit,
        }
        return self._ask(text, values)

    def timeline(self, domain: str, *, until: datetime) -> "pyarrow.Table":
        """Return every transition of ``domain``, its MX hosts and its zones, oldest first.

        ``lasted_seconds`` is how long the new state held, up to ``until`` for the last one. Hosts
        are all that the domain ever had; zones those above the domain and its hosts.
        """
        text = """
            WITH hosts AS (
              SELECT DISTINCT unnest(hosts).host AS name
              FROM (SELECT hosts FROM domain_checks WHERE domain = $domain)),
            parts AS (
              SELECT $domain AS name UNION SELECT name FROM hosts),
            zones AS (
              SELECT DISTINCT array_to_string(labels[n:], '.') AS name
              FROM (SELECT string_split(name, '.') AS labels FROM parts),
                   unnest(range(1, len(labels) + 1)) AS s(n)
              UNION SELECT '.'),
            events AS (
              SELECT * FROM all_transitions
              WHERE observed_at < $until AND (
                    (entity_type = 'domain' AND entity = $domain)
                 OR (entity_type = 'mx' AND entity IN (SELECT name FROM hosts))
                 OR (entity_type = 'zone' AND entity IN (SELECT name FROM zones)))
              QUALIFY row_number() OVER (PARTITION BY event_id) = 1)
            SELECT observed_at, entity_type, entity, from_status, to_status, to_reason, to_phase,
                   code, bounces_from,
                   CAST(round(epoch(coalesce(lead(observed_at) OVER whole, $until)
                        - observed_at)) AS BIGINT) AS lasted_seconds
            FROM events
            WINDOW whole AS (PARTITION BY entity_type, entity, profile
                             ORDER BY observed_at, event_id)
            ORDER BY observed_at, entity_type DESC, entity"""
        return self._ask(text, {"domain": domain, "until": until})

    def failing(self, *, at: datetime, entity_type: str = "domain") -> "pyarrow.Table":
        """Return what was failing at that time, longest first, with the operator's labels.

        ``phase`` is as of ``at``: mail that was queued bounces from ``bounces_from`` on.
        """
        text = """
            SELECT entity, to_status AS status,
                   CASE WHEN to_phase = 'deferring' AND bounces_from <= $at
                        THEN 'bouncing' ELSE to_phase END AS phase,
                   to_reason AS reason, code,
                   coalesce(failing_since, observed_at) AS failing_since, bounces_from,
                   profile, labels
            FROM (SELECT * FROM all_transitions
                  WHERE observed_at <= $at AND entity_type = $kind
                  QUALIFY row_number() OVER (PARTITION BY entity, profile
                          ORDER BY observed_at DESC, event_id DESC) = 1)
            WHERE is_failing($kind, to_status)
            ORDER BY failing_since, entity"""
        return self._ask(text, {"at": at, "kind": entity_type})

    def operators(self, *, at: datetime) -> "pyarrow.Table":
        """Return the operators of MX hosts at that time, those with most failing domains first.

        An operator is the domain above a host's name. ``changes_30d`` counts the transitions of
        its hosts in the 30 days before.
        """
        text = """
            WITH latest AS (
              SELECT domain, hosts FROM domain_checks
              WHERE observed_at <= $at AND observed_at > $at - $look_back
                AND month >= strftime($at - $look_back, '%Y-%m')
              QUALIFY row_number() OVER (PARTITION BY domain ORDER BY observed_at DESC) = 1),
            links AS (
              SELECT DISTINCT domain, host, operator_of(host) AS operator
              FROM (SELECT domain, unnest(hosts).host AS host FROM latest)),
            state AS (
              SELECT entity_type, entity, to_status FROM all_transitions WHERE observed_at <= $at
              QUALIFY row_number() OVER (PARTITION BY entity_type, entity
                      ORDER BY observed_at DESC, event_id DESC) = 1),
            changes AS (
              SELECT entity, count(DISTINCT event_id) AS n FROM all_transitions
              WHERE entity_type = 'mx' AND from_status IS NOT NULL
                AND observed_at <= $at AND observed_at > $at - INTERVAL 30 DAY
              GROUP BY entity),
            hosts AS (
              SELECT operator, host, count(DISTINCT domain) AS domains
              FROM links GROUP BY operator, host)
            SELECT links.operator,
                   count(DISTINCT links.domain) AS domains,
                   count(DISTINCT links.host) AS hosts,
                   count(DISTINCT links.domain) FILTER (
                     is_failing('domain', d.to_status)) AS domains_failing,
                   count(DISTINCT links.host) FILTER (
                     is_failing('mx', m.to_status)) AS hosts_failing,
                   CAST(any_value(c.n) AS BIGINT) AS changes_30d
            FROM links
            LEFT JOIN state d ON d.entity_type = 'domain' AND d.entity = links.domain
            LEFT JOIN state m ON m.entity_type = 'mx' AND m.entity = links.host
            LEFT JOIN (SELECT hosts.operator, sum(coalesce(changes.n, 0)) AS n
                       FROM hosts LEFT JOIN changes ON changes.entity = hosts.host
                       GROUP BY hosts.operator) c ON c.operator = links.operator
            GROUP BY links.operator
            ORDER BY domains_failing DESC, domains DESC, links.operator"""
        return self._ask(text, {"at": at, "look_back": self._limits.look_back})

    def sql(self, text: str) -> "pyarrow.Table":
        """Return the answer to one SELECT over the views. Raises QuestionError."""
        with self._connected() as connection:
            _demand_one_select(connection, text)
        return self._ask(text, None)

    def begins(self) -> datetime | None:
        """Return the time of the first thing the history tells of; None when it tells nothing."""
        answer = self._ask(
            """
            SELECT min(begin) AS begin FROM (
              SELECT min(observed_at) AS begin FROM all_transitions
              UNION ALL SELECT min(observed_at) FROM domain_checks)""",
            None,
        )
        begin: datetime | None = answer.column("begin").to_pylist()[0]
        return begin

    def knows(self, domain: str) -> bool:
        """Return whether ``domain`` was ever checked, or ever changed."""
        answer = self._ask(
            """
            (SELECT 1 AS one FROM domain_checks WHERE domain = $domain LIMIT 1)
            UNION ALL (SELECT 1 FROM all_transitions
                       WHERE entity_type = 'domain' AND entity = $domain LIMIT 1)""",
            {"domain": domain},
        )
        return bool(answer.num_rows)

    def views(self) -> dict[str, tuple[str, ...]]:
        """Return the views with their columns."""
        with self._connected() as connection:
            names = [*(table.name for table in TABLES), *_MORE_VIEWS]
            names = list(dict.fromkeys(names))
            return {
                name: tuple(row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall())
                for name in names
            }

    def _ask(self, text: str, values: "Mapping[str, Any] | None") -> "pyarrow.Table":
        import duckdb

        for attempt in range(self._limits.retries + 1):
            try:
                with self._connected() as connection:
                    relation = connection.sql(text, params=dict(values) if values else None)
                    return self._gathered(relation.to_arrow_reader(self._limits.batch_rows))
            except duckdb.IOException as error:
                # A merge replaces files; what it took away stands in another one by now.
                if "No such file" not in str(error) or attempt == self._limits.retries:
                    raise HistoryError(_first_line(error), path=self._directory) from error
                time.sleep(0.05)
            except duckdb.OutOfMemoryException as error:
                raise QuestionError(
                    f"more than {self._limits.memory_mib} MiB of memory would be needed; ask for "
                    "less: a shorter time, fewer columns"
                ) from error
            except (duckdb.BinderException, duckdb.CatalogException) as error:
                raise QuestionError(
                    f"{_first_line(error)} danewatch history sql, without a query, lists the views "
                    "and their columns"
                ) from error
            except duckdb.Error as error:
                raise QuestionError(_first_line(error)) from error
        raise AssertionError("unreachable")

    def _gathered(self, reader: "pyarrow.RecordBatchReader") -> "pyarrow.Table":
        """Return the whole answer, its columns named apart. Raises QuestionError."""
        import pyarrow

        left = self._limits.answer_mib * 1024 * 1024
        batches: list[pyarrow.RecordBatch] = []
        rows = 0
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            left -= batch.nbytes
            if left < 0:
                raise QuestionError(
                    f"the answer has {rows:,} rows and more, and is larger than "
                    f"{self._limits.answer_mib:,} MiB; ask for less (LIMIT, fewer columns), or "
                    "allow more with --max-mib"
                )
        answer = pyarrow.Table.from_batches(batches, reader.schema)
        return answer.rename_columns(_named_apart(answer.column_names))

    @contextmanager
    def _connected(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """Open a database in memory with the views, and lock it."""
        import duckdb

        limits = self._limits
        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": str(limits.threads),
            "memory_limit": f"{limits.memory_mib}MiB",
            "temp_directory": "",
        }
        connection = duckdb.connect(":memory:", config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            try:
                for table in TABLES:
                    connection.execute(_view(connection, self._directory, table))
            except (duckdb.IOException, duckdb.InvalidInputException) as error:
                raise HistoryError(_first_line(error), path=self._directory) from error
            connection.execute(_OPERATOR_OF)
            connection.execute(_is_failing())
            for name, text in _MORE_VIEWS.items():
                connection.execute(f"CREATE VIEW {name} AS {text}")
            allowed = {f"{self._directory}/", f"{_without_glob(str(self._directory))}/"}
            listed = ", ".join(_quoted(path) for path in sorted(allowed))
            connection.execute(f"SET allowed_directories = [{listed}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


_NO_LIMIT = 2**62
_OPERATOR_OF = """
    CREATE MACRO operator_of(host) AS
      CASE WHEN len(string_split(host, '.')) > 2 THEN substr(host, strpos(host, '.') + 1)
           ELSE host END"""
"""The domain above a host's name; a host directly below a top-level domain is its own operator."""

_MORE_VIEWS = {
    "transitions": """
        SELECT * FROM all_transitions
        QUALIFY row_number() OVER (PARTITION BY event_id) = 1""",
    "current": """
        SELECT * FROM all_transitions
        QUALIFY row_number() OVER (PARTITION BY entity_type, entity, profile
                ORDER BY observed_at DESC, event_id DESC) = 1""",
    "domain_hosts": """
        SELECT domain, one.host AS mx, one.preference AS preference,
               operator_of(one.host) AS operator, observed_at
        FROM (SELECT domain, observed_at, unnest(hosts) AS one FROM (
                SELECT domain, observed_at, hosts FROM domain_checks
                QUALIFY row_number() OVER (PARTITION BY domain ORDER BY observed_at DESC) = 1))""",
}


def _view(connection: "duckdb.DuckDBPyConnection", directory: Path, table: Table) -> str:
    """Return the statement that makes the view of ``table``, with every column of the schema."""
    key = "year" if table.partition is Partition.YEAR else "month"
    files = data_files(directory, table)
    if not files:
        columns = [f"CAST(NULL AS {_sql_type(one)}) AS {one.name}" for one in table.columns]
        columns.append(f"CAST(NULL AS VARCHAR) AS {key}")
        return f"CREATE VIEW {_raw(table)} AS SELECT {', '.join(columns)} WHERE false"
    listed = ", ".join(_quoted(_without_glob(str(file))) for file in files)
    source = (
        f"read_parquet([{listed}], union_by_name = true, hive_partitioning = true, "
        "hive_types_autocast = false)"
    )
    known = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    columns = [
        one.name if one.name in known else f"CAST(NULL AS {_sql_type(one)}) AS {one.name}"
        for one in table.columns
    ]
    return f"CREATE VIEW {_raw(table)} AS SELECT {', '.join([*columns, key])} FROM {source}"


def _raw(table: Table) -> str:
    return f"all_{table.name}" if table is TRANSITIONS else table.name


_SQL_TYPES = {
    ColumnType.STRING: "VARCHAR",
    ColumnType.BOOL: "BOOLEAN",
    ColumnType.INT32: "INTEGER",
    ColumnType.INT64: "BIGINT",
    ColumnType.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    ColumnType.BINARY: "BLOB",
    ColumnType.STRINGS: "VARCHAR[]",
}


def _sql_type(column: Column) -> str:
    if column.type is not ColumnType.STRUCTS:
        return _SQL_TYPES[column.type]
    fields = ", ".join(f'"{one.name}" {_sql_type(one)}' for one in column.fields)
    return f"STRUCT({fields})[]"


def _demand_one_select(connection: "duckdb.DuckDBPyConnection", text: str) -> None:
    import duckdb

    try:
        statements = connection.extract_statements(text)
    except (duckdb.Error, TypeError, ValueError) as error:  # the latter: no text in UTF-8
        raise QuestionError(_first_line(error)) from error
    # Not EXPLAIN either: EXPLAIN ANALYZE carries out what it explains, a COPY into a file too.
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QuestionError("write one SELECT; the history is only read")


def _is_failing() -> str:
    cases = " ".join(
        f"WHEN {_quoted(kind)} THEN status IN ({', '.join(_quoted(str(one)) for one in statuses)})"
        for kind, statuses in FAILING.items()
    )
    return f"CREATE MACRO is_failing(kind, status) AS CASE kind {cases} ELSE false END"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _without_glob(path: str) -> str:
    """Return ``path`` as a pattern that stands for itself alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def _named_apart(names: Sequence[str]) -> list[str]:
    """Return ``names``, a number behind each that was there before."""
    apart: list[str] = []
    taken = set(names)
    for name in names:
        chosen, number = name, 1
        while chosen in apart or (number > 1 and chosen in taken):
            number += 1
            chosen = f"{name}_{number}"
        apart.append(chosen)
    return apart


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no answer")
