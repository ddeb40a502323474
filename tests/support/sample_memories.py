"""Made-up memories and a frozen clock for the tests of widgets and screens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vestige_tui.core.memories import Memory, Page
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.search import Hit

NOW = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)

SENTENCES = (
    "Signing keys rotate every 90 days; the old public key stays in the JWKS for one more period",
    "Runbook: rotate keys without logging users out",
    "The importer holds one batch in memory, never the whole file",
    "日本語のメモ、検索結果は全角文字でも列が揃うこと、そして長い行は省略記号で終わること",
    "Prefers small pull requests with one reason each",
    "Deploys on Fridays need a second person who stays until the graphs are flat",
    "PostgreSQL: an index on lower(email) is used only where the query says lower(email) too",
    "Backups are restored on the first Monday of each month, by hand, from cold storage",
    "🚀 Launch checklist lives in the wiki under Operations",
    "Cache keys carry the schema version, so that a deploy never reads what the last one wrote",
)
KINDS = ("decision", "procedure", "fact", "note", "preference", "event")
TAGS = (("security", "keys"), ("runbook",), ("import", "memory", "batches"), (), ("people",), ("deploy", "on-call"))
DOMAINS = ("auth", "operations", "storage", "people")


def memory(index: int, content: str | None = None) -> Memory:
    """Return the memory number ``index`` of an endless list, newest first."""
    made = NOW - timedelta(hours=5 * index + 3)
    if index % 5 == 4:
        scheduling: Scheduling | None = Scheduling()
    else:
        stability = 2.0 + (index * 7) % 30
        scheduling = Scheduling(
            stability=stability,
            difficulty=3 + index % 6,
            last_review=NOW - timedelta(days=(index * 13) % 47),
            next_review=NOW + timedelta(days=(index * 11) % 40 - 8),
            reps=1 + index % 6,
        )
    return Memory(
        id=f"{index:08x}-0000-4000-8000-000000000000",
        content=content or SENTENCES[index % len(SENTENCES)],
        node_type=KINDS[index % len(KINDS)],
        tags=TAGS[index % len(TAGS)],
        domains=(DOMAINS[index % len(DOMAINS)],),
        codebase="vestige" if index % 3 else None,
        created_at=made,
        updated_at=made + timedelta(hours=1),
        superseded_by="0000000a" if index % 13 == 12 else None,
        scheduling=scheduling,
        has_embedding=True,
    )


class Source:
    """A list of ``count`` made-up memories that remembers what it was asked; ``added`` more stand above them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.added = 0
        self.asked: list[tuple[int, int, str | None]] = []

    @property
    def total(self) -> int:
        return self.count + self.added

    async def fetch(self, offset: int, limit: int, after: str | None) -> Page[Memory]:
        self.asked.append((offset, limit, after))
        rows = range(offset, min(offset + limit, self.total))
        items = tuple(memory(row - self.added if row >= self.added else self.count + row) for row in rows)
        return Page(items, str(rows.stop) if rows.stop < self.total else None)


def hits() -> tuple[Hit, ...]:
    """Return seven hits, best first, some found by one branch only."""
    ranks: tuple[tuple[int | None, int | None], ...] = (
        (1, 3),
        (4, 1),
        (2, None),
        (None, 2),
        (3, 14),
        (112, 4),
        (None, 9),
    )
    return tuple(
        Hit(
            memory(index),
            score=sum(1 / (60 + rank) for rank in pair if rank is not None),
            text_rank=pair[0],
            vector_rank=pair[1],
        )
        for index, pair in enumerate(ranks)
    )


def reviews(memory_id: str) -> tuple[Review, ...]:
    """Return four reviews of one memory, the last one twelve days ago."""
    days = (120, 96, 50, 12)
    ratings = (Rating.GOOD, Rating.AGAIN, Rating.HARD, Rating.GOOD)
    return tuple(
        Review(
            id=number,
            memory_id=memory_id,
            at=NOW - timedelta(days=day),
            rating=rating,
            prior=Scheduling(stability=float(number * 4), reps=number),
            new=Scheduling(
                stability=float(6 + number * 6), last_review=NOW - timedelta(days=day), reps=number + 1, difficulty=5.0
            ),
        )
        for number, (day, rating) in enumerate(zip(days, ratings, strict=True))
    )
