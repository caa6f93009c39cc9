"""The SMTP client machine: what each reply leads to, what is tolerated, and where it stops."""

import pytest

from scanner.model.observation import ProbeError, ProbeStage
from scanner.wire import smtp
from scanner.wire.smtp import (
    Failure,
    Finished,
    Reply,
    ReplyReceived,
    Send,
    SmtpClient,
    SmtpLimits,
    StartHandshake,
    State,
    offers_starttls,
    printable,
)

GREETING = b"220 mx.test ESMTP\r\n"
OFFER = b"250-mx.test\r\n250 STARTTLS\r\n"
READY = b"220 go ahead\r\n"
EHLO = Send(data=b"EHLO probe.test\r\n")
QUIT = Send(data=b"QUIT\r\n")


def client(**limits: int) -> SmtpClient:
    return SmtpClient("probe.test", SmtpLimits(**limits))


def told(*said: bytes, **limits: int) -> tuple[SmtpClient, list[smtp.Event]]:
    """Return a machine that was told all of ``said``, and the events of the last of it."""
    machine = client(**limits)
    events: tuple[smtp.Event, ...] = ()
    for data in said:
        events = machine.receive_data(data)
    return machine, list(events)


def failure_in(events: list[smtp.Event]) -> Failure:
    """Return the one failure among ``events``."""
    (failure,) = [event for event in events if isinstance(event, Failure)]
    return failure


def without_replies(events: list[smtp.Event]) -> list[smtp.Event]:
    return [event for event in events if not isinstance(event, ReplyReceived)]


# -- the good way ------------------------------------------------------------------------------


def test_the_whole_conversation() -> None:
    """Greeting, EHLO, STARTTLS, handshake, EHLO, QUIT: the only commands, in the only order."""
    machine = client()
    sent: list[bytes] = []
    for answer in (GREETING, OFFER, READY):
        events = machine.receive_data(answer)
        sent += [event.data for event in events if isinstance(event, Send)]
    assert events[-1] == StartHandshake()
    assert machine.stage is ProbeStage.HANDSHAKE
    sent += [event.data for event in machine.handshake_completed()]
    assert machine.stage is ProbeStage.DONE
    for answer in (b"250 mx.test\r\n", b"221 bye\r\n"):
        events = machine.receive_data(answer)
        sent += [event.data for event in events if isinstance(event, Send)]
    assert events[-1] == Finished()
    assert sent == [
        b"EHLO probe.test\r\n",
        b"STARTTLS\r\n",
        b"EHLO probe.test\r\n",
        b"QUIT\r\n",
    ]


def test_replies_are_reported_with_the_state_they_came_in() -> None:
    """Each whole reply is an event of its own, before what follows from it."""
    _, events = told(b"220-mx.test\r\n220 ESMTP\r\n")
    reply = Reply(code=220, lines=("mx.test", "ESMTP"))
    assert events == [ReplyReceived(state=State.GREETING, reply=reply), EHLO]


def test_a_machine_that_is_closed_says_nothing_more() -> None:
    """After the end neither bytes nor another end mean anything."""
    machine, _ = told(b"junk\r\n")
    assert (machine.receive_data(GREETING), machine.receive_eof()) == ((), ())


def test_the_handshake_cannot_be_completed_out_of_turn() -> None:
    """That would be our own bug, and is told as one."""
    with pytest.raises(RuntimeError, match="no handshake"):
        client().handshake_completed()


def test_a_second_ehlo_that_is_refused_still_quits() -> None:
    """Nothing a server says under TLS stops the farewell, save its own 421."""
    for refusal in (b"500 what\r\n", b"451 later\r\n", b"354 go\r\n", b"250 fine\r\n"):
        machine, _ = told(GREETING, OFFER, READY)
        machine.handshake_completed()
        assert without_replies(list(machine.receive_data(refusal))) == [QUIT]


