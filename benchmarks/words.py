"""Search for words that many or all memories hold: alone, together, and beside a rare one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench import BackendQuery, asked
from benchmarks.clock import side_by_side, timing
from benchmarks.corpus import common_words, rare_words
from benchmarks.raw import LIMIT
from benchmarks.table import Figure
from vestige_tui.core.search import Mode

if TYPE_CHECKING:
    from benchmarks.bench import Bench

COMMON = 20
LABELS = ("tag", "team", "fact")
"""Words that all, half and half of the memories hold in a tag or as their type."""

MODES: tuple[Mode, ...] = ("text", "hybrid")


async def measure(bench: Bench) -> list[Figure]:
    """Common words beside questions of five words, by words and by both; and what the ranking of them is worth."""
    usual, rare = [*LABELS, *common_words(2 * COMMON)], rare_words(COMMON)
    alone = ("a common word", usual[:COMMON], "<= 6")
    mixed = ("a common word or a rare one", [" ".join(pair) for pair in zip(usual, rare, strict=False)], "<= 1.5")
    kinds = (
        ("the one word of all memories", [LABELS[0]] * COMMON, "<= 6"),
        alone,
        ("two common words, +a +b", [f"+{usual[place]} +{usual[place + 1]}" for place in range(COMMON)], "<= 6"),
        mixed,
    )
    found = [await _time(bench, mode, f"{mode}, {name}", texts, goal) for mode in MODES for name, texts, goal in kinds]
    return [
        *found,
        await _overlap(bench, *alone[:2], ""),
        await _overlap(bench, *mixed[:2], ">= 0.9"),
    ]


async def _time(bench: Bench, mode: Mode, name: str, texts: list[str], goal: str) -> Figure:
    normal = asked(COMMON)
    pairs = [(BackendQuery(text, each.vector), each) for text, each in zip(texts, normal, strict=True)]

    async def common(pair: tuple[BackendQuery, BackendQuery]) -> None:
        await bench.store.search(pair[0].query(mode))

    async def usual(pair: tuple[BackendQuery, BackendQuery]) -> None:
        await bench.store.search(pair[1].query(mode))

    times = await side_by_side(common, usual, pairs)
    return timing(bench.part, name, times, f"our {mode} for five words", goal)


async def _overlap(bench: Bench, name: str, texts: list[str], goal: str) -> Figure:
    """How much of the ten best by a full ranking of every match is in the answer."""
    shared = wanted = 0
    for each in (BackendQuery(text, one.vector) for text, one in zip(texts, asked(COMMON), strict=True)):
        best = bench.raw.ranked(each.text)[:LIMIT]
        shared += len(set(best).intersection(hit.memory.id for hit in await bench.store.search(each.query("text"))))
        wanted += len(best)
    return Figure(bench.part, f"text, {name}: the best ten", "", shared / wanted, 1.0, "every match ranked", goal=goal)
