"""The page of DNSSEC reasons is the registry, and every part of the product spells them alike."""

from pathlib import Path

import pytest

from exporters.dnssec_document import load_schema
from exporters.schema import document_markdown
from scanner.cli.dnssec_reasons_doc import chapters, dnssec_reasons_document, main
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.registry_dnssec import DNSSEC_REASONS, dnssec_info

DOCS = Path(__file__).parents[2] / "docs"


def test_page_is_what_the_registry_says() -> None:
    """Run ``python -m scanner.cli.dnssec_reasons_doc`` after any change of the registry."""
    page = (DOCS / "dnssec-reasons.md").read_text(encoding="utf-8")
    assert page == dnssec_reasons_document()


def test_every_reason_stands_in_one_chapter_in_the_order_of_the_chain() -> None:
    """The chapters cover the enum, none twice, none empty."""
    told = [reason for _, reasons in chapters() for reason in reasons]
    assert told == list(DnssecReason)
    assert all(reasons for _, reasons in chapters())


@pytest.mark.parametrize("reason", list(DnssecReason))
def test_reason_has_one_section_that_says_what_to_do(reason: DnssecReason) -> None:
    """The anchor of a reason is its own spelling."""
    page = dnssec_reasons_document()
    assert page.count(f"\n### {reason}\n") == 1
    section = page.partition(f"\n### {reason}\n")[2].partition("\n### ")[0]
    flowing = " ".join(section.split())
    assert dnssec_info(reason).sentence in flowing
    assert f"What to do: {dnssec_info(reason).remedy}" in flowing


def test_no_reason_is_without_an_entry() -> None:
    """Sentences and remedies are whole sentences."""
    assert set(DNSSEC_REASONS) == set(DnssecReason)
    for entry in DNSSEC_REASONS.values():
        assert entry.sentence.endswith(".")
        assert entry.remedy.endswith(".")


def test_page_is_written_where_asked(tmp_path: Path) -> None:
    """The generator takes a path."""
    target = tmp_path / "page.md"
    assert main([str(target)]) == 0
    assert target.read_text(encoding="utf-8") == dnssec_reasons_document()


def test_the_document_page_holds_the_reference_made_from_the_schema() -> None:
    """A page that lags behind fails here; put the generated reference between its marks."""
    page = (DOCS / "dnssec-document.md").read_text(encoding="utf-8")
    assert document_markdown(load_schema()) in page


def test_every_key_of_the_schema_is_required_and_explained() -> None:
    """Absent means null, so no key may be missing."""
    schema = load_schema()
    for holder in [schema, *schema["$defs"].values()]:
        assert sorted(holder["required"]) == sorted(holder["properties"])
        for name, value in holder["properties"].items():
            assert value["description"].endswith("."), name
