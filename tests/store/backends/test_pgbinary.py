"""Every spelling of a value in PostgreSQL's binary format is read back as what was written."""

from __future__ import annotations

import json
import math
import random
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode
from vestige_tui.transfer.row_keys import key_of, key_parts

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
LETTERS = ("a", "Z", " ", "\n", '"', "\\", "é", "鍵", "\u2028", "\U0001f511", "\x1b", "{", ",", "NULL")


def texts(chance: random.Random) -> Iterator[str]:
    yield from ("", "NULL", "a" * 3_000_000, "鍵" * 70_000)
    for _ in range(200):
        yield "".join(chance.choices(LETTERS, k=chance.randrange(40)))


def moments(chance: random.Random) -> Iterator[datetime]:
    yield from (FIRST, LAST, datetime(2000, 1, 1, tzinfo=UTC), datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC))
    for _ in range(500):
        yield FIRST + timedelta(microseconds=chance.randrange((LAST - FIRST) // timedelta(microseconds=1)))


def lists(chance: random.Random) -> Iterator[list[bytes]]:
    some = [text.encode() for text in texts(chance)]
    yield from ([], [b""], [b"", b""], some)
    for _ in range(200):
        yield chance.sample(some, chance.randrange(6))


def numbers(low: int, high: int) -> Callable[[random.Random], Iterator[int]]:
    def made(chance: random.Random) -> Iterator[int]:
        yield from (low, high, 0, 1, -1)
        yield from (chance.randint(low, high) for _ in range(200))

    return made


def doubles(chance: random.Random) -> Iterator[float]:
    yield from (0.0, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 0.1)
    for _ in range(500):
        [value] = struct.unpack(">d", chance.randbytes(8))
        if not math.isnan(value):
            yield value


@pytest.mark.parametrize(
    ("write", "read", "values"),
    [
        (lambda text: text.encode(), pgbinary_decode.text, texts),
        (
            lambda text: uuid.UUID(text).bytes,
            pgbinary_decode.uuid,
            lambda chance: (str(uuid.UUID(bytes=chance.randbytes(16))) for _ in range(200)),
        ),
        (pgbinary_encode.moment, pgbinary_decode.moment, moments),
        (pgbinary_encode.texts, pgbinary_decode.texts, lists),
        (pgbinary_encode.uuids, pgbinary_decode.uuids, lambda chance: ([chance.randbytes(16)] * n for n in range(5))),
        (pgbinary_encode.integer, pgbinary_decode.integer, numbers(-(2**31), 2**31 - 1)),
        (pgbinary_encode.smallint, pgbinary_decode.smallint, numbers(-(2**15), 2**15 - 1)),
        (pgbinary_encode.double, pgbinary_decode.double, doubles),
        (pgbinary_encode.boolean, pgbinary_decode.boolean, lambda _: iter((True, False))),
        (
            pgbinary_encode.jsonb,
            pgbinary_decode.jsonb,
            lambda chance: (json.dumps([text]).encode() for text in texts(chance)),
        ),
    ],
    ids=["text", "uuid", "moment", "texts", "uuids", "integer", "smallint", "double", "boolean", "jsonb"],
)
def test_what_is_written_is_read(
    write: Callable[[Any], bytes], read: Callable[[bytes], Any], values: Callable[[random.Random], Iterator[Any]]
) -> None:
    for value in values(random.Random(11)):
        found = read(write(value))
        assert found == value
        assert type(found) is type(value)
        # -0.0 is equal to 0.0, and not the same.
        assert write(found) == write(value)


def test_vectors_keep_every_bit() -> None:
    chance = np.random.default_rng(5)
    for width in (1, 2, 384, 2_000, 4_000):
        values = chance.standard_normal(width).astype("<f4")
        values[0] = -0.0
        assert pgbinary_decode.vector(pgbinary_encode.vector(values)).tobytes() == values.tobytes()
    smallest = np.array([1e-45, -1e-45, 3.4028235e38], "<f4")
    assert pgbinary_decode.vector(pgbinary_encode.vector(smallest)).tobytes() == smallest.tobytes()


def test_rows_are_read_value_by_value() -> None:
    chance = random.Random(3)
    for _ in range(200):
        values = tuple(chance.choice((None, b"", chance.randbytes(chance.randrange(50)))) for _ in range(8))
        assert pgbinary_decode.row(pgbinary_encode.row(*values)) == values


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (pgbinary_decode.moment, struct.pack(">q", 2**63 - 1)),
        (pgbinary_decode.moment, struct.pack(">q", -(2**63))),
        (pgbinary_decode.moment, pgbinary_encode.moment(LAST)[:7]),
        (pgbinary_decode.uuid, bytes(15)),
        (pgbinary_decode.integer, bytes(8)),
        (pgbinary_decode.double, bytes(4)),
        (pgbinary_decode.boolean, b"\x02"),
        (pgbinary_decode.jsonb, b"{}"),
        (pgbinary_decode.texts, pgbinary_encode.texts([b"abc"])[:-1]),
        (pgbinary_decode.texts, pgbinary_encode.texts([b"abc"]) + b"\0"),
        (pgbinary_decode.texts, b""),
        (pgbinary_decode.vector, pgbinary_encode.vector(np.ones(3, "<f4"))[:-1]),
        (pgbinary_decode.vector, b""),
        (pgbinary_decode.text, b"\xff"),
        (pgbinary_decode.row, pgbinary_encode.row(b"abc")[:-1]),
    ],
)
def test_what_is_none_of_its_kind_is_refused(read: Callable[[bytes], Any], raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(raw)


def test_the_server_spells_values_alike(postgres_database: str) -> None:
    """What PostgreSQL sends is what is written here, and says the same."""
    at = datetime(2026, 5, 1, 12, 0, 0, 123456, UTC)
    statement = (
        "SELECT '0001-01-01 00:00:00+00'::timestamptz, '9999-12-31 23:59:59.999999+00'::timestamptz, %s::timestamptz,"
        " ARRAY['a', '', 'NULL', '鍵'], '{}'::text[], ARRAY['a', NULL], '{{a,b},{c,d}}'::text[], '-0'::float8,"
        """ '{"b": 1, "a": [1.50]}'::jsonb, 7::smallint, false, 'infinity'::timestamptz"""
    )
    with psycopg.connect(postgres_database) as connection:
        cursor = connection.execute(statement, (at,), binary=True)
        assert cursor.pgresult is not None
        raw = [cursor.pgresult.get_value(0, column) or b"" for column in range(12)]
    assert [pgbinary_decode.moment(value) for value in raw[:3]] == [FIRST, LAST, at]
    assert raw[:3] == [pgbinary_encode.moment(FIRST), pgbinary_encode.moment(LAST), pgbinary_encode.moment(at)]
    assert raw[3:5] == [pgbinary_encode.texts([b"a", b"", b"NULL", "鍵".encode()]), pgbinary_encode.texts([])]
    assert pgbinary_decode.texts(raw[5]) == [b"a", None]
    assert pgbinary_decode.texts(raw[6]) == [b"a", b"b", b"c", b"d"]
    assert raw[7] == pgbinary_encode.double(-0.0)
    assert json.loads(pgbinary_decode.jsonb(raw[8])) == {"a": [1.5], "b": 1}
    assert (pgbinary_decode.smallint(raw[9]), pgbinary_decode.boolean(raw[10])) == (7, False)
    with pytest.raises(ValueError, match="years 1 to 9999"):
        pgbinary_decode.moment(raw[11])


@pytest.mark.parametrize("winner", [None, uuid.UUID(int=2**127 + 9).bytes], ids=["nobody", "somebody"])
def test_a_key_says_what_it_is_made_of(winner: bytes | None) -> None:
    one, two = uuid.uuid4().bytes, uuid.uuid4().bytes
    at, number = pgbinary_encode.moment(LAST), pgbinary_encode.integer(3)
    for table, values, kept in (
        ("memories", (one, b"content"), (0,)),
        ("memberships", (one, two, b"member"), (0, 1)),
        ("domains", ("鍵".encode(), b"label"), (0,)),
        ("edges", (one, two, b"part of", b"x"), (0, 1, 2)),
        ("edges", (bytes(16), bytes(16), b"", b"x"), (0, 1, 2)),
        ("reviews", (one, at, pgbinary_encode.smallint(4), b"{}", b"{}", b"hash", number), (0, 1, 2, 6)),
        ("supersession", (one, winner, b"unsupersede", at, number), (0, 1, 2, 3, 4)),
    ):
        assert key_parts(table, key_of(table, values)) == {place: values[place] for place in kept}
        if table != "domains":
            with pytest.raises(ValueError, match="not a key"):
                key_parts(table, key_of(table, values)[:15])


LISTS: Sequence[Any] = (
    [],
    ["a", "", "NULL", None, "鍵", "🚀", "e\u0301", "\u2028", "\x7f"],
    ["\x01\x08\t\n\x0b\x0c\r\x1b\x1f", '"', "\\", "/", "{}", "[]", ",", "\\u0041", "</script>"],
    [["a", None], ["c", "d"]],
    [[["a"], ["b"]], [["c"], ["d"]]],
    [[["a", "b", "c"]], [["d", "e", "f"]]],
)


@pytest.mark.parametrize("values", LISTS)
def test_the_server_spells_lists_of_texts_in_json_alike(values: Any, postgres_database: str) -> None:
    statement = "SELECT v, convert_to(array_to_json(v)::text, 'UTF8') FROM (SELECT %s::text[] AS v) AS given"
    with psycopg.connect(postgres_database) as connection:
        cursor = connection.execute(statement, (values,), binary=True)
        assert cursor.pgresult is not None
        raw, said = (cursor.pgresult.get_value(0, column) or b"" for column in range(2))
    assert pgbinary_decode.json_of_texts(raw) == said
    assert json.loads(said) == values
    assert pgbinary_encode.texts_of_json(said) == raw


def test_bytes_of_another_encoding_are_no_less_comparable() -> None:
    assert pgbinary_decode.json_of_texts(pgbinary_encode.texts([b"caf\xe9", b"a"])) == b'["caf\xe9","a"]'
