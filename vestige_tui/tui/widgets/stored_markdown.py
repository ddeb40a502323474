"""Stored text as Markdown: nothing in it is followed or fetched, and its code has the colours of the theme."""

from __future__ import annotations

from typing import ClassVar

from markdown_it import MarkdownIt
from pygments.token import Token  # type: ignore[import-untyped]
from textual.content import Content
from textual.highlight import HighlightTheme, highlight
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownBlock, MarkdownFence

MAX_DEPTH = 12


def safe_parser() -> MarkdownIt:
    """Return a parser of CommonMark with tables, without HTML, links from words, images and deep nesting."""
    return MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_DEPTH}).enable("table").disable("image")


class CodeColours(HighlightTheme):
    """Colours of code: those of the theme, at full strength, for Textual's own are mixed with the background."""

    STYLES: ClassVar[dict[tuple[str, ...], str]] = {  # type: ignore[misc]
        Token.Comment: "$text-muted italic",
        Token.Error: "$error",
        Token.Generic.Strong: "bold",
        Token.Generic.Emph: "italic",
        Token.Generic.Heading: "bold",
        Token.Keyword: "$accent",
        Token.Literal: "$success",
        Token.Literal.Number: "$warning",
        Token.Name: "",
        Token.Operator.Word: "$accent",
        Token.Whitespace: "",
    }


class CodeFence(MarkdownFence):
    """Block of code."""

    @classmethod
    def highlight(cls, code: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        # A language is not guessed: that reads the whole text once for each of some hundred languages.
        return highlight(code, language=language or "text", theme=CodeColours)


class StoredMarkdown(Markdown):
    """Markdown of a memory. No link is opened by a click."""

    BLOCKS: ClassVar[dict[str, type[MarkdownBlock]]] = {  # type: ignore[misc]
        **Markdown.BLOCKS,
        "fence": CodeFence,
        "code_block": CodeFence,
    }
    DEFAULT_CSS = """
    StoredMarkdown MarkdownFence { color: $foreground; background: $panel; }
    StoredMarkdown MarkdownFence:light { background: $panel; }
    StoredMarkdown MarkdownFence:ansi { background: transparent; }
    StoredMarkdown MarkdownBlock > .code_inline,
    StoredMarkdown MarkdownBlock:dark > .code_inline,
    StoredMarkdown MarkdownBlock:light > .code_inline { color: $accent; background: $panel; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, open_links=False, parser_factory=safe_parser)