def test_421_under_tls_ends_it() -> None:
    """The server closes, so there is nobody to say QUIT to."""
    machine, _ = told(GREETING, OFFER, READY)
    machine.handshake_completed()
    assert without_replies(list(machine.receive_data(b"421 bye\r\n"))) == [Finished()]


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"450 later\r\n", ProbeError.REPLY_TRANSIENT),
        (b"554 never\r\n", ProbeError.REPLY_PERMANENT),
        (b"354 data?\r\n", ProbeError.REPLY_UNEXPECTED),
        (b"150 wait\r\n", ProbeError.REPLY_UNEXPECTED),
    ],
)
@pytest.mark.parametrize(
    ("before", "stage"),
    [
        ((), ProbeStage.GREETING),
        ((GREETING, b"502 no\r\n"), ProbeStage.EHLO),
        ((GREETING, OFFER), ProbeStage.STARTTLS),
    ],
)
def test_a_refusal_ends_the_probe_with_quit(before, stage, reply, error) -> None:
    """At each step a reply of the wrong kind is one failure, told with the reply, then QUIT."""
    machine, events = told(*before, reply)
    failure = failure_in(events)
    assert (failure.stage, failure.error) == (stage, error)
    assert failure.reply is not None
    assert failure.reply.code == int(reply[:3])
    assert events[-1] == QUIT
    assert without_replies(list(machine.receive_data(b"221 bye\r\n"))) == [Finished()]


@pytest.mark.parametrize(
    ("before", "stage"),
    [((), ProbeStage.GREETING), ((GREETING,), ProbeStage.EHLO), ((GREETING, OFFER), "starttls")],
)
def test_421_ends_the_probe_without_quit(before, stage) -> None:
    """RFC 5321 §3.8: the server is closing the channel."""
    _, events = told(*before, b"421 4.3.2 too busy\r\n")
    assert failure_in(events).stage == stage
    assert failure_in(events).error is ProbeError.REPLY_TRANSIENT
    assert events[-1] == Finished()


def test_any_2yz_is_a_greeting() -> None:
    """The first digit decides (RFC 5321 §4.2.1)."""
    assert told(b"250 odd but friendly\r\n")[1][-1] == EHLO


def test_only_220_starts_tls() -> None:
    """Another 2yz to STARTTLS is out of step and must not start a handshake (case 95)."""
    _, events = told(GREETING, OFFER, b"250 fine\r\n")
    assert failure_in(events).error is ProbeError.REPLY_UNEXPECTED
    assert StartHandshake() not in events


def test_ehlo_refused_falls_back_to_helo() -> None:
    """RFC 5321 §3.2: a server without EHLO is asked with HELO, once."""
    machine, events = told(GREETING, b"500 what\r\n")
    assert without_replies(events) == [Send(data=b"HELO probe.test\r\n")]
    assert (machine.helo_fallback, machine.stage) == (True, ProbeStage.EHLO)
    events = list(machine.receive_data(b"250-mx.test\r\n250 STARTTLS\r\n"))
    assert failure_in(events).error is ProbeError.STARTTLS_NOT_OFFERED
    assert machine.starttls_offered is False


def test_ehlo_deferred_does_not_fall_back() -> None:
    """4yz is about now, not about EHLO."""
    machine, events = told(GREETING, b"450 later\r\n")
    assert failure_in(events).error is ProbeError.REPLY_TRANSIENT
    assert (machine.helo_fallback, machine.starttls_offered) == (False, None)


def test_one_machine_reports_one_failure() -> None:
    """What goes wrong while leaving does not add to what went wrong before."""
    machine, _ = told(b"554 no\r\n")
    assert list(machine.receive_data(b"garbage\r\n")) == [Finished()]


@pytest.mark.parametrize("ending", [b"garbage\r\n", b"x" * 3_000])
def test_trouble_at_quit_is_no_failure(ending) -> None:
    """After success, nonsense in answer to QUIT is just the end."""
    machine, _ = told(GREETING, OFFER, READY)
    machine.handshake_completed()
    machine.receive_data(b"250 mx.test\r\n")
    assert list(machine.receive_data(ending)) == [Finished()]


def test_a_close_at_quit_is_no_failure() -> None:
    """Many servers answer QUIT by closing."""
    machine, _ = told(GREETING, OFFER, READY)
    machine.handshake_completed()
    machine.receive_data(b"250 mx.test\r\n")
    assert machine.receive_eof() == (Finished(),)


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ((), "the server closed the connection instead of the GREETING"),
        ((b"220-mx\r\n",), "the server closed the connection in the middle of the GREETING"),
        ((b"22",), "the server closed the connection in the middle of the GREETING"),
        ((GREETING,), "the server closed the connection instead of the reply to EHLO"),
        ((GREETING, OFFER), "the server closed the connection instead of the reply to STARTTLS"),
    ],
)
def test_a_close_is_told_with_what_was_awaited(said, detail) -> None:
    """Between replies or in the middle of one."""
    machine, _ = told(*said)
    failure, finished = machine.receive_eof()
    assert isinstance(failure, Failure)
    assert (failure.error, failure.detail, finished) == (ProbeError.CLOSED, detail, Finished())


