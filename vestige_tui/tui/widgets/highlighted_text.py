"""Text in which the words of a search are marked: by colour and by shape."""

from __future__ import annotations

from textual.content import Content, Span
from textual.widgets import Static

from vestige_tui.core.search import MatchTerms
from vestige_tui.store.search.matches import matches, spans
from vestige_tui.tui.widgets.stored_markdown import StoredMarkdown

MATCH_STYLE = "$accent bold underline"


def highlighted(content: Content, terms: MatchTerms) -> Content:
    """Return the content with the matches of these terms marked, and of no others."""
    kept = [span for span in content.spans if span.style != MATCH_STYLE]
    text = content.plain
    added = [Span(start, end, MATCH_STYLE) for start, end in spans(matches(terms, text))]
    return Content(text, [*kept, *added])


class HighlightedMarkdown(StoredMarkdown):
    """Markdown document in which matches are marked, in its paragraphs, code and tables alike."""

    def highlight_terms(self, terms: MatchTerms) -> None:
        """Mark the matches of these terms in the present document."""
        for block in self.query(Static):
            content = block.content
            # Contents are equal where their texts are.
            if isinstance(content, Content) and content.spans != (new := highlighted(content, terms)).spans:
                block.update(new, layout=False)
