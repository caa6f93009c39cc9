"""Every column of the history, declared once: name, type, unit, sentence; beside it every metric.

The Parquet writer, the metrics text, the documentation and the tests all read these declarations,
so that a column or metric nobody explained cannot exist. Metrics are declared in
``exporters.metrics`` and are found here too. Rules: columns are only ever added, and
never change their type or meaning; times are UTC with microseconds, durations int32 milliseconds,
hashes lower-case hex; what was not measured is null, and the metric absent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporters.metrics import (
    OWN_METRICS,
    PREFIX,
    RESULT_METRICS,
    Metric,
    MetricType,
    metrics_markdown,
)
from scanner.model.vocabulary import Profile

__all__ = [
    "CERTIFICATES",
    "DOMAIN_CHECKS",
    "HOST_CHECKS",
    "OWN_METRICS",
    "PREFIX",
    "RESULT_METRICS",
    "RUNS",
    "SCHEMA_VERSION",
    "TABLES",
    "TRANSITIONS",
    "ZONE_CHECKS",
    "Column",
    "ColumnType",
    "Metric",
    "MetricType",
    "Partition",
    "Table",
    "document_markdown",
    "metrics_markdown",
    "profile_prefix",
    "tables_markdown",
]

SCHEMA_VERSION = 1
"""Of the history; grows when columns are added, so that a reader can tell old rows."""


class ColumnType(StrEnum):
    """The types a column may have."""

    STRING = "string"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    TIMESTAMP = "timestamp[us, UTC]"
    BINARY = "binary"
    STRINGS = "list<string>"
    STRUCTS = "list<struct>"


class Partition(StrEnum):
    """The Hive partition key of a table, taken from the row's own time."""

    YEAR = "year"
    MONTH = "month"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column; ``fields`` are the members of a ``list<struct>``."""

    name: str
    type: ColumnType
    sentence: str
    unit: str | None = None
    fields: tuple["Column", ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table: a row is ``row``; ``time`` names the column that decides the partition.

    No two rows agree in all columns of ``unique_by``, so that a reader who sees a row in two files
    (a merge is under way) can tell.
    """

    name: str
    row: str
    partition: Partition
    time: str
    columns: tuple[Column, ...]
    sort_by: tuple[str, ...]
    unique_by: tuple[str, ...]


def profile_prefix(profile: Profile) -> str:
    """Return the profile as columns spell it: ``exchange_online``."""
    return profile.value.replace("-", "_")


def _text(name: str, sentence: str) -> Column:
    return Column(name=name, type=ColumnType.STRING, sentence=sentence)


def _texts(name: str, sentence: str) -> Column:
    return Column(name=name, type=ColumnType.STRINGS, sentence=sentence)


def _flag(name: str, sentence: str) -> Column:
    return Column(name=name, type=ColumnType.BOOL, sentence=sentence)


def _number(name: str, sentence: str, unit: str | None = None) -> Column:
    return Column(name=name, type=ColumnType.INT32, sentence=sentence, unit=unit)


def _count(name: str, sentence: str) -> Column:
    return Column(name=name, type=ColumnType.INT64, sentence=sentence)


def _time(name: str, sentence: str) -> Column:
    return Column(name=name, type=ColumnType.TIMESTAMP, sentence=sentence)


def _structs(name: str, sentence: str, *fields: Column) -> Column:
    return Column(name=name, type=ColumnType.STRUCTS, sentence=sentence, fields=fields)


_COMMON = (
    _text("run_id", "The run that wrote the row."),
    _text("scanner_id", "The scanner that wrote the row."),
    _number("schema_version", "Version of the history schema the row was written under."),
)


def _per_profile(*columns: tuple[str, str]) -> Iterator[Column]:
    for profile in Profile:
        for name, sentence in columns:
            yield _text(
                f"{profile_prefix(profile)}_{name}",
                sentence.replace("{profile}", f"the profile {profile}"),
            )


_HOST_OUTCOME = (
    ("outcome", "What a sender experiences at the host under {profile}."),
    ("reason", "Why, under {profile}; null when there is nothing to say."),
    ("code", "Enhanced status code seen while mail is queued, under {profile}."),
)

