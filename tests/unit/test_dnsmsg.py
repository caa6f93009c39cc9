"""Queries are what resolvers expect; replies are read for exactly what they say."""

from datetime import UTC, datetime, timedelta

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from dns_replies import (
    AD,
    NXDOMAIN,
    QR,
    REFUSED,
    RR,
    SERVFAIL,
    TC,
    opt,
    reply,
    rr,
    rrsig,
    soa,
)

from scanner.model.names import ROOT, Name, tlsa_owner
from scanner.model.observation import (
    AddressRecord,
    CnameRecord,
    ExtendedError,
    MxRecord,
    OtherRecord,
    Question,
    TlsaRecord,
)
from scanner.model.vocabulary import RRType
from scanner.wire.dnsmsg import (
    MAX_EXTENDED_ERROR_TEXT,
    MAX_EXTENDED_ERRORS,
    MalformedResponseError,
    Reply,
    ReplyKind,
    UnencodableNameError,
    build_query,
    decode_response,
    earliest_expiration,
    echoes_question,
)

DOMAIN = Name("example.org")
MX = Question(DOMAIN, RRType.MX)
TLSA = Question(tlsa_owner(Name("mx.example.org")), RRType.TLSA)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def decoded(question: Question, wire: bytes) -> Reply:
    return decode_response(question, query_id=7, wire=wire)


def answered(rdtype: str, *records: RR, owner: str = "example.org", **fields: object) -> Reply:
    """Decode a reply with these answers to a question about example.org."""
    wire = reply((owner, rdtype), answer=records, **fields)  # type: ignore[arg-type]
    return decoded(Question(Name(owner), RRType(rdtype)), wire)


class TestQueries:
    def test_a_query_asks_a_validating_resolver_for_proof(self) -> None:
        """RD, AD, EDNS 1232 and DO are set, CD is not; dnspython reads it without complaint."""
        wire = build_query(MX, query_id=0xBEEF, checking_disabled=False)
        query = dns.message.from_wire(wire)
        assert query.id == 0xBEEF
        assert query.flags == dns.flags.RD | dns.flags.AD
        assert query.ednsflags == dns.flags.DO
        assert query.payload == 1232
        assert [q.to_text() for q in query.question] == ["example.org. IN MX"]

    def test_checking_disabled_sets_cd(self) -> None:
        """CD=1 is set when asked for, and only then."""
        query = dns.message.from_wire(build_query(MX, query_id=1, checking_disabled=True))
        assert query.flags & dns.flags.CD

    @pytest.mark.parametrize("rdtype", RRType)
    def test_every_type_has_its_code(self, rdtype: RRType) -> None:
        """The type asked for is the one of that name in the IANA registry."""
        wire = build_query(Question(ROOT, rdtype), query_id=1, checking_disabled=False)
        assert dns.message.from_wire(wire).question[0].rdtype == dns.rdatatype.from_text(rdtype)

    def test_escaped_names_go_out_as_their_octets(self) -> None:
        """RFC 1035 §5.1 escapes are undone: a dot inside a label, any octet."""
        question = Question(Name("a\\.b\\000\\\\.example"), RRType.A)
        wire = build_query(question, query_id=1, checking_disabled=False)
        assert wire[12:].startswith(b"\x05a.b\x00\\\x07example\x00")

    @pytest.mark.parametrize(
        "name",
        [
            "a" * 64 + ".example",
            "a..b",
            "",
            "ends-in-backslash\\",
            "a\\999.example",
            "\N{SNOWMAN}.example",
            ".".join(["a" * 63] * 4),
        ],
    )
    def test_a_name_without_wire_form_is_refused(self, name: str) -> None:
        """Names too long, with empty labels or characters that are no octets have no query."""
        question = Question(Name(name), RRType.A)
        with pytest.raises(UnencodableNameError):
            build_query(question, query_id=1, checking_disabled=False)

    def test_the_tlsa_owner_of_the_longest_host_name_is_refused(self) -> None:
        """_25._tcp before a name of 255 octets is no DNS name; that must not be an accident."""
        host = Name(".".join(["a" * 63] * 3 + ["b" * 61]))
        with pytest.raises(UnencodableNameError, match="255"):
            build_query(
                Question(tlsa_owner(host), RRType.TLSA), query_id=1, checking_disabled=False
            )


