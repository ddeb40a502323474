"""Answers without hits in words: the condition that leaves none, and the search for exact characters."""

from __future__ import annotations

from typing import Any

from vestige_tui.core.code_words import CodeWord, code_word
from vestige_tui.core.search import Answer, EmptyReason, SearchQuery
from vestige_tui.core.text import cut, grouped, plain

CONDITION_CELLS = 60
_SUBJECTS = {
    "phrase": "the phrase {condition}",
    "word": "the required word {condition}",
    "excluded": "the excluded {condition}",
    "filter": "the filter {condition}",
    "several": "{condition} together",
}


def empty_sentence(reason: EmptyReason) -> str:
    """Return the sentence on the condition that leaves no hit, with the number of hits without it."""
    count = hits_without(reason)
    if reason.kind == "replaced":
        return f"Only replaced memories match, and they are hidden ({count})."
    subject = _SUBJECTS[reason.kind].format(condition=cut(plain(reason.condition), CONDITION_CELLS))
    return f"No memory matches because of {subject}: {count} without {pronoun(reason)}."


def pronoun(reason: EmptyReason) -> str:
    """Return the word for the condition after *without*."""
    return "them" if reason.kind == "several" else "it"


def hits_without(reason: EmptyReason) -> str:
    """Return the number of hits of the query without the condition, in words."""
    count = "1 hit" if reason.hits == 1 else f"{grouped(reason.hits)} hits"
    return f"{count} or more" if reason.hits >= reason.query.limit else count


def empty_document(reason: EmptyReason | None) -> dict[str, Any] | None:
    """Return the condition as JSON, with the query without it."""
    if reason is None:
        return None
    return {
        "kind": reason.kind,
        "condition": reason.condition,
        "hits": reason.hits,
        "query": reason.query.text,
        "filters_left_out": list(reason.fields),
    }


def literal_offer(query: SearchQuery, answer: Answer) -> CodeWord | None:
    """Return the word to search for by exact characters, where it looks like code and no word of the query matches."""
    if answer.mode not in ("text", "hybrid") or any(hit.text_rank for hit in answer):
        return None
    return code_word(query.text)


def literal_sentence(word: CodeWord) -> str:
    """Return the sentence on a word that looks like code, which no word of a memory matches."""
    return f"No memory contains these words; {cut(plain(word.characters), CONDITION_CELLS)} looks like {word.looks}."
