"""Find the trust paths of usage DANE-TA(2) (RFC 7671 §5.2, RFC 7672 §3.1.2, RFC 5280 §6).

What a path is
    It begins at the leaf, the first certificate presented. Each further certificate must be named
    as issuer by the one before and have signed it. It ends where a TLSA record matches:

    * at an issuer, depth 1 or more, whose certificate or key the record names. The anchor need not
      be self-signed, and no public root is ever asked for;
    * at an issuer that stands only in the record (2 0 0) and not in the handshake (RFC 7671
      §5.2.2);
    * at a certificate with no issuer among those presented, when the bare key of a record 2 1 0
      has signed it (RFC 7671 §5.2.3). With a self-signed leaf this makes the leaf its own anchor,
      as OpenSSL has it; no other record of usage 2 ever matches the leaf.

Rules of this file
    * Presented certificates are a set: order, repetition, strangers and loops change nothing. The
      search is breadth first over candidates in an order of their own, so short paths are found
      first, whatever order they came in.
    * The budget is spent before each signature; steps without one are bounded by MAX_STEPS. When
      either runs out the result says so, and "no path" is then not known.
    * A path with faults is kept with its faults: "your intermediate has expired" helps where
      "no path" does not.
    * What lies above the anchor is never looked at: an expired root there is no fault (case 72).
    * The anchor's own certificate, when there is one, must be fit to issue, as OpenSSL has it. Its
      dates count when it is self-signed and not otherwise: RFC 5280 §6.1 knows no dates of
      anchors, and this is where OpenSSL, under nearly every sender, draws the line. GnuTLS and Go
      check the dates of every anchor, so a stale one that passes is marked ``stale_anchor``.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scanner.judge import constraints, signature
from scanner.judge.budget import Budget, BudgetExceededError
from scanner.judge.certificate import ParsedCertificate, load
from scanner.judge.tlsa import (
    MATCHING_FULL,
    SELECTOR_CERTIFICATE,
    SELECTOR_SPKI,
    Association,
    associations,
    matches,
)
from scanner.model.observation import TlsaRecord
from scanner.model.reasons import Reason

MAX_STEPS = 2_000
"""Paths looked at in one search; a real chain has below ten, and ours costs 20 microseconds a
step. Cross-signed CAs by the dozen could otherwise be combined into millions of paths."""

KEY_CERT_SIGN = 5
"""Bit of keyUsage (RFC 5280 §4.2.1.3)."""
TLS_KEY_USAGES = frozenset({0, 2, 4})
"""digitalSignature, keyEncipherment, keyAgreement: what TLS may use a key for."""
OID_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
OID_ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0"

_DATE_REASONS = (Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_NOT_YET_VALID)


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """One path from the leaf to where a record matched.

    ``certificates`` runs from the leaf to the anchor, or to the certificate that ``bare_key``
    (DER of a SubjectPublicKeyInfo) has signed. ``presented`` says whether the anchor was in the
    handshake. ``faults`` is empty for a valid path; structure comes before dates.
    """

    certificates: tuple[ParsedCertificate, ...]
    faults: tuple[Reason, ...]
    presented: bool
    bare_key: bytes | None = None
    stale_anchor: bool = False

    @property
    def structural_faults(self) -> tuple[Reason, ...]:
        """The faults that time does not heal."""
        return tuple(fault for fault in self.faults if fault not in _DATE_REASONS)

    @property
    def date_faults(self) -> tuple[Reason, ...]:
        """Expired before not yet valid."""
        return tuple(fault for fault in self.faults if fault in _DATE_REASONS)

    @property
    def has_weak_signature(self) -> bool:
        """Whether a signature the path rests on is made over SHA-1."""
        signed = self.certificates if self.bare_key is not None else self.certificates[:-1]
        return any(
            signature.is_weak_signature(item.signature_algorithm, item.signature_parameters)
            for item in signed
        )

    @property
    def relies_on_any_usage(self) -> bool:
        """Whether a certificate allows TLS servers only by anyExtendedKeyUsage.

        RFC 5280 §4.2.1.12 lets applications take either view of that.
        """
        return any(
            item.extensions.extended_key_usage is not None
            and OID_SERVER_AUTH not in item.extensions.extended_key_usage
            for item in self.certificates
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainResult:
    """What the search found.

    ``paths`` gives for each record, in the order given, the best path that this record alone
    anchors, or None. ``complete`` is False when budget or steps ran out. ``complete_to_root`` says
    that a self-signed certificate was reached, so nothing that could still be sent is missing.
    ``unlinked`` holds the records that match a presented certificate no path leads to, and
    ``bad_signature`` says that a path ends at an issuer that is there by name but did not sign.
    """

    paths: tuple[tuple[TlsaRecord, Path | None], ...]
    complete: bool
    complete_to_root: bool
    unlinked: tuple[TlsaRecord, ...]
    bad_signature: bool


def find_paths(
    leaf: ParsedCertificate,
    presented: Sequence[ParsedCertificate],
    records: Sequence[TlsaRecord],
    *,
    now: datetime,
    budget: Budget,
) -> ChainResult:
    """Return the best path for each usable record of usage DANE-TA(2).

    ``presented`` are the other certificates of the handshake, in any order. One unit of ``budget``
    is spent for each signature checked. Never raises BudgetExceededError.
    """
    return _Search(leaf, presented, records, now, budget).run()


@dataclass(slots=True)
class _Search:
    """The state of one search; lives for one call of ``find_paths``."""

    leaf: ParsedCertificate
    presented: Sequence[ParsedCertificate]
    records: Sequence[TlsaRecord]
    now: datetime
    budget: Budget
    best: dict[TlsaRecord, Path] = field(default_factory=dict)
    dead_ends: list[tuple[ParsedCertificate, ...]] = field(default_factory=list)
    reached: set[bytes] = field(default_factory=set)
    verified: dict[tuple[bytes, bytes], bool] = field(default_factory=dict)
    known_associations: dict[bytes, frozenset[Association]] = field(default_factory=dict)
    bad_signature: bool = False
    steps: int = 0

    def run(self) -> ChainResult:
        others = {item.der: item for item in self.presented if item.der != self.leaf.der}
        pool = tuple(others.values())
        complete = True
        complete_to_root = False
        try:
            self._walk(pool, self._only_in_dns(others))
            self._try_bare_keys()
            complete_to_root = any(
                path[-1].is_self_issued and self._signed_by(path[-1], path[-1].spki)
                for path in self.dead_ends
            )
        except BudgetExceededError:
            complete = False
        unlinked = tuple(
            record
            for record in self.records
            if record not in self.best
            and any(self._matches(record, item) for item in pool if item.der not in self.reached)
        )
        return ChainResult(
            paths=tuple((record, self.best.get(record)) for record in self.records),
            complete=complete,
            complete_to_root=complete_to_root,
            unlinked=unlinked,
            bad_signature=self.bad_signature,
        )

    def _only_in_dns(self, others: dict[bytes, ParsedCertificate]) -> tuple[ParsedCertificate, ...]:
        """Return the certificates of records 2 0 0 that were not presented (RFC 7671 §5.2.2)."""
        found: dict[bytes, ParsedCertificate] = {}
        for record in self.records:
            if (record.selector, record.matching_type) == (SELECTOR_CERTIFICATE, MATCHING_FULL):
                item = load(record.data)
                if item is not None and item.der not in others:
                    found[item.der] = item
        return tuple(found.values())

    def _walk(
        self, pool: tuple[ParsedCertificate, ...], only_in_dns: tuple[ParsedCertificate, ...]
    ) -> None:
        """Visit every path over ``pool``, shortest first, and judge each where it ends."""
        queue: deque[tuple[ParsedCertificate, ...]] = deque([(self.leaf,)])
        while queue:
            path = queue.popleft()
            # Each issuer is judged as soon as it is known to have signed: if the budget ends among
            # its namesakes, what was found stays found.
            is_dead_end, has_anchor = True, False
            for issuer in self._issuers(path, pool):
                is_dead_end = False
                self.reached.add(issuer.der)
                longer = (*path, issuer)
                self._judge(longer, presented=True)
                queue.append(longer)
            # An anchor only in DNS ends the path: by definition it is trusted as it stands.
            for issuer in self._issuers(path, only_in_dns):
                has_anchor = True
                self._judge((*path, issuer), presented=False)
            if is_dead_end:
                self.dead_ends.append(path)
                if not has_anchor and self._named(path, (*pool, *only_in_dns)):
                    self.bad_signature = True

    def _issuers(
        self, path: tuple[ParsedCertificate, ...], pool: tuple[ParsedCertificate, ...]
    ) -> Iterator[ParsedCertificate]:
        """Yield the certificates of ``pool`` that issued the top of ``path``, likeliest first."""
        top = path[-1]
        named = self._named(path, pool)
        for issuer in sorted(named, key=lambda item: self._likelihood(top, item)):
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise BudgetExceededError(f"more than {MAX_STEPS} paths")
            if self._signed_by(top, issuer.spki):
                yield issuer

    def _named(
        self, path: tuple[ParsedCertificate, ...], pool: tuple[ParsedCertificate, ...]
    ) -> tuple[ParsedCertificate, ...]:
        """Return the certificates of ``pool`` that the top of ``path`` names as its issuer."""
        # RFC 4158 §2.4.2: no entity, that is name and key, twice on a path: this ends all loops.
        entities = {(item.subject.canonical, item.spki) for item in path}
        return tuple(
            item
            for item in pool
            if item.subject.canonical == path[-1].issuer.canonical
            and (item.subject.canonical, item.spki) not in entities
        )

    def _likelihood(
        self, child: ParsedCertificate, issuer: ParsedCertificate
    ) -> tuple[bool, bool, str]:
        """Return a sort key: key identifiers agree, valid now, then an order of its own.

        Key identifiers only guide the search (RFC 4158 §3.5.12). RFC 5280 §6 asks nothing of them,
        though OpenSSL refuses an issuer whose identifier differs.
        """
        wanted, have = child.extensions.authority_key_id, issuer.extensions.subject_key_id
        return wanted is None or wanted != have, bool(self._date_faults(issuer)), issuer.sha256

    def _signed_by(self, child: ParsedCertificate, spki: bytes) -> bool:
        """Return whether the key signed ``child``; spends budget unless it is known already."""
        key = child.der, spki
        if key not in self.verified:
            self.budget.spend()
            self.verified[key] = child.algorithms_agree and signature.verify(
                spki=spki,
                algorithm=child.signature_algorithm,
                parameters=child.signature_parameters,
                signature=child.signature,
                message=child.tbs,
            )
        return self.verified[key]

    def _try_bare_keys(self) -> None:
        """Let the keys of records 2 1 0 sign the tops that have no presented issuer.

        A top that has one needs no try: the key that signed it is its issuer's, and the record has
        matched there already. If that certificate is then found wanting, expired say, the bare key
        is not a way around it; RFC 7671 §5.2.3 would allow one, but OpenSSL takes none.
        """
        for record in self.records:
            if (record.selector, record.matching_type) != (SELECTOR_SPKI, MATCHING_FULL):
                continue
            for path in self.dead_ends:
                if self._signed_by(path[-1], record.data):
                    own = path[-1].spki == record.data  # a self-signed leaf
                    self._keep(record, self._path(path, presented=own, bare_key=record.data))

    def _judge(self, certificates: tuple[ParsedCertificate, ...], *, presented: bool) -> None:
        """Keep the path for every record that matches its end."""
        matching = [record for record in self.records if self._matches(record, certificates[-1])]
        if matching:
            path = self._path(certificates, presented=presented)
            for record in matching:
                # An issuer in no handshake is known only to the record that holds it whole.
                if presented or record.data == certificates[-1].der:
                    self._keep(record, path)

    def _matches(self, record: TlsaRecord, item: ParsedCertificate) -> bool:
        if item.der not in self.known_associations:
            self.known_associations[item.der] = associations(item.der)
        return matches(record, self.known_associations[item.der])

    def _keep(self, record: TlsaRecord, path: Path) -> None:
        known = self.best.get(record)
        if known is None or _badness(path) < _badness(known):
            self.best[record] = path

    def _path(
        self,
        certificates: tuple[ParsedCertificate, ...],
        *,
        presented: bool,
        bare_key: bytes | None = None,
    ) -> Path:
        anchor = certificates[-1]
        has_dates = bare_key is not None or anchor.is_self_issued
        dated = certificates if has_dates else certificates[:-1]
        dates = {fault for item in dated for fault in self._date_faults(item)}
        in_order = (Reason.CERTIFICATE_UNREADABLE, *_DATE_REASONS)
        found = (
            *_structural_faults(certificates),
            *(fault for fault in in_order if fault in dates),
        )
        return Path(
            certificates=certificates,
            faults=tuple(dict.fromkeys(found)),
            presented=presented,
            bare_key=bare_key,
            stale_anchor=not has_dates and bool(self._date_faults(anchor)),
        )

    def _date_faults(self, item: ParsedCertificate) -> tuple[Reason, ...]:
        return date_faults(item, self.now)


def date_faults(certificate: ParsedCertificate, now: datetime) -> tuple[Reason, ...]:
    """Return whether ``certificate`` is expired or not yet valid at ``now`` (RFC 5280 §4.1.2.5).

    Both ends of the validity period belong to it. A date that is none counts as unreadable, unless
    the other one says enough.
    """
    begins, ends = certificate.not_before, certificate.not_after
    if ends is not None and now > ends:
        return (Reason.CERTIFICATE_EXPIRED,)
    if begins is not None and now < begins:
        return (Reason.CERTIFICATE_NOT_YET_VALID,)
    if begins is None or ends is None:
        return (Reason.CERTIFICATE_UNREADABLE,)
    return ()


def _badness(path: Path) -> tuple[int, int, int, tuple[str, ...]]:
    """Return a sort key: least for the path to prefer, and never equal for two different paths."""
    return (
        len(path.structural_faults),
        len(path.date_faults),
        len(path.certificates),
        tuple(item.sha256 for item in path.certificates),
    )


def _structural_faults(path: tuple[ParsedCertificate, ...]) -> tuple[Reason, ...]:
    """Return what is wrong with a path whose names and signatures are in order (RFC 5280 §6.1)."""
    faults: dict[Reason, None] = {}
    intermediates = 0  # not self-issued, between the leaf and the certificate at hand
    for depth, item in enumerate(path):
        is_anchor = depth == len(path) - 1
        if depth > 0:
            faults.update(dict.fromkeys(_issuer_faults(item, intermediates, is_anchor=is_anchor)))
            intermediates += not item.is_self_issued
        faults.update(dict.fromkeys(_common_faults(item)))
    leaf_usages = path[0].extensions.key_usage
    if leaf_usages is not None and not TLS_KEY_USAGES & leaf_usages:
        faults[Reason.CHAIN_KEY_USAGE] = None
    if not _names_allowed(path):
        faults[Reason.CHAIN_NAME_CONSTRAINT] = None
    return tuple(faults)


def _issuer_faults(
    item: ParsedCertificate, intermediates: int, *, is_anchor: bool
) -> Iterator[Reason]:
    """Yield what keeps ``item`` from issuing certificates (RFC 5280 §6.1.4 (k) to (n)).

    RFC 5280 asks this of intermediates; of an anchor with a certificate OpenSSL asks the same, but
    takes one of version 1, which cannot say that it is a CA.
    """
    extensions = item.extensions
    old_root = is_anchor and item.version < 3 and item.is_self_issued
    if not extensions.is_ca and not old_root:
        yield Reason.CHAIN_ISSUER_NOT_CA
    if extensions.path_length is not None and intermediates > extensions.path_length:
        yield Reason.CHAIN_PATH_LENGTH
    if extensions.key_usage is not None and KEY_CERT_SIGN not in extensions.key_usage:
        yield Reason.CHAIN_KEY_USAGE


def _common_faults(item: ParsedCertificate) -> Iterator[Reason]:
    """Yield what spoils a path wherever the certificate stands in it."""
    usages = item.extensions.extended_key_usage
    # In a CA certificate RFC 5280 gives this extension no meaning; OpenSSL, Go and Windows all
    # read it there as a limit on what may be issued.
    if usages is not None and not {OID_SERVER_AUTH, OID_ANY_EXTENDED_KEY_USAGE} & set(usages):
        yield Reason.CHAIN_KEY_USAGE
    if item.extensions.unknown_critical:
        yield Reason.CHAIN_CRITICAL_EXTENSION
    if item.extensions.malformed:
        yield Reason.CERTIFICATE_UNREADABLE


def _names_allowed(path: tuple[ParsedCertificate, ...]) -> bool:
    """Return whether all name constraints hold for all certificates below them.

    RFC 5280 §6.1.3 (b): a self-issued intermediate is exempt, for it names the constrained CA.
    """
    for depth, issuer in enumerate(path):
        limits = issuer.extensions.name_constraints
        if limits is None:
            continue
        for below in range(depth):
            exempt = below > 0 and path[below].is_self_issued
            if not exempt and not constraints.allowed(limits, path[below], is_leaf=below == 0):
                return False
    return True
