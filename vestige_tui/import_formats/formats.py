"""The formats that `import` reads, by the names of ``--format``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vestige_tui.import_formats.items import Lines, Read
from vestige_tui.import_formats.mcp_memory import read_mcp
from vestige_tui.import_formats.mem0 import read_mem0
from vestige_tui.import_formats.plain_texts import read_texts
from vestige_tui.import_formats.vestige_export import read_vestige


@dataclass(frozen=True, slots=True)
class Format:
    """A format of another program: its title in a sentence, the signs by which it is known, and its reader."""

    title: str
    signs: str
    read: Callable[[Lines], Read]


FORMATS: Mapping[str, Format] = {
    "vestige": Format("a Vestige export", "objects with nodeType or createdAt", read_vestige),
    "mem0": Format("a mem0 export", "objects with the text under memory, alone or under results", read_mem0),
    "mcp": Format(
        "a graph of the MCP memory server",
        "objects of type entity or relation, or entities and relations",
        read_mcp,
    ),
    "texts": Format("plain texts", "JSON strings", read_texts),
}
OURS = "jsonl"
TITLE_OF_OURS = "JSON Lines of this program"
SIGNS_OF_OURS = "objects with content, or with a kind such as edge"
SIGNS_OF_FOLDERS = ("a folder of Markdown notes", "*.md")
