"""One record set and its signatures: secure, or one reason for each signature (RFC 4035 §5.3).

Rules
- Any one good signature suffices (RFC 6840 §5.11); what others say is kept for the diagnosis.
- Structure, key and dates are looked at before any arithmetic, and each verification is paid for
  before it is made. With nothing left to pay, the result is ``work-limit`` and indeterminate:
  nothing was proven against anybody.
- A remembered verification is never a remembered verdict: dates are compared anew every time.
"""

import hashlib
import struct
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from scanner.judge.budget import Budget
from scanner.judge.dnssec.algorithms import SIGNATURE_OCTETS, LoadedKey, Verdict, is_supported
from scanner.judge.dnssec.canonical import label_count, signed_owner, signing_input
from scanner.judge.dnssec.policy import MAX_SERIAL_SECONDS, DnssecPolicy
from scanner.judge.dnssec.zone import TrustedZone
from scanner.model.canonical import WILDCARD, name_of
from scanner.model.dnssec import REVOKE, CheckedRRset, RRset, Rrsig, SignatureCheck
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.record import maker
from scanner.model.vocabulary import DnssecStatus

_make_check = maker(SignatureCheck)
_make_checked = maker(CheckedRRset)
# Enumeration members by another name: reading one of its class takes ten times as long.
_SECURE: Final = DnssecStatus.SECURE
_GOOD: Final = Verdict.GOOD
_HALF = MAX_SERIAL_SECONDS // 2
_LENGTHS = struct.Struct("!HH")  # RDATA has 65,535 octets at most
_TYPE_DS = 43
_TYPE_DNSKEY = 48

_TELLING = (
    DnssecReason.RRSIG_EXPIRED,
    DnssecReason.RRSIG_NOT_YET_VALID,
    DnssecReason.RRSIG_INVALID,
    DnssecReason.WORK_LIMIT,
    DnssecReason.RRSIG_DATES_REVERSED,
    DnssecReason.RRSIG_BAD_LENGTH,
    DnssecReason.RRSIG_KEY_REVOKED,
    DnssecReason.DNSKEY_TOO_SMALL,
    DnssecReason.DNSKEY_TOO_LARGE,
    DnssecReason.DNSKEY_MALFORMED,
    DnssecReason.RRSIG_LABELS_WRONG,
    DnssecReason.RRSIG_NO_KEY,
    DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED,
    DnssecReason.RRSIG_SIGNER_WRONG,
)
"""Reasons of single signatures, the one that came nearest to success first."""


class VerificationMemo:
    """Remembers what verifications said, by key, signature and data; bounded, oldest out first.

    Mutable and shared by all answers; a hit says the same as the arithmetic would.
    """

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int = DnssecPolicy().max_memo_entries) -> None:
        self._limit = limit
        self._entries: OrderedDict[bytes, Verdict] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, entry: bytes) -> Verdict | None:
        """Return what is remembered."""
        return self._entries.get(entry)

    def put(self, entry: bytes, verdict: Verdict) -> None:
        """Remember ``verdict``."""
        self._entries[entry] = verdict
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)


