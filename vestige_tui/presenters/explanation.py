"""A search laid open, in words and figures: what the console and the command line both say about one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vestige_tui.core.search import Explanation, Hit, Mode, QueryWord, WhyNot
from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.store.search.query_syntax import fold_ascii

Branch: TypeAlias = Literal["text", "vector"]

MODE_NAMES: Mapping[Mode, str] = {
    "hybrid": "words and meaning",
    "text": "words",
    "vector": "meaning",
    "literal": "exact characters",
}
NONE = "─"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_USES = {"ranked": "ranked", "must": "must occur", "must_not": "must not occur", "dropped": "left out, too common"}
_QUERY_CELLS = 40


@dataclass(frozen=True, slots=True)
class Scale:
    """What the shares of an explanation are measured by; None where a branch has nothing to measure."""

    best: float | None
    """The best score by words."""
    nearest: float | None
    """The best cosine."""
    farthest: float | None
    """The lowest cosine of the branch."""
    base: float | None
    """The cosine at which meaning counts for nothing."""


def scale_of(found: Explanation) -> Scale:
    """The scale of an explanation, as ``Fusion`` says."""
    scores = [hit.text_score for hit in found.text if hit.text_score is not None]
    cosines = [hit.vector_score for hit in found.vector if hit.vector_score is not None]
    farthest = min(cosines, default=None)
    base = None if farthest is None else farthest - (1 - found.fusion.floor) * abs(farthest)
    return Scale(max(scores, default=None) or None, max(cosines, default=None), farthest, base)


def fused(found: Explanation) -> tuple[Hit, ...]:
    """The whole fused list, best first: the answer, and what stands behind its end."""
    shown = {hit.memory.id for hit in found.answer}
    rest = {hit.memory.id: hit for hit in (*found.text, *found.vector) if hit.memory.id not in shown}
    behind = sorted(rest.values(), key=lambda hit: (-hit.score, hit.text_rank or hit.vector_rank or 0, hit.memory.id))
    return (*found.answer, *behind)


def is_asked(found: Explanation, branch: Branch) -> bool:
    """Whether a branch was asked at all."""
    return (found.fusion.text_weight if branch == "text" else found.fusion.vector_weight) > 0


def is_newest(found: Explanation) -> bool:
    """Whether there was nothing to rank by, so that the newest memories were listed."""
    return bool(found.text) and not is_asked(found, "text") and not is_asked(found, "vector")


def branch_name(found: Explanation, branch: Branch) -> str:
    """What a branch is called in this search."""
    if branch == "vector":
        return "meaning"
    return "newest" if is_newest(found) else "characters" if found.answer.mode == "literal" else "words"


def why_missing(found: Explanation, branch: Branch, asked: Mode) -> str:
    """Why a branch found nothing, in a sentence; empty where it found something."""
    if found.text if branch == "text" else found.vector:
        return ""
    if not found.passing:
        return "No memory passes all filters."
    if branch == "text":
        if asked == "vector":
            return "Only meaning was asked for."
        if not is_asked(found, "text"):
            return "Every word is too common to search for." if _only_common(found) else "There is no word to look for."
        if found.answer.mode == "literal":
            return "No memory that passes the filters holds these characters."
        return "No memory that passes the filters holds any of the words."
    if found.answer.mode == "literal":
        return "Characters are looked for as they stand; meaning has no part in it."
    if asked == "text":
        return "Only words were asked for."
    if not is_asked(found, "vector"):
        return " ".join(found.answer.warnings) or "There is nothing to compare by meaning."
    return " ".join(found.answer.warnings) or "No memory that passes the filters has a vector."


def _only_common(found: Explanation) -> bool:
    return any(word.use == "dropped" for word in found.words)


def figure(value: float | None, digits: int = 2) -> str:
    """A share, a score or a cosine without a leading zero: ``.41``, ``7.21``, ``-.03``; a dash for none."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    if text.startswith("-0.") and float(text) == 0:
        text = text[1:]
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def summary(found: Explanation) -> str:
    """What was answered, how, how quickly, and how many memories the filters left."""
    count = len(found.answer)
    how = "the newest memories" if is_newest(found) else MODE_NAMES[found.answer.mode]
    hits = "1 hit" if count == 1 else f"{grouped(count)} hits"
    return f"{how}: {hits} in {milliseconds(found.answer.elapsed_ms)}; {passing(found)}"


def passing(found: Explanation) -> str:
    """How many memories all filters leave."""
    return f"{grouped(found.passing)} of {grouped(found.total)} memories pass all filters"


def milliseconds(ms: float | None) -> str:
    """How long something took; empty where it was not timed."""
    if ms is None:
        return ""
    return f"{ms:.1f} ms" if ms < 99.95 else f"{grouped(round(ms))} ms"


def word_row(word: QueryWord) -> tuple[str, str, str, str]:
    """A word, what became of it, how many memories hold it, and what it weighs."""
    count = "" if word.documents is None else grouped(word.documents)
    shown = cut(plain(word.text), _QUERY_CELLS)
    return shown, _USES[word.use], count, "" if word.weight is None else figure(word.weight)


