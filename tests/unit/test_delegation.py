"""From a trusted zone to the next by DS and DNSKEY, each way it can fail (RFC 4035 §5.2)."""

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import dns.name
import dns.rrset
import pytest
from dns.rdtypes.ANY.DS import DS
from signed_replies import NOW, Signer, records, reply, rrsigs, verifier

from scanner.judge.dnssec.algorithms import LoadedKey, Verdict
from scanner.judge.dnssec.delegation import enter_anchor, enter_zone
from scanner.judge.dnssec.policy import DnssecPolicy, Sha1Policy
from scanner.judge.dnssec.zone import Step
from scanner.model.dnssec import Anchor, Ds, FetchFailure, LinkKind, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import ROOT, Name
from scanner.model.observation import Question
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType

HOUR = timedelta(hours=1)
PARENT = Signer("example.")
CHILD = Signer("child.example.", slot=1)
SOA = records("example.", "SOA", "ns.example. host.example. 1 2 3 4 300")
Sections = tuple[list[dns.rrset.RRset], list[dns.rrset.RRset]]


def drive(
    conversation: Generator[Question, SignedMessage | FetchFailure, Step],
    answer: Callable[[Question], SignedMessage | FetchFailure],
) -> Step:
    """Answer what the conversation asks until it ends."""
    try:
        need = next(conversation)
        while True:
            need = conversation.send(answer(need))
    except StopIteration as end:
        step: Step = end.value
        return step


def enter(
    ds: Sections,
    dnskey: list[dns.rrset.RRset] | FetchFailure | None = None,
    *,
    policy: DnssecPolicy | None = None,
    rcode: int = 0,
) -> Step:
    """Enter child.example with these answers to the DS and the DNSKEY question."""

    def answer(question: Question) -> SignedMessage | FetchFailure:
        if question.rdtype is RRType.DS:
            return reply(question, ds[0], ds[1], rcode=rcode)
        assert question == Question(CHILD.name, RRType.DNSKEY)
        if isinstance(dnskey, FetchFailure):
            return dnskey
        return reply(question, dnskey or [])

    zone = PARENT.zone(policy=policy)
    return drive(enter_zone(zone, CHILD.labels, verifier(policy)), answer)


def with_ds(*ds: DS) -> Sections:
    """The parent's signed DS answer."""
    return PARENT.signed(CHILD.ds_rrset(*ds)), []


def without_ds(*authority: dns.rrset.RRset) -> Sections:
    """The parent's signed denial."""
    return [], [*PARENT.signed(SOA), *PARENT.signed(*authority)]


def keys(*others: Signer, by: Signer = CHILD, **options: Any) -> list[dns.rrset.RRset]:
    """The child's signed DNSKEY answer."""
    return by.signed(CHILD.dnskeys(*others), **options)


def reasons(step: Step) -> list[R]:
    """Every finding of the step in order."""
    return [noted.reason for noted in step.link.findings]


def test_a_ds_that_fits_a_signing_key_makes_a_secure_zone() -> None:
    """The whole of it: DS by the parent, DNSKEY by the key the DS announces."""
    other = Signer("child.example.", slot=2, flags=256)
    step = enter(with_ds(), keys(other))
    assert (step.link.kind, step.link.status) == (LinkKind.DELEGATION, DnssecStatus.SECURE)
    assert step.link.entry_keys == (CHILD.model_key.key_tag,)
    assert step.zone is not None
    assert (step.zone.name, len(step.zone.keys)) == ("child.example", 2)
    assert reasons(step) == []
    assert step.link.expires_at == NOW + HOUR


def test_the_step_ends_with_its_signatures() -> None:
    """Nothing is believed longer than the signatures it rests on."""
    step = enter(with_ds(), keys(ends=timedelta(seconds=90)))
    assert step.link.expires_at == NOW + timedelta(seconds=90)


def bogus(step: Step) -> list[R]:
    """Check that the step ends bogus, and return its findings."""
    assert step.link.status is DnssecStatus.BOGUS
    assert step.zone is None
    assert step.link.reason is not None
    assert step.link.reason in reasons(step)
    assert step.link.expires_at == NOW + timedelta(seconds=60)
    return reasons(step)


def test_a_ds_that_points_to_nothing() -> None:
    """The founding document's first cause."""
    step = enter(with_ds(Signer("child.example.", slot=3).ds()), keys())
    assert bogus(step) == [R.DS_NO_KEY]
    values = dict(step.link.findings[0].values)
    assert values["zone_keys"] == f"{CHILD.model_key.key_tag}/13"


