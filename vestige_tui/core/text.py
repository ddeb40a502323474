"""Safe display of stored text: all text for a screen, stdout or the clipboard passes here.

Also short forms that screens and commands share: relative times, durations, counts, sizes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from itertools import pairwise

from vestige_tui.core.server_url import SECRET_PARAMS, SHOWN_PARAMS, looks_like_server, secret_spans
from vestige_tui.core.widths import MAX_CHARS_PER_CELL, prefix
from vestige_tui.core.widths import cells as cells

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
HIDDEN = "***"
MAX_QUOTED_CHARS = 60
"""Characters of a typed text that a message quotes."""
MAX_WORD_CHARS = 600
"""Characters of a word, such as a path, that a message keeps whole."""
MAX_MESSAGE_CHARS = 1_200
"""Characters of a whole message."""

# Characters that control a terminal, reorder text or are invisible. The zero-width joiner and non-joiner and the
# variation selectors 1 to 16 stay: scripts and emoji need them; the other 240 selectors go: they can carry hidden text.
_UNSAFE = (
    (0x00, 0x08),  # C0, but for tab and line feed
    (0x0B, 0x1F),
    (0x7F, 0x9F),  # DEL and C1
    (0xAD, 0xAD),  # soft hyphen
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer vowels without a glyph
    (0x180E, 0x180E),  # Mongolian vowel separator
    (0x200B, 0x200B),  # zero-width space
    (0x200E, 0x200F),  # left-to-right and right-to-left mark
    (0x2028, 0x202E),  # line and paragraph separator, bidi embeddings and overrides
    (0x2060, 0x206F),  # word joiner, invisible operators, bidi isolates, deprecated controls
    (0x3164, 0x3164),  # Hangul filler
    (0xD800, 0xDFFF),  # lone surrogates
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # half-width Hangul filler
    (0xFFF9, 0xFFFB),  # interlinear annotation
    (0x13430, 0x1343F),  # Egyptian layout controls
    (0x1BCA0, 0x1BCA3),  # shorthand controls
    (0x1D173, 0x1D17A),  # musical controls
    (0xE0000, 0xE0FFF),  # tags and the further variation selectors
)


_JOINTS = re.compile("(?<=[\u261d-\u270d\U0001f385-\U0001faff])\ufe0f?[\U0001f3fb-\U0001f3ff]|[\u200d\ufe0e\ufe0f]")
"""Joiners, presentation selectors and skin tones of emoji."""
_LONE_SKIN_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")


def plain(text: str, *, newlines: bool = False) -> str:
    """Return ``text`` as a terminal shows it: ``safe``, and emoji in a form whose width all terminals agree on.

    The parts of a joined emoji stand side by side, without skin tone, in the presentation of their characters.
    """
    text = safe(text, newlines=newlines)
    return text if text.isascii() else _LONE_SKIN_TONE.sub(REPLACEMENT, _JOINTS.sub("", text))


def safe(text: str, *, newlines: bool = False) -> str:
    """Replace every character that is not simply shown by U+FFFD; for a file, a pipe or the clipboard.

    One line: a line break becomes a space, a tab four. With ``newlines``, line breaks (as ``\\n``) and tabs stay.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text.translate(_ascii(newlines))
    text = _unsafe().sub(REPLACEMENT, text)
    return text if newlines else text.replace("\n", " ").replace("\t", "    ")


_LINE_BREAK = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def typed(pasted: str) -> str:
    """Return pasted text as one could type it into one line: lines joined by a space, no control character."""
    return safe(_LINE_BREAK.sub(" ", pasted.strip("\r\n")).replace("\t", " "))


@cache
def _ascii(newlines: bool) -> dict[int, str]:
    breaks = {"\n": "\n", "\t": "\t"} if newlines else {"\n": " ", "\t": "    "}
    return str.maketrans(dict.fromkeys([*map(chr, range(32)), "\x7f"], REPLACEMENT) | breaks)


@cache
def _unsafe() -> re.Pattern[str]:
    # For non-ASCII text a pattern is five times faster than str.translate.
    return re.compile("[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _UNSAFE) + "]")


