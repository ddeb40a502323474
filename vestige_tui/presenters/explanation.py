"""Explanation of a search in words and figures, for the console and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vestige_tui.core.search import Explanation, Hit, Mode, QueryWord, WhyNot
from vestige_tui.core.text import cut, grouped, plain

Branch: TypeAlias = Literal["text", "vector"]

MODE_NAMES: Mapping[Mode, str] = {
    "hybrid": "text and vector",
    "text": "text",
    "vector": "vector",
    "literal": "exact characters",
}
NONE = "─"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_USE_WORDS = {"ranked": "ranked", "must": "required", "must_not": "excluded", "dropped": "ignored, too common"}
_MAX_WORD_CELLS = 40


@dataclass(frozen=True, slots=True)
class Scale:
    """Reference values of the normalised scores of an explanation; None if a branch is empty."""

    best: float | None
    """Best text score."""
    nearest: float | None
    """Best cosine."""
    farthest: float | None
    """Lowest cosine of the branch."""
    base: float | None
    """Cosine at which the normalised vector score is 0."""


def scale_of(explanation: Explanation) -> Scale:
    """Return the scale of an explanation, as defined by ``Fusion``."""
    scores = [hit.text_score for hit in explanation.text if hit.text_score is not None]
    cosines = [hit.vector_score for hit in explanation.vector if hit.vector_score is not None]
    farthest = min(cosines, default=None)
    base = None if farthest is None else farthest - (1 - explanation.fusion.floor) * abs(farthest)
    return Scale(max(scores, default=None) or None, max(cosines, default=None), farthest, base)


def fused(explanation: Explanation) -> tuple[Hit, ...]:
    """Return the whole fused list, best first: the answer, then the hits beyond its end."""
    answer_ids = {hit.memory.id for hit in explanation.answer}
    rest = {hit.memory.id: hit for hit in (*explanation.text, *explanation.vector) if hit.memory.id not in answer_ids}
    behind = sorted(rest.values(), key=lambda hit: (-hit.score, hit.text_rank or hit.vector_rank or 0, hit.memory.id))
    return (*explanation.answer, *behind)


def is_branch_used(explanation: Explanation, branch: Branch) -> bool:
    """Check whether a branch was used at all."""
    return (explanation.fusion.text_weight if branch == "text" else explanation.fusion.vector_weight) > 0


def is_newest(explanation: Explanation) -> bool:
    """Check whether there was nothing to rank by, so that the newest memories were listed."""
    return (
        bool(explanation.text) and not is_branch_used(explanation, "text") and not is_branch_used(explanation, "vector")
    )


def branch_name(explanation: Explanation, branch: Branch) -> str:
    """Return the name of a branch in this search."""
    if branch == "vector":
        return "vector"
    return "newest" if is_newest(explanation) else "characters" if explanation.answer.mode == "literal" else "text"


def why_missing(explanation: Explanation, branch: Branch, mode: Mode) -> str:
    """Return the reason for an empty branch, as a sentence; empty if it has hits."""
    if explanation.text if branch == "text" else explanation.vector:
        return ""
    if not explanation.passing:
        return "No memory passes all filters."
    if branch == "text":
        if mode == "vector":
            return "This search uses vectors only."
        if not is_branch_used(explanation, "text"):
            return "Every word is too common to search for." if _only_common(explanation) else "The query has no words."
        if explanation.answer.mode == "literal":
            return "No memory that passes the filters contains these characters."
        return "No memory that passes the filters contains any of the words."
    if explanation.answer.mode == "literal":
        return "A search for exact characters uses no vectors."
    if mode == "text":
        return "This search uses text only."
    if not is_branch_used(explanation, "vector"):
        return " ".join(explanation.answer.warnings) or "The query has no vector."
    return " ".join(explanation.answer.warnings) or "No memory that passes the filters has a vector."


def _only_common(explanation: Explanation) -> bool:
    return any(word.use == "dropped" for word in explanation.words)


def figure(value: float | None, digits: int = 2) -> str:
    """Format a score or a cosine without a leading zero: ``.41``, ``7.21``, ``-.03``; a dash for None."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    if text.startswith("-0.") and float(text) == 0:
        text = text[1:]
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def summary(explanation: Explanation) -> str:
    """Return mode, number of hits, duration, and the number of memories that pass the filters, in one line."""
    count = len(explanation.answer)
    how = "the newest memories" if is_newest(explanation) else MODE_NAMES[explanation.answer.mode]
    hits = "1 hit" if count == 1 else f"{grouped(count)} hits"
    return f"{how}: {hits} in {milliseconds(explanation.answer.elapsed_ms)}; {passing(explanation)}"


def passing(explanation: Explanation) -> str:
    """Return the number of memories that pass all filters, in words."""
    return f"{grouped(explanation.passing)} of {grouped(explanation.total)} memories pass all filters"


def milliseconds(ms: float | None) -> str:
    """Format a duration; empty if it was not timed."""
    if ms is None:
        return ""
    return f"{ms:.1f} ms" if ms < 99.95 else f"{grouped(round(ms))} ms"


