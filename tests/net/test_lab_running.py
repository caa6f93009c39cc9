"""A running lab, seen by foreign clients: dnspython's resolver client, smtplib and ssl.

Blocking clients run in threads; every wait is bounded by the client's own time-out.
"""

import json
import os
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding

from scanner.lab.__main__ import main
from scanner.lab.builder import Builder
from scanner.lab.ca import LeafSpec, for_host
from scanner.lab.catalogue import demo_plan, scenario_plan
from scanner.lab.faults import NamedFault
from scanner.lab.generate import generate
from scanner.lab.lab import Lab, open_lab
from scanner.lab.mailhost import has_ipv6_loopback
from scanner.lab.plan import Behaviour, DnsFault, DnsFaultKind, LabPlan, MailFault, TlsKind
from scanner.lab.responder import ResolverMode
from scanner.model.names import Name
from scanner.model.vocabulary import DomainVerdict

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PATIENCE = 10.0  # seconds a client waits for what must come
IMPATIENCE = 0.2  # seconds a client waits for what must not come
T = TypeVar("T")


@asynccontextmanager
async def one_host(**server: object) -> AsyncIterator[tuple[Lab, str]]:
    """A lab of one domain with one host; yields the lab and the host's address."""
    builder = Builder(NOW)
    host = builder.domain("a", "one host").host(**server)
    async with open_lab(builder.plan()) as lab:
        yield lab, host.addresses[0]


async def in_thread(job: Callable[[], T]) -> T:
    """Run a blocking client beside the lab."""
    return await trio.to_thread.run_sync(job)


def any_tls() -> ssl.SSLContext:
    """A client context that accepts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def starttls(address: str, port: int, name: str) -> tuple[str | None, bytes | None]:
    """Do what a mail client does; return the TLS version and the leaf as DER."""
    with smtplib.SMTP(address, port, timeout=PATIENCE) as client:
        client.ehlo()
        client._host = name  # type: ignore[attr-defined]  # smtplib takes SNI from here
        client.starttls(context=any_tls())
        sock = client.sock
        assert isinstance(sock, ssl.SSLSocket)
        seen = sock.version(), sock.getpeercert(binary_form=True)
        client.ehlo()
    return seen


def talk(
    address: str, port: int, *lines: bytes, until: bytes | None = None, limit: int = 2_000_000
) -> bytes:
    """Send lines at once and return what comes, up to the end, a reset, ``until`` or ``limit``."""
    received = b""
    try:
        with socket.create_connection((address, port), timeout=PATIENCE) as sock:
            sock.sendall(b"".join(lines))
            while len(received) < limit and (until is None or until not in received):
                data = sock.recv(65536)
                if not data:
                    break
                received += data
    except ConnectionResetError:
        received += b"<reset>"
    return received


def silence_after(address: str, port: int, *lines: bytes, until: bytes) -> bytes:
    """Send lines, wait for ``until``, and return what comes in the moment after it."""
    with socket.create_connection((address, port), timeout=PATIENCE) as sock:
        sock.sendall(b"".join(lines))
        received = b""
        while until not in received:
            received += sock.recv(65536)
        sock.settimeout(IMPATIENCE)
        try:
            return received[received.index(until) + len(until) :] + sock.recv(65536)
        except TimeoutError:
            return received[received.index(until) + len(until) :]


async def query(lab: Lab, name: str, rdtype: str, *, tcp: bool = False) -> dns.message.Message:
    """Ask the lab's resolver over the network."""
    message = dns.message.make_query(name, rdtype, want_dnssec=True)
    ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    address, port = lab.resolver
    return await ask(message, address, port=port, timeout=PATIENCE)


async def test_the_resolver_answers_on_udp_and_tcp() -> None:
    """One port, both transports, the same secure answer."""
    async with one_host() as (lab, _):
        for tcp in (False, True):
            reply = await query(lab, "a.test", "MX", tcp=tcp)
            assert reply.rcode() == dns.rcode.NOERROR
            assert reply.flags & dns.flags.AD
        assert lab.query_log.count(Name("a.test"), "MX") == 2
        assert lab.query_log.total == 2
        lab.query_log.clear()
        assert lab.query_log.total == 0