_MARKDOWN_RULE = re.compile(r"(?:```|~~~).*|[-=_*\s]+")
_MARKDOWN_MARKER = re.compile(r"\s*(?:>\s*)*(?:#{1,6}\s+|[-*+]\s+(?:\[[ xX]\]\s+)?|[0-9]{1,4}[.)]\s+)?")
_MAX_LINE_CHARS = 4096


def one_line(text: str, width: int | None = None) -> str:
    """Return the first line with content, without its Markdown marker; cut to ``width`` cells if given."""
    start, end = first_line_span(text)
    if width is not None:
        end = min(end, start + _MAX_LINE_CHARS)
    line = plain(text[start:end])
    return line if width is None else cut(line, width)


def first_line_span(text: str) -> tuple[int, int]:
    """Return the offsets of the first line with content, without its Markdown marker and outer spaces."""
    rule = (0, 0)
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].strip("\r")
        if not _MARKDOWN_RULE.fullmatch(line) and line:
            return bare_line_span(text, start, end)
        if rule == (0, 0) and line.strip():
            rule = _stripped_span(text, start, end)
        start = end + 1
    return rule


def bare_line_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the offsets of a line without its Markdown marker and outer spaces; with it, if there is nothing else."""
    marker = _MARKDOWN_MARKER.match(text, start, end)
    bare = _stripped_span(text, marker.end() if marker else start, end)
    return bare if bare[0] < bare[1] else _stripped_span(text, start, end)


def _stripped_span(text: str, start: int, end: int) -> tuple[int, int]:
    line = text[start:end]
    return start + len(line) - len(line.lstrip()), end - (len(line) - len(line.rstrip()))


def cut(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, ending in ``…`` if it was cut."""
    if len(text) <= width * MAX_CHARS_PER_CELL and cells(text) <= width:
        return text
    if width < 1:
        return ""
    return prefix(text, width - 1).rstrip(" \N{ZERO WIDTH JOINER}") + "…"


_PLAIN_SCHEMES = ("http:", "https:", "ftp:", "file:", "sqlite:", "pgembed:")
"""Schemes whose user part ends before the path."""
_URL = re.compile(
    r"(?<![^\s\"'(<=,\[])(?:postgres(?:ql)?:(?=\S)|(?:postgres(?:ql)?\+\w+|https?|ftp|file|sqlite|pgembed)://)",
    re.IGNORECASE,
)
_BARE_SERVER = re.compile(
    r"(?<!\S)((?!sqlite:|pgembed:|[\"'(]?(?:postgres(?:ql)?(?:\+\w+)?|https?|ftp|file):)[\"'(]?(?://)?[^\s/@:=]*:)\S+(?=@)",
    re.IGNORECASE,
)
"""A word like USER:PASSWORD@HOST: a server's URL without its scheme, or with an unknown one."""
_CLOSING = ".,;:!?)]}>\"'"


def _percent_encodable(word: str) -> str:
    """Return a pattern for ``word`` in which any letter may be percent-encoded, as libpq allows in a URL."""
    return "".join(f"(?:{re.escape(letter)}|%{ord(letter):02x}|%{ord(letter.upper()):02x})" for letter in word)


