"""Bodies of the sections of a memory's card: facts, times, ranks of a search, and reviews."""

from __future__ import annotations

from datetime import datetime

from textual.content import Content

from vestige_tui.core.memories import Memory
from vestige_tui.core.reviews import Rating, is_redo, undone_reviews
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.search import Hit
from vestige_tui.core.text import ago, grouped, plain, short_id
from vestige_tui.core.times import moment_text
from vestige_tui.presenters.moments import EDITED_SINCE, TODAYS_MARKS
from vestige_tui.tui.widgets.glyphs import BURIED, SUSPENDED, State, due, figure, level, marks_of, state_of
from vestige_tui.tui.widgets.highlighted_text import highlighted
from vestige_tui.tui.widgets.memory_detail import MemoryDetail
from vestige_tui.tui.widgets.memory_links import SHOWN_ROWS


def _lines(lines: list[Content], total: int, width: int) -> Content:
    more = total - len(lines)
    if more > 0:
        lines = [*lines, Content.styled(f"and {grouped(more)} more", "$text-disabled")]
    return Content("\n").join(lines)


def _ink(state: State) -> str:
    return {"waiting": "$warning", "faint": "$text-disabled"}.get(state.ink, "$text-muted")


def facts(detail: MemoryDetail, now: datetime) -> Content:
    """Return state, marks, type, domains, codebase and tags of a memory, and whether its text has been edited since."""
    memory, terms = detail.memory, detail.terms
    state = state_of(memory, now)
    word, until = state.word, memory.marks.buried_until
    if state is BURIED and until is not None:
        word = f"buried until {until.astimezone():%Y-%m-%d}"
    domains = ", ".join(plain(name) for name in memory.domains)
    parts: list[str | Content | tuple[str, str]] = [(f"{state.glyph} {word}", _ink(state)), "   "]
    for mark in marks_of(memory):
        parts += [(f"{mark.glyph} {mark.word}", _ink(mark)), "   "]
    if detail.is_past and (state in (SUSPENDED, BURIED) or marks_of(memory)):
        parts += [(TODAYS_MARKS, "$warning"), "   "]
    parts.append(highlighted(Content(plain(memory.node_type)), terms))
    if domains:
        parts += ["   ", (domains, "$text-muted")]
    if memory.codebase:
        parts += ["   ", (plain(memory.codebase), "$text-muted")]
    lines = [Content.assemble(*parts)]
    if memory.tags:
        tags = Content.styled(" ".join(f"#{plain(tag)}" for tag in memory.tags), "$text-muted")
        lines.append(highlighted(tags, terms))
    if detail.edited_at is not None:
        lines.append(Content.styled(f"{EDITED_SINCE}, last at {moment_text(detail.edited_at)}", "$warning"))
    return Content("\n").join(lines)


def search_ranks(hit: Hit) -> Content:
    """Return the rank and score of a hit in the search of text and in that of vectors, and its fused score."""
    lines = []
    for name, rank, unit, score in (
        ("text", hit.text_rank, "score", hit.text_score),
        ("vector", hit.vector_rank, "cosine", hit.vector_score),
    ):
        if rank is None and score is None:
            # Not searched, or no word and no vector to rank it by.
            continue
        place = f"#{grouped(rank)}" if rank is not None else "not ranked"
        pieces = [(f"{name:<8}", "$text-muted"), (f"{place:<12}", "$text" if rank is not None else "$text-disabled")]
        if score is not None:
            pieces.append((f"{unit} {score:.2f}", "$text-disabled"))
        lines.append(Content.assemble(*pieces))
    lines.append(Content.assemble(("score   ", "$text-muted"), (f"{hit.score:.2f}", "$text")))
    return Content("\n").join(lines)


def times(memory: Memory, now: datetime) -> Content:
    """Return the times of a memory, its recall with its due time, and its id."""
    moments = {"created": memory.created_at}
    if memory.updated_at != memory.created_at:
        moments["updated"] = memory.updated_at
    shown = [_time(word, moment, now) for word, moment in moments.items() if moment is not None]
    lines = [Content("   ").join(shown)] if shown else []
    scheduling = memory.scheduling
    # On a line of its own: beside the others it would be broken in a narrow card.
    if scheduling is not None and scheduling.reps:
        known = scheduling.last_review
        unknown = Content.assemble(("last reviewed ", "$text-disabled"), ("time unknown", "$text-muted"))
        lines.append(_time("last reviewed", known, now) if known is not None else unknown)
    recall = retrievability(scheduling, now) if scheduling is not None else None
    if recall is not None:
        full, rest = level(recall, 10)
        word, ink = due(memory, now)
        lines.append(
            Content.assemble(
                ("recall ", "$text-disabled"),
                (full, "$accent"),
                (rest, "$track"),
                (f" {figure(recall)}   ", "$text"),
                ("due ", "$text-disabled"),
                (word, "$warning" if ink == "waiting" else "$text-muted"),
            )
        )
    identity = short_id(memory.id) + ("" if memory.has_embedding else "   no vector")
    lines.append(Content.assemble(("id ", "$text-disabled"), (identity, "$text-muted")))
    return Content("\n").join(lines)


def _time(word: str, moment: datetime, now: datetime) -> Content:
    return Content.assemble((f"{word} ", "$text-disabled"), (ago(moment, now), "$text-muted"))


def latest_reviews(detail: MemoryDetail, now: datetime) -> Content:
    """Return the latest reviews of a memory, newest first, and the number of the others."""
    names = {rating.value: rating.name.capitalize() for rating in Rating}
    undone = undone_reviews(detail.reviews)
    latest = sorted(detail.reviews, key=lambda review: review.at, reverse=True)
    lines = []
    for review in latest[:SHOWN_ROWS]:
        reversal = "redone" if is_redo(review, detail.reviews) else "undone"
        name = reversal if review.undoes is not None else names.get(review.rating, str(review.rating))
        ink = "$text-disabled" if review.id in undone or review.undoes is not None else "$text"
        stability = f"stability {review.prior.stability:.0f} → {review.new.stability:.0f} d"
        lines.append(
            Content.assemble(
                (f"{ago(review.at, now):>9}  ", "$text-muted"),
                (f"{name:<7}", ink),
                (stability if review.undoes is None else "", "$text-disabled"),
            )
        )
    return _lines(lines, len(latest), 0)