def test_the_table_has_a_row_for_every_state_that_reads() -> None:
    """Every class of reply leads somewhere in every state (HELO never offers STARTTLS)."""
    for state, row in smtp._TABLE.items():
        missing = set(smtp._Class) - set(row)
        assert missing == (
            {smtp._Class.READY} if state is State.HELO else {smtp._Class.NO_STARTTLS} - set(row)
        ), state
    assert set(smtp._TABLE) == set(State) - {State.HANDSHAKE, State.CLOSED}


# -- STARTTLS in the list of extensions --------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["STARTTLS", "starttls", "StartTLS", "STARTTLS ", "STARTTLS REQUIRED", "STARTTLS\tX"]
)
def test_starttls_counts_in_any_case_and_with_parameters(line) -> None:
    """A whole word at the beginning of a line after the first (case 85)."""
    assert offers_starttls(Reply(code=250, lines=("mx.test", "SIZE 1000", line)))


@pytest.mark.parametrize(
    "lines",
    [
        ("STARTTLS",),
        ("STARTTLS greets you", "PIPELINING"),
        ("mx.test", "XSTARTTLS"),
        ("mx.test", "STARTTLS-FOO"),
        ("mx.test", "STARTTLS=1"),
        ("mx.test", "AUTH STARTTLS"),
        ("mx.test", "START TLS"),
        ("mx.test", ""),
        (),
    ],
)
def test_what_only_looks_like_starttls_does_not_count(lines) -> None:
    """A host called STARTTLS, a longer word, a parameter (case 85)."""
    assert not offers_starttls(Reply(code=250, lines=lines))


# -- replies and lines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (b"220\r\n", ("",)),
        (b"220 \r\n", ("",)),
        (b"220 mx\n", ("mx",)),
        (b"220-\r\n220 mx\r\n", ("", "mx")),
        (b"220-a\n220-b\n220 c\n", ("a", "b", "c")),
        (b"220 \xc3\xa4\x00\x1b\t|\r\n", ("???? |",)),
        (b"220 a\rb\r\n", ("a?b",)),
    ],
)
def test_lines_the_field_knows_are_read(said, lines) -> None:
    """LF alone, empty text, eight bits, control characters: read, and made printable."""
    _, events = told(said)
    assert isinstance(events[0], ReplyReceived)
    assert events[0].reply.lines == lines


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n",
        b"mx\r\n",
        b"22\r\n",
        b"22x mx\r\n",
        b"2200 mx\r\n",
        b"220_mx\r\n",
        b" 220 mx\r\n",
        b"020 mx\r\n",
        b"620 mx\r\n",
        b"SSH-2.0-x\r\n",
        b"\xff\xfe\r\n",
        b"\xb2\xb2\xb0 mx\r\n",
    ],
)
def test_what_is_no_reply_line_is_a_protocol_error(said) -> None:
    """And the line is shown."""
    machine, events = told(said)
    failure = failure_in(events)
    assert (failure.stage, failure.error) == (ProbeStage.GREETING, ProbeError.PROTOCOL)
    assert "not an SMTP reply line" in failure.detail
    assert (events[-1], len(machine.transcript)) == (Finished(), 1)


def test_codes_that_differ_within_a_reply_are_a_protocol_error() -> None:
    """RFC 5321 §4.2: the code of each line must be the same."""
    _, events = told(b"220-mx\r\n554 no\r\n")
    assert failure_in(events).detail == "reply codes 220 and 554 within one reply"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"554 5.7.1 blocked\r\n", "5.7.1"),
        (b"454 4.7.0\r\n", "4.7.0"),
        (b"554-no code here\r\n554 5.123.999 here\r\n", "5.123.999"),
        (b"554 4.7.1 other class\r\n", None),
        (b"554 5.7.1234 too long\r\n", None),
        (b"554 5.7 too short\r\n", None),
        (b"554 x5.7.1 not first\r\n", None),
        (b"554 5.7.1.2 an address\r\n", None),
    ],
)
def test_the_enhanced_code_is_read(said, code) -> None:
    """RFC 3463 §2, at the beginning of the text and of the same class as the reply."""
    assert failure_in(told(said)[1]).reply.enhanced_code == code  # type: ignore[union-attr]


