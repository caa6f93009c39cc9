"""Every setting of danewatch, declared once: name, type, default, unit, bounds, one sentence.

The loader checks against these declarations, the documentation is written from them, and a test
holds that each of them reaches the scanner. Rules: a unit stands in the name (``_seconds``,
``_days``) and in the table; a default is what a careful operator would choose; an option on the
command line always wins over the file. Those of the monitoring service stand in
``scanner.config.service``.
"""

import hashlib

from scanner.config.declare import EhloName, Path, Section, Server, section, setting
from scanner.config.service import (
    HistorySection,
    HttpSection,
    LogSection,
    ScheduleSection,
    SelfTestSection,
    StateSection,
    TargetsSection,
)
from scanner.model.policy import MAX_WORKERS
from scanner.model.vocabulary import (
    CodeSet,
    Profile,
    Scenario1Scope,
    Sha1Policy,
    ValidationMode,
)


class ResolverSection(Section):
    """Which resolvers are asked. They must validate DNSSEC, over a path nobody can tamper with."""

    servers: tuple[Server, ...] = setting(
        (),
        "Validating resolvers, as ADDR or ADDR:PORT, in order of preference.",
        shown_default="the name servers of /etc/resolv.conf",
        example='["127.0.0.1", "[::1]:5353"]',
        lax=True,
    )
    try_timeout_seconds: float = setting(
        3.0,
        "One resolver's time for one try.",
        unit="seconds",
        at_least=0.1,
        at_most=60,
    )
    tries: int = setting(
        3, "Rounds over the resolvers that have not answered.", at_least=1, at_most=10
    )
    total_timeout_seconds: float = setting(
        12.0,
        "The time one lookup may take, aliases and second looks included.",
        unit="seconds",
        at_least=1,
        at_most=300,
    )
    lookups_in_flight: int = setting(
        500,
        "Questions in flight to the resolvers while they keep up; more wait.",
        at_least=1,
        at_most=10_000,
    )
    least_lookups_in_flight: int = setting(
        20,
        "Questions in flight are halved while the resolvers begin to time out; never below this.",
        at_least=1,
        at_most=10_000,
    )


class ValidationSection(Section):
    """Who validates DNSSEC."""

    mode: ValidationMode = setting(
        ValidationMode.LOCAL,
        "Who validates: danewatch itself, or the configured resolvers.",
        lax=True,
    )
    trust_anchor: Path | None = setting(
        None,
        "File of DS or DNSKEY records in presentation form, for local validation.",
        shown_default="the root anchors shipped with danewatch",
        example='"/etc/danewatch/root.anchors"',
    )
    sha1: Sha1Policy = setting(
        Sha1Policy.INSECURE,
        "What signatures by algorithms 5 and 7 are worth, for local validation: insecure counts "
        "them as unsupported (RFC 9905 §2), validate verifies them like any other.",
        lax=True,
    )
    sha1_ds: Sha1Policy = setting(
        Sha1Policy.VALIDATE,
        "The same for DS records with digest type 1, where a zone has no stronger ones.",
        lax=True,
    )
    name_server_port: int = setting(
        53,
        "The port a zone's own name servers are asked on when a chain is broken; another than 53 "
        "is for a laboratory, and lets servers at special-purpose addresses be asked too.",
        at_least=1,
        at_most=65_535,
    )


