"""The SMTP machine treats the same bytes alike however they are cut, and stays in its bounds."""

import itertools
import re

from hypothesis import example, given
from hypothesis import strategies as st

from scanner.model.observation import ProbeStage
from scanner.wire import smtp
from scanner.wire.smtp import (
    Event,
    Failure,
    Finished,
    Send,
    SmtpClient,
    SmtpLimits,
    StartHandshake,
    State,
    printable,
)

LIMITS = SmtpLimits(
    max_line_octets=64,
    max_reply_lines=5,
    max_session_octets=600,
    max_transcript_lines=6,
    max_transcript_characters=40,
)
COMMANDS = {b"EHLO probe.test\r\n", b"HELO probe.test\r\n", b"STARTTLS\r\n", b"QUIT\r\n"}

ends = st.sampled_from([b"\r\n", b"\n", b"\r\r\n", b""])
codes = st.sampled_from([b"220", b"250", b"354", b"421", b"454", b"502", b"554", b"120", b"2x0"])
texts = st.one_of(
    st.sampled_from([b"", b"STARTTLS", b"starttls x", b"XSTARTTLS", b"5.7.1 no", b"y" * 70]),
    st.binary(max_size=20),
)
lines = st.builds(
    lambda code, mark, text, end: code + mark + text + end,
    codes,
    st.sampled_from([b" ", b"-", b"", b"_"]),
    texts,
    ends,
)
likely = st.sampled_from(
    [
        b"220 mx.test\r\n",
        b"250-mx.test\r\n250 STARTTLS\r\n",
        b"220 go\r\n",
        b"502 no\r\n",
        b"250 mx.test\r\n",
    ]
)
sessions = st.lists(st.one_of(likely, likely, lines, st.binary(max_size=30)), max_size=12).map(
    b"".join
)


def run(said: bytes, cuts: list[int]) -> tuple[list[Event], SmtpClient]:
    """Feed ``said``, cut at ``cuts``, in the clear; then end the stream."""
    machine = SmtpClient("probe.test", LIMITS)
    events: list[Event] = []
    edges = [0, *sorted(cut % (len(said) + 1) for cut in cuts), len(said)]
    for begin, end in itertools.pairwise(edges):
        events += machine.receive_data(said[begin:end])
        assert machine.pending_octets <= LIMITS.max_line_octets
    return events, machine


@given(said=sessions, cuts=st.lists(st.integers(0, 2_000), max_size=12))
@example(said=b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n250 evil\r\n", cuts=[32, 40, 41])
@example(said=b"220 " + b"x" * 61 + b"\r\n", cuts=[63, 64, 65])
@example(said=b"220 " + b"x" * 58 + b"\r\n", cuts=[62, 63])
def test_how_the_bytes_are_cut_changes_nothing(said: bytes, cuts: list[int]) -> None:
    """Events, evidence and end are the same for one piece, any pieces and single octets."""
    whole = run(said, [])
    for events, machine in (run(said, cuts), run(said, list(range(len(said))))):
        assert events == whole[0]
        assert machine.transcript == whole[1].transcript
        assert (machine.state, machine.stage) == (whole[1].state, whole[1].stage)
        assert machine.early_plaintext == whole[1].early_plaintext
        assert machine.starttls_offered == whole[1].starttls_offered
        assert machine.receive_eof() == run(said, [])[1].receive_eof()


@given(
    replies=st.lists(
        st.one_of(likely, likely, lines, st.lists(lines, min_size=2, max_size=4).map(b"".join)),
        max_size=8,
    )
)
@example(replies=[b"220 mx\r\n", b"250-mx\r\n" * 4 + b"250 STARTTLS\r\n", b"220 go\r\n"])
@example(replies=[b"220 mx\r\n", b"250-mx\r\n" * 5 + b"250 STARTTLS\r\n", b"220 go\r\n"])
@example(replies=[b"220 mx\r\n", b"250-mx\r\n", b"250 STARTTLS\r\n", b"220 go\r\n250 evil\r\n"])
@example(replies=[b"220-mx\r\n250 mx\r\n"])
@example(replies=[b"220 mx\r\n220 mx\r\n"])
def test_a_whole_reply_is_read_as_its_lines_are(replies: list[bytes]) -> None:
    """A reply that comes in one piece goes a shorter way, to the same events and evidence."""
    said = b"".join(replies)
    at_once = run(said, list(itertools.accumulate(map(len, replies))))
    events, machine = run(said, list(range(len(said))))
    assert at_once[0] == events
    assert at_once[1].transcript == machine.transcript
    assert (at_once[1].state, at_once[1].stage) == (machine.state, machine.stage)
    assert at_once[1].starttls_offered == machine.starttls_offered
    assert at_once[1].early_plaintext == machine.early_plaintext
    assert at_once[1].receive_eof() == machine.receive_eof()


@given(said=sessions)
def test_only_four_commands_are_ever_said(said: bytes) -> None:
    """Whatever a server says, no mail transaction begins (case 96)."""
    events, machine = run(said, [])
    if machine.state is State.HANDSHAKE:
        events += machine.handshake_completed()
        events += machine.receive_data(said)
    assert {event.data for event in events if isinstance(event, Send)} <= COMMANDS


@given(said=sessions)
def test_every_session_ends_in_one_way(said: bytes) -> None:
    """At most one failure, and after the end of the stream exactly one end: a handshake begun or
    a machine closed."""
    events, machine = run(said, [])
    begun = StartHandshake() in events
    events += machine.receive_eof()
    failures = [event for event in events if isinstance(event, Failure)]
    assert len(failures) == 1
    assert events.count(Finished()) == 1
    assert events[-1] == Finished()
    assert failures[0].stage is ProbeStage.HANDSHAKE or not begun


@given(said=sessions)
def test_the_evidence_is_printable_and_bounded(said: bytes) -> None:
    """Transcript, details and texts can be shown anywhere."""
    events, machine = run(said, [])
    shown = list(machine.transcript)
    assert len(shown) <= LIMITS.max_transcript_lines
    assert all(len(line) <= LIMITS.max_transcript_characters for line in shown)
    shown += [event.detail for event in events if isinstance(event, Failure)]
    assert all(" " <= character <= "~" for line in shown for character in line)


@given(st.one_of(lines, st.binary(max_size=300)), st.integers(0, 80))
def test_a_line_read_once_is_shown_and_cut_as_if_read_each_time(line: bytes, limit: int) -> None:
    """What is remembered of a line is what the plain expressions say of its octets."""
    ended = line + b"\r\n"
    for read in (smtp._read_line(ended), smtp._parse_line(ended), smtp._read_line(ended)):
        match = re.fullmatch(rb"([1-5][0-9][0-9])(?:([ -])(.*))?", line, re.DOTALL)
        assert read.shown[:limit] == printable(line, limit)
        assert read.code == (None if match is None else int(match[1]))
        if match is not None:
            assert read.goes_on is (match[2] == b"-")
            assert read.text[:limit] == printable(match[3] or b"", limit)
