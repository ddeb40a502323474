"""Export and import of a store's lines without files, and lines that are hard to hold."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from tests.support.command_line import sample_id
from vestige_tui.cli.import_tally import ImportTally
from vestige_tui.cli.line_import import LineImport
from vestige_tui.core.bulk import Target
from vestige_tui.core.json_text import dumps
from vestige_tui.core.memories import Filter
from vestige_tui.presenters.export_lines import exported_lines
from vestige_tui.store.store import Store

AT = "2026-03-01T08:00:00.000001+00:00"


async def export_lines(store: Store) -> list[str]:
    """Return the lines of an export of the whole store, as its file has them."""
    return [dumps(line) async for line in exported_lines(store, Target(filter=Filter(superseded=True)))]


async def import_lines(store: Store, lines: Iterable[str | bytes]) -> ImportTally:
    """Import lines; return the tally."""
    tally = ImportTally()
    numbered = ((number, as_bytes(line)) for number, line in enumerate(lines, start=1))
    await LineImport(store, tally, lambda _: None).run(numbered)
    return tally


def as_bytes(line: str | bytes) -> bytes:
    return line if isinstance(line, bytes) else line.encode()


def nested(levels: int) -> str:
    """Return the text of a JSON object of so many containers."""
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def with_content(fields: str) -> str:
    """Return a memory's line with these further fields, and a text of its own: equal ones would be one memory."""
    return f'{{"content": "text {zlib.crc32(fields.encode("utf-8", "surrogatepass"))}", {fields}}}'


REPAIRED_LINES = {
    "reps of 1e20": with_content('"scheduling": {"reps": 1e20, "stability": 5.0, "difficulty": 5.0}'),
    "lapses of a hundred digits": with_content(f'"scheduling": {{"reps": 1, "lapses": {"9" * 100}}}'),
    "stability of 1e400": with_content('"scheduling": {"reps": 2, "stability": 1e400}'),
    "a schedule of texts": with_content('"scheduling": {"reps": "many", "next_review": "soon"}'),
    "1e400": with_content('"metadata": {"n": 1e400}'),
    "450 levels": with_content(f'"metadata": {nested(450)}'),
    "450 levels under an unknown key": with_content(f'"mood": {nested(450)}'),
    "long tag": with_content(f'"tags": ["{"t" * 9_000}", "short"]'),
    "long type": with_content(f'"node_type": "{"t" * 9_000}"'),
    "long domain": with_content(f'"domains": ["{"d" * 9_000}"]'),
    "long codebase": with_content(f'"codebase": "{"c" * 9_000}"'),
    "long names of four bytes": with_content(f'"tags": ["{"鍵" * 3_000}", "{chr(0x1F511) * 3_000}"]'),
    "100,000 tags": with_content(f'"tags": {json.dumps([f"t{number}" for number in range(100_000)])}'),
    "tags that are no texts": with_content('"tags": [1, null, ["x"]]'),
    "NUL in a text": with_content('"metadata": {"a": "x\\u0000y", "k\\u0000": 1}'),
    "half a pair": '{"content": "half \\ud800 pair", "codebase": "\\udfff"}',
    "NUL everywhere": '{"content": "a\\u0000b", "tags": ["\\u0000"], "domains": ["d\\u0000"], "node_type": "\\u0000"}',
    "scores": with_content('"domain_scores": {"a": null, "b\\u0000": 1, "c": 1e400, "d": 0.5}'),
    "a stranger's": with_content('"owner_user_id": "someone"'),
    "another stranger's": with_content(f'"owner_user_id": "{sample_id(99)}"'),
    "an id that is a number": with_content('"id": 7'),
    "an id with NUL": with_content('"id": "mem\\u0000-1"'),
    "an id with half a pair": with_content('"id": "mem-\\ud800"'),
}
"""Lines of memories of which something cannot be stored; each of them is taken."""

FAILED_LINES: dict[str, str | bytes] = {
    "50,000 levels": with_content(f'"metadata": {nested(50_000)}'),
    "a number of 5,000 digits": with_content(f'"metadata": {{"n": {"9" * 5_000}}}'),
    "a link of 1e400": f'{{"kind":"edge","source_id":"{sample_id(0)}","target_id":"{sample_id(1)}","weight":1e400}}',
    "a link to nowhere": f'{{"kind":"edge","source_id":"{sample_id(0)}","target_id":"nowhere"}}',
    "a review of nothing": f'{{"kind":"review","memory_id":"x\\u0000","rating":3,"at":"{AT}"}}',
    "a mark of nothing": '{"kind":"mark","memory_id":"nothing","suspended":true}',
    "a mark of a word": f'{{"kind":"mark","memory_id":"{sample_id(0)}","suspended":"yes"}}',
    "a kind of a list": '{"kind": ["memory"], "content": "x"}',
    "nothing but half": b'{"content": "\xff"}',
}
"""Lines that cannot be taken; each costs nothing but itself."""