class TestAnswers:
    def test_mx_records_come_with_their_names_in_lower_case(self) -> None:
        """MX RDATA is read, the names normalised, the order kept."""
        found = answered(
            "MX",
            rr("Example.ORG", "MX", "20 MX2.example.org."),
            rr("example.org", "MX", "10 mx1.example.org."),
        )
        assert found.kind is ReplyKind.DATA
        assert found.records == (
            MxRecord(preference=20, exchange=Name("mx2.example.org")),
            MxRecord(preference=10, exchange=Name("mx1.example.org")),
        )
        assert not found.ad

    def test_ad_is_reported(self) -> None:
        """AD=1 is what the resolver says of the whole answer."""
        found = answered("A", rr("example.org", "A", "192.0.2.1"), flags=QR | AD)
        assert found.ad
        assert found.records == (AddressRecord(address="192.0.2.1"),)

    @pytest.mark.parametrize(
        ("given", "canonical"),
        [
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ],
    )
    def test_ipv6_addresses_are_canonical(self, given: str, canonical: str) -> None:
        """RFC 5952 text, mapped addresses in mixed notation on every Python."""
        found = answered("AAAA", rr("example.org", "AAAA", given))
        assert found.records == (AddressRecord(address=canonical),)

    def test_null_mx_is_the_root(self) -> None:
        """RFC 7505: the exchange of a null MX is "."."""
        found = answered("MX", rr("example.org", "MX", "0 ."))
        assert found.records == (MxRecord(preference=0, exchange=ROOT),)

    def test_other_types_come_in_presentation_form(self) -> None:
        """Types no verdict reads are kept as text."""
        found = answered("TXT", rr("example.org", "TXT", '"v=STSv1; id=1"'))
        assert found.records == (OtherRecord(text='"v=STSv1; id=1"'),)

    def test_records_of_other_owners_types_and_classes_are_no_answer(self) -> None:
        """Only the RRset asked for counts (RFC 5452 §6)."""
        found = answered(
            "A",
            rr("example.org", "A", "192.0.2.1"),
            rr("other.example.org", "A", "192.0.2.2"),
            rr("example.org", "AAAA", "2001:db8::1"),
            rr("example.org", "A", rdata=b"\xc0\x00\x02\x03", rdclass=3),
        )
        assert found.records == (AddressRecord(address="192.0.2.1"),)

    def test_compressed_names_inside_rdata_are_followed(self) -> None:
        """A pointer in MX RDATA leads into the question."""
        found = answered("MX", rr("example.org", "MX", rdata=b"\x00\x0a\x02mx\xc0\x0c"))
        assert found.records == (MxRecord(preference=10, exchange=Name("mx.example.org")),)


class TestTlsa:
    @pytest.mark.parametrize(
        ("rdata", "record"),
        [
            (b"", TlsaRecord(usage=None, selector=None, matching_type=None, data=b"")),
            (b"\x03", TlsaRecord(usage=3, selector=None, matching_type=None, data=b"")),
            (b"\x03\x01", TlsaRecord(usage=3, selector=1, matching_type=None, data=b"")),
            (b"\x03\x01\x01", TlsaRecord(usage=3, selector=1, matching_type=1, data=b"")),
            (
                b"\x03\x01\x01" + b"x" * 31,
                TlsaRecord(usage=3, selector=1, matching_type=1, data=b"x" * 31),
            ),
            (
                b"\xff\xfe\xfd\x00",
                TlsaRecord(usage=255, selector=254, matching_type=253, data=b"\x00"),
            ),
        ],
    )
    def test_a_record_of_any_length_announces_dane(self, rdata: bytes, record: TlsaRecord) -> None:
        """Short RDATA and digests of the wrong length stay records (cases 53 to 55)."""
        wire = reply((TLSA.name, "TLSA"), answer=[rr(TLSA.name, "TLSA", rdata=rdata)])
        assert decoded(TLSA, wire).records == (record,)

    def test_a_broken_record_does_not_hide_a_good_one(self) -> None:
        """Scenario T30: a 31-octet digest beside a good record; duplicates are kept."""
        good = rr(TLSA.name, "TLSA", "3 1 1 " + "ab" * 32)
        short = rr(TLSA.name, "TLSA", rdata=b"\x03\x01\x01" + b"x" * 31)
        found = decoded(TLSA, reply((TLSA.name, "TLSA"), answer=[short, good, good]))
        assert [len(record.data) for record in found.records] == [31, 32, 32]  # type: ignore[union-attr]
        assert found.dropped == 0


