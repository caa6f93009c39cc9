"""Draws a chain of trust as a picture: zones from the anchor down, keys, signatures, the answer.

Each zone is a frame with what the parent publishes (DS) on top and the keys below; arrows run from
what vouches to what is vouched for: DS to key, key to keys, key to the next zone's DS, key to the
answer. Green holds, red breaks, grey is not part of the chain; what is dashed does not hold.

Drawn with matplotlib, an optional part of the installation (``danewatch[graph]``). It writes SVG
and PNG by itself, from wheels for every platform, and is the best-kept drawing library on PyPI.
Of the lighter ones, graphviz needs the system's ``dot``, drawsvg the system's cairo for PNG,
svgwrite is not developed any more, and Pillow draws no SVG. Only its Figure is used: no pyplot, no
global state, no window system. Text stays text in SVG, so that it can be searched.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.cli.render_words import plural
from scanner.model.dnssec import ChainLink, Dnskey, Ds, LinkKind, Validation
from scanner.model.dnssec_words import algorithm_name, digest_name, key_role, type_name
from scanner.model.vocabulary import DnssecStatus, LookupOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")

MAX_BOXES = 6
"""Boxes in one row of a zone; those of the chain come first, the rest is counted in the last."""
MAX_NAME = 44

_COLOURS = {
    DnssecStatus.SECURE: "#1a7f37",
    DnssecStatus.INSECURE: "#6e7781",
    DnssecStatus.BOGUS: "#cf222e",
    DnssecStatus.INDETERMINATE: "#9a6700",
}
_GREY = "#8c959f"
_INK = "#1f2328"

_BOX_WIDTH, _BOX_HEIGHT = 2.3, 0.72
_GAP, _ROW_GAP, _ZONE_GAP = 0.6, 0.3, 0.6
_DS_GAP = 0.3
"""Between DS records and keys, beside the gap of any row; arrows must be seen."""
_MARGIN, _TITLE = 0.3, 0.42
_INCHES = 0.72
"""Inches for a unit of the drawing."""
_DPI = 130

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """One rectangle with a few lines of text, centred at ``at``."""

    at: Point
    lines: tuple[str, ...]
    colour: str
    rounded: bool = False

    @property
    def top(self) -> Point:
        """Where arrows come in."""
        return self.at[0], self.at[1] + _BOX_HEIGHT / 2

    @property
    def bottom(self) -> Point:
        """Where arrows leave."""
        return self.at[0], self.at[1] - _BOX_HEIGHT / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The rectangle of one zone."""

    title: str
    note: str
    top: float
    bottom: float
    colour: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrow:
    """An arrow from what vouches to what is vouched for; ``bend`` curves it around others."""

    start: Point
    end: Point
    colour: str
    dashed: bool = False
    bend: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """Everything to draw, in units with the origin at the upper left and y downwards negative."""

    frames: tuple[Frame, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float
    title: str
    colour: str


def is_available() -> bool:
    """Return whether the drawing library is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_chain(validation: Validation, path: Path) -> None:
    """Draw ``validation`` into ``path``, SVG or PNG by its suffix. Raises OSError."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = lay_out(validation)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "danewatch"}):
        figure = Figure(figsize=(drawing.width * _INCHES, drawing.height * _INCHES), dpi=_DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, drawing.width)
        axes.set_ylim(-drawing.height, 0)
        axes.set_axis_off()
        _paint(axes, drawing)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, format=path.suffix.lower().removeprefix("."), metadata=metadata)


def lay_out(validation: Validation) -> Drawing:
    """Return where everything goes; nothing is drawn."""
    links = [link for link in validation.chain if link.kind is not LinkKind.NO_CUT]
    shown = [(link, _ds_of(link), _keys_of(link)) for link in links]
    most = max([1, *(len(row) for _, ds, keys in shown for row in (ds, keys))])
    width = max(7.0, 2 * _MARGIN + most * (_BOX_WIDTH + _GAP) + _GAP)
    layout = _Layout(width=width, used=_used_keys(validation))
    for link, ds, keys in shown:
        layout.add_zone(link, ds, keys)
    layout.add_answer(validation)
    question = validation.question
    return Drawing(
        frames=tuple(layout.frames),
        boxes=tuple(layout.boxes),
        arrows=tuple(layout.arrows),
        width=width,
        height=-layout.y + _MARGIN,
        title=f"{_short(question.name)} {question.rdtype}: {validation.status}",
        colour=_COLOURS[validation.status],
    )