def test_a_digest_that_does_not_fit() -> None:
    """Tag and algorithm alone are no match."""
    wrong = CHILD.ds().replace(digest=bytes(32))
    assert bogus(enter(with_ds(wrong), keys())) == [R.DS_DIGEST_MISMATCH]  # type: ignore[arg-type]


def test_a_key_that_signs_nothing() -> None:
    """The DS leads to a key that did not sign the keys."""
    other = Signer("child.example.", slot=2)
    step = enter(with_ds(), other.signed(CHILD.dnskeys(other)))
    assert bogus(step) == [R.DS_KEY_NOT_SIGNING]


def test_a_key_set_without_any_signature() -> None:
    """The same, and the missing signature is told."""
    step = enter(with_ds(), [CHILD.dnskeys()])
    assert bogus(step) == [R.DS_KEY_NOT_SIGNING, R.RRSIG_MISSING]


def test_an_expired_signature_over_the_keys() -> None:
    """The founding document's second cause."""
    step = enter(with_ds(), keys(begins=-2 * HOUR, ends=-HOUR))
    assert bogus(step) == [R.RRSIG_EXPIRED]
    values = dict(step.link.findings[0].values)
    assert (values["expiration"], values["now"]) == (
        "2026-11-24T11:00:00Z",
        "2026-11-24T12:00:00Z",
    )


def test_a_wrong_signature_over_the_keys() -> None:
    """Right tag, wrong signature."""
    made = CHILD.sign(CHILD.dnskeys())
    broken = made.replace(signature=bytes(64))
    step = enter(with_ds(), [CHILD.dnskeys(), rrsigs(CHILD.dnskeys(), broken)])  # type: ignore[arg-type]
    assert bogus(step) == [R.DS_KEY_SIG_INVALID, R.RRSIG_INVALID]


def test_a_ds_from_before_the_revocation_fits_no_key() -> None:
    """The bit changes the key tag and the digest (RFC 5011 §3)."""
    revoked = Signer("child.example.", slot=1, flags=257 | 0x80)
    answer = CHILD.signed(revoked.dnskeys())
    assert bogus(enter(with_ds(CHILD.ds()), answer)) == [R.DS_KEY_REVOKED]


def test_a_ds_that_leads_to_a_revoked_key_holds_with_a_warning() -> None:
    """As for BIND and unbound: a DS is no trust anchor (RFC 5011 §2.1, RFC 4035 §5.2)."""
    revoked = Signer("child.example.", slot=1, flags=257 | 0x80)
    step = enter(with_ds(revoked.ds()), revoked.signed(revoked.dnskeys(CHILD)))
    assert step.link.status is DnssecStatus.SECURE
    assert reasons(step) == [R.ENTRY_KEY_REVOKED]
    assert dict(step.link.findings[0].values)["ds_key_tag"] == str(revoked.model_key.key_tag)


def test_a_key_without_the_zone_bit() -> None:
    """RFC 4034 §2.1.1: it must not verify anything."""
    bare = Signer("child.example.", slot=1, flags=1)
    answer = CHILD.signed(bare.dnskeys())
    assert bogus(enter(with_ds(bare.ds()), answer)) == [R.DS_KEY_NOT_ZONE_KEY]


def test_a_key_that_is_too_small() -> None:
    """The only way in is a key nobody should believe."""
    small = Signer("child.example.", algorithm=8, bits=1024)
    policy = DnssecPolicy(min_rsa_bits=2048)
    step = enter(with_ds(small.ds()), small.signed(small.dnskeys()), policy=policy)
    assert bogus(step)[0] is R.DNSKEY_TOO_SMALL


def test_no_keys_at_all() -> None:
    """The parent says signed, the child is not."""
    assert bogus(enter(with_ds(), [])) == [R.DNSKEY_MISSING]


def test_every_independent_fault_is_told_the_nearest_to_success_first() -> None:
    """Two DS records, each broken in its own way."""
    stray = Signer("child.example.", slot=3).ds()
    wrong = CHILD.ds().replace(digest=bytes(32))
    step = enter(with_ds(stray, wrong), keys())  # type: ignore[arg-type]
    assert bogus(step) == [R.DS_DIGEST_MISMATCH, R.DS_NO_KEY]


def test_a_second_ds_without_key_is_a_warning() -> None:
    """As during a change of keys."""
    step = enter(with_ds(CHILD.ds(), Signer("child.example.", slot=3).ds()), keys())
    assert step.link.status is DnssecStatus.SECURE
    assert reasons(step) == [R.DS_EXTRA]
    assert step.link.reason is None