class TestAliases:
    def test_a_chain_is_followed_in_any_order(self) -> None:
        """CNAME records may stand anywhere in the answer section."""
        found = answered(
            "MX",
            rr("c.example.org", "MX", "10 mx.example.org."),
            rr("b.example.org", "CNAME", "c.example.org.", ttl=60),
            rr("example.org", "CNAME", "b.example.org."),
        )
        assert found.kind is ReplyKind.DATA
        assert found.aliases == (
            ("example.org", "b.example.org"),
            ("b.example.org", "c.example.org"),
        )
        assert found.last_name == "c.example.org"
        assert found.ttl_seconds == 60

    def test_a_dname_synthesised_alias_is_an_alias(self) -> None:
        """Case 36: the CNAME of a DNAME is followed; the DNAME's signature is the one to watch."""
        found = answered(
            "A",
            rr("old.test", "DNAME", "new.test."),
            rrsig("old.test", "DNAME", expiration="20261201000000"),
            rr("mx.old.test", "CNAME", "mx.new.test."),
            rr("mx.new.test", "A", "192.0.2.1"),
            rrsig("mx.new.test", "A", expiration="20261231000000"),
            owner="mx.old.test",
        )
        assert found.aliases == (("mx.old.test", "mx.new.test"),)
        assert found.records == (AddressRecord(address="192.0.2.1"),)
        assert earliest_expiration(found.signature_expirations, now=NOW) == datetime(
            2026, 12, 1, tzinfo=UTC
        )

    def test_a_dname_elsewhere_lends_its_signature_to_nobody(self) -> None:
        """Only the DNAME above the alias could have made it; a dot inside a label is no cut."""
        found = answered(
            "A",
            rrsig("b.test", "DNAME", expiration="20261201000000"),
            rr("a\\.b.test", "CNAME", "c.test."),
            rr("c.test", "A", "192.0.2.1"),
            owner="a\\.b.test",
        )
        assert found.signature_expirations == ()

    def test_a_cname_question_is_about_the_alias_itself(self) -> None:
        """Case 33: the answer to a CNAME question is the CNAME, not followed."""
        found = answered(
            "CNAME",
            rr("example.org", "CNAME", "b.example.org."),
            rr("b.example.org", "CNAME", "c.example.org."),
        )
        assert found.records == (CnameRecord(target=Name("b.example.org")),)
        assert found.aliases == ()

    def test_a_cname_question_about_a_name_that_is_none_is_nodata(self) -> None:
        """Case 33: "not a CNAME after all" is a definite answer of its own kind."""
        wire = reply(("example.org", "CNAME"), authority=[soa("example.org")])
        assert decoded(Question(DOMAIN, RRType.CNAME), wire).kind is ReplyKind.NODATA

    def test_an_alias_without_its_target_is_unfinished(self) -> None:
        """Case 18: neither records nor denial for the target: it must be asked."""
        found = answered("MX", rr("example.org", "CNAME", "b.example.org.", ttl=77))
        assert found.kind is ReplyKind.ALIAS
        assert found.last_name == "b.example.org"
        assert found.ttl_seconds == 77

    def test_the_soa_of_another_zone_denies_nothing_of_the_target(self) -> None:
        """A SOA that is not above the target leaves the chain unfinished."""
        found = answered(
            "MX",
            rr("example.org", "CNAME", "b.example.net."),
            authority=[soa("example.org")],
        )
        assert found.kind is ReplyKind.ALIAS

    def test_an_alias_may_lead_to_a_denial(self) -> None:
        """RFC 6604: NXDOMAIN and NODATA are about the last name of the chain."""
        alias = rr("example.org", "CNAME", "b.example.net.", ttl=20)
        denial = {"authority": [soa("example.net")]}
        assert answered("MX", alias, **denial).kind is ReplyKind.NODATA
        found = answered("MX", alias, rcode=NXDOMAIN, **denial)
        assert found.kind is ReplyKind.NXDOMAIN
        assert found.last_name == "b.example.net"
        assert found.ttl_seconds == 20

    @pytest.mark.parametrize("rdtype", ["A", "CNAME"])
    def test_two_aliases_at_one_owner_are_a_loop(self, rdtype: str) -> None:
        """Case 18: a fork cannot be followed, whatever was asked."""
        found = answered(
            rdtype,
            rr("example.org", "CNAME", "b.example.org."),
            rr("example.org", "CNAME", "c.example.org."),
        )
        assert found.kind is ReplyKind.LOOP
        assert found.records == ()

    def test_the_same_alias_twice_is_one_alias(self) -> None:
        """A duplicate record says nothing new (RFC 2181 §5)."""
        found = answered(
            "A",
            rr("example.org", "CNAME", "b.example.org."),
            rr("example.org", "CNAME", "B.example.org."),
            rr("b.example.org", "A", "192.0.2.1"),
        )
        assert found.kind is ReplyKind.DATA

    @pytest.mark.parametrize("target", ["example.org.", "b.example.org."])
    def test_aliases_that_lead_back_are_a_loop(self, target: str) -> None:
        """Case 37: a name that is its own alias, at once or after a detour."""
        found = answered(
            "A",
            rr("example.org", "CNAME", target),
            rr("b.example.org", "CNAME", "example.org."),
        )
        assert found.kind is ReplyKind.LOOP

    def test_more_aliases_than_the_limit_are_a_loop(self) -> None:
        """Sixteen are followed, seventeen are not."""
        hops = [rr(f"n{i}.test", "CNAME", f"n{i + 1}.test.") for i in range(17)]
        records = [rr(f"n{i}.test", "A", "192.0.2.1") for i in (16, 17)]
        question = Question(Name("n0.test"), RRType.A)
        sixteen = reply(("n0.test", "A"), answer=[*hops[:16], records[0]])
        assert decoded(question, sixteen).kind is ReplyKind.DATA
        seventeen = reply(("n0.test", "A"), answer=[*hops, records[1]])
        assert decoded(question, seventeen).kind is ReplyKind.LOOP

    def test_records_beside_an_alias_are_what_was_asked_for(self) -> None:
        """RFC 1034 §3.6.2 forbids both at one name; the records win."""
        found = answered(
            "A",
            rr("example.org", "CNAME", "b.example.org."),
            rr("example.org", "A", "192.0.2.1"),
        )
        assert found.kind is ReplyKind.DATA
        assert found.aliases == ()