class PolicySection(Section):
    """How evidence is judged."""

    profile: Profile = setting(
        Profile.EXCHANGE_ONLINE,
        "The profile that decides exit codes, metrics and transitions; both are always computed.",
        lax=True,
    )
    scenario1_scope: Scenario1Scope = setting(
        Scenario1Scope.DOMAIN,
        "How far one record that is not authentic reaches under exchange-online: "
        "the whole domain, or its host only.",
        lax=True,
    )
    code_set: CodeSet = setting(
        CodeSet.CODES_2024,
        "The version of Exchange Online's code table; seed is the one without 4.7.325.",
        lax=True,
    )
    mandatory: bool = setting(
        False,
        "Whether a destination without usable DANE counts as not delivered "
        "(RFC 7672 §6; connector mode Mandatory).",
    )
    dane_on_insecure_mx: bool = setting(
        False,
        "Whether rfc7672 uses the TLSA records of a host named by an insecure MX record "
        "(RFC 7672 §2.2.1 allows it).",
    )
    digest_agility: bool = setting(
        True,
        "Whether rfc7672 compares only the strongest digest published (RFC 7671 §9).",
    )
    expiry_warning_days: int = setting(
        14,
        "How long before its end a certificate raises a finding, where expiry breaks delivery.",
        unit="days",
        at_least=0,
        at_most=365,
    )


class SmtpSection(Section):
    """How MX hosts are contacted."""

    port: int = setting(
        25,
        "The port MX hosts are contacted on; anything but 25 is for a laboratory.",
        at_least=1,
        at_most=65_535,
    )
    ehlo_name: EhloName | None = setting(
        None,
        "The name danewatch gives itself in EHLO; use one that resolves to this machine's address.",
        shown_default="this machine's host name",
        example='"scanner.example.com"',
    )
    allow_private_addresses: bool = setting(
        False,
        "Whether MX addresses in special-purpose ranges are contacted; for a laboratory.",
    )
    both_algorithms: bool = setting(
        True,
        "Whether hosts with TLSA records are asked for both their RSA and their ECDSA certificate, "
        "by a second connection after the first; senders differ in which one they are shown.",
    )
    connect_timeout_seconds: float = setting(
        20.0, "The time to connect.", unit="seconds", at_least=1, at_most=300
    )
    greeting_timeout_seconds: float = setting(
        30.0,
        "The time until the server greets; many delay it against spam.",
        unit="seconds",
        at_least=1,
        at_most=300,
    )
    reply_timeout_seconds: float = setting(
        20.0,
        "The time for the reply to EHLO, HELO and STARTTLS, each.",
        unit="seconds",
        at_least=1,
        at_most=300,
    )
    handshake_timeout_seconds: float = setting(
        20.0, "The time for the TLS handshake.", unit="seconds", at_least=1, at_most=300
    )
    total_timeout_seconds: float = setting(
        60.0,
        "The time for one address, a repetition included.",
        unit="seconds",
        at_least=1,
        at_most=900,
    )


class LimitsSection(Section):
    """Bounds of the work."""

    domain_timeout_seconds: float = setting(
        120.0,
        "The time one check of one domain may take.",
        unit="seconds",
        at_least=1,
        at_most=3_600,
    )
    workers: int = setting(
        1,
        "Processes that look things up, connect and judge, beside the one that keeps everything "
        "together; with 1 that one does it all, with 0 there is one for each usable processor.",
        at_least=0,
        at_most=MAX_WORKERS,
    )
    domains_in_flight: int = setting(
        200,
        "Domains checked at the same time, without those in the slow lane.",
        at_least=1,
        at_most=10_000,
    )
    slow_after_seconds: float = setting(
        5.0,
        "A check or a connection that has taken so long waits for somebody slow: it moves to the "
        "slow lane and holds up nobody.",
        unit="seconds",
        at_least=0.1,
        at_most=3_600,
    )
    slow_domains_in_flight: int = setting(
        1_000,
        "Domains in the slow lane at the same time; 0 is no such lane.",
        at_least=0,
        at_most=100_000,
    )
    probes_in_flight: int = setting(
        200,
        "SMTP connections open at the same time, without those in the slow lane.",
        at_least=1,
        at_most=10_000,
    )
    slow_probes_in_flight: int = setting(
        1_000,
        "SMTP connections in the slow lane at the same time, most of them not answered yet; "
        "0 is no such lane.",
        at_least=0,
        at_most=100_000,
    )
    probes_per_network: int = setting(
        8,
        "SMTP connections open at the same time to one IPv4 /24 or IPv6 /48.",
        at_least=1,
        at_most=1_000,
    )
    probes_per_network_per_second: float | None = setting(
        None,
        "SMTP connections a second to one IPv4 /24 or IPv6 /48, after the first 8; 0 is no bound.",
        shown_default="0 in a pass, 2 in the service",
        example="5",
        at_least=0,
        at_most=10_000,
    )
    probes_per_operator_per_second: float | None = setting(
        None,
        "SMTP connections a second to the mail hosts of one parent domain, after the first 16; "
        "0 is no bound.",
        shown_default="0 in a pass, 4 in the service",
        example="10",
        at_least=0,
        at_most=10_000,
    )
    seconds_between_probes: float | None = setting(
        None,
        "From the end of one SMTP connection to an address to the beginning of the next; where it "
        "leaves a probe no time for its second connection (both_algorithms), none is made.",
        shown_default="0 in a pass, 1 in the service",
        example="10",
        unit="seconds",
        at_least=0,
        at_most=3_600,
    )
    mx_hosts: int = setting(
        100,
        "MX hosts of one domain that are looked at; more are a finding.",
        at_least=1,
        at_most=1_000,
    )
    addresses_per_host: int = setting(
        32,
        "Addresses of one MX host that are looked at.",
        at_least=1,
        at_most=1_000,
    )
    blind_patience_seconds: float = setting(
        60.0,
        "How long the resolvers may fail control questions before a pass ends as blind.",
        unit="seconds",
        at_least=0,
        at_most=3_600,
    )