def test_a_key_without_sep_is_a_warning() -> None:
    """The bit is a hint only."""
    single = Signer("child.example.", slot=1, flags=256)
    step = enter(with_ds(single.ds()), single.signed(single.dnskeys()))
    assert step.link.status is DnssecStatus.SECURE
    assert reasons(step) == [R.DS_KEY_NOT_SEP]


def test_sha1_digests_count_while_they_are_alone() -> None:
    """RFC 4509 §3: beside a stronger one they are ignored."""
    alone = enter(with_ds(CHILD.ds(1)), keys())
    assert (alone.link.status, reasons(alone)) == (DnssecStatus.SECURE, [R.DS_DIGEST_SHA1])
    wrong = CHILD.ds(2).replace(digest=bytes(32))
    both = enter(with_ds(CHILD.ds(1), wrong), keys())  # type: ignore[arg-type]
    assert bogus(both) == [R.DS_DIGEST_MISMATCH]
    assert enter(with_ds(CHILD.ds(4)), keys()).link.status is DnssecStatus.SECURE


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"algorithm": 200}, [R.DS_ALGORITHM_UNSUPPORTED]),
        ({"algorithm": 12}, [R.DS_ALGORITHM_UNSUPPORTED]),
        ({"digest_type": 200}, [R.DS_DIGEST_UNSUPPORTED]),
        ({"digest_type": 3}, [R.DS_DIGEST_UNSUPPORTED]),
        ({"algorithm": 7}, [R.SHA1_BY_POLICY, R.DS_ALGORITHM_UNSUPPORTED]),
    ],
)
def test_only_what_is_not_supported_makes_the_zone_insecure(
    change: dict[str, int], found: list[R]
) -> None:
    """RFC 4035 §5.2; and when the policy on SHA-1 decides, that is told."""
    step = enter(with_ds(CHILD.ds(**change)))
    assert (step.link.status, step.zone) == (DnssecStatus.INSECURE, None)
    assert reasons(step) == found


def test_sha1_zones_validate_where_the_policy_wants_it() -> None:
    """The switch."""
    old = Signer("child.example.", algorithm=7)
    policy = DnssecPolicy(sha1=Sha1Policy.VALIDATE)
    step = enter(with_ds(old.ds()), old.signed(old.dnskeys()), policy=policy)
    assert step.link.status is DnssecStatus.SECURE


def test_a_ds_signed_by_the_child_is_refused() -> None:
    """Made on the wrong side of the cut."""
    step = enter((CHILD.signed(CHILD.ds_rrset()), []), keys())
    assert bogus(step) == [R.DS_FROM_CHILD]


def test_a_denial_by_the_child_is_refused() -> None:
    """The SOA is the child's own."""
    soa = records("child.example.", "SOA", "a. b. 1 2 3 4 5")
    nsec = records("child.example.", "NSEC", "a.child.example. SOA NS RRSIG NSEC DNSKEY")
    assert R.DS_FROM_CHILD in bogus(enter(([], CHILD.signed(soa, nsec))))


def test_an_unsigned_ds_is_refused() -> None:
    """The parent is signed, so its DS is."""
    assert bogus(enter(([CHILD.ds_rrset()], []), keys())) == [R.RRSIG_MISSING]


def test_a_ds_expanded_from_a_wildcard_is_refused() -> None:
    """A delegation is never made from a wildcard."""
    wildcard = dns.rrset.from_rdata(dns.name.from_text("*.example."), 3600, CHILD.ds())
    signature = rrsigs(CHILD.ds_rrset(), PARENT.sign(wildcard))
    assert bogus(enter(([CHILD.ds_rrset(), signature], []))) == [R.RRSIG_LABELS_WRONG]


def test_too_many_ds_records_are_a_limit() -> None:
    """Seventeen: unclear, and nobody's fault."""
    many = [CHILD.ds(key_tag=number) for number in range(17)]
    step = enter(with_ds(*many), keys())
    assert (step.link.status, reasons(step)) == (DnssecStatus.INDETERMINATE, [R.WORK_LIMIT])
    assert step.link.expires_at == NOW


def test_a_denied_ds_at_a_cut_is_insecure() -> None:
    """The parent proves that the child is not signed."""
    step = enter(without_ds(records("child.example.", "NSEC", "z.example. NS RRSIG NSEC")))
    assert (step.link.kind, step.link.status) == (LinkKind.DELEGATION, DnssecStatus.INSECURE)
    assert (reasons(step), step.zone) == ([R.DELEGATION_UNSIGNED], None)
    assert step.link.expires_at == NOW + timedelta(seconds=300)  # SOA minimum


