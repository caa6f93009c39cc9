"""The picture of a chain: what is drawn where, and that it is drawn whatever the chain."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import validations as made

from scanner.cli.chain_picture import MAX_BOXES, Box, Drawing, draw_chain, is_available, lay_out
from scanner.model.dnssec import Validation
from scanner.model.names import Name

GREEN, RED, GREY = "#1a7f37", "#cf222e", "#8c959f"


def box(drawing: Drawing, first_line: str) -> Box:
    (found,) = [one for one in drawing.boxes if one.lines[0] == first_line]
    return found


def is_joined(drawing: Drawing, source: str, target: str) -> bool:
    start, end = box(drawing, source).bottom, box(drawing, target).top
    return any((arrow.start, arrow.end) == (start, end) for arrow in drawing.arrows)


def test_zones_stand_from_the_anchor_down_with_the_answer_last() -> None:
    """Each in a frame of its own, none over another."""
    drawing = lay_out(made.secure())
    assert [frame.title for frame in drawing.frames] == [
        ". (trust anchor)",
        "org",
        "example.org",
        "example.org MX",
    ]
    for upper, lower in pairwise(drawing.frames):
        assert upper.top > upper.bottom > lower.top
    assert -drawing.height < drawing.frames[-1].bottom
    assert drawing.title == "example.org MX: secure"
    assert {frame.colour for frame in drawing.frames} == {GREEN}


def test_arrows_run_along_the_chain() -> None:
    """Anchor, key, DS of the next zone, its key, and so on to the answer."""
    drawing = lay_out(made.secure())
    steps = [
        "anchor 20326",
        "KSK 20326",
        "DS 4711",
        "KSK 4711",
        "DS 815",
        "KSK 815",
        "MX",
    ]
    for source, target in pairwise(steps):
        assert is_joined(drawing, source, target), (source, target)
    assert len(drawing.arrows) == len(steps) - 1
    assert not any(arrow.dashed for arrow in drawing.arrows)


def test_a_broken_link_is_red_and_leads_nowhere() -> None:
    """The DS has no key, the key no DS, and the answer nothing that vouches for it."""
    drawing = lay_out(made.no_key())
    assert drawing.frames[2].note == "bogus: ds-no-key"
    assert drawing.frames[2].colour == RED
    assert box(drawing, "DS 999").colour == RED
    assert box(drawing, "KSK 815").colour == GREY
    lowest = box(drawing, "DS 999").bottom[1]
    assert all(arrow.end[1] > lowest for arrow in drawing.arrows)


def test_a_signature_that_fails_is_dashed() -> None:
    """From the key that made it."""
    drawing = lay_out(made.expired())
    (arrow,) = [one for one in drawing.arrows if one.dashed]
    assert (arrow.start, arrow.end) == (box(drawing, "KSK 815").bottom, box(drawing, "MX").top)
    assert arrow.colour == RED


def test_the_key_that_signs_the_keys_points_to_the_others() -> None:
    """To those in between straight, to others around them."""
    zsks = tuple(made.key(tag, flags=made.ZSK) for tag in (10, 11))
    last = replace(made.chain()[-1], dnskeys=(*zsks, made.key(815)))
    drawing = lay_out(made.secure(links=made.chain(last=last)))
    bends = sorted(arrow.bend for arrow in drawing.arrows if arrow.start[1] == arrow.end[1])
    assert len(bends) == 2
    assert bends[0] == 0 < bends[1]
    assert box(drawing, "ZSK 10").colour == GREY


def test_rows_are_cut_and_the_rest_is_counted() -> None:
    """A hostile zone may have dozens of keys; those of the chain come first."""
    keys = tuple(made.key(tag) for tag in range(1, 41))
    last = replace(made.chain()[-1], dnskeys=(*keys, made.key(815)))
    drawing = lay_out(made.secure(links=made.chain(last=last)))
    assert f"({41 - MAX_BOXES} more records)" in drawing.frames[2].note
    assert box(drawing, "KSK 815").colour == GREEN
    boxes = [one for one in drawing.boxes if one.lines[0].startswith("KSK")]
    assert all(1 < one.at[0] < drawing.width - 1 for one in boxes)


@pytest.mark.parametrize("make", made.ALL.values(), ids=made.ALL)
def test_every_chain_can_be_drawn_and_its_text_searched(
    make: Callable[[], Validation], tmp_path: Path
) -> None:
    """SVG that any XML reader takes, the same bytes each time."""
    one, other = tmp_path / "one.svg", tmp_path / "other.svg"
    draw_chain(make(), one)
    draw_chain(make(), other)
    assert one.read_bytes() == other.read_bytes()
    tree = ET.fromstring(one.read_text(encoding="utf-8"))
    texts = [node.text for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert ". (trust anchor)" in texts


def test_nothing_in_a_name_is_interpreted(tmp_path: Path) -> None:
    """Neither as mathematics nor as markup, however long."""
    name = Name(r"\$x^2\$<b>&" + "long" * 15 + ".example.org")
    validation = made.secure()
    hostile = replace(validation, question=replace(validation.question, name=name))
    target = tmp_path / "chain.svg"
    draw_chain(hostile, target)
    text = target.read_text(encoding="utf-8")
    ET.fromstring(text)
    assert "<b>" not in text


def test_the_library_is_here() -> None:
    """It belongs to the tools of development."""
    assert is_available()
