"""Judgements: what evidence means, under each profile.

Judgement
  ProfileVerdict*        one for each profile
    HostJudgement*       one for each MX host, in order of attempt
      AddressJudgement*  one for each probed address
  HostFacts*             what does not depend on the profile: records, certificates
  Finding*
"""

from datetime import datetime

from scanner.model.names import Name
from scanner.model.observation import DomainObservation, TlsaRecord
from scanner.model.reasons import Reason
from scanner.model.record import record
from scanner.model.vocabulary import (
    DeliveryPhase,
    DomainVerdict,
    Fault,
    HostOutcome,
    Profile,
    ResultType,
    Severity,
)


@record
class CertificateFacts:
    """What one certificate says, and its hashes in lower-case hex.

    ``problem`` is a sentence when the DER could not be read; the other facts are then absent
    except for ``sha256``. A single fact is absent too where only that one could not be read.
    ``serial`` is in hexadecimal. ``names`` are what senders compare: the dNSName entries, or the
    common names where there are none.
    """

    sha256: str
    der: bytes
    spki_sha256: str | None = None
    subject: str | None = None
    issuer: str | None = None
    serial: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    names: tuple[str, ...] = ()
    key_type: str | None = None
    key_bits: int | None = None
    signature_algorithm: str | None = None
    is_ca: bool | None = None
    problem: str | None = None


@record
class TlsaJudgement:
    """One TLSA record: usable for SMTP or why not, and whether it matched what was presented.

    ``matched`` is None when no certificate was seen to compare it with.
    """

    record: TlsaRecord
    usable: bool
    unusable_reason: Reason | None
    matched: bool | None


@record
class Judged:
    """An outcome with its reason, as every level carries it.

    ``code`` is the enhanced status code a sender shows while mail is queued (``4.7.323``),
    ``cause_code`` the more precise one where the sender shows a generic one. ``transient`` says
    that the failure belongs to the class that needs confirmation before an alarm (table 3e).
    """

    outcome: HostOutcome
    reason: Reason | None = None
    result_type: ResultType | None = None
    code: str | None = None
    cause_code: str | None = None
    transient: bool = False
    detail: str | None = None


@record
class AddressJudgement:
    """What a sender of this profile experiences at one address.

    ``judged`` rests on the certificate an ordinary client is shown. ``other`` is what a sender
    meets that is shown the one of the other algorithm; None where there is none, or where the
    certificate does not decide.
    """

    address: str
    judged: Judged
    other: Judged | None = None


@record
class HostJudgement:
    """What a sender of this profile experiences at one MX host."""

    host: Name
    preference: int
    judged: Judged
    addresses: tuple[AddressJudgement, ...] = ()


@record
class ProfileVerdict:
    """What happens to mail for the domain under one profile.

    ``final_code`` is the code of the non-delivery report once the queue life is over. ``headline``
    is the host whose code is shown; None for causes of the domain itself.
    ``other_scope_verdict`` is what the other ``scenario1_scope`` would give, where it differs.
    """

    profile: Profile
    verdict: DomainVerdict
    phase: DeliveryPhase
    reason: Reason | None = None
    result_type: ResultType | None = None
    code: str | None = None
    cause_code: str | None = None
    final_code: str | None = None
    fault: Fault = Fault.NOBODY
    transient: bool = False
    headline: Name | None = None
    other_scope_verdict: DomainVerdict | None = None
    hosts: tuple[HostJudgement, ...] = ()


@record
class AddressFacts:
    """Certificates seen at one address, leaf first; ``other_chain`` by the other algorithm."""

    address: str
    chain: tuple[CertificateFacts, ...] = ()
    other_chain: tuple[CertificateFacts, ...] = ()


@record
class HostFacts:
    """What was read at one MX host, whatever the profile.

    ``expected_records`` are TLSA records in presentation form that would match the presented leaf.
    """

    host: Name
    tlsa: tuple[TlsaJudgement, ...] = ()
    addresses: tuple[AddressFacts, ...] = ()
    expected_records: tuple[str, ...] = ()


@record
class Finding:
    """Something worth knowing that does not by itself decide the verdict.

    ``code`` is a Reason: findings and reasons share one list and one documentation page.
    ``where`` names the domain, host, address or zone it is about.
    """

    code: Reason
    severity: Severity
    where: str
    message: str


@record
class Judgement:
    """The whole opinion about one observation, as of ``judged_at``."""

    judged_at: datetime
    verdicts: tuple[ProfileVerdict, ...]
    hosts: tuple[HostFacts, ...] = ()
    findings: tuple[Finding, ...] = ()

    def of(self, profile: Profile) -> ProfileVerdict:
        """Return the verdict under ``profile``."""
        for verdict in self.verdicts:
            if verdict.profile is profile:
                return verdict
        raise KeyError(profile)


@record
class Check:
    """One finished check: evidence and opinion together, as sinks receive it."""

    observation: DomainObservation
    judgement: Judgement

    @property
    def domain(self) -> Name:
        """The domain that was checked."""
        return self.observation.domain