class TestDenials:
    @pytest.mark.parametrize(
        ("ttl", "minimum", "least"), [(300, 60, 60), (60, 300, 60), (0, 300, 0)]
    )
    def test_nodata_lives_as_long_as_the_soa_allows(
        self, ttl: int, minimum: int, least: int
    ) -> None:
        """RFC 2308 §5: the lesser of the SOA's TTL and its minimum."""
        found = answered("MX", authority=[soa("example.org", ttl=ttl, minimum=minimum)])
        assert found.kind is ReplyKind.NODATA
        assert found.ttl_seconds == least

    def test_the_denial_records_limit_it_too(self) -> None:
        """RFC 9077: an NSEC with a shorter TTL ends the denial earlier; its signature counts."""
        nsec = rr("example.org", "NSEC", "a.example.org. A RRSIG NSEC", ttl=30)
        signature = rrsig("example.org", "NSEC", expiration="20261130000000")
        found = answered("MX", authority=[soa("example.org"), nsec, signature])
        assert found.ttl_seconds == 30
        assert earliest_expiration(found.signature_expirations, now=NOW) == datetime(
            2026, 11, 30, tzinfo=UTC
        )

    def test_nxdomain(self) -> None:
        """NXDOMAIN with the SOA of a zone above, the root included."""
        found = answered("MX", rcode=NXDOMAIN, authority=[soa(".", ttl=900, minimum=80)])
        assert found.kind is ReplyKind.NXDOMAIN
        assert found.ttl_seconds == 80

    @pytest.mark.parametrize("rcode", [0, NXDOMAIN])
    def test_a_denial_without_soa_is_valid_but_not_to_be_kept(self, rcode: int) -> None:
        """RFC 2308 §2.2 type 3 and §5: an answer, with no TTL."""
        found = answered("MX", rcode=rcode, authority=[])
        assert found.kind is (ReplyKind.NXDOMAIN if rcode else ReplyKind.NODATA)
        assert found.ttl_seconds is None

    def test_an_alias_to_a_denial_without_soa_is_not_to_be_kept(self) -> None:
        """The alias' own TTL says nothing about the denial."""
        found = answered("MX", rr("example.org", "CNAME", "b.test."), rcode=NXDOMAIN)
        assert found.kind is ReplyKind.NXDOMAIN
        assert found.ttl_seconds is None

    def test_name_servers_instead_of_an_answer_are_a_referral(self) -> None:
        """NS records and no SOA: the server wants us to ask elsewhere."""
        found = answered("MX", authority=[rr("org", "NS", "ns.org.")])
        assert found.kind is ReplyKind.REFERRAL

    def test_data_together_with_nxdomain_is_malformed(self) -> None:
        """A reply that contradicts itself is no answer."""
        with pytest.raises(MalformedResponseError, match="NXDOMAIN together"):
            answered("A", rr("example.org", "A", "192.0.2.1"), rcode=NXDOMAIN)

    def test_an_answer_about_something_else_is_malformed(self) -> None:
        """An answer section without anything we asked for does not mean "no data"."""
        with pytest.raises(MalformedResponseError, match="something else"):
            answered("A", rr("other.test", "A", "192.0.2.1"))