async def test_several_questions_on_one_tcp_connection() -> None:
    """A connection is kept for the next question (RFC 7766 §6.2.1)."""
    async with one_host() as (lab, _):
        stream = await trio.open_tcp_stream(*lab.resolver)
        async with stream:
            for name in ("a.test", "mx1.a.test"):
                wire = dns.message.make_query(name, "A", id=7).to_wire()
                # In two pieces, as a stream may deliver it.
                await stream.send_all(len(wire).to_bytes(2) + wire[:5])
                await stream.send_all(wire[5:])
                header = await _exactly(stream, 2)
                reply = dns.message.from_wire(await _exactly(stream, int.from_bytes(header)))
                assert reply.question[0].name.to_text() == f"{name}."


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive_some(count - len(data))
    return data


async def test_a_resolver_that_is_down_comes_back() -> None:
    """Mode ``down`` drops everything; the next mode answers again."""
    async with one_host() as (lab, _):
        lab.set_resolver_mode(ResolverMode.DOWN)
        address, port = lab.resolver
        message = dns.message.make_query("a.test", "MX")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(message, address, port=port, timeout=IMPATIENCE)
        lab.set_resolver_mode(ResolverMode.VALIDATING)
        assert (await query(lab, "a.test", "MX")).answer


async def test_a_late_reply_holds_up_no_other() -> None:
    """With an hour of latency a client gives up; the next question is answered at once again."""
    async with one_host() as (lab, _):
        lab.set_latency(3600)
        address, port = lab.resolver
        message = dns.message.make_query("a.test", "MX")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(message, address, port=port, timeout=IMPATIENCE)
        lab.set_latency(0)
        for tcp in (False, True):
            assert (await query(lab, "a.test", "MX", tcp=tcp)).answer


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        (TlsKind.MODERN, "TLSv1.3"),
        (TlsKind.TLS13_ONLY, "TLSv1.3"),
        (TlsKind.TLS12_ONLY, "TLSv1.2"),
    ],
)
async def test_a_good_host_speaks_starttls(kind: TlsKind, version: str) -> None:
    """EHLO, STARTTLS, handshake, EHLO, QUIT; all of it is logged."""
    async with one_host(tls=kind) as (lab, address):
        seen, certificate = await in_thread(lambda: starttls(address, lab.smtp_port, "mx1.a.test"))
        log = lab.mail_log.at(address)
        assert seen == version
        assert certificate
        assert (log.connections, log.handshakes, log.max_concurrent) == (1, 1, 1)
        assert list(log.server_names) == ["mx1.a.test"]
        assert [command.split()[0].upper() for command in log.commands] == [
            "EHLO",
            "STARTTLS",
            "EHLO",
            "QUIT",
        ]
        assert not log.saw_command("MAIL")


