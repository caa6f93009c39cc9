"""The examples of RFC 4035 and RFC 5155: their zones, keys and responses, at their own time.

Their signatures are by algorithms 5 and 7, and RFC 5155's keys have 512 bits: the policy here
validates SHA-1 and takes such keys, which ours would not.
"""

import base64
from datetime import datetime
from typing import Any

import dns.dnssec
import dns.name
import pytest
from rfc_vectors import RfcZone, load

from scanner.judge.budget import Budget
from scanner.judge.dnssec.answer import Answer, WalkTo, validate_answer
from scanner.judge.dnssec.delegation import enter_anchor
from scanner.judge.dnssec.denial import Denials, collect
from scanner.judge.dnssec.nsec3 import nsec3_hash
from scanner.judge.dnssec.policy import DnssecPolicy, Sha1Policy
from scanner.judge.dnssec.rrsig import Verifier
from scanner.judge.dnssec.zone import Path, Step, TrustedZone
from scanner.model.canonical import canonical
from scanner.model.dnssec import Anchor, ChainLink, DnssecReason, LinkKind, Proof, SignedMessage
from scanner.model.names import Name
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, RRType
from scanner.wire.dnsrdata import TYPE_CODES
from scanner.wire.rrsets import parse_dnskey

POLICY = DnssecPolicy(sha1=Sha1Policy.VALIDATE, min_rsa_bits=512)
TYPE_DNSKEY = 48
ZONES = {label: load(label) for label in ("rfc4035", "rfc5155")}
RESPONSES = [
    pytest.param(zone, response, id=f"{label}-{response['section']}")
    for label, zone in ZONES.items()
    for response in zone.responses()
]
DENIALS = [param for param in RESPONSES if "proof" in param.values[1]]  # type: ignore[operator]
ANSWERS = [param for param in RESPONSES if "status" in param.values[1]]  # type: ignore[operator]


@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES)
def test_the_typed_in_zone_verifies_by_another_validator(zone: RfcZone) -> None:
    """Every signature of the data files, by dnspython: a typing error would show here."""
    keys = {dns.name.from_text("example."): zone.rrsets["example", TYPE_DNSKEY]}
    for key, signatures in zone.rrsigs.items():
        for rrsig in signatures:
            dns.dnssec.validate_rrsig(
                zone.rrsets[key],
                rrsig,
                keys,
                now=zone.now.timestamp(),
                policy=dns.dnssec.allow_all_policy,
            )
    assert len(zone.rrsigs) >= 25


@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES)
def test_the_zone_is_entered_by_its_entry_point_key(zone: RfcZone) -> None:
    """The key with the SEP bit as trust anchor makes the whole key set trusted."""
    assert len(entered(zone).keys) == 2


@pytest.mark.parametrize(("zone", "response"), DENIALS)
def test_each_denial_proves_what_its_section_says(zone: RfcZone, response: dict[str, Any]) -> None:
    """Name errors, no data, wildcards, referrals; and what the child says of its own DS."""
    proof = proof_of(denials_of(zone, zone.message(response), zone.now), response)
    assert proof.result == response["proof"]
    assert proof.reason == response.get("reason")
    if "closest_encloser" in response:
        assert proof.closest_encloser == response["closest_encloser"]
    if "cut" in response:
        assert proof.cut is response["cut"]


@pytest.mark.parametrize(("zone", "response"), DENIALS)
def test_no_denial_goes_without_any_one_of_its_records(
    zone: RfcZone, response: dict[str, Any]
) -> None:
    """Each NSEC and NSEC3 of the examples is needed; the rest of the reply is not."""
    for entry in response["authority"]:
        left = [other for other in response["authority"] if other != entry]
        message = zone.message({**response, "authority": left})
        proof = proof_of(denials_of(zone, message, zone.now), response)
        if entry.endswith(("SOA", " NS")):
            assert proof.result == response["proof"]
        elif (zone.label, response["section"]) == ("rfc5155", "B.5") and entry.startswith("r53b"):
            # In an opt-out span the wildcard's record decides nothing (erratum 3441).
            assert proof.result == response["proof"]
        elif (zone.label, response["section"]) == ("rfc5155", "B.1") and entry.startswith("0p9m"):
            assert proof.reason is DnssecReason.NAME_NOT_COVERED
        else:
            assert proof.result == "not-proven"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("zone", "response"), DENIALS)