DOMAIN_CHECKS = Table(
    name="domain_checks",
    row="one check of a domain",
    partition=Partition.MONTH,
    time="observed_at",
    sort_by=("domain", "observed_at"),
    unique_by=("run_id", "domain", "observed_at"),
    columns=(
        *_COMMON,
        _text("domain", "The domain, lower-case A-labels without the trailing dot."),
        _time("observed_at", "When the check began."),
        _number("duration_ms", "How long the check took.", "milliseconds"),
        _flag("changed", "Whether this check caused a row in transitions for the domain."),
        _text("mx_status", "DNSSEC status of the MX lookup; null when not measured."),
        _text("mx_outcome", "How the MX lookup ended."),
        _text("mx_kind", "The MX stage: explicit, implicit, null, nxdomain or error."),
        _text("next_hop", "The domain after aliases."),
        _number("ede_code", "First extended DNS error code of the MX reply (RFC 8914)."),
        _text("resolver", "The resolver that answered the MX question."),
        _time("signature_expires_at", "When the first signature of the MX answer expires."),
        _text("incomplete", "A sentence when our own deadline or a bug cut the check short."),
        *_per_profile(
            ("verdict", "What happens to mail for the domain under {profile}."),
            ("phase", "Where mail is in the queue, as one check can tell, under {profile}."),
            ("reason", "Why, under {profile}; null when there is nothing to say."),
            ("result_type", "TLS reporting result type (RFC 8460 §4.3) under {profile}."),
            ("code", "Enhanced status code seen while mail is queued, under {profile}."),
            ("cause_code", "The more precise code where a generic one is shown, under {profile}."),
            ("final_code", "Code of the non-delivery report under {profile}."),
        ),
        _structs(
            "hosts",
            "The MX hosts in order of attempt.",
            _text("host", "Name of the MX host."),
            _number("preference", "Best MX preference of the host."),
            _time("observed_at", "Its latest probe, or the time of the check if none was made."),
            _texts("host_check_ids", "Its rows in host_checks, one for each address probed."),
            _text("applicability", "What DNS says about DANE at the host; null if not looked at."),
            _text("tlsa_base", "TLSA base domain of the host (RFC 7672 §2.2.2)."),
            *_per_profile(*_HOST_OUTCOME),
        ),
        _structs(
            "findings",
            "What is worth knowing and does not decide the verdict.",
            _text("code", "The finding, one of the reasons."),
            _text("severity", "How much it matters: info, warning or error."),
            _text("where", "The domain, host, address or zone it is about."),
            _text("message", "The finding in words."),
        ),
    ),
)

HOST_CHECKS = Table(
    name="host_checks",
    row="one probe of one address of an MX host, shared by all domains that use it",
    partition=Partition.MONTH,
    time="observed_at",
    sort_by=("host", "observed_at"),
    unique_by=("run_id", "host_check_id", "host", "address", "observed_at"),
    columns=(
        *_COMMON,
        _text("host_check_id", "Identifies the probe."),
        _text("host", "Name of the MX host."),
        _text("address", "The address probed."),
        _text("family", "Its family: ipv4 or ipv6."),
        _time("observed_at", "When the probe began."),
        _text("sni", "Server name sent in the handshake."),
        _text("tlsa_base", "TLSA base domain of the host."),
        _structs(
            "tlsa",
            "The secure TLSA records of the host.",
            _number("usage", "Certificate usage; null when the record is too short."),
            _number("selector", "Selector; null when the record is too short."),
            _number("matching_type", "Matching type; null when the record is too short."),
            _text("data", "Association data, hex."),
            _flag("usable", "Whether the record may authenticate the server."),
            _text("unusable_reason", "Why not."),
            _flag("matched", "Whether it matched at the host; null when nothing was seen."),
        ),
        _text("stage", "The last step that was begun; done when TLS came up."),
        _text("error", "Why the probe ended before done; null when it did not."),
        _text("detail", "The error in words."),
        _number("reply_code", "The SMTP reply that ended the probe."),
        _text("reply_text", "Its text."),
        _flag("starttls_offered", "Whether STARTTLS was offered; null if no EHLO reply was read."),
        _flag("helo_fallback", "Whether EHLO was refused and HELO used."),
        _flag("early_plaintext", "Whether clear-text bytes came between STARTTLS and handshake."),
        _text("tls_version", "Negotiated TLS version."),
        _text("cipher", "Negotiated cipher suite."),
        _text("key_exchange_group", "Negotiated key exchange group."),
        _text("leaf_sha256", "SHA-256 of the server's certificate; its row in certificates."),
        _text("leaf_spki_sha256", "SHA-256 of the public key of the server's certificate."),
        _texts("chain_sha256", "SHA-256 of every certificate presented, the server's own first."),
        _text(
            "other_algorithm",
            "What came of asking for a certificate of the other algorithm, RSA or ECDSA: not-asked,"
            " none, shown or unknown; null before this column existed.",
        ),
        _texts("other_chain_sha256", "SHA-256 of every certificate presented to a client of that."),
        _time("not_before", "Start of validity of the server's certificate."),
        _time("not_after", "End of validity of the server's certificate."),
        _texts("transcript", "The server's reply lines before TLS."),
        _number(
            "attempts",
            "Connections made until this result; 0 where the address was left alone, or found"
            " closed just before under another host name.",
        ),
        _number("connect_ms", "From the start of the probe to the connection.", "milliseconds"),
        _number("greeting_ms", "To the greeting.", "milliseconds"),
        _number("ehlo_ms", "To the EHLO reply.", "milliseconds"),
        _number("starttls_ms", "To the STARTTLS reply.", "milliseconds"),
        _number("handshake_ms", "To the end of the handshake.", "milliseconds"),
        _number("total_ms", "To the end of the probe.", "milliseconds"),
    ),
)