async def test_old_tls_is_refused_by_modern_clients() -> None:
    """A TLS 1.0-only host fails a default client's handshake, and says so in its log."""
    async with one_host(tls=TlsKind.TLS10_ONLY) as (lab, address):
        with pytest.raises((ssl.SSLError, OSError)):
            await in_thread(lambda: starttls(address, lab.smtp_port, "mx1.a.test"))
        await _until(lambda: lab.mail_log.at(address).failed_handshakes == 1)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for what another task of the lab is about to do."""
    with trio.fail_after(PATIENCE):
        while not condition():
            await trio.lowlevel.checkpoint()


async def test_the_chain_depends_on_sni() -> None:
    """A named client gets its own certificate, every other one the default."""
    builder = Builder(NOW)
    name = Name("mx1.a.test")
    named = builder.foundry.leaf(for_host(name))
    other = builder.foundry.leaf(LeafSpec(names=("other.test",)))
    host = builder.domain("a", "sni").host(chain=other, sni_chains=((name, named),))
    address = host.addresses[0]
    async with open_lab(builder.plan()) as lab:
        for asked, chain in ((name, named), ("else.test", other)):
            _, seen = await in_thread(lambda asked=asked: starttls(address, lab.smtp_port, asked))
            assert seen is not None
            assert seen == chain.leaf.public_bytes(Encoding.DER)


EHLO = b"EHLO client.test\r\n"
STARTTLS = b"STARTTLS\r\n"


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Behaviour.GREETING_421, b"421 "),
        (Behaviour.GREETING_554, b"554 "),
        (Behaviour.GREETING_NOT_SMTP, b"HTTP/1.1 400"),
        (Behaviour.GREETING_MULTILINE, b"220-hello\r\n220-and welcome\r\n220 "),
        (Behaviour.GREETING_DRIP, b"2"),
    ],
)
async def test_greetings(behaviour: Behaviour, expected: bytes) -> None:
    """What comes first is what the behaviour says."""
    async with one_host(behaviour=behaviour) as (lab, address):
        seen = await in_thread(lambda: talk(address, lab.smtp_port, until=expected))
        assert seen.startswith(expected)


@pytest.mark.parametrize(
    ("behaviour", "expected"), [(Behaviour.CLOSED, b""), (Behaviour.RESET, b"<reset>")]
)
async def test_connections_that_end_before_any_greeting(
    behaviour: Behaviour, expected: bytes
) -> None:
    """Closed is the end of the stream, reset an error; no byte comes either way."""
    async with one_host(behaviour=behaviour) as (lab, address):
        assert await in_thread(lambda: talk(address, lab.smtp_port)) == expected


async def test_hostile_greetings_are_as_large_as_they_say() -> None:
    """A line of a megabyte, and a greeting without end."""
    async with one_host(behaviour=Behaviour.GREETING_LONG_LINE) as (lab, address):
        seen = await in_thread(lambda: talk(address, lab.smtp_port))
        assert len(seen) > 1_000_000
        assert seen.count(b"\n") == 1
    async with one_host(behaviour=Behaviour.GREETING_ENDLESS) as (lab, address):
        seen = await in_thread(lambda: talk(address, lab.smtp_port, limit=3_000_000))
        assert len(seen) >= 3_000_000
        assert b"\n220 " not in seen


@pytest.mark.parametrize(
    ("behaviour", "commands", "expected"),
    [
        (Behaviour.EHLO_421, EHLO, b"421 4.3.2"),
        (Behaviour.EHLO_REJECTED, EHLO + b"HELO client.test\r\n", b"502 5.5.1"),
        (Behaviour.LOWERCASE_STARTTLS, EHLO, b"250-starttls\r\n"),
        (Behaviour.STARTTLS_454, EHLO + STARTTLS, b"454 4.7.0"),
        (Behaviour.STARTTLS_502, EHLO + STARTTLS, b"502 5.5.1"),
        (Behaviour.STARTTLS_GARBAGE, EHLO + STARTTLS, b"\x00\xff\xfe"),
        (Behaviour.PLAINTEXT_AFTER_220, EHLO + STARTTLS, b"220 2.0.0 ready\r\n250-injected"),
        (Behaviour.GOOD, b"MAIL FROM:<>\r\n", b"550 5.7.1"),
        (Behaviour.GOOD, b"NOOP\r\nVRFY x\r\nQUIT\r\n", b"250 2.0.0 ok\r\n502 5.5.2 what?\r\n221"),
    ],
)
async def test_behaviours_in_clear_text(
    behaviour: Behaviour, commands: bytes, expected: bytes
) -> None:
    """Each misbehaviour shows exactly where its name says."""
    async with one_host(behaviour=behaviour) as (lab, address):
        seen = await in_thread(lambda: talk(address, lab.smtp_port, commands, until=expected))
        assert expected in seen


@pytest.mark.parametrize(
    ("behaviour", "commands", "last"),
    [
        (Behaviour.NEVER_ACCEPTS, b"", b""),
        (Behaviour.EHLO_SILENT, EHLO, b"ESMTP lab\r\n"),
        (Behaviour.STARTTLS_SILENT, EHLO + STARTTLS, b"250 8BITMIME\r\n"),
        (Behaviour.TLS_SILENT, EHLO + STARTTLS, b"220 2.0.0 ready\r\n"),
    ],
)
async def test_hosts_that_fall_silent(behaviour: Behaviour, commands: bytes, last: bytes) -> None:
    """After the last words nothing comes, and the connection stays open."""
    async with one_host(behaviour=behaviour) as (lab, address):
        port = lab.smtp_port
        seen = await in_thread(lambda: silence_after(address, port, commands, until=last))
        assert seen == b""


async def test_rejected_ehlo_still_takes_helo() -> None:
    """EHLO 502, HELO 250, and no STARTTLS anywhere."""
    async with one_host(behaviour=Behaviour.EHLO_REJECTED) as (lab, address):
        lines = (EHLO, b"HELO a\r\n", b"QUIT\r\n")
        seen = await in_thread(lambda: talk(address, lab.smtp_port, *lines))
        assert b"\r\n250 mx1.a.test\r\n" in seen
        assert b"STARTTLS" not in seen


@pytest.mark.parametrize("behaviour", [Behaviour.NO_STARTTLS, Behaviour.XSTARTTLS])
async def test_starttls_that_is_not_offered(behaviour: Behaviour) -> None:
    """The keyword is on no line of its own, and the command is refused."""
    async with one_host(behaviour=behaviour) as (lab, address):
        lines = (EHLO, STARTTLS, b"QUIT\r\n")
        seen = await in_thread(lambda: talk(address, lab.smtp_port, *lines))
        keywords = {line[4:].split(b" ")[0] for line in seen.splitlines()}
        assert b"STARTTLS" not in keywords
        assert b"503 5.5.1" in seen


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour.TLS_ALERT, Behaviour.TLS_GARBAGE, Behaviour.TLS_CLOSED, Behaviour.STARTTLS_DROP],
)
async def test_handshakes_that_fail(behaviour: Behaviour) -> None:
    """A client that was let in by 220, or dropped instead, gets no TLS."""
    async with one_host(behaviour=behaviour) as (lab, address):
        with pytest.raises((ssl.SSLError, OSError, smtplib.SMTPException)):
            await in_thread(lambda: starttls(address, lab.smtp_port, "mx1.a.test"))
        assert lab.mail_log.at(address).handshakes == 0


async def test_a_refusing_address_refuses() -> None:
    """Nothing listens there: TCP says so at once."""
    async with one_host(behaviour=Behaviour.REFUSED) as (lab, address):
        with pytest.raises(ConnectionRefusedError):
            await in_thread(lambda: talk(address, lab.smtp_port))


async def test_a_black_hole_does_not_answer() -> None:
    """The SYN is dropped: the client times out."""
    async with one_host(behaviour=Behaviour.BLACK_HOLE) as (lab, address):
        port = lab.smtp_port

        def knock() -> None:
            socket.create_connection((address, port), timeout=IMPATIENCE).close()

        with pytest.raises(TimeoutError):
            await in_thread(knock)


async def test_the_ipv6_host_listens_where_the_machine_can() -> None:
    """A plan with ::1 opens exactly on machines that have it."""
    plan = scenario_plan(NOW, ["T20"], ipv6=True)
    domain = next(item for item in plan.domains if item.label == "CASE27")
    if not has_ipv6_loopback():
        with pytest.raises(OSError, match="address"):
            async with open_lab(plan):
                pass
        return
    async with open_lab(plan) as lab:
        version, _ = await in_thread(lambda: starttls("::1", lab.smtp_port, domain.hosts[0].host))
        assert version == "TLSv1.3"
        assert lab.mail_log.at("::1").connections == 1


async def test_connections_at_the_same_time_are_counted() -> None:
    """The log tells how polite a client was."""
    async with one_host() as (lab, address):
        first = await trio.open_tcp_stream(address, lab.smtp_port)
        second = await trio.open_tcp_stream(address, lab.smtp_port)
        async with first, second:
            await first.receive_some(100)
            await second.receive_some(100)
            assert lab.mail_log.at(address).max_concurrent == 2
        await _until(lambda: lab.mail_log.at(address).open_now == 0)
        lab.mail_log.clear()
        assert lab.mail_log.connections == 0


async def test_mail_faults_are_switched_while_running() -> None:
    """Each change of the TCP behaviour takes the listener down or up; clearing mends it."""
    async with one_host() as (lab, address):
        domain = Name("a.test")
        for behaviour in (Behaviour.REFUSED, Behaviour.NEVER_ACCEPTS, Behaviour.REFUSED):
            lab.set_fault(domain, MailFault(address=address, behaviour=behaviour))
        with pytest.raises(ConnectionRefusedError):
            await in_thread(lambda: talk(address, lab.smtp_port))
        lab.set_fault(domain, MailFault(address=address, behaviour=Behaviour.NO_STARTTLS))
        lines = (EHLO, b"QUIT\r\n")
        seen = await in_thread(lambda: talk(address, lab.smtp_port, *lines))
        assert b"250-SIZE" in seen
        assert b"-STARTTLS" not in seen
        lab.clear_fault(domain)
        version, _ = await in_thread(lambda: starttls(address, lab.smtp_port, "mx1.a.test"))
        assert version == "TLSv1.3"


async def test_dns_faults_are_switched_while_running() -> None:
    """A fault shows in the next reply, and so does its repair."""
    async with one_host() as (lab, _):
        assert (await query(lab, "a.test", "MX")).rcode() == dns.rcode.NOERROR
        lab.set_fault(Name("a.test"), DnsFault(zone=Name("a.test"), kind=DnsFaultKind.DS_MISMATCH))
        assert (await query(lab, "a.test", "MX")).rcode() == dns.rcode.SERVFAIL
        lab.clear_fault(Name("a.test"))
        assert (await query(lab, "a.test", "MX")).flags & dns.flags.AD


@pytest.mark.parametrize("name", [NamedFault.CERTIFICATE_REPLACED, NamedFault.CERTIFICATE_EXPIRED])
async def test_named_faults_change_the_certificate_shown(name: NamedFault) -> None:
    """The demo's faults reach the wire."""
    plan = demo_plan(NOW)
    async with open_lab(plan) as lab:
        bank = lab.domains[Name("bank.test")]
        host = bank.hosts[0]
        _, before = await in_thread(lambda: starttls(host.addresses[0], lab.smtp_port, host.host))
        effect = lab.break_domain(bank.name, name)
        _, after = await in_thread(lambda: starttls(host.addresses[0], lab.smtp_port, host.host))
        lab.clear_fault(bank.name)
        _, again = await in_thread(lambda: starttls(host.addresses[0], lab.smtp_port, host.host))
        assert before != after
        assert before == again
        assert effect.exchange_online is DomainVerdict.BLOCKED