class Verifier:
    """Checks record sets at one moment, within the bounds of one answer or one delegation."""

    __slots__ = (
        "_cut_short",
        "_failures",
        "_left",
        "_memo",
        "_seconds",
        "_verifications",
        "hashes",
        "now",
        "policy",
    )

    def __init__(
        self, *, now: datetime, policy: DnssecPolicy, memo: VerificationMemo | None = None
    ) -> None:
        """Make a verifier for ``now``; ``hashes`` is the budget of NSEC3 hashes beside it."""
        self.now = now
        self.policy = policy
        self.hashes = Budget(policy.max_nsec3_hashes)
        self._seconds = int(now.timestamp())
        self._memo = memo
        self._verifications = 0
        self._failures = 0
        self._left = 0  # verifications that may still be paid for the record set in hand
        self._cut_short = False  # whether one of it was not, or whether keys were left out

    @property
    def verifications(self) -> int:
        """Verifications paid for so far."""
        return self._verifications

    def check(self, rrset: RRset, zone: TrustedZone) -> CheckedRRset:
        """Return ``rrset`` judged by the keys of ``zone``: secure, bogus or indeterminate.

        ``wildcard`` is set where the good signature is that of a wildcard; whether expanding it
        was right needs a proof besides (RFC 4035 §5.3.4).
        """
        if len(rrset.rdatas) > self.policy.max_rrs_per_rrset:
            return self._failed(rrset, zone, DnssecReason.WORK_LIMIT, [])
        self._left, self._cut_short = self.policy.max_verifications_per_rrset, False
        alone = len(rrset.rrsigs) == 1 <= self.policy.max_rrsigs_per_rrset
        if alone and (keys := self._usual_keys(rrset, rrset.rrsigs[0], zone)):
            return self._check_usual(rrset, rrset.rrsigs[0], keys, zone)
        checks: list[SignatureCheck] = []
        good: Rrsig | None = None
        for rrsig in rrset.rrsigs[: self.policy.max_rrsigs_per_rrset]:
            if good is not None:
                checks.append(self._noted(rrsig, None, checked=False))
                continue
            reason = self._reason(rrset, rrsig, zone)
            checks.append(self._noted(rrsig, reason))
            if reason is None:
                good = rrsig
        if good is not None:
            return self._secure(rrset, zone, good, checks)
        if not rrset.rrsigs:
            return self._failed(rrset, zone, DnssecReason.RRSIG_MISSING, checks)
        self._cut_short |= len(rrset.rrsigs) > self.policy.max_rrsigs_per_rrset
        reason = DnssecReason.WORK_LIMIT if self._cut_short else _most_telling(checks)
        return self._failed(rrset, zone, reason, checks)

    def _usual_keys(
        self, rrset: RRset, rrsig: Rrsig, zone: TrustedZone
    ) -> tuple[LoadedKey, ...] | None:
        """Return the one key by which ``rrsig`` is, where nothing but arithmetic is left to do.

        That is how nearly every record set comes. It holds where ``_reason`` would find nothing
        wrong with structure, key and dates, and no wildcard is in it; None sends it there.
        """
        owner, apex = rrset.owner_labels, zone.labels
        if (
            rrsig.signer_labels != apex
            or owner[: len(apex)] != apex
            or rrsig.labels != len(owner)
            or not rrsig.inception <= self._seconds <= rrsig.expiration < rrsig.inception + _HALF
            or (rrset.rdtype == _TYPE_DS and owner == apex)
            or (owner and owner[-1] == WILDCARD)
        ):
            return None
        octets = len(rrsig.signature)
        if not octets or octets != SIGNATURE_OCTETS.get(rrsig.algorithm, octets):
            return None
        keys = zone.keys.get((rrsig.key_tag, rrsig.algorithm))
        if keys is None or len(keys) != 1 or not is_supported(rrsig.algorithm, self.policy):
            return None
        (key,) = keys
        return None if key.problem is not None or key.dnskey.flags & REVOKE else keys

    def _check_usual(
        self, rrset: RRset, rrsig: Rrsig, keys: tuple[LoadedKey, ...], zone: TrustedZone
    ) -> CheckedRRset:
        reason = self._arithmetic(rrset, rrsig, keys)
        expiration = rrsig.expiration
        noted = _make_check(
            rrsig=rrsig,
            inception=_moment(rrsig.inception),
            expiration=_moment(expiration),
            reason=reason,
        )
        if reason is not None:
            return self._failed(rrset, zone, reason, [noted])
        return _make_checked(
            owner=rrset.owner,
            rdtype=rrset.rdtype,
            zone=zone.name,
            status=_SECURE,
            # RFC 4035 §5.3.3
            ttl_seconds=min(rrset.ttl, rrsig.ttl, rrsig.original_ttl, expiration - self._seconds),
            signatures=(noted,),
            rrset=rrset,
        )

    def ahead(self, raw: int) -> int:
        """Return how many seconds after now the raw time of an RRSIG is; negative for before.

        Times are serial numbers (RFC 4034 §3.1.5, RFC 1982): within 68 years of now.
        """
        return (raw - self._seconds + _HALF) % MAX_SERIAL_SECONDS - _HALF

    def _reason(self, rrset: RRset, rrsig: Rrsig, zone: TrustedZone) -> DnssecReason | None:
        """Return why ``rrsig`` does not make ``rrset`` secure; None if it does."""
        reason = self._structure(rrset, rrsig, zone)
        if reason is not None:
            return reason
        keys = zone.keys.get((rrsig.key_tag, rrsig.algorithm))
        if not keys:
            return DnssecReason.RRSIG_NO_KEY
        if len(keys) > 1 or keys[0].dnskey.flags & REVOKE or keys[0].problem is not None:
            # A revoked key signs its own revocation and nothing else (RFC 5011 §2.1). Whether it
            # may also lead to the others is decided where it is matched with DS or anchor.
            over_keys = rrset.rdtype == _TYPE_DNSKEY
            usable = [key for key in keys if over_keys or not key.dnskey.flags & REVOKE]
            if not usable:
                return DnssecReason.RRSIG_KEY_REVOKED
            keys = tuple([key for key in usable if key.problem is None])
            if not keys:
                return usable[0].problem
        return self._dates(rrsig) or self._arithmetic(rrset, rrsig, keys)

    def _structure(self, rrset: RRset, rrsig: Rrsig, zone: TrustedZone) -> DnssecReason | None:
        apex, owner = zone.labels, rrset.owner_labels
        depth = len(apex)
        if rrsig.signer_labels != apex or owner[:depth] != apex:
            return DnssecReason.RRSIG_SIGNER_WRONG
        if rrset.rdtype == _TYPE_DS and owner == apex:
            return DnssecReason.RRSIG_SIGNER_WRONG  # RFC 4035 §5.2: the parent signs it
        if not depth <= rrsig.labels <= label_count(owner):
            return DnssecReason.RRSIG_LABELS_WRONG
        if not is_supported(rrsig.algorithm, self.policy):
            return DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED
        octets = len(rrsig.signature)
        if not octets or octets != SIGNATURE_OCTETS.get(rrsig.algorithm, octets):
            return DnssecReason.RRSIG_BAD_LENGTH
        return None

    def _dates(self, rrsig: Rrsig) -> DnssecReason | None:
        inception, expiration = rrsig.inception, rrsig.expiration
        if inception <= self._seconds <= expiration < inception + _HALF:
            return None  # as nearly always; the rest is for serial numbers that wrapped
        begins, ends = self.ahead(inception), self.ahead(expiration)
        if (expiration - inception) % MAX_SERIAL_SECONDS >= _HALF:
            return DnssecReason.RRSIG_DATES_REVERSED
        if ends < 0:
            return DnssecReason.RRSIG_EXPIRED
        if begins > 0:
            return DnssecReason.RRSIG_NOT_YET_VALID
        return None

    def _arithmetic(
        self, rrset: RRset, rrsig: Rrsig, keys: tuple[LoadedKey, ...]
    ) -> DnssecReason | None:
        data = signing_input(rrset, rrsig)
        verdicts: set[Verdict] = set()
        for key in keys[: self.policy.max_equal_key_tags]:
            verdict = self._verify(key, rrsig.signature, data)
            if verdict is None:
                return DnssecReason.WORK_LIMIT
            if verdict is _GOOD:
                return None
            verdicts.add(verdict)
        if len(keys) > self.policy.max_equal_key_tags:
            self._cut_short = True
            return DnssecReason.WORK_LIMIT
        if verdicts == {Verdict.UNSUPPORTED}:
            return DnssecReason.RRSIG_ALGORITHM_UNSUPPORTED
        return DnssecReason.RRSIG_INVALID

    def _verify(self, key: LoadedKey, signature: bytes, data: bytes) -> Verdict | None:
        """Return what the signature is worth; None when there is nothing left to pay with."""
        entry, known = b"", None
        if self._memo is not None:
            rdata = key.dnskey.rdata
            # With both lengths, or a longer key of one zone could pass for a shorter of another.
            lengths = _LENGTHS.pack(len(rdata), len(signature))
            parts = (lengths, rdata, signature, data)
            entry = hashlib.sha256(b"".join(parts)).digest()
            known = self._memo.get(entry)
        if known is not None:
            return known
        policy = self.policy
        spent = self._verifications >= policy.max_verifications
        if spent or not self._left or self._failures >= policy.max_failed_verifications:
            self._cut_short = True
            return None
        self._left -= 1
        self._verifications += 1
        verdict = key.verify(signature, data)
        if verdict is not _GOOD:
            self._failures += 1
        if self._memo is not None:
            self._memo.put(entry, verdict)
        return verdict

    def _secure(
        self, rrset: RRset, zone: TrustedZone, good: Rrsig, checks: list[SignatureCheck]
    ) -> CheckedRRset:
        expanded = good.labels < label_count(rrset.owner_labels)
        return _make_checked(
            owner=rrset.owner,
            rdtype=rrset.rdtype,
            zone=zone.name,
            status=_SECURE,
            # RFC 4035 §5.3.3
            ttl_seconds=min(rrset.ttl, good.ttl, good.original_ttl, self.ahead(good.expiration)),
            signatures=tuple(checks),
            wildcard=name_of(signed_owner(rrset, good)) if expanded else None,
            rrset=rrset,
        )

    def _failed(
        self, rrset: RRset, zone: TrustedZone, reason: DnssecReason, checks: list[SignatureCheck]
    ) -> CheckedRRset:
        limit = reason is DnssecReason.WORK_LIMIT
        return _make_checked(
            owner=rrset.owner,
            rdtype=rrset.rdtype,
            zone=zone.name,
            status=DnssecStatus.INDETERMINATE if limit else DnssecStatus.BOGUS,
            reason=reason,
            signatures=tuple(checks),
            rrset=rrset,
        )

    def _noted(
        self, rrsig: Rrsig, reason: DnssecReason | None, *, checked: bool = True
    ) -> SignatureCheck:
        return _make_check(
            rrsig=rrsig,
            inception=self.moment(rrsig.inception),
            expiration=self.moment(rrsig.expiration),
            reason=reason,
            checked=checked,
        )

    def moment(self, raw: int) -> datetime:
        """Return the moment the raw time of an RRSIG stands for."""
        try:
            return _moment(self._seconds + self.ahead(raw))
        except OverflowError:
            return self.now  # the clock is within 68 years of an end of the calendar


@lru_cache(maxsize=1024)  # a zone's signatures begin and end together
def _moment(seconds: int) -> datetime:
    """Return the moment so many seconds after 1970. Raises OverflowError."""
    return _EPOCH + timedelta(0, seconds)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _most_telling(checks: list[SignatureCheck]) -> DnssecReason:
    """Return the reason that came nearest to success."""
    reasons = {check.reason for check in checks}
    for reason in _TELLING:
        if reason in reasons:
            return reason
    return DnssecReason.RRSIG_INVALID
