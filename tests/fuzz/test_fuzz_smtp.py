"""Any bytes whatever: the SMTP machine gives events, the TLS client a declared error."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.model.observation import ProbeError
from scanner.observe.net import PeerError, PeerStream
from scanner.observe.tls import client_context, handshake
from scanner.wire.smtp import Failure, SmtpClient, State

CONTEXT = client_context()
DECLARED = {
    ProbeError.PROTOCOL,
    ProbeError.TOO_LARGE,
    ProbeError.CLOSED,
    ProbeError.REPLY_TRANSIENT,
    ProbeError.REPLY_PERMANENT,
    ProbeError.REPLY_UNEXPECTED,
    ProbeError.STARTTLS_NOT_OFFERED,
}
SEEDS = [
    b"220 mx.test\r\n",
    b"250-mx.test\r\n250 STARTTLS\r\n",
    b"220 go\r\n",
    b"554 5.7.1 no\r\n",
    b"421 \r\n",
    b"220-" + b"\x00" * 3_000,
    b"250-\n" * 300,
    b"\r\n\r\n",
    b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"220 \xf0\x9f\x92\xa9\r\n",
]
pieces = st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(SEEDS)), max_size=15)


@given(pieces)
def test_any_bytes_give_events_and_declared_errors_only(said: list[bytes]) -> None:
    """No exception, no unbounded buffer, no error outside the list; under TLS as before it."""
    machine = SmtpClient("probe.test")
    failures: list[Failure] = []
    for piece in said:
        events = machine.receive_data(piece)
        if machine.state is State.HANDSHAKE:
            events += machine.handshake_completed()
        failures += [event for event in events if isinstance(event, Failure)]
        assert machine.pending_octets <= 2_048
    failures += [event for event in machine.receive_eof() if isinstance(event, Failure)]
    assert machine.state is State.CLOSED
    assert {failure.error for failure in failures} <= DECLARED
    assert len(failures) <= 1


records = st.builds(
    lambda kind, minor, body, lie: (
        bytes([kind, 3, minor]) + (len(body) + lie).to_bytes(2, "big") + body
    ),
    st.sampled_from([20, 21, 22, 23, 24, 255]),
    st.integers(0, 4),
    st.binary(max_size=200),
    st.sampled_from([0, 0, 0, 1, 300]),
)


@settings(max_examples=60)
@given(st.lists(st.one_of(records, st.binary(max_size=60)), max_size=6))
def test_any_bytes_in_the_handshake_are_a_declared_error(said: list[bytes]) -> None:
    """OpenSSL's refusals come out as PeerError, whatever they are called."""

    async def main() -> ProbeError:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(b"".join(said))
        await theirs.send_eof()
        async with PeerStream(ours) as stream:
            with pytest.raises(PeerError) as raised:
                await handshake(stream, CONTEXT, "mx.test")
        await theirs.aclose()
        return raised.value.error

    assert trio.run(main) in {
        ProbeError.TLS_PROTOCOL,
        ProbeError.TLS_ALERT,
        ProbeError.TOO_LARGE,
        ProbeError.CLOSED,
    }