ZONE_CHECKS = Table(
    name="zone_checks",
    row=(
        "one zone validated in a run: its first sight, and one more each time its status or reason"
        " changed in the run; of the service also one a day"
    ),
    partition=Partition.MONTH,
    time="observed_at",
    sort_by=("dns_zone", "observed_at"),
    unique_by=("run_id", "dns_zone", "observed_at"),
    columns=(
        *_COMMON,
        _text("dns_zone", "The zone; the root is a dot."),
        _time("observed_at", "When the zone was last validated."),
        _text("parent", "The zone above; null for the zone of a trust anchor."),
        _text("status", "DNSSEC status of the zone's keys; bogus where an answer of it is."),
        _text("reason", "Why it is not secure, one of the DNSSEC reasons."),
        _number("ede_code", "The extended DNS error of the reason (RFC 8914)."),
        _structs(
            "ds",
            "The DS records at the parent; for a trust anchor the anchor.",
            _number("key_tag", "Key tag of the key it points to."),
            _number("algorithm", "Algorithm of that key."),
            _number("digest_type", "Digest type."),
        ),
        _structs(
            "dnskeys",
            "The keys of the zone.",
            _number("key_tag", "Key tag."),
            _number("algorithm", "Algorithm."),
            _number("flags", "Flags: 256 signs the zone, 257 signs its keys."),
            _number("bits", "Size of the key; null where unknown.", "bits"),
        ),
        _time("signature_inception", "When the signature that ends first became valid."),
        _time("signature_expiration", "When the first of the signatures seen ends, or ended."),
        _structs(
            "findings",
            "What was wrong with the zone, is worth a warning, or is to come.",
            _text("code", "The finding, one of the DNSSEC reasons."),
            _text("severity", "How much it matters: info, warning or error."),
            _text("message", "The finding in words."),
        ),
    ),
)

CERTIFICATES = Table(
    name="certificates",
    row="one distinct certificate",
    partition=Partition.YEAR,
    time="first_seen_at",
    sort_by=("sha256",),
    unique_by=("sha256",),
    columns=(
        *_COMMON,
        _text("sha256", "SHA-256 of the DER certificate."),
        _text("spki_sha256", "SHA-256 of the DER public key."),
        _text("subject", "Subject, RFC 4514 text."),
        _text("issuer", "Issuer, RFC 4514 text."),
        _text("serial", "Serial number, hex."),
        _texts("names", "DNS names of the subject alternative name."),
        _time("not_before", "Start of validity."),
        _time("not_after", "End of validity."),
        _text("key_type", "Type of the public key."),
        _number("key_bits", "Size of the public key.", "bits"),
        _text("signature_algorithm", "How the certificate is signed."),
        _flag("is_ca", "Whether it says it is a CA; null when it could not be read."),
        _text("problem", "A sentence when it could not be read; the facts are then null."),
        Column(name="der", type=ColumnType.BINARY, sentence="The certificate itself, DER."),
        _time("first_seen_at", "The first probe that brought it."),
    ),
)

TRANSITIONS = Table(
    name="transitions",
    row="one confirmed change of a domain, MX host or zone",
    partition=Partition.YEAR,
    time="observed_at",
    sort_by=("entity", "observed_at"),
    unique_by=("event_id",),
    columns=(
        *_COMMON,
        _text("event_id", "UUIDv7 of the change; unique."),
        _time("observed_at", "When the check that confirmed the change ran."),
        _text("entity_type", "What changed: domain, mx or zone."),
        _text("entity", "Its name."),
        _text("profile", "The profile that judged; for a zone that of the run, which has no part."),
        _text("from_status", "Status before; null at first sight."),
        _text("to_status", "Status now: a domain verdict, host outcome or DNSSEC status."),
        _text("from_reason", "Reason before."),
        _text("to_reason", "Reason now."),
        _text("from_phase", "Delivery phase before; null at first sight."),
        _text("to_phase", "Delivery phase now."),
        _text("code", "Enhanced status code senders see now."),
        _time("since", "When the old state began; null at first sight."),
        _time("failing_since", "When delivery began to fail; null where it works."),
        _time(
            "began_at",
            "The first look that showed the new state, where a second one had to confirm it.",
        ),
        _time("bounces_from", "When mail queued at that moment is returned; domains only."),
        _structs(
            "evidence",
            "What the change rests on.",
            _text("key", "What is told."),
            _text("value", "What it was."),
        ),
        _structs(
            "labels",
            "The operator's own labels of the domain.",
            _text("key", "Name of the label."),
            _text("value", "Its value."),
        ),
    ),
)