class _Layout:
    """Puts one zone under the other, and remembers which keys may vouch for the next."""

    def __init__(self, *, width: float, used: frozenset[tuple[str, int]]) -> None:
        self.width = width
        self._used = used
        self.y = -_MARGIN - _TITLE
        self.frames: list[Frame] = []
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self._keys: dict[tuple[str, int], Box] = {}

    def add_zone(self, link: ChainLink, ds: Sequence[Ds], keys: Sequence[Dnskey]) -> None:
        top = self.y
        colour = _COLOURS[link.status]
        self.y -= _TITLE + 0.15
        ds_boxes = self._row([self._ds_text(one, link) for one in ds], rounded=False)
        if ds_boxes:
            self._vouch_for(link, ds_boxes)
            self.y -= _DS_GAP if keys else 0
        shown_keys = [self._key_text(key, link) for key in keys]
        key_boxes = self._row(shown_keys, rounded=True)
        for key, box in zip(keys, key_boxes, strict=True):
            self._keys[link.zone, key.key_tag] = box
        self._join(link, ds, keys, ds_boxes, key_boxes)
        if not ds_boxes and not key_boxes:
            self.y -= 0.1
        note = str(link.status) if link.reason is None else f"{link.status}: {link.reason}"
        hidden = len(link.dnskeys) - len(keys) + len(link.ds) - len(ds)
        note += f" ({hidden} more records)" if hidden else ""
        kind = " (trust anchor)" if link.kind is LinkKind.ANCHOR else ""
        frame = Frame(
            title=f"{_short(link.zone)}{kind}", note=note, top=top, bottom=self.y, colour=colour
        )
        self.frames.append(frame)
        self.y -= _ZONE_GAP

    def add_answer(self, validation: Validation) -> None:
        top = self.y
        self.y -= _TITLE + 0.15
        sets = [one for one in validation.rrsets if one.signatures or one.rrset][:MAX_BOXES]
        texts = [
            ((type_name(one.rdtype), _short(one.owner, 22)), _COLOURS[one.status]) for one in sets
        ]
        boxes = self._row(texts, rounded=False)
        for one, box in zip(sets, boxes, strict=True):
            for check in one.signatures:
                source = self._keys.get((check.rrsig.signer, check.rrsig.key_tag))
                if source is not None and (check.checked or check.reason is not None):
                    colour = _COLOURS[one.status]
                    self._arrow(source, box, colour, broken=check.reason is not None)
        if not boxes:
            self.y -= 0.1
        note = str(validation.outcome)
        if validation.outcome is LookupOutcome.DATA:
            note = plural(len(validation.records), "record")
        title = f"{_short(validation.question.name)} {validation.question.rdtype}"
        colour = _COLOURS[validation.status]
        self.frames.append(Frame(title=title, note=note, top=top, bottom=self.y, colour=colour))

    def _row(self, texts: Sequence[tuple[tuple[str, ...], str]], *, rounded: bool) -> list[Box]:
        """Put boxes side by side, centred, and move down."""
        if not texts:
            return []
        centre = self.y - _BOX_HEIGHT / 2
        step = _BOX_WIDTH + _GAP
        left = self.width / 2 - (len(texts) - 1) * step / 2
        boxes = [
            Box(at=(left + number * step, centre), lines=lines, colour=colour, rounded=rounded)
            for number, (lines, colour) in enumerate(texts)
        ]
        self.boxes += boxes
        self.y -= _BOX_HEIGHT + _ROW_GAP
        return boxes

    def _vouch_for(self, link: ChainLink, ds_boxes: Iterable[Box]) -> None:
        """Draw from the parent's key that signed the DS records."""
        for rrset in link.rrsets:
            if type_name(rrset.rdtype) != "DS":
                continue
            for check in rrset.signatures:
                source = self._keys.get((check.rrsig.signer, check.rrsig.key_tag))
                if source is not None and (check.checked or check.reason is not None):
                    for box in ds_boxes:
                        colour = _COLOURS[rrset.status]
                        self._arrow(source, box, colour, broken=check.reason is not None)

    def _join(
        self,
        link: ChainLink,
        ds: Sequence[Ds],
        keys: Sequence[Dnskey],
        ds_boxes: Sequence[Box],
        key_boxes: Sequence[Box],
    ) -> None:
        """Draw from DS to the keys they fit."""
        for one, ds_box in zip(ds, ds_boxes, strict=True):
            for key, key_box in zip(keys, key_boxes, strict=True):
                if (one.key_tag, one.algorithm) == (key.key_tag, key.algorithm):
                    entry = key.key_tag in link.entry_keys
                    colour = _COLOURS[link.status] if entry else _GREY
                    self._arrow(ds_box, key_box, colour, broken=not entry)
        for number, key in enumerate(keys):
            if key.key_tag in _signers(link):
                self._sign_keys(key_boxes, number, _COLOURS[link.status])

    def _sign_keys(self, boxes: Sequence[Box], signer: int, colour: str) -> None:
        """Draw from a key that signs the zone's keys to the others, around those in between."""
        source = boxes[signer]
        for number, target in enumerate(boxes):
            if number == signer:
                continue
            side = _BOX_WIDTH / 2 if number > signer else -_BOX_WIDTH / 2
            start, end = (source.at[0] + side, source.at[1]), (target.at[0] - side, target.at[1])
            bend = 0.0
            if abs(number - signer) > 1:
                start, end, bend = source.bottom, target.bottom, 0.12 if number > signer else -0.12
            self.arrows.append(Arrow(start=start, end=end, colour=colour, bend=bend))

    def _arrow(self, source: Box, target: Box, colour: str, *, broken: bool) -> None:
        self.arrows.append(Arrow(start=source.bottom, end=target.top, colour=colour, dashed=broken))

    @staticmethod
    def _ds_text(ds: Ds, link: ChainLink) -> tuple[tuple[str, ...], str]:
        what = "anchor" if link.kind is LinkKind.ANCHOR else "DS"
        colour = _COLOURS[link.status] if ds.key_tag in link.entry_keys else _GREY
        if not link.entry_keys and link.status is DnssecStatus.BOGUS:
            colour = _COLOURS[link.status]
        text = f"{digest_name(ds.digest_type)}, alg {ds.algorithm}"
        return (f"{what} {ds.key_tag}", text), colour

    def _key_text(self, key: Dnskey, link: ChainLink) -> tuple[tuple[str, ...], str]:
        used = key.key_tag in link.entry_keys or (link.zone, key.key_tag) in self._used
        colour = _COLOURS[link.status] if used else _GREY
        bits = f" {key.bits}" if key.bits is not None else ""
        return (f"{key_role(key)} {key.key_tag}", f"{algorithm_name(key.algorithm)}{bits}"), colour