class TestFailures:
    @pytest.mark.parametrize("rcode", [1, SERVFAIL, 4, REFUSED, 6, 9])
    def test_an_error_rcode_is_a_failure_with_a_name(self, rcode: int) -> None:
        """Whatever else the reply carries, it is no answer."""
        found = answered("A", rr("example.org", "A", "192.0.2.1"), rcode=rcode)
        assert found.kind is ReplyKind.FAILURE
        assert found.records == ()
        assert found.rcode_text == dns.rcode.to_text(dns.rcode.Rcode(rcode))

    def test_the_extended_rcode_is_put_together(self) -> None:
        """BADVERS is 16: four bits in the header, eight in OPT (RFC 6891 §6.1.3)."""
        found = answered("A", additional=[opt(extended_rcode=1)])
        assert found.rcode == 16
        assert found.kind is ReplyKind.FAILURE

    def test_extended_errors_are_kept(self) -> None:
        """RFC 8914: code and text, several in one reply."""
        errors = [(7, b"signature expired"), (22, b"")]
        found = answered("A", rcode=SERVFAIL, additional=[opt(*errors)])
        assert found.extended_errors == (
            ExtendedError(code=7, text="signature expired"),
            ExtendedError(code=22),
        )

    def test_extended_error_text_is_made_harmless(self) -> None:
        """Control characters, broken UTF-8, a trailing NUL and excess length are dealt with."""
        text = b"\x1b[31mred\xff" + b"x" * 1000 + b"\x00"
        (error,) = answered("A", rcode=SERVFAIL, additional=[opt((6, text))]).extended_errors
        assert error.text.startswith("\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}xx")
        assert len(error.text) == MAX_EXTENDED_ERROR_TEXT
        (short,) = answered("A", rcode=SERVFAIL, additional=[opt((6, b"ok\x00"))]).extended_errors
        assert short.text == "ok"

    def test_extended_errors_are_bounded(self) -> None:
        """A reply stuffed with them is read to a limit."""
        found = answered("A", rcode=SERVFAIL, additional=[opt(*[(6, b"")] * 500)])
        assert len(found.extended_errors) == MAX_EXTENDED_ERRORS

    def test_a_truncated_reply_is_not_read(self) -> None:
        """Case 45: with TC the records that happen to be there do not exist, nor broken ones."""
        record = rr("example.org", "A", "192.0.2.1")
        found = answered("A", record, flags=QR | TC | AD, counts=(9, 9, 9))
        assert found.kind is ReplyKind.TRUNCATED
        assert found.tc
        assert found.records == ()


