"""Record signed answers with the whole chain to them: ``tests/vectors/dnssec/recorded.json``.

    python tests/vectors/make_recorded_answers.py

Needs the servers of ``.ci/install-servers``. Zones are signed by dnssec-signzone and ldns-signzone
and served by NSD; what is recorded are the octets of every reply that a validation asks for, as
unbound without its validator hands them on. Keys are thrown away, so the file comes out different
every time and equally good; ``now`` is the moment to validate them at. What each question must
come to is written here, not taken from a run.
"""

import base64
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import dns.flags
import dns.message
import dns.query
import trio
from corpus_cases import TLD_SPLIT
from corpus_servers import served
from corpus_zones import SPLIT, Corpus, CorpusZone, Key, sign_corpus

from scanner.judge.dnssec.anchors import Anchors, read_anchors
from scanner.model.dnssec import FetchFailure, SignedMessage
from scanner.model.names import Name
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.chainwalk import ValidatingResolver
from scanner.observe.dnsserver import ServerAddress
from scanner.observe.rawfetch import RawFetcher
from scanner.observe.resolver import open_fetcher
from scanner.run.clock import SystemClock

OUTPUT = Path(__file__).parent / "dnssec" / "recorded.json"
ALIASES = "to-nsec CNAME mx.nsec.test.\ntree DNAME nsec3.test.\nto-plain CNAME mx.plain.test.\n"
ED25519 = (Key(algorithm=15, role="ksk"), Key(algorithm=15, role="zsk"))
ZONES = [
    CorpusZone(apex="test.", **TLD_SPLIT),
    CorpusZone(apex="nsec.test."),
    CorpusZone(apex="nsec3.test.", denial="nsec3", salt="c0de", iterations=3, signer="ldns"),
    CorpusZone(apex="rsa.test.", keys=(Key(algorithm=8, bits=1024),)),
    CorpusZone(
        apex="ed.test.", keys=(Key(algorithm=15, role="ksk"), Key(algorithm=15, role="zsk"))
    ),
    CorpusZone(apex="alias.test.", records=ALIASES, keys=SPLIT),
    CorpusZone(apex="plain.test.", signer="none"),
    CorpusZone(apex="iterated.test.", denial="nsec3", iterations=2500, signer="ldns"),
]
SECURE, INSECURE = "secure", "insecure"
QUESTIONS = [
    *[
        (f"{owner}{zone}.test", rdtype, SECURE, outcome)
        for zone in ("nsec", "nsec3")
        for owner, rdtype, outcome in (
            ("mx.", "A", "data"),
            ("", "MX", "data"),
            ("_25._tcp.mx.", "TLSA", "data"),
            ("mx.", "AAAA", "nodata"),
            ("a.mx.", "A", "nxdomain"),
            ("deep.tree.", "A", "nodata"),
            ("any.", "TXT", "data"),
            ("any.", "A", "nodata"),
            ("x.walias.", "A", "data"),
        )
    ],
    ("mx.rsa.test", "A", SECURE, "data"),
    ("mx.rsa.test", "AAAA", SECURE, "nodata"),
    ("mx.ed.test", "A", SECURE, "data"),
    ("mx.ed.test", "AAAA", SECURE, "nodata"),
    ("to-nsec.alias.test", "A", SECURE, "data"),
    ("to-nsec.alias.test", "AAAA", SECURE, "nodata"),
    ("mx.tree.alias.test", "A", SECURE, "data"),
    ("a.mx.tree.alias.test", "A", SECURE, "nxdomain"),
    ("to-plain.alias.test", "A", INSECURE, "data"),
    ("mx.plain.test", "A", INSECURE, "data"),
    ("mx.plain.test", "AAAA", INSECURE, "nodata"),
    ("mx.iterated.test", "A", SECURE, "data"),
    ("a.mx.iterated.test", "A", INSECURE, "nxdomain"),
]


class Recorder:
    """Fetches through the real fetcher, and notes what was asked."""

    def __init__(self, fetcher: RawFetcher) -> None:
        self._fetcher = fetcher
        self.asked: dict[Question, None] = {}

    async def fetch(
        self, question: Question, *, fresh: bool = False
    ) -> SignedMessage | FetchFailure:
        """Fetch and note."""
        self.asked[question] = None
        return await self._fetcher.fetch(question, fresh=fresh)


async def ask_everything(corpus: Corpus, port: int) -> list[Question]:
    """Validate every question; return all that was asked on the way."""
    anchors = Anchors(read_anchors(corpus.anchor.read_text()))
    async with open_fetcher([ServerAddress("127.0.0.1", port)]) as fetcher:
        recorder = Recorder(fetcher)
        resolver = ValidatingResolver(recorder, anchors=anchors, clock=SystemClock())
        for owner, rdtype, status, outcome in QUESTIONS:
            found = await resolver.validate(Question(Name(owner), RRType(rdtype)))
            assert (found.status, found.outcome) == (status, outcome), found
    return list(recorder.asked)


def fetch(port: int, question: Question) -> bytes:
    """Return the octets of one reply, with id 0."""
    owner = question.name if question.name.endswith(".") else f"{question.name}."
    query = dns.message.make_query(owner, str(question.rdtype), want_dnssec=True, id=0)
    query.flags |= dns.flags.CD
    return dns.query.tcp(query, "127.0.0.1", port=port, timeout=5).wire or b""


def main() -> None:
    """Write the file."""
    now = datetime.now(UTC).replace(microsecond=0)
    with tempfile.TemporaryDirectory(prefix="danewatch-recording-") as place:
        directory = Path(place)
        directory.chmod(0o755)
        corpus = sign_corpus(directory, ZONES)
        with served(corpus) as port:
            questions = trio.run(ask_everything, corpus, port)
            replies = {
                f"{question.name} {question.rdtype}": base64.b64encode(
                    fetch(port, question)
                ).decode()
                for question in questions
            }
        anchor = corpus.anchor.read_text().splitlines()[-1]
    recorded: dict[str, Any] = {
        "now": now.isoformat(),
        "anchor": anchor,
        "questions": [list(item) for item in QUESTIONS],
        "replies": replies,
    }
    OUTPUT.write_text(json.dumps(recorded, indent=1) + "\n")
    print(f"{OUTPUT}: {len(QUESTIONS)} questions, {len(replies)} replies")


if __name__ == "__main__":
    main()