def word_row(word: QueryWord) -> tuple[str, str, str, str]:
    """Return a word, its use, the number of memories that hold it, and its weight."""
    count = "" if word.documents is None else grouped(word.documents)
    excerpt = cut(plain(word.text), _MAX_WORD_CELLS)
    return excerpt, _USE_WORDS[word.use], count, "" if word.weight is None else figure(word.weight)


def filter_rows(explanation: Explanation) -> list[tuple[str, str]]:
    """Return each filter with the number of memories that pass it, then the number that pass all."""
    rows = [(plain(each.text), grouped(each.memories)) for each in explanation.filters]
    return [*rows, ("all filters", f"{grouped(explanation.passing)} of {grouped(explanation.total)}")]


def step_rows(explanation: Explanation) -> list[tuple[str, str, str]]:
    """Return the purpose, the method and the duration of each step of a search."""
    return [(each.what, plain(each.how), milliseconds(each.ms)) for each in explanation.steps]


def rules(explanation: Explanation) -> tuple[str, ...]:
    """Describe the fusion of two branches, with the figures of this search."""
    fusion, scale = explanation.fusion, scale_of(explanation)
    if is_newest(explanation):
        return ("Nothing to rank by: newest memories first.",)
    if explanation.answer.mode == "literal":
        return (
            "Matches in the same case first, then those that differ only in upper and lower case; newest first in each "
            "group.",
        )
    if not fusion.text_weight and not fusion.vector_weight:
        return ("Nothing to rank by.",)
    lines = []
    if fusion.text_weight:
        best = f", here {figure(scale.best)}" if scale.best is not None else ""
        lines.append(f"text = text score ÷ best text score{best}")
    if fusion.vector_weight:
        best = f", here {figure(scale.nearest, 3)}" if scale.nearest is not None else ""
        lines.append(f"vector = (cosine {MINUS} base) ÷ (best cosine{best} {MINUS} base)")
        if scale.base is not None:
            margin = figure(1 - fusion.floor)
            lowest = figure(scale.farthest, 3)
            lines.append(f"base = {figure(scale.base, 3)}: the lowest cosine, {lowest}, minus {margin} of its size")
    weights = ((fusion.text_weight, "text"), (fusion.vector_weight, "vector"))
    lines.append("score = " + " + ".join(f"{figure(weight)} {TIMES} {name}" for weight, name in weights if weight))
    return (*lines, f"Only the first {grouped(fusion.depth)} of each branch are considered.")


def score_rows(explanation: Explanation, hit: Hit) -> tuple[tuple[str, str], ...]:
    """Return the parts of the score of one hit: the name and the calculation of each."""
    fusion, scale = explanation.fusion, scale_of(explanation)
    if not (fusion.text_weight or fusion.vector_weight) or explanation.answer.mode == "literal":
        return (("score", figure(hit.score)),)
    pairs = []
    if fusion.text_weight:
        quotient = f"{figure(hit.text_score)} ÷ {figure(scale.best)} = " if hit.text_score and scale.best else ""
        pairs.append(("text", f"{quotient or 'no query word matches: '}{figure(hit.text_share)}"))
    if fusion.vector_weight:
        pairs.append(("vector", f"{_vector_calculation(hit, scale)}{figure(hit.vector_share)}"))
    parts = [
        f"{figure(weight)} {TIMES} {figure(share)}"
        for weight, share in ((fusion.text_weight, hit.text_share), (fusion.vector_weight, hit.vector_share))
        if weight
    ]
    return (*pairs, ("score", f"{' + '.join(parts)} = {figure(hit.score)}"))


def _vector_calculation(hit: Hit, scale: Scale) -> str:
    if scale.base is None or scale.nearest is None:
        return "no vector matches: "
    if hit.vector_score is None:
        return "no vector, counts as the lowest similarity: "
    if hit.vector_score < scale.base:
        return f"{figure(hit.vector_score, 3)} is below the base: "
    base = _operand(scale.base)
    return f"({figure(hit.vector_score, 3)} {MINUS} {base}) ÷ ({figure(scale.nearest, 3)} {MINUS} {base}) = "


def _operand(value: float) -> str:
    text = figure(value, 3)
    return f"({text})" if value < 0 else text


def rank_rows(why_not: WhyNot) -> tuple[tuple[str, str], ...]:
    """Return the rank of a memory as pairs of a name and its figures, without the reason."""
    hit, pairs = why_not.hit, []
    if why_not.fails:
        pairs.append(("filters", f"does not pass {', '.join(map(plain, why_not.fails))}"))
    if why_not.missing:
        pairs.append(("words", f"does not contain {', '.join(map(plain, why_not.missing))}"))
    if hit is not None:
        for name, rank, score, share in (
            ("text", hit.text_rank, figure(hit.text_score), hit.text_share),
            ("vector", hit.vector_rank, figure(hit.vector_score, 3), hit.vector_share),
        ):
            position = "no rank" if rank is None else f"rank #{grouped(rank)}"
            pairs.append((name, f"{position}, score {score}, normalised {figure(share)}"))
    if why_not.rank is not None and hit is not None:
        pairs.append(("fused", f"rank #{grouped(why_not.rank)}, score {figure(hit.score)}"))
    pairs.append(("last hit", f"score {figure(why_not.last)}" if why_not.last else "none: fewer hits than the limit"))
    return tuple(pairs)