async def test_an_error_inside_the_block_comes_out_unchanged() -> None:
    """The lab closes behind a failing test and hides nothing."""
    plan = demo_plan(NOW)
    with pytest.raises(LookupError, match="from inside"):
        async with open_lab(plan):
            raise LookupError("from inside")


async def test_cancelling_the_block_closes_the_lab() -> None:
    """A lab in a cancelled scope ends at once, with its listeners closed."""
    with trio.CancelScope() as scope:
        async with one_host() as (lab, address):
            where = (address, lab.smtp_port)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(ConnectionRefusedError):
        await in_thread(lambda: talk(*where))


async def test_a_thousand_domains_open_and_answer() -> None:
    """A generated lab opens, and the first, the last and a middle domain answer."""
    plan: LabPlan = generate(NOW, 1000, seed=2, fault_share=0.0)
    async with open_lab(plan) as lab:
        for number in (0, 500, 999):
            reply = await query(lab, f"d{number:06d}.test", "MX")
            assert reply.answer
        address = plan.mail_hosts[-1].address
        version, _ = await in_thread(lambda: starttls(address, lab.smtp_port, "x.test"))
        assert version == "TLSv1.3"


def test_the_lab_runs_as_a_process_and_stops_itself(tmp_path: "os.PathLike[str]") -> None:
    """``python -m scanner.lab`` prints its ports, writes zone files and ends with its input."""
    command = [sys.executable, "-m", "scanner.lab", "--scenario", "T01", "--until-eof"]
    command += ["--seconds", "60", "--zone-files", os.fspath(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert facts["domains"][0]["domain"] == "t01.test"
        assert facts["trust_anchor"].startswith(". IN DS ")
        assert facts["resolver"].startswith("127.0.0.1:")
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "t01.test.zone" in os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "domains"),
    [(["--demo"], 16), (["--domains", "5"], 5), (["--scenario", "T05", "--scenario", "T20"], 3)],
)
def test_the_command_line_chooses_the_plan(
    options: list[str], domains: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Demo, generated or scenarios; the lab stops by itself after its time."""
    main([*options, "--seconds", "0.01"])
    facts = json.loads(capsys.readouterr().out)
    shown = [item for item in facts["domains"] if item["label"] != "CASE27"]
    assert len(shown) == domains
    assert facts["smtp_port"] > 0


def test_the_lab_process_refuses_to_run_for_ever() -> None:
    """The time is bounded."""
    command = [sys.executable, "-m", "scanner.lab", "--seconds", "1000000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "--seconds" in done.stderr
