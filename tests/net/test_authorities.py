"""A zone's own name servers asked over loopback: found through the resolver, each by itself."""

import dns.flags
import dns.message
import dns.rrset
import trio
from dns_servers import Line, Query, dns_server
from signed_replies import NOW, Signer, records, reply

from scanner.judge.dnssec.servers import server_findings
from scanner.model.dnssec import FetchFailure, SignedMessage
from scanner.model.dnssec_reasons import DnssecReason as R
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import LookupOutcome, RRType
from scanner.observe.authorities import AuthorityLimits, ask_authorities

ZONE = Signer("shop.example.")
NAME = Name("shop.example")
QUESTION = Question(NAME, RRType.MX)
SOA = records("shop.example.", "SOA", "ns1.shop.example. host.example. 7 2 3 4 300")
OLD_NS = records("shop.example.", "NS", "ns1.shop.example.", "gone.example.")
HERE = "127.0.0.1"


class FromResolver:
    """What our resolver knows of names and addresses."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.known: dict[Question, list[dns.rrset.RRset]] = {
            Question(NAME, RRType.NS): [
                records("shop.example.", "NS", *(f"{name}." for name in addresses))
            ],
            Question(Name("example"), RRType.NS): [records("example.", "NS", "ns.example.")],
            Question(Name("ns.example"), RRType.A): [records("ns.example.", "A", HERE)],
        }
        for name, address in addresses.items():
            if address:
                a = records(f"{name}.", "A", address)
                self.known[Question(Name(name), RRType.A)] = [a]

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        await trio.lowlevel.checkpoint()
        return reply(question, self.known.get(question, []))


class NoResolver:
    """Knows nothing, or hangs."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        return FetchFailure(
            question=question, reason=R.UPSTREAM_TIMEOUT, outcome=LookupOutcome.TIMEOUT
        )


async def authority(query: Query, line: Line) -> None:
    """Serve the zone and, as the zone above, a delegation to it that is out of date."""
    asked = dns.message.from_wire(query.octets)
    answer = dns.message.make_response(asked)
    answer.flags |= dns.flags.AA
    answer.use_edns(0)
    rdtype = asked.question[0].rdtype.name
    if rdtype == "NS":
        answer.authority = [OLD_NS]
    else:
        rrset = {"SOA": SOA, "DNSKEY": ZONE.dnskeys()}.get(rdtype)
        answer.answer = ZONE.signed(rrset) if rrset is not None else []
    await line.send(answer.to_wire())


async def test_every_server_is_asked_by_itself() -> None:
    """One serves, one is closed, one has no address; and the zone above names another."""
    resolver = FromResolver(
        {"ns1.shop.example": HERE, "ns2.shop.example": "127.0.0.2", "ns3.shop.example": ""}
    )
    async with dns_server(authority) as server:
        limits = AuthorityLimits(port=server.port)
        found = await ask_authorities(NAME, resolver, question=QUESTION, signed=True, limits=limits)
    assert found is not None
    assert [str(one) for one in found.servers] == [
        "ns1.shop.example (127.0.0.1)",
        "ns2.shop.example (127.0.0.2)",
    ]
    assert found.without_address == ("ns3.shop.example",)
    assert found.at_parent == {"ns1.shop.example", "gone.example"}
    told = {noted.reason: noted for noted in server_findings(found, now=NOW)}
    assert set(told) == {
        R.SERVER_UNRESPONSIVE,
        R.NS_NO_ADDRESS,
        R.NS_PARENT_CHILD_MISMATCH,
    }
    assert "servers 1 of 2, which ns2.shop.example" in told[R.SERVER_UNRESPONSIVE].message


async def test_special_addresses_are_left_alone_outside_a_laboratory() -> None:
    """Nothing behind them is the partner's."""
    resolver = FromResolver({"ns1.shop.example": HERE})
    found = await ask_authorities(NAME, resolver, signed=True)
    assert found is not None
    assert found.servers == ()
    assert server_findings(found, now=NOW) == ()


async def test_a_zone_whose_servers_are_unknown_cannot_be_looked_into() -> None:
    """Nothing is asked and nothing said."""
    assert await ask_authorities(NAME, NoResolver(), signed=True) is None


async def test_the_time_of_a_diagnosis_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """However long names and servers take."""
    assert await ask_authorities(NAME, NoResolver(hangs=True), signed=True) is None
    assert trio.current_time() <= AuthorityLimits().total_seconds + 1
