"""The format of a file is known by its beginning."""

from __future__ import annotations

import pytest

from vestige_tui.import_formats.detection import detect, first_keys

FILES = {
    "Vestige JSONL": ('{"id":"1","content":"x","nodeType":"fact","createdAt":"2026-01-01T00:00:00Z"}\n', "vestige"),
    "Vestige JSON": ('[\n  {\n    "id": "1",\n    "content": "x",\n    "nodeType": "fact"\n  }\n]\n', "vestige"),
    "Vestige JSON in a line": ('[{"content":"x","stability":1.0,"lastAccessed":"y","nextReview":null}]', "vestige"),
    "Vestige after a blank line": ('\n\n{"content":"x","nodeType":"fact"}\n', "vestige"),
    "Vestige with a mark of order": ('\ufeff{"content":"x","nodeType":"fact"}\n', "vestige"),
    "Vestige after a broken line": ('{"content": \n{"content":"x","nodeType":"fact"}\n', "vestige"),
    "a long Vestige memory": (f'[{{"content":"{"x" * 2_000_000}","nodeType":"fact"}}]', "vestige"),
    "a Vestige archive": ('{"archiveFormat":"vestige.portable.v1","tables":[]}', "portable"),
    "a Vestige archive over lines": ('{\n "archiveFormat": "vestige.portable.v1",\n "tables": [\n', "portable"),
    "mem0": ('{"count":1,"results":[{"id":"1","memory":"x"}]}', "mem0"),
    "mem0 over lines": ('{\n  "results": [\n    {\n      "memory": "x"\n', "mem0"),
    "a list of mem0": ('[{"id":"1","memory":"x","user_id":"me","created_at":"2026-01-01"}]', "mem0"),
    "lines of mem0": ('{"id":"1","memory":"x","created_at":"2026-01-01"}\n', "mem0"),
    "MCP": ('{"type":"entity","name":"n","entityType":"t","observations":["x"]}\n', "mcp"),
    "MCP relation": ('{"type":"relation","from":"a","to":"b","relationType":"r"}\n', "mcp"),
    "an MCP graph": ('{"entities": [], "relations": []}', "mcp"),
    "ours": ('{"content":"x","created_at":"2026-01-01T00:00:00Z","type":"entity"}\n', None),
    "ours with a camel's key": ('{"kind":"memory","content":"x","createdAt":"y","nodeType":"z"}\n', None),
    "ours with a memory": ('{"content":"x","memory":"y"}\n', None),
    "texts": ('["one", "two"]', "texts"),
    "lines of texts": ('"one"\n"two"\n', "texts"),
    "nothing": ("", None),
    "a list": ("[1, 2]\n", None),
}


@pytest.mark.parametrize("name", FILES)
def test_a_format_is_known_by_the_beginning_of_a_file(name: str) -> None:
    text, expected = FILES[name]
    assert detect([line for line in text.encode().splitlines(keepends=True) if line.strip()]) == expected


def test_the_first_keys_of_a_file_can_be_named() -> None:
    assert first_keys([b'{"text": "x", "score": 1, "by": "me"}']) == ["text", "score", "by"]
