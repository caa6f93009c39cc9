"""A zone's name servers compared: silent, lame, old, or without signatures."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dns.rrset
import pytest
from signed_replies import NOW, Signer, records, reply

from scanner.judge.dnssec.servers import Authorities, ServerReplies, server_findings
from scanner.model.dnssec import DnssecFinding, FetchFailure, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import LookupOutcome, RRType

ZONE = Signer("example.")
AA = 0x0400
NAMES = frozenset({Name("ns1.example"), Name("ns2.example")})


def soa(serial: int = 1) -> dns.rrset.RRset:
    """The SOA of the zone."""
    return records("example.", "SOA", f"ns1.example. host.example. {serial} 2 3 4 300")


def said(rdtype: RRType, answer: Sequence[dns.rrset.RRset], **how: Any) -> SignedMessage:
    """Return what an authoritative server says of the apex."""
    return reply(Question(ZONE.name, rdtype), answer, flags=how.pop("flags", AA), **how)


def failed(reason: R, detail: str = "", own_fault: str | None = None) -> FetchFailure:
    """Return that there was no usable reply."""
    return FetchFailure(
        question=Question(ZONE.name, RRType.SOA),
        reason=reason,
        outcome=LookupOutcome.SERVFAIL,
        detail=detail,
        own_fault=own_fault,
    )


SILENT = failed(R.UPSTREAM_TIMEOUT)


def server(number: int = 1, **said_otherwise: Any) -> ServerReplies:
    """Return a healthy server, but for what is said otherwise."""
    keys = said(RRType.DNSKEY, ZONE.signed(ZONE.dnskeys()))
    usual = {"soa": said(RRType.SOA, ZONE.signed(soa())), "keys": keys, "stream": keys}
    return ServerReplies(
        name=Name(f"ns{number}.example"), address=f"192.0.2.{number}", **(usual | said_otherwise)
    )


def findings(*servers: ServerReplies, **more: Any) -> dict[R, DnssecFinding]:
    """Return the findings by reason."""
    found = Authorities(zone=ZONE.name, signed=more.pop("signed", True), servers=servers, **more)
    told = server_findings(found, now=NOW)
    assert len({noted.reason for noted in told}) == len(told)
    assert all(noted.state is None for noted in told)
    return {noted.reason: noted for noted in told}


def test_servers_that_agree_are_not_mentioned() -> None:
    """Nothing is wrong."""
    assert findings(server(1), server(2), in_zone=NAMES, at_parent=NAMES) == {}


@pytest.mark.parametrize(
    ("reason", "otherwise"),
    [
        (R.SERVER_UNRESPONSIVE, {"soa": SILENT, "keys": SILENT, "stream": SILENT}),
        (R.SERVER_LAME, {"soa": failed(R.UPSTREAM_REFUSED)}),
        (R.SERVER_LAME, {"soa": failed(R.UPSTREAM_SERVFAIL)}),
        (R.SERVER_LAME, {"soa": said(RRType.SOA, ZONE.signed(soa()), flags=0)}),
        (R.PMTU_EXCEEDED, {"keys": SILENT}),
        (R.SERVER_INCONSISTENT, {"soa": said(RRType.SOA, ZONE.signed(soa(2)))}),
        (R.SERVER_NO_EDNS, {"soa": failed(R.UPSTREAM_RCODE, "FORMERR from 192.0.2.2")}),
    ],
)
def test_one_bad_server_of_two_is_named(reason: R, otherwise: dict[str, Any]) -> None:
    """With how many of how many: it fails now and then for real senders."""
    found = findings(server(1), server(2, **otherwise))
    assert reason in found
    assert "ns2.example (192.0.2.2)" in found[reason].message
    if reason is not R.SERVER_INCONSISTENT:
        assert "servers 1 of 2" in found[reason].message


def test_a_server_without_edns_has_no_signatures_either() -> None:
    """Both are told; what is not signed needs none."""
    plain = said(RRType.SOA, [soa()], edns=False)
    keys = said(RRType.DNSKEY, [ZONE.dnskeys()], edns=False)
    old = server(2, soa=plain, keys=keys, stream=keys)
    assert {R.SERVER_NO_EDNS, R.SERVER_DROPS_DO} == set(findings(server(1), old))
    assert set(findings(server(1), old, signed=False)) == {R.SERVER_NO_EDNS}


def test_other_keys_are_shown_by_their_tags() -> None:
    """The server that has others is named beside its keys."""
    other = Signer("example.", slot=1)
    keys = said(RRType.DNSKEY, other.signed(other.dnskeys()))
    found = findings(server(1), server(2), server(3, keys=keys, stream=keys))
    values = dict(found[R.SERVER_INCONSISTENT].values)
    assert values[f"keys {other.model_key.key_tag}/13"] == "ns3.example (192.0.2.3)"
    assert values[f"keys {ZONE.model_key.key_tag}/13"].count("ns") == 2


def test_expired_signatures_on_some_servers_are_counted() -> None:
    """A secondary that has lost its primary."""
    mx = records("example.", "MX", "10 mail.example.")
    good = said(RRType.MX, ZONE.signed(mx))
    old = said(RRType.MX, ZONE.signed(mx, begins=timedelta(days=-9), ends=timedelta(days=-1)))
    found = findings(server(1, data=good), server(2, data=old))
    assert dict(found[R.SERVER_INCONSISTENT].values)["expired_signatures"] == "1 of 2"
    assert findings(server(1, data=old), server(2, data=old)) == {}


def test_a_server_we_cannot_reach_is_not_counted() -> None:
    """Without IPv6 of our own nothing is known of an IPv6 server."""
    ours = failed(R.UPSTREAM_TIMEOUT, own_fault="no route")
    unreached = server(2, soa=ours, keys=ours, stream=ours)
    lame = server(3, soa=failed(R.UPSTREAM_REFUSED))
    found = findings(server(1), unreached, lame)
    assert set(found) == {R.SERVER_LAME}
    assert "servers 1 of 2" in found[R.SERVER_LAME].message


def test_names_that_differ_or_lead_nowhere_are_told() -> None:
    """Between the parent and the zone."""
    found = findings(
        server(1),
        in_zone=NAMES,
        at_parent=frozenset({Name("ns1.example"), Name("old.example")}),
        without_address=(Name("ns2.example"),),
    )
    values = dict(found[R.NS_PARENT_CHILD_MISMATCH].values)
    assert values == {"only_at_the_parent": "old.example", "only_in_the_zone": "ns2.example"}
    assert "ns2.example" in found[R.NS_NO_ADDRESS].message