@cache
def _secret_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns for a secret among the parameters of a URL, and for one that a keyword or key names."""
    words = ("password", "passwd", "pwd", "secret", "scram_client_key", "scram_server_key")
    name = f"(?:{'|'.join(map(_percent_encodable, words))})"
    keyword = rf"\s+(?:{'|'.join(sorted(SHOWN_PARAMS | SECRET_PARAMS))})\s*="
    ends = rf"(?={keyword}|\s*[,;)}}\]]|\s*\Z)"
    quoted = rf"'(?:\\.|[^'\\])*(?:'{ends}|\Z)|\"(?:\\.|[^\"\\])*(?:\"{ends}|\Z)"
    # Without quotes a value ends before the next keyword, or with the line: it may hold blanks by mistake.
    bare = rf"(?:(?!{keyword})[^\n])+"
    named = rf"(?<![?&\w%])\w*{name}(?:\s*=\s*|[\"']\s*[:=]\s*)"
    return (
        re.compile(rf"({name}(?:=|%3d))[^&\s]*", re.IGNORECASE),
        re.compile(rf"({named})(?:{quoted}|{bare})", re.IGNORECASE | re.DOTALL),
    )


def redact(message: str) -> str:
    """Replace each password by ``***``: in URLs (user part, parameters) and in key=value pairs.

    If an unencoded password makes its end ambiguous, more is hidden, never less.
    """
    return _hide_secrets(message, lambda _: HIDDEN)


def redact_url(store_url: str) -> str:
    """Replace the passwords in the URL or path of a store by ``***``; of a server, nothing but its address is left."""
    return _hide_url_secrets(store_url, lambda _: HIDDEN)


def masked(typed: str) -> str:
    """Replace each character of a password by a dot; the length stays.

    While a port and a password cannot be told apart yet, digits count as a port.
    """
    return _hide_url_secrets(typed, _dots)


def _dots(secret: str) -> str:
    return "•" * len(secret)


def _hide_url_secrets(url: str, hide: Callable[[str], str]) -> str:
    """Hide the passwords of a URL, also of one that lacks its scheme."""
    if _URL.match(url) and not url.lower().startswith(_PLAIN_SCHEMES):
        return _hide_server_url(url, True, hide)
    bare = re.fullmatch(r"((?://)?[^/@:=\s]*:)(.*)(@[^@]*)", url, re.DOTALL)
    if bare and not _URL.match(url) and looks_like_server(url):
        return f"{bare[1]}{hide(bare[2])}{bare[3]}"
    return _hide_secrets(url, hide)


def _hide_secrets(text: str, hide: Callable[[str], str]) -> str:
    """Replace each password in ``text`` by the result of ``hide`` for it."""

    def hide_value(match: re.Match[str]) -> str:
        return match[1] + hide(match.group()[len(match[1]) :])

    text = _BARE_SERVER.sub(hide_value, _secret_patterns()[1].sub(hide_value, text))
    starts = _url_starts(text)
    servers = [start for start in starts if not text[start:].lower().startswith(_PLAIN_SCHEMES)]
    alone = bool(servers) and starts[0] == servers[0] and not text[: starts[0]].strip() and len(servers) == 1
    if alone:
        starts = starts[:1]
    # A path may look like the end of a URL.
    parts = [_secret_patterns()[0].sub(hide_value, text[: starts[0]] if starts else text)]
    for start, end in pairwise([*starts, len(text)]):
        url = text[start:end]
        if start in servers:
            parts.append(_hide_server_url(url, alone, hide))
        else:
            parts.append(_hide_plain_url(url, hide, hide_value))
    return "".join(parts)


def _url_starts(text: str) -> list[int]:
    """Return where the URLs of a text begin; one inside the word of another is a part of that."""
    starts: list[int] = []
    for match in _URL.finditer(text):
        if not starts or re.search(r"\s", text[starts[-1] : match.start()]):
            starts.append(match.start())
    return starts


def _hide_plain_url(text: str, hide: Callable[[str], str], hide_value: Callable[[re.Match[str]], str]) -> str:
    """Hide the passwords of a text that begins with a URL whose user part ends before its path."""
    scheme, _, rest = text.partition("://")
    authority = re.split(r"[\s/?#]", rest, maxsplit=1)[0]
    at = authority.rfind("@")
    colon = authority.find(":", 0, max(at, 0))
    if colon >= 0:
        rest = f"{rest[:colon]}:{hide(rest[colon + 1 : at])}{rest[at:]}"
    return f"{scheme}://{_secret_patterns()[0].sub(hide_value, rest)}"


def _hide_server_url(text: str, alone: bool, hide: Callable[[str], str]) -> str:
    """Hide the secrets of a text that begins with a server's URL and may continue with other words.

    Where a password may reach into the words, they are hidden as well: to the end of the line, or of a text that is a
    URL ``alone``.
    """
    line, newline, others = (text, "", "") if alone else text.partition("\n")
    token = re.split(r"\s", line, maxsplit=1)[0]
    token = token if alone else token.rstrip(_CLOSING)
    rest = line[len(token) :]
    # An @ in the words may end the user part: then the escape that is none makes the URL count as unreadable.
    spans = list(secret_spans(f"{token}%" if "@" in rest else token))
    if rest.strip(_CLOSING) and spans and spans[-1][1] >= len(token):
        spans[-1] = (spans[-1][0], len(line))
    shown, end = "", 0
    for first, last in spans:
        shown += line[end:first] + hide(line[first:last])
        end = last
    return shown + line[end:] + newline + _hide_secrets(others, hide)


def quoted(text: str) -> str:
    """Return typed text as a message quotes it: with its escapes, cut to MAX_QUOTED_CHARS."""
    return repr(text if len(text) <= MAX_QUOTED_CHARS else f"{text[:MAX_QUOTED_CHARS]}…")


def file_name(name: object) -> str:
    """Return the name of a file as a message shows it: quoted if it begins or ends with a space, which is not seen."""
    text = str(name)
    return quoted(text) if text != text.strip() else text


def shortened(message: str) -> str:
    """Return a message whose longest words are cut: they were typed, and the end of the message names the remedy."""
    message = re.sub(rf"\S{{{MAX_WORD_CHARS},}}", _shortened_word, message)
    if len(message) <= MAX_MESSAGE_CHARS:
        return message
    half = MAX_MESSAGE_CHARS // 2
    return f"{message[:half]} … {message[-half:]}"


def _shortened_word(word: re.Match[str]) -> str:
    end = word[0][-1]
    return f"{word[0][:MAX_QUOTED_CHARS]}…{end if end in ';:,.?' else ''}"


AGO_CELLS = 10
"""Most cells of ``ago`` within a century: ``59 min ago``."""


def ago(then: datetime, now: datetime) -> str:
    """Return the distance of ``then`` from ``now``: ``3 d ago``, ``in 2 h``, ``just now``; rounded to one unit."""
    seconds = (now - then).total_seconds()
    span = abs(seconds)
    if span < 45:
        return "just now"
    days = span / 86_400
    if round(span / 60) < 60:
        distance = f"{max(1, round(span / 60))} min"
    elif round(span / 3600) < 24:
        distance = f"{round(span / 3600)} h"
    elif round(days) < 30:
        distance = f"{round(days)} d"
    elif round(days / 30.44) < 12:
        distance = f"{max(1, round(days / 30.44))} mo"
    else:
        distance = f"{max(1, round(days / 365.25))} y"
    return f"{distance} ago" if seconds > 0 else f"in {distance}"


def ordinal(number: int) -> str:
    """Format a rank: ``1st``, ``22nd``, ``1,113th``."""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{suffix}"


def duration(seconds: float) -> str:
    """Return a duration in one or two units: ``0.4 s``, ``12 s``, ``4 min``, ``2 h 5 min``, ``3 d 4 h``."""
    if not math.isfinite(seconds):
        return "unknown"
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def below_home(text: str) -> str:
    """Shorten the user's home directory to ``~`` in a path, or in a URL with one."""
    home = os.path.expanduser("~").rstrip(os.sep)
    scheme, colon, path = text.rpartition(":")
    return f"{scheme}{colon}~{path[len(home) :]}" if home and path.startswith(home + os.sep) else text


def short_id(id: str) -> str:
    """Return the first eight characters of an id, enough to recognise it."""
    return plain(id[:8])


def grouped(n: int) -> str:
    """Format a count with thousands separators: ``4,961``."""
    return f"{n:,}"


def bytes_size(n: int) -> str:
    """Format a size in decimal units: ``512 B``, ``1.2 kB``, ``34 MB``."""
    units = ("B", "kB", "MB", "GB", "TB")
    size, power = float(n), 0
    while abs(size) >= 999.5 and power < len(units) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.0f} {units[power]}" if power == 0 or abs(size) >= 9.95 else f"{size:.1f} {units[power]}"
