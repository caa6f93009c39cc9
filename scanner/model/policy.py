"""The choices that change a verdict; every one of them an argument of the pure judges."""

from dataclasses import dataclass
from datetime import timedelta

from scanner.model.vocabulary import CodeSet, Profile, Scenario1Scope

MAX_WORKERS = 64
"""Worker processes of one danewatch at most; ours. Each takes some 60 MiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How evidence is judged.

    ``scenario1_scope`` and ``code_set`` apply to the ``exchange-online`` profile,
    ``dane_on_insecure_mx`` and ``digest_agility`` to ``rfc7672``. ``mandatory`` applies to both:
    a destination without usable DANE is then deferred (RFC 7672 §6; connector mode Mandatory).
    """

    profile: Profile = Profile.EXCHANGE_ONLINE
    """The profile that decides exit codes, metrics and transitions; both are always computed."""
    scenario1_scope: Scenario1Scope = Scenario1Scope.DOMAIN
    code_set: CodeSet = CodeSet.CODES_2024
    mandatory: bool = False
    dane_on_insecure_mx: bool = False
    digest_agility: bool = True
    queue_life: timedelta = timedelta(hours=24)
    """How long an Exchange Online sender keeps mail before it bounces (S-14)."""
    max_chain_certificates: int = 32
    """Certificates of one presented chain that are looked at; more are ignored with a finding."""
    max_tlsa_records: int = 64
    """Usable TLSA records that are compared; a larger RRset is judged on the first so many in
    canonical order, with a finding."""
    signature_budget: int = 64
    """Issuer signatures checked while building one DANE-TA path (RFC 7671 §5.2)."""
    expiry_warning: timedelta = timedelta(days=14)
    """Certificates that end sooner raise a finding where expiry breaks delivery."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingLimits:
    """Bounds of the DNS stage.

    Sources: alias limit as unbound's 11 restarts rounded up and Postfix' 10; MX and address counts
    are ours, far above anything seen in practice and small enough to bound work.
    """

    max_aliases: int = 16
    max_mx_hosts: int = 100
    max_addresses_per_host: int = 32