def test_a_name_without_ns_is_no_cut() -> None:
    """The zone goes on, with the same keys."""
    step = enter(without_ds(records("child.example.", "NSEC", "z.example. MX RRSIG NSEC")))
    assert (step.link.kind, step.link.status) == (LinkKind.NO_CUT, DnssecStatus.SECURE)
    assert step.zone is not None
    assert step.zone.name == "example"


def test_an_empty_non_terminal_is_no_cut() -> None:
    """Nothing at the name, something below."""
    nsec = records("a.example.", "NSEC", "x.child.example. MX RRSIG NSEC")
    step = enter(without_ds(nsec))
    assert (step.link.kind, step.link.status) == (LinkKind.NO_CUT, DnssecStatus.SECURE)


def test_a_name_that_does_not_exist_is_no_cut() -> None:
    """Whatever the RCODE."""
    nsecs = [
        records("example.", "NSEC", "a.example. SOA NS RRSIG NSEC DNSKEY"),
        records("a.example.", "NSEC", "z.example. MX RRSIG NSEC"),
    ]
    for rcode in (0, 3):
        step = enter(without_ds(*nsecs), rcode=rcode)
        assert (step.link.kind, step.link.status) == (LinkKind.NO_CUT, DnssecStatus.SECURE)


def test_a_denial_without_proof_is_bogus() -> None:
    """An attacker who strips the DS cannot make the proof."""
    assert bogus(enter(without_ds())) == [R.DENIAL_MISSING]
    assert bogus(enter(([], []))) == [R.DENIAL_MISSING]


def test_a_denial_that_has_the_ds_bit_is_bogus() -> None:
    """It says the opposite."""
    nsec = records("child.example.", "NSEC", "z.example. NS DS RRSIG NSEC")
    assert R.DS_BIT_SET in bogus(enter(without_ds(nsec)))


def test_a_denial_with_an_expired_signature_names_the_signature() -> None:
    """That says more than "not proven"."""
    nsec = records("child.example.", "NSEC", "z.example. NS RRSIG NSEC")
    authority = [*PARENT.signed(SOA), *PARENT.signed(nsec, begins=-2 * HOUR, ends=-HOUR)]
    step = enter(([], authority))
    assert bogus(step) == [R.RRSIG_EXPIRED]
    assert step.link.reason is R.RRSIG_EXPIRED


def test_an_exact_signed_alias_proves_that_there_is_no_cut() -> None:
    """A CNAME stands alone, so no delegation can be there."""
    alias = records("child.example.", "CNAME", "other.example.")
    assert enter((PARENT.signed(alias), [])).link.kind is LinkKind.NO_CUT
    assert bogus(enter(([alias], [])))[-1] is R.DS_IS_ALIAS


def test_an_alias_made_from_a_wildcard_proves_nothing() -> None:
    """The name itself may be a cut all the same."""
    wildcard = records("*.example.", "CNAME", "other.example.")
    alias = records("child.example.", "CNAME", "other.example.")
    step = enter(([alias, rrsigs(alias, PARENT.sign(wildcard))], []))
    assert bogus(step) == [R.DS_IS_ALIAS]


def test_a_dname_above_proves_that_there_is_no_cut() -> None:
    """Nothing exists below a DNAME (RFC 6672 §2.4), and its CNAME is not signed."""
    top = Signer("test.")
    dname = records("sub.test.", "DNAME", "other.test.")
    made = records("child.sub.test.", "CNAME", "child.other.test.")

    def answer(question: Question) -> SignedMessage:
        return reply(question, [*top.signed(dname), made])

    step = drive(enter_zone(top.zone(), (b"test", b"sub", b"child"), verifier()), answer)
    assert (step.link.kind, step.link.status) == (LinkKind.NO_CUT, DnssecStatus.SECURE)


def test_a_referral_is_no_answer() -> None:
    """Name servers instead of an answer: the resolver is none."""
    ns = records("child.example.", "NS", "ns.child.example.")
    step = enter(([], [ns]))
    assert (step.link.status, reasons(step)) == (DnssecStatus.INDETERMINATE, [R.DS_REFERRAL])


