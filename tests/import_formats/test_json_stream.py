"""A document is read in pieces of any size: values are the same, and a broken one is named."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from vestige_tui.core.errors import Unavailable
from vestige_tui.import_formats.json_stream import JsonStream

NUMBERS = [1, -2.5e3, 1e-7, 12345678901234567890]
DOCUMENT = {"a": [*NUMBERS, [], {}], "": {"é鍵": 'x\\"\n\U0001f600'}, "n": None, "t": True}
FRESH_SEED = random.SystemRandom().randrange(2**32)


def pieces(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def whole(stream: JsonStream) -> Any:
    """Read a document by its structure, every value on its own."""
    if stream.peek() == "[":
        return [whole(stream) for _ in stream.array_items()]
    if stream.peek() == "{":
        return {key: whole(stream) for key in stream.object_keys()}
    return stream.value()


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_pieces_of_any_size(size: int, indent: int | None) -> None:
    raw = json.dumps(DOCUMENT, indent=indent, ensure_ascii=False).encode()
    stream = JsonStream(pieces(raw, size))
    assert whole(stream) == json.loads(raw)
    assert stream.peek() == ""
    assert JsonStream(pieces(b"\xef\xbb\xbf" + raw, size)).value() == json.loads(raw)


def test_a_document_that_is_cut_anywhere_is_refused() -> None:
    raw = json.dumps(DOCUMENT).encode()
    for end in range(len(raw) - 1):
        with pytest.raises(Unavailable):
            whole(JsonStream(pieces(raw[:end], 5)))


def test_a_byte_that_was_changed_never_ends_in_another_error() -> None:
    chance = random.Random(FRESH_SEED)
    raw = json.dumps(DOCUMENT).encode()
    outcomes = set()
    for _ in range(2_000):
        at = chance.randrange(len(raw))
        changed = raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
        try:
            whole(JsonStream(pieces(changed, 9)))
            outcomes.add("read")
        except Unavailable:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}, FRESH_SEED