def test_the_text_of_a_reply_is_all_its_lines() -> None:
    """Joined by spaces, empty lines left out; a long one is cut in the detail only."""
    reply = failure_in(told(b"554-no\r\n554-\r\n554 " + b"y" * 400 + b"\r\n")[1])
    assert reply.reply is not None
    assert reply.reply.text == "no " + "y" * 400
    assert (len(reply.detail), reply.detail[-4:]) == (300, "y...")


def test_replies_sent_ahead_are_taken_in_turn() -> None:
    """A server that says everything at once is answered as if it had waited."""
    _, events = told(GREETING + OFFER + READY)
    assert without_replies(events) == [EHLO, Send(data=b"STARTTLS\r\n"), StartHandshake()]


# -- early plaintext ---------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 5, len(b"250 evil\r\n")])
def test_plaintext_after_220_is_flagged_and_dropped(cut) -> None:
    """In the same segment or the next, before our hello it is early (case 95)."""
    evil = b"250 evil\r\n"
    machine, _ = told(GREETING, OFFER)
    assert machine.early_plaintext is False
    machine.receive_data(READY + evil[:cut])
    assert machine.receive_data(evil[cut:]) == ()
    assert machine.early_plaintext is True
    assert machine.handshake_completed() == (EHLO,)
    assert machine.pending_octets == 0
    assert without_replies(list(machine.receive_data(b"250 true\r\n"))) == [QUIT]
    assert not any("evil" in line for line in machine.transcript)


def test_no_plaintext_no_flag() -> None:
    """A well-behaved server is not suspected."""
    machine, _ = told(GREETING, OFFER, READY)
    assert machine.early_plaintext is False


# -- bounds ------------------------------------------------------------------------------------


def test_a_line_may_be_as_long_as_the_limit_and_no_longer() -> None:
    """2,048 octets with the line end; RFC 5321 §4.5.3.1.5 has 512."""
    exact = b"220 " + b"x" * (2_048 - 6) + b"\r\n"
    assert told(exact)[1][-1] == EHLO
    failure = failure_in(told(b"220 x" + exact[4:])[1])
    assert (failure.error, failure.detail) == (
        ProbeError.TOO_LARGE,
        "a line longer than 2048 octets",
    )


def test_a_line_without_end_is_given_up_at_the_limit() -> None:
    """It is not awaited for ever, nor kept."""
    machine, events = told(b"220 " + b"x" * 2_044)
    assert failure_in(events).error is ProbeError.TOO_LARGE
    assert machine.pending_octets == 0
    assert told(b"220 " + b"x" * 2_043)[1] == []


def test_a_reply_may_have_as_many_lines_as_the_limit() -> None:
    """And not one more."""
    assert told(b"220-x\r\n" * 2 + b"220 x\r\n", max_reply_lines=3)[1][-1] == EHLO
    failure = failure_in(told(b"220-x\r\n" * 3, max_reply_lines=3)[1])
    assert failure.detail == "more than 3 lines in one reply"


def test_a_session_may_have_as_many_octets_as_the_limit() -> None:
    """Over all replies together, so that small replies cannot go on for ever."""
    size = len(GREETING) + len(OFFER)
    assert told(GREETING, OFFER, max_session_octets=size)[0].state is State.STARTTLS
    failure = failure_in(told(GREETING, OFFER, max_session_octets=size - 1)[1])
    assert failure.detail == f"more than {size - 1} octets in one session"


def test_the_transcript_is_bounded() -> None:
    """In lines and in characters of each."""
    machine, _ = told(b"220-abcdefgh\r\n" * 5, max_transcript_lines=3, max_transcript_characters=6)
    assert machine.transcript == ("220-ab",) * 3


def test_printable_is_ascii_and_bounded() -> None:
    """Terminal escapes and eight-bit text cannot pass."""
    assert printable(b"a\x1b[0m\tb\x7f\x80\n", 100) == "a?[0m b???"
    assert printable(b"abcdef", 3) == "abc"


@pytest.mark.parametrize("name", ["", " ", "a b", "a\r\nQUIT", "ä", "a\x00", "x" * 256])
def test_a_name_that_could_break_the_line_is_refused(name) -> None:
    """No configuration can put a second command on the wire."""
    with pytest.raises(ValueError, match="EHLO"):
        SmtpClient(name)


def test_an_address_literal_is_a_name_to_say() -> None:
    """RFC 5321 §4.1.4 lets a client without a name give its address."""
    assert SmtpClient("[192.0.2.1]").receive_data(GREETING)[-1] == Send(
        data=b"EHLO [192.0.2.1]\r\n"
    )