def failure(question: Question, own_fault: str | None = None) -> FetchFailure:
    """A question that nobody answers."""
    return FetchFailure(
        question=question,
        reason=R.UPSTREAM_TIMEOUT,
        outcome=LookupOutcome.TIMEOUT,
        own_fault=own_fault,
    )


def test_a_ds_that_cannot_be_had_leaves_it_open() -> None:
    """Silence proves nothing, in either direction."""
    step = drive(
        enter_zone(PARENT.zone(), CHILD.labels, verifier()), lambda q: failure(q, "no route")
    )
    assert (step.link.status, step.link.reason) == (
        DnssecStatus.INDETERMINATE,
        R.UPSTREAM_TIMEOUT,
    )
    assert (step.link.own_fault, step.link.expires_at) == ("no route", NOW)


def test_keys_that_cannot_be_had_leave_it_open() -> None:
    """The DS is known; both causes are told."""
    question = Question(CHILD.name, RRType.DNSKEY)
    step = enter(with_ds(), failure(question))
    assert (step.link.status, step.link.reason) == (
        DnssecStatus.INDETERMINATE,
        R.DNSKEY_UNFETCHABLE,
    )
    assert reasons(step) == [R.DNSKEY_UNFETCHABLE, R.UPSTREAM_TIMEOUT]


# --- anchors ---------------------------------------------------------------------------------

ROOT_SIGNER = Signer(".", algorithm=8)


def model_ds(ds: DS) -> Ds:
    """Return the DS as the model has it."""
    return Ds(
        key_tag=ds.key_tag,
        algorithm=int(ds.algorithm),
        digest_type=int(ds.digest_type),
        digest=ds.digest,
    )


def at_anchor(anchor: Anchor, answer: list[dns.rrset.RRset], **options: Any) -> Step:
    """Enter the zone of ``anchor``."""
    return drive(
        enter_anchor(anchor, verifier(**options)), lambda question: reply(question, answer)
    )


def test_an_anchor_of_either_kind_lets_a_zone_in() -> None:
    """DS or DNSKEY, one of several enough."""
    answer = ROOT_SIGNER.signed(ROOT_SIGNER.dnskeys())
    stranger = model_ds(Signer(".", slot=5).ds())
    for anchor in (
        Anchor(zone=ROOT, ds=(model_ds(ROOT_SIGNER.ds()),)),
        Anchor(zone=ROOT, ds=(stranger, model_ds(ROOT_SIGNER.ds()))),
        Anchor(zone=ROOT, dnskeys=(ROOT_SIGNER.model_key,)),
        Anchor(zone=ROOT, ds=(stranger,), dnskeys=(ROOT_SIGNER.model_key,)),
    ):
        step = at_anchor(anchor, answer)
        assert (step.link.kind, step.link.status) == (LinkKind.ANCHOR, DnssecStatus.SECURE)
        assert step.link.reason is None
        assert step.zone is not None


def test_a_root_that_does_not_validate_is_our_own_fault() -> None:
    """Between us and the root there are only our resolver, our anchor and our clock."""
    stranger = Anchor(zone=ROOT, ds=(model_ds(Signer(".", slot=5).ds()),))
    step = at_anchor(stranger, ROOT_SIGNER.signed(ROOT_SIGNER.dnskeys()))
    assert (step.link.status, step.link.reason) == (DnssecStatus.BOGUS, R.ANCHOR_NOT_SIGNING)
    assert step.link.own_fault is not None


def test_a_root_without_signatures_means_that_somebody_strips_them() -> None:
    """A middle box or resolver without DNSSEC."""
    anchor = Anchor(zone=ROOT, ds=(model_ds(ROOT_SIGNER.ds()),))
    step = at_anchor(anchor, [ROOT_SIGNER.dnskeys()])
    assert (step.link.status, step.link.reason) == (
        DnssecStatus.INDETERMINATE,
        R.UPSTREAM_NO_DNSSEC,
    )
    assert step.link.own_fault is not None


def test_an_island_that_does_not_validate_is_bogus() -> None:
    """ANCHOR_NOT_SIGNING, and why."""
    island = Signer("island.test.", slot=4)
    anchor = Anchor(zone=Name("island.test"), dnskeys=(island.model_key,))
    other = Signer("island.test.", slot=5)
    step = at_anchor(anchor, other.signed(other.dnskeys()))
    assert (step.link.status, step.link.reason) == (DnssecStatus.BOGUS, R.ANCHOR_NOT_SIGNING)
    assert step.link.own_fault is None


