"""Readers of signed replies, trust anchors and resolver addresses: a value or a declared error."""

import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.cli.resolvconf import MAX_SERVERS, read_name_servers
from scanner.judge.dnssec.anchors import InvalidAnchorError, read_anchors
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.dnsserver import InvalidServerError, ServerAddress, parse_server
from scanner.wire.dnsframe import MalformedResponseError
from scanner.wire.rrsets import decode_signed, key_tag, parse_dnskey, parse_type_bitmap

QUERY_ID = 7
QUESTION = Question(Name("p.test"), RRType.MX)
QUESTION_OCTETS = b"\x01p\x04test\x00" + struct.pack("!HH", 15, 1)
SIGNED_TYPES = (2, 5, 6, 15, 33, 35, 39, 43, 46, 47, 48, 50, 52)

record = st.builds(
    lambda owner, rdtype, ttl, rdata: (
        owner + struct.pack("!HHIH", rdtype, 1, ttl, len(rdata)) + rdata
    ),
    st.sampled_from([b"\xc0\x0c", b"\x00", b"\x03abc\xc0\x0c", b"\xc0\xff", b"\x40"]),
    st.sampled_from(SIGNED_TYPES),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=60),
)


def reply(answers: list[bytes], authorities: list[bytes], rcode: int) -> bytes:
    header = struct.pack("!HHHHHH", QUERY_ID, 0x8180 | rcode, 1, len(answers), len(authorities), 0)
    return header + QUESTION_OCTETS + b"".join(answers) + b"".join(authorities)


@given(st.binary(max_size=400))
def test_any_octets_are_a_message_or_malformed(octets: bytes) -> None:
    """Nothing but the declared error leaves the reader."""
    try:
        message = decode_signed(QUESTION, query_id=QUERY_ID, wire=octets)
    except MalformedResponseError:
        return
    assert octets.startswith(struct.pack("!H", QUERY_ID))
    assert message.question == QUESTION


@given(st.lists(record, max_size=6), st.lists(record, max_size=6), st.integers(0, 15))
def test_records_of_any_content_are_kept_or_the_message_is_malformed(
    answers: list[bytes], authorities: list[bytes], rcode: int
) -> None:
    """RDATA that is not of its type does not raise, and no set is empty."""
    try:
        message = decode_signed(
            QUESTION, query_id=QUERY_ID, wire=reply(answers, authorities, rcode)
        )
    except MalformedResponseError:
        return
    assert all(rrset.rdatas for rrset in (*message.answer, *message.authority))


@given(st.binary(max_size=80))
def test_any_octets_are_a_key_or_none(rdata: bytes) -> None:
    """Four octets and a key of at least one are a DNSKEY; its tag fits 16 bits."""
    key = parse_dnskey(rdata)
    assert (key is None) is (len(rdata) < 5)
    if key is not None:
        assert 0 <= key_tag(rdata) < 65_536


@given(st.binary(max_size=80))
def test_any_octets_are_a_type_bitmap_or_malformed(octets: bytes) -> None:
    """Types come out in range."""
    try:
        types = parse_type_bitmap(octets)
    except MalformedResponseError:
        return
    assert all(0 <= rdtype < 65_536 for rdtype in types)


WORDS = (
    ". test. IN DS DNSKEY 20326 8 2 257 3 13 ( ) ; 3600 AwEAAag= "
    "e06d44b80b8f1d39a95c0b0d7c65d084 65536 -1 ſ ²"
)
words = st.sampled_from([*WORDS.split(" "), "\n", "\x00"])


@given(st.one_of(st.text(max_size=200), st.lists(words, max_size=20).map(" ".join)))
@example(". IN DS 20326 8 2 (")
@example("². IN DS ² 8 2 00")
def test_any_text_is_trust_anchors_or_a_declared_error(text: str) -> None:
    """At least one anchor, or the error that names the line."""
    try:
        anchors = read_anchors(text, source="anchors.txt")
    except InvalidAnchorError as error:
        told = str(error)
    else:
        told = "anchors.txt"
        assert anchors
    assert told.startswith("anchors.txt")


@given(st.text(max_size=60))
@example("127.0.0.1:²")
@example("[::1]:53 ")
def test_any_text_is_a_server_or_a_declared_error(text: str) -> None:
    """What is accepted can be written and read again."""
    try:
        server = parse_server(text)
    except InvalidServerError:
        return
    assert isinstance(server, ServerAddress)
    assert parse_server(str(server)) == server


@pytest.fixture(scope="module")
def resolv_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example writes anew."""
    return tmp_path_factory.mktemp("resolv") / "resolv.conf"


@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@example(content=b"nameserver 127.0.0.1\nnameserver fe80::1%eth0\nnameserver x\n")
def test_any_resolv_conf_gives_addresses_only(resolv_conf: Path, content: bytes) -> None:
    """Whatever stands there, what comes out are a few different addresses."""
    resolv_conf.write_bytes(content)
    servers = read_name_servers(resolv_conf)
    assert len(set(servers)) == len(servers) <= MAX_SERVERS
    assert all(isinstance(parse_server(server), ServerAddress) for server in servers)