def _verdict_counts(profile: Profile) -> Column:
    return _structs(
        f"{profile_prefix(profile)}_verdicts",
        f"Domains by verdict under the profile {profile}.",
        _text("verdict", "The verdict."),
        _count("domains", "Checks with this verdict."),
    )


RUNS = Table(
    name="runs",
    row=(
        "a cycle or a batch; a resumed one has a row for each part, the service one at each start"
        " and one at each orderly stop"
    ),
    partition=Partition.YEAR,
    time="started_at",
    sort_by=("started_at",),
    unique_by=("run_id", "started_at", "ended_at"),
    columns=(
        *_COMMON,
        _time("started_at", "When the run, or this part of it, began."),
        _time("ended_at", "When it ended; null at the start of a service."),
        _text(
            "outcome",
            "How it ended: completed, interrupted or blind; of the service: started, which has no"
            " end yet, or stopped.",
        ),
        _text("detail", "A sentence when it did not complete."),
        _text("version", "Version of danewatch."),
        _text("configuration_sha256", "SHA-256 of the configuration in force."),
        _text("profile", "The profile that decided metrics and transitions."),
        _texts("resolvers", "The resolvers asked."),
        _text("shard", "Which share of the targets, as i/N; null for all."),
        _count("targets", "Domains on the target list; null when not told."),
        _count("domains_checked", "Checks written by this part."),
        _count("host_checks", "Probes written by this part."),
        _count("certificates_new", "Certificates seen for the first time."),
        _count("transitions", "Transitions written by this part."),
        _count("zone_checks", "Zone checks written by this part; null before the table existed."),
        *(_verdict_counts(profile) for profile in Profile),
    ),
)

TABLES = (TRANSITIONS, DOMAIN_CHECKS, HOST_CHECKS, ZONE_CHECKS, CERTIFICATES, RUNS)


def tables_markdown(tables: Sequence[Table] = TABLES) -> str:
    """Return the reference of the history for ``docs/history.md``."""
    parts: list[str] = []
    for table in tables:
        parts += [f"### `{table.name}`", ""]
        parts += [f"A row is {table.row}. Partition: `{table.partition}=` of `{table.time}`.", ""]
        parts += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        parts += [_row(path, column) for path, column in _flat(table.columns)]
        parts.append("")
    return "\n".join(parts)


def document_markdown(schema: Mapping[str, Any]) -> str:
    """Return the reference of a JSON Schema of ours: one table for each object in it."""
    parts = _object_markdown("The document", schema)
    for name, definition in schema["$defs"].items():
        parts += _object_markdown(f"`{name}`", definition)
    return "\n".join(parts)


def _object_markdown(title: str, schema: Mapping[str, Any]) -> list[str]:
    parts = [f"### {title}", "", schema["description"], ""]
    parts += ["| key | type | meaning |", "|---|---|---|"]
    parts += [
        f"| `{path}` | {_json_type(value)} | {value['description']} |"
        for path, value in _flat_properties(schema["properties"])
    ]
    return [*parts, ""]


def _flat_properties(
    properties: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in properties.items():
        yield prefix + key, value
        inner = value.get("items", value)
        yield from _flat_properties(inner.get("properties", {}), f"{prefix}{key}.")


def _json_type(value: Mapping[str, Any]) -> str:
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        words = ["null" if word is None else f"`{word}`" for word in value["enum"]]
        return ", ".join(words)
    if "anyOf" in value:
        return " or ".join(_json_type(option) for option in value["anyOf"])
    if "$ref" in value:
        return str(value["$ref"]).removeprefix("#/$defs/")
    if value["type"] == "array":
        return f"array of {_json_type(value['items'])}"
    if "additionalProperties" in value:
        return f"object of {_json_type(value['additionalProperties'])} by profile"
    types = value["type"] if isinstance(value["type"], list) else [value["type"]]
    shown = "time" if value.get("format") == "date-time" else types[0]
    return " or ".join([shown, *types[1:]])


def _flat(columns: Sequence[Column], prefix: str = "") -> Iterator[tuple[str, Column]]:
    for column in columns:
        yield prefix + column.name, column
        yield from _flat(column.fields, f"{prefix}{column.name}.")


def _row(path: str, column: Column) -> str:
    return f"| `{path}` | {column.type} | {column.unit or ''} | {column.sentence} |"
