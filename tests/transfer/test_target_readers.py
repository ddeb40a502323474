"""What two rows of one key have alike, whichever way each store spells it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.transfer.sync_state import stamp_of
from vestige_tui.transfer.target_readers import differing

PERSON = uuid.UUID(int=5, version=4).bytes
AT = pgbinary_encode.moment(datetime(2026, 2, 1, tzinfo=UTC))


def user(metadata: str = "{}", handle: bytes = b"ann") -> tuple[bytes | None, ...]:
    return (PERSON, handle, None, AT, pgbinary_encode.jsonb(metadata.encode()))


def edge(weight: float) -> tuple[bytes | None, ...]:
    return (PERSON, PERSON, b"related", pgbinary_encode.double(weight), AT)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [2]}', '{"b":[2.0],"a":1.00}', True),
        ('{"n": 100}', '{"n": 1e2}', True),
        ('{"n": 0}', '{"n": -0.000}', True),
        ('{"n": 1e-400}', '{"n": 10e-401}', True),
        ('{"n": -1}', '{"n": -2}', False),
        ('{"n": 0}', '{"n": 2305843009213693951}', False),
        ('{"n": 12}', '{"n": 120}', False),
        ('{"n": 1}', '{"n": true}', False),
        ('{"n": "1"}', '{"n": 1}', False),
        ('{"n": {}}', '{"n": []}', False),
        ('{"n": {"a": "b"}}', '{"n": [["a", "b"]]}', False),
        ('{"n": null}', "{}", False),
        ('{"n": "\\ud800"}', '{"n": "\\ud801"}', False),
    ],
)
def test_an_edit_is_seen_where_two_spellings_differ_in_what_they_say(one: str, other: str, same: bool) -> None:
    assert (differing("users", user(one), user(other)) == ()) is same
    assert (stamp_of("users", user(one)) == stamp_of("users", user(other))) is same


def test_a_lengthened_handle_and_a_negative_zero_are_no_edits() -> None:
    longer = b"ann-" + str(uuid.UUID(bytes=PERSON))[:8].encode()
    assert stamp_of("users", user(handle=longer)) == stamp_of("users", user())
    assert stamp_of("users", user(handle=b"anne")) != stamp_of("users", user())
    assert stamp_of("edges", edge(-0.0)) == stamp_of("edges", edge(0.0))
    assert stamp_of("edges", edge(0.25)) != stamp_of("edges", edge(0.0))