PLAIN_LINES = {
    "six characters": with_content('"metadata": {"a": "\\\\u0000", "\\\\u0000": ["\\\\u0000\\\\u0000"]}'),
    "numbers": with_content('"metadata": {"n": [1e22, -0.0, 1e-7, 5e-324, 1.7e308, 10000000000000000000000, 1.0, 3]}'),
    "100 levels": with_content(f'"metadata": {nested(100)}'),
    "controls": with_content('"tags": ["\\u001b[2J", "\\u202e"], "metadata": {"\\u0007": "\\u009b"}'),
    "empty names": with_content('"codebase": "", "tags": [""], "metadata": {"": null}'),
    "the same tag twice": with_content('"tags": ["a", "a", "b"], "domains": ["d", "d"]'),
    "keys in no order": with_content('"metadata": {"z": 1, "aa": {"y": 1, "x": [true, null]}, "a": "鍵"}'),
    "far years": with_content('"created_at": "0001-01-01T00:00:00Z", "updated_at": "9999-12-31T23:59:59.999999Z"'),
    "the first day": with_content('"created_at": "1969-12-31T23:59:59Z"'),
}
"""Lines that every store holds as they are."""


def chance_lines(seed: int, count: int) -> list[str]:
    """Return memories with hostile values in every field, chosen by ``seed``."""
    chance = random.Random(seed)
    return [json.dumps({"content": hostile_text(chance) + "x", "id": sample_id(seed * 1_000 + n), **_fields(chance)})
            for n in range(count)]  # fmt: skip


_PIECES: Sequence[str] = (
    *("\0", "\ud800", "\udc80", "\\u0000", "\u202e", "\x1b", "鍵", "\U0001f511", '"', "\\", "NaN", "a", " ", "\n"),
    *("\x7f", "\u2028", "\ufffd", "\u2400", "1e400", "'", ";--", "{}", "[]", "x" * 300),
)


def hostile_text(chance: random.Random) -> str:
    """Return up to five pieces that are hard to store or to show."""
    return "".join(chance.choices(_PIECES, k=chance.randrange(6)))


def _fields(chance: random.Random) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "node_type": hostile_text(chance),
        "tags": [hostile_text(chance) for _ in range(chance.randrange(5))],
        "domains": [hostile_text(chance) for _ in range(chance.randrange(3))],
        "domain_scores": {hostile_text(chance): chance.random() for _ in range(chance.randrange(3))},
        "codebase": chance.choice([None, hostile_text(chance)]),
        "metadata": {hostile_text(chance): hostile_value(chance, 4) for _ in range(chance.randrange(4))},
        "visibility": chance.choice(["private", "group", "public"]),
        "owner_user_id": chance.choice([None, "stranger", sample_id(1)]),
        "shared_with_groups": [sample_id(chance.randrange(9)).upper()],
        "scheduling": {
            "reps": hostile_value(chance, 0),
            "stability": hostile_value(chance, 0),
            "last_review": AT,
            "seen": 1,
        },
        hostile_text(chance) + "-unknown": hostile_value(chance, 3),
    }
    return {name: value for name, value in fields.items() if chance.random() < 0.7}


def hostile_value(chance: random.Random, depth: int) -> Any:
    """Return a JSON value of at most so many containers within each other."""
    if depth and chance.random() < 0.4:
        if chance.random() < 0.5:
            return {hostile_text(chance): hostile_value(chance, depth - 1) for _ in range(chance.randrange(3))}
        return [hostile_value(chance, depth - 1) for _ in range(chance.randrange(3))]
    return chance.choice(
        [None, True, 0, -1, 2**31, 10**25, -(10**300), 0.1, 1e16, 1e23, -1e300, -0.0, 5e-324, hostile_text(chance)]
    )


async def named_lines(store: Store, ids: Sequence[str]) -> list[str]:
    """Return the lines of an export of these memories."""
    return [dumps(line) async for line in exported_lines(store, Target(tuple(ids)))]