def rules(found: Explanation) -> tuple[str, ...]:
    """How two branches become one list, in words, with the figures of this search."""
    fusion, scale = found.fusion, scale_of(found)
    if is_newest(found):
        return ("There is nothing to rank by: the newest memories come first.",)
    if found.answer.mode == "literal":
        return ("Characters in the case as written come first, then A to Z in either case; of each, the newest first.",)
    if not fusion.text_weight and not fusion.vector_weight:
        return ("There is nothing to rank by.",)
    said = []
    if fusion.text_weight:
        best = f", here {figure(scale.best)}" if scale.best is not None else ""
        said.append(f"share of words = score ÷ the best score{best}")
    if fusion.vector_weight:
        best = f", here {figure(scale.nearest, 3)}" if scale.nearest is not None else ""
        said.append(f"share of meaning = (cosine {MINUS} base) ÷ (the best cosine{best} {MINUS} base)")
        if scale.base is not None:
            part = figure(1 - fusion.floor)
            lowest = figure(scale.farthest, 3)
            said.append(f"base = {figure(scale.base, 3)}: the lowest cosine, {lowest}, less {part} of its size")
    weights = ((fusion.text_weight, "share of words"), (fusion.vector_weight, "share of meaning"))
    said.append("total = " + " + ".join(f"{figure(weight)} {TIMES} {what}" for weight, what in weights if weight))
    return (*said, f"Each list counts as far as place {grouped(fusion.depth)}.")


def sums(found: Explanation, hit: Hit) -> tuple[tuple[str, str], ...]:
    """How the score of one hit comes about: what is reckoned, and the reckoning."""
    fusion, scale = found.fusion, scale_of(found)
    if not (fusion.text_weight or fusion.vector_weight) or found.answer.mode == "literal":
        return (("total", figure(hit.score)),)
    said = []
    if fusion.text_weight:
        reckoned = f"{figure(hit.text_score)} ÷ {figure(scale.best)} = " if hit.text_score and scale.best else ""
        said.append(("words", f"{reckoned or 'not found by words: '}{figure(hit.text_share)}"))
    if fusion.vector_weight:
        said.append(("meaning", f"{_meant(hit, scale)}{figure(hit.vector_share)}"))
    parts = [
        f"{figure(weight)} {TIMES} {figure(share)}"
        for weight, share in ((fusion.text_weight, hit.text_share), (fusion.vector_weight, hit.vector_share))
        if weight
    ]
    return (*said, ("total", f"{' + '.join(parts)} = {figure(hit.score)}"))


def _meant(hit: Hit, scale: Scale) -> str:
    if scale.base is None or scale.nearest is None:
        return "no vector is near: "
    if hit.vector_score is None:
        return "no vector, counts as the lowest: "
    if hit.vector_score < scale.base:
        return f"{figure(hit.vector_score, 3)} is below the base: "
    base = _operand(scale.base)
    return f"({figure(hit.vector_score, 3)} {MINUS} {base}) ÷ ({figure(scale.nearest, 3)} {MINUS} {base}) = "


def _operand(value: float) -> str:
    said = figure(value, 3)
    return f"({said})" if value < 0 else said


def standing(found: WhyNot) -> tuple[tuple[str, str], ...]:
    """Where a memory stands, a name and its figures each, after the reason has been said."""
    hit, said = found.hit, []
    if found.fails:
        said.append(("filters", f"does not pass {', '.join(map(plain, found.fails))}"))
    if found.missing:
        said.append(("words", f"does not hold {', '.join(map(plain, found.missing))}"))
    if hit is not None:
        for name, rank, score, share in (
            ("by words", hit.text_rank, figure(hit.text_score), hit.text_share),
            ("by meaning", hit.vector_rank, figure(hit.vector_score, 3), hit.vector_share),
        ):
            place = "no place" if rank is None else f"place {grouped(rank)}"
            said.append((name, f"{place}, score {score}, share {figure(share)}"))
    if found.place is not None and hit is not None:
        said.append(("together", f"place {grouped(found.place)}, total {figure(hit.score)}"))
    said.append(("last hit", f"total {figure(found.last)}" if found.last else "the answer is not full"))
    return tuple(said)


def around(content: str, wanted: str, width: int) -> tuple[str, str, str] | None:
    """The place where characters occur, as one line: what stands before, the characters, what stands behind.

    At most ``width`` cells in all; None where they do not occur.
    """
    at = content.find(wanted)
    if at < 0:
        at = fold_ascii(content).find(fold_ascii(wanted))
    if at < 0 or not wanted:
        return None
    end = at + len(wanted)
    found = cut(plain(content[at:end]), width)
    before = plain(content[max(0, at - width) : at])
    behind = plain(content[end : end + width])
    room = width - cells(found)
    whole = at <= width and cells(before) <= max(room * 2 // 3, room - cells(behind))
    if not whole:
        before = _end_of(before, max(room // 3, room - cells(behind)))
    return before, found, cut(behind, max(0, room - cells(before)))


def _end_of(text: str, width: int) -> str:
    """The last ``width`` cells of a text, beginning with ``…``."""
    if width < 1:
        return ""
    room, start = width - 1, len(text)
    while start and cells(text[start - 1]) <= room:
        start -= 1
        room -= cells(text[start])
    return "…" + text[start:].lstrip(" ")