class TestMalformed:
    @pytest.mark.parametrize(
        ("wire", "why"),
        [
            (b"", "0 octets"),
            (b"\x00\x07\x80", "3 octets"),
            (reply((DOMAIN, "MX"), query_id=8), "another query"),
            (reply((DOMAIN, "MX"), flags=0), "not a response"),
            (reply((DOMAIN, "MX"), flags=QR | 0x2800), "not a response"),
            (reply(("example.net", "MX")), "another question"),
            (reply((DOMAIN, "A")), "another question"),
            (reply(b"\x07example\x03org\x00\x00\x0f\x00\x03"), "another question"),
            (b"\x00\x07\x80\x00" + b"\x00" * 8, "0 questions"),
            (b"\x00\x07\x80\x00\x00\x02" + b"\x00" * 6, "2 questions"),
            (reply((DOMAIN, "MX"))[:18], "ends inside a label"),
            (reply((DOMAIN, "MX"))[:26], "ends inside the question"),
            (reply((DOMAIN, "MX"), counts=(1, 0, 1)), "ends inside"),
            (reply((DOMAIN, "MX"), tail=b"\xc0", counts=(1, 0, 1)), "ends inside"),
            (reply((DOMAIN, "MX"), additional=(), counts=(1, 0, 0), tail=b"\xc0"), "pointer"),
            (reply((DOMAIN, "MX"), tail=b"!"), "1 octets after"),
            (reply((DOMAIN, "MX"), counts=(0, 0, 0)), "octets after"),
            (reply((DOMAIN, "MX"), additional=[opt(), opt()]), "more than one OPT"),
            (reply((DOMAIN, "MX"), additional=[opt(raw=b"\x00\x0f\x00")]), "option that is cut"),
            (reply((DOMAIN, "MX"), additional=[opt(raw=b"\x00\x0f\x00\x05xx")]), "longer than"),
            (reply((DOMAIN, "MX"), additional=[rr("a", "OPT", rdata=b"")]), "not at the root"),
        ],
    )
    def test_what_is_no_reply_is_refused(self, wire: bytes, why: str) -> None:
        """Every defect of a message has its own words."""
        with pytest.raises(MalformedResponseError, match=why):
            decoded(MX, wire)

    @pytest.mark.parametrize(
        ("rdtype", "rdata"),
        [
            ("A", b"\xc0\x00\x02"),
            ("AAAA", b"\x00" * 15),
            ("MX", b"\x00\x0a"),
            ("MX", b"\x00\x0a\x00junk"),
            ("MX", b"\x00\x0a\x05ab"),
            ("CNAME", b""),
            ("DS", b"\x01"),
        ],
    )
    def test_an_rrset_of_broken_records_is_malformed(self, rdtype: str, rdata: bytes) -> None:
        """When nothing of the RRset can be read, there is no answer."""
        with pytest.raises(MalformedResponseError):
            answered(rdtype, rr("example.org", rdtype, rdata=rdata))

    def test_one_broken_record_is_left_out_and_counted(self) -> None:
        """The others of the RRset stand."""
        found = answered(
            "A", rr("example.org", "A", rdata=b"\x01"), rr("example.org", "A", "192.0.2.1")
        )
        assert found.records == (AddressRecord(address="192.0.2.1"),)
        assert found.dropped == 1

    def test_an_alias_to_nowhere_is_malformed(self) -> None:
        """A CNAME whose target cannot be read ends the chain in nothing."""
        with pytest.raises(MalformedResponseError):
            answered("A", rr("example.org", "CNAME", rdata=b"\x03ab"))

    def test_a_short_soa_denies_nothing(self) -> None:
        """The TTL of a denial must be readable."""
        with pytest.raises(MalformedResponseError, match="SOA"):
            answered("MX", authority=[rr("example.org", "SOA", rdata=b"\x00\x00")])

    def test_a_broken_signature_takes_nothing_from_the_records(self) -> None:
        """Signatures are read for their dates only; validating is the resolver's."""
        short = rr("example.org", "RRSIG", rdata=b"\x00\x01")
        found = answered("A", rr("example.org", "A", "192.0.2.1"), short)
        assert found.signature_expirations == ()
        assert answered("MX", authority=[soa("example.org"), short]).kind is ReplyKind.NODATA

    @pytest.mark.parametrize(
        "owner",
        [
            b"\xc0\x1d",  # to itself
            b"\xc0\x20",  # forwards
            b"\xc0\x00",  # into the header
            b"\xc0",  # cut off by what follows
            b"\x40a",  # reserved label types
            b"\x80a",
            b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 3 + b"\x00",  # 256 octets
        ],
    )
    def test_a_bad_owner_name_is_malformed(self, owner: bytes) -> None:
        """Loops, reserved bits and over-long names end the reading at once."""
        record = owner + b"\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x01"
        wire = reply((DOMAIN, "A"), additional=(), counts=(1, 0, 0), tail=record)
        with pytest.raises(MalformedResponseError):
            decoded(Question(DOMAIN, RRType.A), wire)

    def test_a_staircase_of_pointers_is_cut_short(self) -> None:
        """Each pointer leads back to the one before: allowed one by one, refused as a whole."""
        bottom = len(reply((DOMAIN, "A"), additional=())) + 11  # where the RDATA begins
        steps = [0x0C, *range(bottom, bottom + 2 * 199, 2)]
        stairs = b"".join((0xC000 | step).to_bytes(2) for step in steps)
        start = bottom + len(stairs) - 2
        record = (0xC000 | start).to_bytes(2) + b"\x00\x01\x00\x01" + b"\x00" * 6
        wire = reply(
            (DOMAIN, "A"),
            answer=[rr(".", "TXT", rdata=stairs)],
            additional=(),
            counts=(2, 0, 0),
            tail=record,
        )
        with pytest.raises(MalformedResponseError, match="does not lead back"):
            decoded(Question(DOMAIN, RRType.A), wire)


