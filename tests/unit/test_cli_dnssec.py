"""``danewatch dnssec`` with validations made by hand: exit codes, output, options, pictures."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import validations as made

from exporters.dnssec_document import load_schema
from scanner.cli import chain_picture
from scanner.cli.diagnosis import Validated
from scanner.cli.main import run
from scanner.cli.wiring import Settings
from scanner.model.dnssec import Validation
from scanner.model.observation import Question
from scanner.model.vocabulary import RRType
from scanner.observe.selftest import SelfTest, SelfTestCheck

RESOLVER = ("--resolver", "127.0.0.1")


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    """Commands set up logging for a whole process; undo that."""
    logger = logging.getLogger("danewatch")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


class FakeValidation:
    """Answers with ``says``, and remembers what it was asked."""

    def __init__(self) -> None:
        self.says: Validation = made.secure()
        self.self_test: SelfTest | None = None
        self.asked: list[Question] = []
        self.settings: list[Settings] = []

    async def validate(self, question: Question, settings: Settings, **_: Any) -> Validated:
        self.asked.append(question)
        self.settings.append(settings)
        return Validated(validation=self.says, asked_at=made.NOW, self_test=self.self_test)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeValidation:
    found = FakeValidation()
    monkeypatch.setattr("scanner.cli.diagnosis.validate", found.validate)
    return found


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (made.secure, 0),
        (made.unsigned, 0),
        (made.no_key, 1),
        (made.expired, 1),
        (made.no_answer, 3),
    ],
)
def test_exit_code_is_that_of_the_status(
    fake: FakeValidation, make: Callable[[], Validation], code: int
) -> None:
    """0 secure or insecure, 1 bogus, 3 indeterminate."""
    fake.says = make()
    assert run(["dnssec", *RESOLVER, "example.org"]) == code


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["example.org"], Question(made.Name("example.org"), RRType.MX)),
        (["Example.ORG.", "ds"], Question(made.Name("example.org"), RRType.DS)),
        (
            ["_25._tcp.mx.example.org"],
            Question(made.Name("_25._tcp.mx.example.org"), RRType.TLSA),
        ),
        (["org", "DNSKEY"], Question(made.Name("org"), RRType.DNSKEY)),
        ([".", "SOA"], Question(made.ROOT, RRType.SOA)),
        (["*.example.org", "A"], Question(made.Name("*.example.org"), RRType.A)),
    ],
)
def test_any_name_can_be_asked_for(
    fake: FakeValidation, arguments: list[str], question: Question
) -> None:
    """The type is MX unless given, or TLSA where the name is one of TLSA records."""
    assert run(["dnssec", *RESOLVER, *arguments]) == 0
    assert fake.asked == [question]


def test_json_is_one_document_that_is_valid_by_the_shipped_schema(
    fake: FakeValidation, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else on standard output."""
    fake.says = made.no_key()
    assert run(["dnssec", *RESOLVER, "--json", "example.org"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    jsonschema.validate(document, load_schema())
    assert document["reason"] == "ds-no-key"


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name."""
    assert run(["dnssec", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == load_schema()


def test_the_page_is_shown_with_what_is_to_come(
    fake: FakeValidation, capsys: pytest.CaptureFixture[str]
) -> None:
    """The forecast is made here, for the moment that was judged."""
    last = made.replace(made.chain()[-1], dnskeys=(made.key(made.EXAMPLE_TAG), made.key(900)))
    fake.says = made.secure(links=made.chain(last=last))
    assert run(["dnssec", *RESOLVER, "example.org"]) == 0
    shown = capsys.readouterr().out
    assert "example.org MX is secure" in shown
    assert "[key-prepublished]" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name what to look up"),
        (["bad name"], "not a name: bad name"),
        (["\x1b[31m.example"], "not a name: \\x1b[31m.example"),
        (["a..example"], "not a name"),
        (["example.org", "NSEC9"], "is not one of"),
        (["--validation", "resolver", "example.org"], "by validating it"),
        (["--graph", "chain.gif", "example.org"], "must end in .svg or .png"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(
    fake: FakeValidation,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    """Exit code 2."""
    assert run(["dnssec", *RESOLVER, *arguments]) == 2
    assert says in capsys.readouterr().err
    assert fake.asked == []


def test_a_fault_of_ours_comes_with_what_the_self_test_found(
    fake: FakeValidation, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, with the remedy."""
    fake.says = made.root_broken()
    check = SelfTestCheck(name="resolver-ds", ok=False, sentence="No DS.", remedy="Let DS pass.")
    fake.self_test = SelfTest(tested_at=made.NOW, checks=(check,))
    assert run(["dnssec", *RESOLVER, "example.org"]) == 1
    assert capsys.readouterr().err == "danewatch: No DS.\n  Let DS pass.\n"


@pytest.mark.parametrize("suffix", chain_picture.SUFFIXES)
def test_a_picture_is_drawn_beside_the_page(
    fake: FakeValidation, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the form that the name of the file asks for."""
    target = tmp_path / f"chain{suffix}"
    assert run(["dnssec", *RESOLVER, "--graph", str(target), "example.org"]) == 0
    begins = {".svg": b"<?xml", ".png": b"\x89PNG"}[suffix]
    assert target.read_bytes().startswith(begins)
    captured = capsys.readouterr()
    assert "example.org MX is secure" in captured.out
    assert str(target) in captured.err


def test_a_place_that_cannot_be_written_is_named(
    fake: FakeValidation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the page, which is not lost."""
    target = tmp_path / "nowhere" / "chain.png"
    assert run(["dnssec", *RESOLVER, "--graph", str(target), "example.org"]) == 2
    captured = capsys.readouterr()
    assert f"{target}: no such file or directory" in captured.err
    assert "is secure" in captured.out


def test_a_missing_library_is_named_with_the_way_to_get_it(
    fake: FakeValidation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is asked."""
    monkeypatch.setattr(chain_picture, "is_available", lambda: False)
    assert run(["dnssec", *RESOLVER, "--graph", "chain.png", "example.org"]) == 2
    assert "pip install 'danewatch[graph]'" in capsys.readouterr().err
    assert fake.asked == []
