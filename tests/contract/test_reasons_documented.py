"""The page of reasons is the registry: nothing undocumented, nothing edited by hand."""

from pathlib import Path

import pytest

from scanner.cli.reasons_doc import main, reasons_document
from scanner.model.reasons import Reason
from scanner.model.registry import info

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"


def test_page_is_what_the_registry_says() -> None:
    """Run ``python -m scanner.cli.reasons_doc`` after any change of the registry."""
    assert PAGE.read_text(encoding="utf-8") == reasons_document()


@pytest.mark.parametrize("reason", list(Reason))
def test_reason_has_one_section_with_its_own_anchor(reason: Reason) -> None:
    """GitHub and most renderers make the anchor from the heading; kebab case stays as it is."""
    headings = [line for line in reasons_document().splitlines() if line.startswith("### ")]
    assert headings.count(f"### {info(reason).anchor}") == 1


def test_page_names_both_codes_and_the_meaning_of_a_generic_one() -> None:
    """A reader with only the code of a non-delivery report finds the entry."""
    page = reasons_document()
    assert "`4.7.323` then `5.7.323`" in page
    assert "`4.4.312` then `5.4.312`, generic, meaning `4.7.324` then `5.7.324`" in page
    assert "`4.7.325` then `5.7.325`; in code set `seed` `4.7.323` then `5.7.323`" in page
    assert "`5.4.310` at once" in page


def test_page_is_written_where_asked(tmp_path: Path) -> None:
    """The generator takes a path."""
    target = tmp_path / "reasons.md"
    assert main([str(target)]) == 0
    assert target.read_text(encoding="utf-8") == reasons_document()