class TestEcho:
    def test_a_response_to_the_question_is_recognised(self) -> None:
        """The question counts in any case; the id does not."""
        assert echoes_question(reply(("EXAMPLE.org", "MX"), query_id=99), MX)

    @pytest.mark.parametrize(
        "wire",
        [
            reply((DOMAIN, "MX"), flags=0),
            reply((DOMAIN, "MX"), flags=QR | 0x0800),
            reply((DOMAIN, "A")),
            reply(("example.com", "MX")),
        ],
    )
    def test_anything_else_is_not(self, wire: bytes) -> None:
        """Queries, other opcodes and other questions are somebody else's messages."""
        assert not echoes_question(wire, MX)

    def test_a_response_without_readable_question_cannot_be_told(self) -> None:
        """That is the server's defect, and said so."""
        with pytest.raises(MalformedResponseError):
            echoes_question(reply(b"\xc0\x0c\x00\x0f\x00\x01"), MX)


class TestTimes:
    def test_the_least_ttl_counts_and_absurd_ones_are_zero(self) -> None:
        """RFC 2181 §8: a TTL with the top bit set is zero; signatures count as well."""
        record = rr("example.org", "A", "192.0.2.1", ttl=300)
        assert answered("A", record, rrsig("example.org", "A", ttl=120)).ttl_seconds == 120
        forever = rr("example.org", "A", "192.0.2.1", ttl=0x80000000)
        assert answered("A", forever).ttl_seconds == 0

    def test_the_earliest_signature_counts(self) -> None:
        """Of several signatures over what was used, that which ends first."""
        found = answered(
            "A",
            rr("example.org", "A", "192.0.2.1"),
            rrsig("example.org", "A", expiration="20261231000000"),
            rrsig("example.org", "A", expiration="20261203000000"),
            rrsig("example.org", "MX", expiration="20261125000000"),
            rrsig("other.org", "A", expiration="20261125000000"),
        )
        assert earliest_expiration(found.signature_expirations, now=NOW) == datetime(
            2026, 12, 3, tzinfo=UTC
        )

    def test_times_are_serial_numbers(self) -> None:
        """RFC 4034 §3.1.5: they wrap in 2106 and mean the moment nearest to now."""
        late = datetime(2106, 2, 7, 6, 28, 0, tzinfo=UTC)
        assert earliest_expiration([0x10, 0xFFFFFFFF], now=late) == late + timedelta(seconds=15)
        assert earliest_expiration([0x10], now=late) == late + timedelta(seconds=32)
        past = int((NOW - timedelta(days=3)).timestamp())
        assert earliest_expiration([past], now=NOW) == NOW - timedelta(days=3)

    def test_without_signatures_there_is_no_expiry(self) -> None:
        """Nothing signed, nothing to expire."""
        assert earliest_expiration([], now=NOW) is None
