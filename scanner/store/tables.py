"""Tables of the state file and the steps from one version of them to the next.

``states``, ``suspicions``, ``schedule`` hold one JSON document a row (``scanner.store.codec``),
``snapshots`` what the metrics page made of an entity. ``outbox`` are rows for the history, numbered
in the order in which they were committed; numbers are never used twice. ``files`` are the files
that rows were assigned to: a file has the rows of its table and partition numbered from
``first_id`` to ``last_id``. ``meta`` has single values; ``assigned_to`` is the last row assigned,
``profile`` the one that states are under.
"""

from collections.abc import Sequence

APPLICATION_ID = 0x64616E65
"""Marks the file as ours ("dane"); see PRAGMA application_id."""

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE states (entity_type TEXT NOT NULL, entity TEXT NOT NULL, data TEXT NOT NULL,"
        " PRIMARY KEY (entity_type, entity)) WITHOUT ROWID",
        "CREATE TABLE suspicions (entity_type TEXT NOT NULL, entity TEXT NOT NULL,"
        " data TEXT NOT NULL, PRIMARY KEY (entity_type, entity)) WITHOUT ROWID",
        "CREATE TABLE schedule (domain TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE snapshots (entity_type TEXT NOT NULL, entity TEXT NOT NULL,"
        " data BLOB NOT NULL, PRIMARY KEY (entity_type, entity))",
        "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL,"
        " partition TEXT NOT NULL, data BLOB NOT NULL)",
        "CREATE TABLE files (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
        " table_name TEXT NOT NULL, partition TEXT NOT NULL,"
        " first_id INTEGER NOT NULL, last_id INTEGER NOT NULL)",
        "INSERT INTO meta VALUES ('assigned_to', 0)",
    ),
)
"""Statements from version N to N+1, in order; each step is one transaction."""

VERSION = len(MIGRATIONS)
"""Version of the tables, kept in PRAGMA user_version."""

WRITE_ORDER = ("runs", "certificates", "host_checks", "zone_checks", "transitions", "domain_checks")
"""Order in which the tables of the history are written, so that what a row points to stands before
it does; tables not named here come first."""
