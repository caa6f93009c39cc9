"""Timelines for ``promtool test rules``, made from the cases of each alert.

- firing: nothing fires before its time, then this alert and no other;
- silence: with everything in order nothing fires;
- restart: danewatch is gone for ten minutes, and neither a false alarm nor a false end follows;
- recovery: it ends, once ``keep_firing_for`` is over;
- blindness (alerts about partners): nothing new fires, and what fires goes on.

They are told in two or three stories, since each costs promtool a database: what is wrong from
the first sign to the recovery, what is in order, and what goes wrong while danewatch is blind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from alert_cases import Case, Counter, Value

GAP_MINUTES = 10
"""How long a restart may take: a gap as long as this is no reason to wake anybody."""
BASE: Mapping[str, Value] = {"up{}": 1.0, "danewatch_build_info{}": 1.0, "danewatch_blind{}": 0.0}
"""What the page of a well danewatch always has; a case may say otherwise."""
PLACE = 'job="danewatch",instance="scanner:9798"'
FIRING = 'ALERTS{alertstate="firing"}'


class Kind(StrEnum):
    """What a look at a timeline shows."""

    FIRING = "firing"
    SILENCE = "silence"
    RESTART = "restart"
    RECOVERY = "recovery"
    BLINDNESS = "blindness"


class _State(StrEnum):
    BEFORE = "before"
    WRONG = "wrong"
    RIGHT = "right"
    GONE = "gone"
    BLIND = "blind"


Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Look:
    """What fires at ``minute``, and which promise that is about."""

    minute: int
    kind: Kind
    firing: Sequence[Labels]


class _Story:
    """States one after the other, and looks at what fires meanwhile."""

    def __init__(self, case: Case) -> None:
        self.states: list[tuple[_State, int]] = []
        self.looks: list[Look] = []
        self._case = case
        self._minute = 0

    def pass_time(self, state: _State, minutes: int) -> None:
        """Let ``minutes`` go by in ``state``."""
        self.states.append((state, minutes))
        self._minute += minutes

    def look(self, kind: Kind, *firing: Labels, ahead: int | None = None) -> None:
        """Expect ``firing`` and nothing beside it: in the last sample of the state that ends now,
        or ``ahead`` minutes after that end."""
        offset = -self._case.interval_minutes if ahead is None else ahead
        self.looks.append(Look(self._minute + offset, kind, firing))


def stories_of(case: Case) -> list[_Story]:
    """Return the stories a case has to pass."""
    stories = [_trouble(case), _order(case)]
    return [*stories, _trouble_while_blind(case)] if case.alert.gated else stories


def kinds_of(case: Case) -> set[Kind]:
    """Return the promises that the stories of a case look at."""
    return {look.kind for story in stories_of(case) for look in story.looks}


def groups_of(case: Case) -> list[dict[str, Any]]:
    """Return the test groups of one case, as promtool reads them."""
    return [
        _group(case, f"{case.id}, story {number}", story)
        for number, story in enumerate(stories_of(case), 1)
    ]


def silent_group(name: str, before: Mapping[str, Value], after: Mapping[str, Value]) -> Any:
    """Return a test group in which ``before`` lasts four hours, ``after`` as long, and no alert
    fires."""
    step, lasting = 5, 240 // 5
    return {
        "name": name,
        "interval": f"{step}m",
        "input_series": [
            {
                "series": _placed(series),
                "values": f"{_samples(before.get(series), lasting)} "
                f"{_samples(after.get(series), lasting)}",
            }
            for series in sorted({**before, **after})
        ],
        "promql_expr_test": [
            {"expr": FIRING, "eval_time": f"{minute}m", "exp_samples": []}
            for minute in range(0, 2 * 240, 15)
        ],
    }


def minutes_of(duration: str) -> int:
    """Return ``5m``, ``1h`` or ``1d`` in minutes."""
    return int(duration[:-1]) * {"m": 1, "h": 60, "d": 1_440}[duration[-1]]


def _trouble(case: Case) -> _Story:
    this, step = _firing(case), case.interval_minutes
    wait, keep = minutes_of(case.alert.wait), minutes_of(case.alert.keep)
    story = _Story(case)
    story.pass_time(_State.BEFORE, case.past_minutes)
    if wait:
        story.look(Kind.FIRING, ahead=wait - step)
    story.pass_time(_State.WRONG, _fired_after(case))
    story.look(Kind.FIRING, this)
    story.pass_time(_State.GONE, GAP_MINUTES)
    for minutes in (5 - GAP_MINUTES, 0, 5, 25):
        story.look(Kind.RESTART, this, ahead=minutes)
    story.pass_time(_State.WRONG, 25)
    if case.alert.gated:
        story.pass_time(_State.BLIND, keep + 30)
        story.look(Kind.BLINDNESS, this, *_blind(case))
        story.pass_time(_State.WRONG, keep + 10)
        story.look(Kind.BLINDNESS, this)
    story.look(Kind.RECOVERY, this, ahead=keep - step)
    late = case.tail_minutes + keep + 3 * step
    story.look(Kind.RECOVERY, ahead=late)
    story.pass_time(_State.RIGHT, late + 10)
    story.look(Kind.RECOVERY)
    return story


def _order(case: Case) -> _Story:
    story = _Story(case)
    length = _fired_after(case) + 10
    for state, minutes in ((_State.RIGHT, 20), (_State.GONE, GAP_MINUTES), (_State.RIGHT, length)):
        kind = Kind.SILENCE if len(story.states) < 1 else Kind.RESTART
        for minute in range(0, minutes, 5):
            story.look(kind, ahead=minute)
        story.pass_time(state, minutes)
    return story


def _trouble_while_blind(case: Case) -> _Story:
    story = _Story(case)
    story.pass_time(_State.BEFORE, case.past_minutes)
    story.pass_time(_State.BLIND, _fired_after(case) + 10)
    story.look(Kind.BLINDNESS, *_blind(case))
    story.pass_time(_State.BLIND, 20)
    story.look(Kind.BLINDNESS, *_blind(case))
    return story


def _fired_after(case: Case) -> int:
    """Minutes of the wrong state after which it surely fires: rules and recordings take turns."""
    return minutes_of(case.alert.wait) + 2 * case.interval_minutes


def _firing(case: Case) -> Labels:
    return _labels(case.name, case.severity.value, case.alert.scope.value) | case.labels


def _blind(case: Case) -> list[Labels]:
    """The alert that blindness itself raises, where its rule is loaded."""
    return [] if case.alone else [_labels("DanewatchBlind", "critical", "scanner")]


def _labels(name: str, severity: str, scope: str) -> dict[str, str]:
    return {
        "alertname": name,
        "alertstate": "firing",
        "severity": severity,
        "scope": scope,
        "job": "danewatch",
        "instance": "scanner:9798",
    }


def _group(case: Case, name: str, story: _Story) -> dict[str, Any]:
    step = case.interval_minutes
    states = {
        _State.BEFORE: {**BASE, **(case.before or case.right)},
        _State.WRONG: {**BASE, **case.wrong},
        _State.RIGHT: {**BASE, **case.right},
        _State.GONE: {"up{}": 0.0},
        _State.BLIND: {**BASE, **case.wrong, "danewatch_blind{}": 1.0},
    }
    names = sorted({name for state in states.values() for name in state})
    group: dict[str, Any] = {
        "name": name,
        "interval": f"{step}m",
        "input_series": [
            {
                "series": _placed(series),
                "values": " ".join(
                    _samples(states[state].get(series), minutes // step)
                    for state, minutes in [*story.states, (story.states[-1][0], 5 * step)]
                    if minutes
                ),
            }
            for series in names
        ],
        "promql_expr_test": [
            {
                "expr": FIRING,
                "eval_time": f"{look.minute}m",
                "exp_samples": _samples_of(look.firing),
            }
            for look in story.looks
        ],
    }
    first = next((look for look in story.looks if look.kind is Kind.FIRING and look.firing), None)
    if first is not None:
        group["alert_rule_test"] = [_annotations(case, first.minute)]
    return group


def _annotations(case: Case, minute: int) -> dict[str, Any]:
    labels = {key: value for key, value in _firing(case).items() if not key.startswith("alert")}
    return {
        "eval_time": f"{minute}m",
        "alertname": case.name,
        "exp_alerts": [
            {
                "exp_labels": labels,
                "exp_annotations": {
                    "summary": case.summary,
                    "description": case.description,
                    "runbook_url": case.alert.runbook_url,
                },
            }
        ],
    }


def _samples_of(firing: Sequence[Labels]) -> list[dict[str, Any]]:
    made = []
    for labels in firing:
        inner = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        made.append({"labels": f"ALERTS{{{inner}}}", "value": 1})
    return made


def _placed(series: str) -> str:
    name, _, labels = series.rstrip("}").partition("{")
    return f"{name}{{{labels + ',' if labels else ''}{PLACE}}}"


def _samples(value: Value, count: int) -> str:
    """Return ``count`` samples in promtool's notation."""
    repeat = count - 1
    if value is None:
        return f"stale _x{repeat}" if repeat else "stale"
    if isinstance(value, Counter):
        return f"0+{value.step:g}x{repeat}"
    return f"{value:.12g}x{repeat}" if repeat else f"{value:.12g}"