def _used_keys(validation: Validation) -> frozenset[tuple[str, int]]:
    """Return zone and key tag of every key that made a signature the chain rests on."""
    everything = [rrset for link in validation.chain for rrset in link.rrsets]
    return frozenset(
        (one.rrsig.signer, one.rrsig.key_tag)
        for rrset in (*everything, *validation.rrsets)
        for one in rrset.signatures
        if one.checked and one.reason is None
    )


def _signers(link: ChainLink) -> frozenset[int]:
    return frozenset(
        one.rrsig.key_tag
        for rrset in link.rrsets
        for one in rrset.signatures
        if rrset.owner == link.zone == one.rrsig.signer
        and type_name(rrset.rdtype) == "DNSKEY"
        and one.checked
        and one.reason is None
    )


def _ds_of(link: ChainLink) -> list[Ds]:
    return sorted(link.ds, key=lambda ds: ds.key_tag not in link.entry_keys)[:MAX_BOXES]


def _keys_of(link: ChainLink) -> list[Dnskey]:
    """Return the keys to show, those of the chain first."""
    order = sorted(
        link.dnskeys,
        key=lambda key: (key.key_tag not in link.entry_keys, not key.is_secure_entry_point),
    )
    return order[:MAX_BOXES]


def _short(name: str, limit: int = MAX_NAME) -> str:
    """Return ``name`` short enough and without anything the library would interpret."""
    kept = name if len(name) <= limit else f"{name[: limit - 1 - limit // 2]}…{name[-limit // 2 :]}"
    return kept.replace("$", r"\$")


def _paint(axes: "Axes", drawing: Drawing) -> None:
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    left, right = _MARGIN, drawing.width - _MARGIN
    axes.text(left, -_MARGIN, drawing.title, size=12, weight="bold", color=drawing.colour, va="top")
    for frame in drawing.frames:
        axes.add_patch(
            FancyBboxPatch(
                (left, frame.bottom),
                right - left,
                frame.top - frame.bottom,
                boxstyle="round,pad=0,rounding_size=0.12",
                facecolor="#f6f8fa",
                edgecolor=frame.colour,
                linewidth=1.2,
            )
        )
        y = frame.top - 0.16
        axes.text(left + 0.15, y, frame.title, size=9, weight="bold", color=_INK, va="top")
        axes.text(right - 0.15, y, frame.note, size=8, color=frame.colour, va="top", ha="right")
    for arrow in drawing.arrows:
        axes.add_patch(
            FancyArrowPatch(
                arrow.start,
                arrow.end,
                arrowstyle="-|>",
                mutation_scale=9,
                color=arrow.colour,
                linewidth=1.1,
                linestyle="--" if arrow.dashed else "-",
                shrinkA=0,
                shrinkB=0,
                connectionstyle=f"arc3,rad={arrow.bend}",
                zorder=3,
            )
        )
    for box in drawing.boxes:
        rounding = 0.2 if box.rounded else 0.02
        axes.add_patch(
            FancyBboxPatch(
                (box.at[0] - _BOX_WIDTH / 2, box.at[1] - _BOX_HEIGHT / 2),
                _BOX_WIDTH,
                _BOX_HEIGHT,
                boxstyle=f"round,pad=0,rounding_size={rounding}",
                facecolor="white",
                edgecolor=box.colour,
                linewidth=1.3,
                zorder=4,
            )
        )
        axes.text(
            *box.at,
            "\n".join(box.lines),
            size=7.5,
            color=_INK,
            ha="center",
            va="center",
            zorder=5,
            linespacing=1.35,
        )
