"""Cursor anchors: after a character of uncertain width the cursor is set to the column of the next one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import split_graphemes

from vestige_tui.core.widths import is_spacing_mark, load_table

_CERTAIN = (
    "\x00-\u02ff\u0370-\u0377\u037a-\u0482\u048a-\u0556\u2010-\u2027\u2030-\u205e\u2070-\u20bf\u2190-\u2319\u2322-\u23e8"
    "\u2500-\u25fc\u2800-\u28ff\u3000-\u3029\u3030-\u303c\u3041-\u3096\u309b-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\uff01-\uff60\ufffd"
)
_UNCERTAIN = re.compile(f"[^{_CERTAIN}]")
"""Characters whose width depends on the terminal and on its version of Unicode, or on the characters beside them."""
_TOKEN = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\r\n]+"
    r"|(?P<text>[^\x1b\r\n]+)"
)
_JOINED = re.compile("\u200d.?|[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""Parts of an emoji that a terminal may draw beside it: joined emoji, selectors of its presentation, skin tones."""


def anchored(data: str) -> str:
    """Return what is written to a terminal with anchors: each uncertain character has the cells it was laid out with.

    The cells are blanked first, as the terminal may fill fewer. Emoji of several parts keep the first.
    """
    return _anchor(data) if _UNCERTAIN.search(data) else data


def _anchor(data: str) -> str:
    load_table()
    parts: list[str] = []
    row = ""
    column: int | None = None
    adrift = False
    for token in _TOKEN.finditer(data):
        if (text := token["text"]) is None:
            parts.append(token[0])
            if token["column"] is not None:
                row, column, adrift = token["row"], int(token["column"]), False
            elif token[0][0] in "\r\n":
                column = None
        elif column is None:
            parts.append(text)
        else:
            for cluster, width in _clusters(text):
                if adrift:
                    parts.append(f"\x1b[{row};{column}H")
                if adrift := bool(_UNCERTAIN.search(cluster)):
                    parts.append(f"{' ' * width}\x1b[{row};{column}H")
                    cluster = _JOINED.sub("", cluster)
                parts.append(cluster)
                column += width
    return "".join(parts)


def _clusters(text: str) -> Iterator[tuple[str, int]]:
    """Yield graphemes with their widths; a spacing mark stays with its base, and so do the two letters of a flag."""
    cluster, width = "", 0
    for start, end, cell_count in split_graphemes(text)[0]:
        grapheme = text[start:end]
        if cluster and not (is_spacing_mark(ord(grapheme[0])) or _are_flag_letters(cluster, grapheme)):
            yield cluster, width
            cluster, width = "", 0
        cluster += grapheme
        width += cell_count
    if cluster:
        yield cluster, width


def _are_flag_letters(*letters: str) -> bool:
    return all(len(letter) == 1 and "\U0001f1e6" <= letter <= "\U0001f1ff" for letter in letters)
