"""What is shown on a terminal: safe, within its columns, and nothing lost in wrapping."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from scanner.cli.render import Branch, Style, hanging, tree_lines, words, wrapped

STYLES = st.sampled_from([Style(unicode=True), Style(unicode=False)])
SAFE_TEXT = st.text(st.characters(blacklist_categories=["C", "Z"], whitelist_characters=" "))


@given(text=st.text(max_size=400), limit=st.integers(4, 100), style=STYLES)
def test_safe_text_is_short_and_cannot_act_on_a_terminal(
    text: str, limit: int, style: Style
) -> None:
    """No controls, no formats, no separators but the space; ASCII where that is all there is."""
    shown = style.safe(text, limit)
    assert len(shown) <= limit
    assert all(one == " " or unicodedata.category(one)[0] not in "CZ" for one in shown)
    assert style.unicode or shown.isascii()


@given(text=SAFE_TEXT, width=st.integers(8, 100))
def test_wrapped_lines_fit_and_hold_every_word(text: str, width: int) -> None:
    """Nothing but spaces is dropped, and no line is wider than it may be."""
    lines = [line.plain for line in wrapped(Text(text), width)]
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split(" ")) == "".join(text.split(" "))


@given(lead=st.text("ab ", max_size=6), text=SAFE_TEXT, width=st.integers(20, 100))
def test_hanging_lines_stand_below_the_first(lead: str, text: str, width: int) -> None:
    """Every further line begins with as many spaces as the lead has columns."""
    first, *rest = [line.plain for line in hanging(words(lead), Text(text), width)]
    assert first.startswith(lead)
    assert all(line.startswith(" " * len(lead)) for line in rest)
    assert all(cell_len(line) <= width for line in (first, *rest))


BRANCHES = st.recursive(
    SAFE_TEXT.map(lambda text: Branch(words(text))),
    lambda children: st.builds(
        lambda text, below: Branch(words(text), below), SAFE_TEXT, st.lists(children, max_size=3)
    ),
    max_leaves=8,
)


@given(root=BRANCHES, style=STYLES)
def test_tree_fits_and_has_a_line_for_each_branch(root: Branch, style: Style) -> None:
    """However deep, as long as there are eight columns left."""
    lines = [line.plain for line in tree_lines(root, style, 80)]
    assert len(lines) >= count(root)
    assert all(cell_len(line) <= 80 for line in lines)


def count(branch: Branch) -> int:
    return 1 + sum(count(child) for child in branch.children)