class MetricsSection(Section):
    """How results are shown to Prometheus."""

    textfile: Path | None = setting(
        None,
        "File a pass writes its metrics to, for node_exporter's textfile collector; "
        "relative to the configuration file.",
        shown_default="none",
        example='"/var/lib/node_exporter/danewatch.prom"',
    )


class DaskSection(Section):
    """The cluster of danewatch scan --engine dask."""

    scheduler: str | None = setting(
        None,
        "Where the scheduler of the cluster listens, as tls://HOST:PORT.",
        shown_default="none",
        example='"tls://scheduler.example.net:8786"',
    )
    tls_ca: Path | None = setting(
        None,
        "File with the CA of the cluster (PEM), relative to the configuration file.",
        shown_default="none",
        example='"/etc/danewatch/cluster-ca.pem"',
    )
    tls_certificate: Path | None = setting(
        None,
        "File with our own certificate (PEM), relative to the configuration file.",
        shown_default="none",
        example='"/etc/danewatch/cluster.pem"',
    )
    tls_key: Path | None = setting(
        None,
        "File with the key of that certificate (PEM), relative to the configuration file.",
        shown_default="none",
        example='"/etc/danewatch/cluster.key"',
    )
    plaintext: bool = setting(
        False,
        "Whether a scheduler may be reached without TLS; whoever reaches it can run anything on "
        "every worker.",
    )
    shard_domains: int = setting(
        1_000, "Domains of one shard, looked up by one task.", at_least=1, at_most=20_000
    )
    group_probes: int = setting(
        500,
        "Probes of one task, unless one network has more.",
        at_least=1,
        at_most=20_000,
    )


class Config(Section):
    """A whole configuration file. An empty file is a valid one."""

    resolver: ResolverSection = section(ResolverSection)
    validation: ValidationSection = section(ValidationSection)
    policy: PolicySection = section(PolicySection)
    smtp: SmtpSection = section(SmtpSection)
    limits: LimitsSection = section(LimitsSection)
    targets: TargetsSection = section(TargetsSection)
    schedule: ScheduleSection = section(ScheduleSection)
    self_test: SelfTestSection = section(SelfTestSection)
    state: StateSection = section(StateSection)
    history: HistorySection = section(HistorySection)
    metrics: MetricsSection = section(MetricsSection)
    http: HttpSection = section(HttpSection)
    log: LogSection = section(LogSection)
    dask: DaskSection = section(DaskSection)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all settings, in hex: equal for files that mean the same."""
        return hashlib.sha256(self.model_dump_json().encode("utf-8")).hexdigest()
