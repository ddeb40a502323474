"""Search for words of many or all memories: alone, together, and with a rare one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench import BenchQuery, sample_queries
from benchmarks.clock import side_by_side, timing
from benchmarks.corpus import common_words, rare_words
from benchmarks.raw import LIMIT
from benchmarks.table import Figure
from vestige_tui.core.search import Mode

if TYPE_CHECKING:
    from benchmarks.bench import Bench

WORD_COUNT = 20
LABELS = ("tag", "team", "fact")
"""Words in the tags or the type of all, half and half of the memories."""

MODES: tuple[Mode, ...] = ("text", "hybrid")


async def measure(bench: Bench) -> list[Figure]:
    """Measure common words beside questions of five words, in text and hybrid mode; and the overlap of the ranking."""
    usual, rare = [*LABELS, *common_words(2 * WORD_COUNT)], rare_words(WORD_COUNT)
    alone = ("a common word", usual[:WORD_COUNT], "<= 6")
    mixed = ("a common word or a rare one", [" ".join(pair) for pair in zip(usual, rare, strict=False)], "<= 1.5")
    kinds = (
        ("the one word of all memories", [LABELS[0]] * WORD_COUNT, "<= 6"),
        alone,
        ("two common words, +a +b", [f"+{usual[place]} +{usual[place + 1]}" for place in range(WORD_COUNT)], "<= 6"),
        mixed,
    )
    figures = [
        await _time(bench, mode, f"{mode}, {name}", texts, goal) for mode in MODES for name, texts, goal in kinds
    ]
    return [
        *figures,
        await _overlap(bench, *alone[:2], ""),
        await _overlap(bench, *mixed[:2], ">= 0.9"),
    ]


async def _time(bench: Bench, mode: Mode, name: str, texts: list[str], goal: str) -> Figure:
    normal = sample_queries(WORD_COUNT)
    pairs = [(BenchQuery(text, each.vector), each) for text, each in zip(texts, normal, strict=True)]

    async def common(pair: tuple[BenchQuery, BenchQuery]) -> None:
        await bench.store.search(pair[0].query(mode))

    async def usual(pair: tuple[BenchQuery, BenchQuery]) -> None:
        await bench.store.search(pair[1].query(mode))

    times = await side_by_side(common, usual, pairs)
    return timing(bench.part, name, times, f"our {mode} for five words", goal)


async def _overlap(bench: Bench, name: str, texts: list[str], goal: str) -> Figure:
    """Return the share of the ten best of a full ranking that is in the answer."""
    shared = total = 0
    for each in (BenchQuery(text, one.vector) for text, one in zip(texts, sample_queries(WORD_COUNT), strict=True)):
        best = bench.raw.ranked(each.text)[:LIMIT]
        shared += len(set(best).intersection(hit.memory.id for hit in await bench.store.search(each.query("text"))))
        total += len(best)
    return Figure(bench.part, f"text, {name}: the best ten", "", shared / total, 1.0, "every match ranked", goal=goal)