def test_an_anchor_nobody_understands_leaves_its_zone_insecure() -> None:
    """No question is asked for it."""
    anchor = Anchor(zone=ROOT, ds=(model_ds(ROOT_SIGNER.ds(algorithm=200)),))
    step = drive(enter_anchor(anchor, verifier()), lambda question: failure(question))
    assert (step.link.status, step.link.reason) == (
        DnssecStatus.INSECURE,
        R.ANCHOR_UNSUPPORTED,
    )


def test_colliding_key_tags_at_a_ds_are_tried_up_to_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five keys of the DS's tag, none of which fits: four are compared, and the rest is unknown."""
    tag, parent = CHILD.model_key.key_tag, PARENT.model_key
    monkeypatch.setattr(
        "scanner.wire.rrsets.key_tag",
        lambda rdata: parent.key_tag if rdata == parent.rdata else tag,
    )
    wrong = CHILD.ds().replace(digest=bytes(32))
    others = [Signer("child.example.", slot=slot) for slot in (2, 3, 4, 5)]
    step = enter(with_ds(wrong), keys(*others))  # type: ignore[arg-type]
    assert (step.link.status, reasons(step)) == (DnssecStatus.INDETERMINATE, [R.WORK_LIMIT])


def test_a_key_beyond_those_that_are_looked_at_is_a_limit() -> None:
    """The DS fits one of too many keys."""
    policy = DnssecPolicy(max_dnskeys=1)
    others = [Signer("child.example.", slot=slot) for slot in (2, 3)]
    tags = sorted((*others, CHILD), key=lambda signer: signer.model_key.rdata)
    last = tags[-1]
    answer = last.signed(CHILD.dnskeys(*others))
    step = enter(with_ds(last.ds()), answer, policy=policy)
    assert (step.link.status, step.link.reason) == (DnssecStatus.INDETERMINATE, R.WORK_LIMIT)


def test_what_the_library_refuses_is_insecure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if we did not know the algorithm, which is the case."""
    answer = (with_ds(), keys())
    real = LoadedKey.verify

    def refuse(self: LoadedKey, signature: bytes, data: bytes) -> Verdict:
        if self.dnskey.rdata == CHILD.model_key.rdata:
            return Verdict.UNSUPPORTED
        return real(self, signature, data)

    monkeypatch.setattr(LoadedKey, "verify", refuse)
    step = enter(*answer)
    assert (step.link.status, step.link.reason) == (
        DnssecStatus.INSECURE,
        R.DS_ALGORITHM_UNSUPPORTED,
    )


def test_a_root_with_expired_signatures_throws_doubt_on_our_clock() -> None:
    """The root is watched by everybody; our clock is not."""
    anchor = Anchor(zone=ROOT, ds=(model_ds(ROOT_SIGNER.ds()),))
    late = ROOT_SIGNER.signed(ROOT_SIGNER.dnskeys(), begins=HOUR, ends=2 * HOUR)
    step = at_anchor(anchor, late)
    assert R.CLOCK_DOUBTFUL in reasons(step)
    assert step.link.own_fault is not None


def test_a_sha1_ds_counts_for_nothing_where_the_policy_says_so() -> None:
    """Insecure when alone, and ignored beside a stronger one as always (RFC 4509 §3)."""
    policy = DnssecPolicy(sha1_ds=Sha1Policy.INSECURE)
    step = enter(with_ds(CHILD.ds(1)), keys(), policy=policy)
    assert (step.link.status, step.zone) == (DnssecStatus.INSECURE, None)
    assert reasons(step) == [R.SHA1_BY_POLICY, R.DS_DIGEST_UNSUPPORTED]
    both = enter(with_ds(CHILD.ds(1), CHILD.ds(2)), keys(), policy=policy)
    assert both.link.status is DnssecStatus.SECURE


def test_the_soa_of_a_zone_in_between_names_what_was_passed() -> None:
    """The zone above denied it, so the walk went on with the zone above (RFC 6840 §4.4)."""
    deep = (*CHILD.labels, b"deep")
    soa = records("child.example.", "SOA", "ns.example. host.example. 1 2 3 4 300")
    beside = records("other.example.", "SOA", "ns.example. host.example. 1 2 3 4 300")
    for authority, reason in ((soa, R.DS_NS_BIT_MISSING), (beside, R.DENIAL_MISSING)):

        def answer(
            question: Question, authority: dns.rrset.RRset = authority
        ) -> SignedMessage | FetchFailure:
            return reply(question, [], [authority])

        step = drive(enter_zone(PARENT.zone(), deep, verifier()), answer)
        assert bogus(step) == [reason]
