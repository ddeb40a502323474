"""Values that PostgreSQL would refuse, mended one by one."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pytest

from vestige_tui.core.storable import as_uuid
from vestige_tui.transfer.sanitize import (
    LATEST,
    MAX_DEPTH,
    MAX_TAG_COUNT,
    RowSanitizer,
    clean,
    encode,
    json_value,
    new_id,
    shown,
)

ONE = "a1b2c3d4-0000-4000-8000-00000000000f"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "spelling",
    [ONE, ONE.upper(), ONE.replace("-", ""), f"{{{ONE}}}", f"urn:uuid:{ONE}", ONE.replace("-8000-", "-8000")],
)
def test_every_spelling_of_a_uuid_is_that_uuid(spelling: str) -> None:
    assert as_uuid(spelling) == uuid.UUID(ONE)
    assert new_id(spelling) == uuid.UUID(ONE).bytes


@pytest.mark.parametrize("raw", ["mem-1", "", f"{ONE}0", f" {ONE}", "zzzzzzzz-0000-4000-8000-000000000000", "鍵"])
def test_any_other_id_gets_a_name_of_its_own(raw: str) -> None:
    assert as_uuid(raw) is None
    assert new_id(raw) == uuid.uuid5(uuid.NAMESPACE_URL, f"vestige:{raw}").bytes


def test_ids_that_are_no_text_get_one_too() -> None:
    assert len({new_id(b"\x00\xff"), new_id(7), new_id("\udcff")}) == 3


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("a\0b", "a\u2400b"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\ufffd"),
        ("half \ud800 pair", "half ? pair"),
    ],
)
def test_text_that_cannot_be_stored_is_replaced_and_kept(text: str, mended: str) -> None:
    assert encode(text) is None
    assert clean(text) == mended
    assert set(json_value(text)) == {"base64"}
    sanitizer = RowSanitizer()
    assert sanitizer.text("content", text).decode() == mended
    assert sanitizer.originals["content"] == json_value(text)


def test_good_values_pass_untouched() -> None:
    sanitizer = RowSanitizer()
    assert sanitizer.text("content", "鍵 \x1b[2J \u202e") == "鍵 \x1b[2J \u202e".encode()
    assert sanitizer.json("metadata", '{"a": [1, 2.5e10, "NaN", "\\\\u0000"]}', dict)[0] == {
        "a": [1, 2.5e10, "NaN", "\\u0000"]
    }
    assert sanitizer.labels("tags", '["x", "y"]') == [b"x", b"y"]
    assert sanitizer.number("stability", 3, 0.0, 10.0, 1.0) == 3.0
    assert sanitizer.moment("created_at", "2026-06-01T00:00:00.123456789Z") == NOW.replace(microsecond=123456)
    assert sanitizer.moment("next_review", None) is None
    assert (sanitizer.notes, sanitizer.originals) == ([], {})


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"a": NaN, "b": Infinity}', {"a": None, "b": None}),
        ('{"a": 1e400}', {"a": None}),
        ('{"a\\u0000": "\\u0000", "b": "\\ud800"}', {"a\u2400": "\u2400", "b": "?"}),
        ("[1]", {}),
        ('{"a": ', {}),
        ("", {}),
        (None, {}),
        ("[" * 100_000, {}),
        ('{"a": ' + "9" * 5_000 + "}", {}),
    ],
)
def test_json_that_cannot_be_stored_is_mended_and_kept(text: str | None, data: object) -> None:
    sanitizer = RowSanitizer()
    assert sanitizer.json("metadata", text, dict) == (data, None)
    assert sanitizer.originals["metadata"] == text
    json.dumps(sanitizer.originals, allow_nan=False).encode()


@pytest.mark.parametrize("form", ['{"a":%s}', '{"b": [], "a":[%s]}'], ids=["objects", "lists between"])
def test_json_is_nested_no_deeper_than_every_python_reads(form: str) -> None:
    each = form.count("{") + form.count("[") - form.count("[]")
    fits = form
    for _ in range(MAX_DEPTH // each - 1):
        fits = form.replace("%s", fits)
    deep, bottomless = form.replace("%s", fits), '{"a":' * 100_000 + "1" + "}" * 100_000
    for text, kept_as_it_is in ((fits, True), (deep, False), (bottomless, False)):
        sanitizer, written = RowSanitizer(), text.replace("%s", "1")
        data, raw = sanitizer.json("metadata", written, dict)
        assert (data != {}, raw == written.encode()) == (kept_as_it_is, kept_as_it_is)
        assert sanitizer.originals == ({} if kept_as_it_is else {"metadata": written})
        assert sanitizer.notes == ([] if kept_as_it_is else ["metadata was nested too deeply"])


def test_labels_are_cut() -> None:
    sanitizer = RowSanitizer()
    many = sanitizer.labels("tags", json.dumps([f"t{n}" for n in range(MAX_TAG_COUNT + 1)]))
    assert (len(many), sanitizer.notes) == (MAX_TAG_COUNT, ["tags were 1,001; 1,000 were kept"])
    sanitizer = RowSanitizer()
    assert [len(each) for each in sanitizer.labels("tags", json.dumps(["x" * 300, "y"]))] == [255, 1]
    assert sanitizer.labels("domains", '["ok", null, 3, ["x"]]') == [b"ok", b"3", b'["x"]']
    assert len(sanitizer.notes) == 2


@pytest.mark.parametrize(
    ("value", "others", "found"),
    [
        ("+12026-01-01T00:00:00Z", (), LATEST),
        ("yesterday", ("2026-06-01",), NOW),
        ("", ("soon", None), datetime(2020, 1, 1, tzinfo=UTC)),
        (None, ("2026-06-01",), NOW),
        (1_780_000_000, (), datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_that_is_none_takes_another(value: object, others: tuple[object, ...], found: datetime) -> None:
    sanitizer = RowSanitizer()
    assert sanitizer.moment("created_at", value, *others, default=datetime(2020, 1, 1, tzinfo=UTC)) == found
    assert sanitizer.originals == {"created_at": value}


@pytest.mark.parametrize(
    ("value", "found"), [(-4.0, 0.0), (1e300, 10.0), (float("inf"), 10.0), (float("nan"), 1.0), ("7", 1.0), (None, 1.0)]
)
def test_figures_are_brought_inside_their_bounds(value: object, found: float) -> None:
    sanitizer = RowSanitizer()
    assert sanitizer.number("stability", value, 0.0, 10.0, 1.0) == found
    json.dumps(sanitizer.originals, allow_nan=False)
    assert len(sanitizer.notes) == 1


def test_a_key_is_shown_in_a_bounded_form() -> None:
    assert shown(None) == "NULL"
    assert shown(b"\xff\0") == "\ufffd\u2400"
    assert len(shown("x" * 5_000)) == 1_000