def test_denials_prove_nothing_outside_their_dates(
    zone: RfcZone, response: dict[str, Any], when: str
) -> None:
    """One second outside is outside."""
    denials = denials_of(zone, zone.message(response), zone.document[when])
    assert (denials.nsec, denials.nsec3) == ((), ())
    expected = {"before": DnssecReason.RRSIG_NOT_YET_VALID, "after": DnssecReason.RRSIG_EXPIRED}
    assert proof_of(denials, response).reason is expected[when]


@pytest.mark.parametrize(("zone", "response"), ANSWERS)
def test_each_response_has_the_status_its_section_says(
    zone: RfcZone, response: dict[str, Any]
) -> None:
    """The whole answer, through classification, wildcard and denial."""
    found = answered(zone, zone.message(response))
    assert found.status is DnssecStatus(response["status"])
    assert found.outcome is LookupOutcome(response["outcome"])


def test_the_hashes_of_the_appendix_are_ours() -> None:
    """RFC 5155 appendix A lists them: 12 iterations, salt AABBCCDD."""
    for name, expected in ZONES["rfc5155"].document["hashes"].items():
        digest = nsec3_hash(canonical(Name(name)), bytes.fromhex("aabbccdd"), 12)
        assert base64.b32hexencode(digest).decode().lower() == expected


def entered(zone: RfcZone) -> TrustedZone:
    """Return the zone as it is trusted from its entry point key."""
    entry_points = [
        parsed
        for rdata in zone.rrsets["example", TYPE_DNSKEY]
        if (parsed := parse_dnskey(rdata.to_wire() or b"")) and parsed.is_secure_entry_point
    ]
    anchor = Anchor(zone=Name("example"), dnskeys=tuple(entry_points))
    walking = enter_anchor(anchor, Verifier(now=zone.now, policy=POLICY))
    next(walking)
    try:
        walking.send(zone.dnskey_message())
    except StopIteration as end:
        step: Step = end.value
    assert step.zone is not None
    assert step.link.status is DnssecStatus.SECURE
    return step.zone


def denials_of(zone: RfcZone, message: SignedMessage, now: datetime) -> Denials:
    """Return the verified denial records of a reply."""
    return collect(message.authority, entered(zone), Verifier(now=now, policy=POLICY))


def proof_of(denials: Denials, response: dict[str, Any]) -> Proof:
    """Return the proof that the response claims to be."""
    name = canonical(Name(response["name"]))
    budget = Budget(POLICY.max_nsec3_hashes)
    if "expanded_from" in response:
        encloser = canonical(Name(response["expanded_from"]))
        return denials.deny_wildcard_closer(name, encloser, budget, POLICY)
    if response["outcome"] == "nxdomain":
        return denials.deny_name(name, budget, POLICY)
    if response["type"] == "DS":
        return denials.deny_delegation(name, budget, POLICY)
    return denials.deny_type(name, TYPE_CODES[RRType(response["type"])], budget, POLICY)


def answered(zone: RfcZone, message: SignedMessage) -> Answer:
    """Return the answer that the reply comes to, in a world of this zone alone."""
    trusted = entered(zone)
    link = ChainLink(zone=trusted.name, kind=LinkKind.ANCHOR, status=DnssecStatus.SECURE)
    path = Path(steps=(Step(link=link, zone=trusted),))
    verifier = Verifier(now=zone.now, policy=POLICY)
    rdtype = TYPE_CODES[message.question.rdtype]
    conversation = validate_answer(message.question, rdtype, verifier)
    try:
        need = next(conversation)
        while True:
            need = conversation.send(path if isinstance(need, WalkTo) else message)
    except StopIteration as end:
        result: Answer = end.value
        return result
