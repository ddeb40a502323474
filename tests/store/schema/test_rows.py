"""What is read fast is read as the careful way reads it, whatever somebody stored."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from vestige_tui.core.times import _parse, parse_stored
from vestige_tui.store.schema import rows

OWN = "2026-05-01T12:34:56.123456+00:00"
HOSTILE: list[object] = [
    None, "", "[]", "{}", " [] ", "[1, null, \"a\"]", '["a", "b"]', "[", "null", "1", '"x"', "[[]]", "{\"a\": NaN}",
    '{"a": 1, "b": "x"}', "[" * 100_000, '["' + "x" * 300 + '"]', '["\\ud800"]', b"[]", b"{}", 0, 1.5, [], {},
    ["a", None], {"a": 2}, ("a",),
]  # fmt: skip


def carefully(value: object) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_lists_and_maps(value: object) -> None:
    data = carefully(value)
    expected = tuple(str(item) for item in data if item is not None) if isinstance(data, list) else ()
    for _ in range(2):
        assert rows.as_list(value) == expected
    assert repr(rows.as_map(value)) == repr(data if isinstance(data, dict) else {})


def test_an_empty_map_is_nobody_elses() -> None:
    rows.as_map("{}")["mine"] = 1
    assert rows.as_map("{}") == {}


def test_times() -> None:
    chooser, marks = random.Random(5), "0123456789-:.+,TtZ W/x\u0661\u2003"
    spelled = [OWN, OWN.replace("+00:00", "789+00:00"), OWN.replace("T12", "T24"), OWN.replace(":56", ":60")]
    spelled += ["0000" + OWN[4:], "2026-W181" + OWN[9:], "2026-02-30" + OWN[10:], OWN + " ", OWN.replace("+", "-")]
    for _ in range(20_000):
        text = list(chooser.choice(spelled))
        for _ in range(chooser.randrange(3)):
            text[chooser.randrange(len(text))] = chooser.choice(marks)
        tried = "".join(text)
        assert parse_stored(tried) == _parse(tried, None), tried
    moment = datetime(2026, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert rows.as_time(moment) == moment
    for value in (OWN, moment, datetime(2026, 5, 1, tzinfo=UTC)):
        read = rows.as_time(value)
        assert read is not None
        assert read.tzinfo is UTC
    assert rows.as_time(12) is rows.as_time(None) is rows.as_time(b"2026") is None


@pytest.mark.parametrize("reps", [None, -1, 0, 1, 7, 2**40, 2.9, True, "3", math.nan])
@pytest.mark.parametrize("figure", [None, -1.0, 0.0, 0, 0.5, 5, 1e9, math.inf, -math.inf, math.nan, "4", True, b"1"])
def test_figures_are_put_inside_their_bounds(figure: object, reps: object) -> None:
    def bounded(value: Any, low: float, high: float, default: float) -> float:
        if not isinstance(value, int | float) or math.isnan(value):
            return default
        return min(max(float(value), low), high)

    row = {"scheduled": "a", "stability": figure, "difficulty": figure, "retrievability": figure}
    state = rows.scheduling({**row, "last_review": None, "next_review": OWN, "reps": reps, "lapses": reps})
    assert state is not None
    count = int(bounded(reps, 0, 2**31, 0))
    expected = [
        bounded(figure, 0.001 if count else 0.0, 36_500.0, 0.001),
        bounded(figure, 1.0 if count else 0.0, 10.0, 5.0),
        bounded(figure, 0.0, 1.0, 1.0),
    ]
    assert [state.stability, state.difficulty, state.retrievability] == expected
    assert (state.reps, state.lapses) == (count, count)
    assert {type(state.reps), type(state.lapses)} == {int}
    assert {type(each) for each in (state.stability, state.difficulty, state.retrievability)} == {float}
