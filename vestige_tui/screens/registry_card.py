"""The model that a store belongs to, as text: its card, how it stands here, second vectors, and what came before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from vestige_tui.embedding import same_model
from vestige_tui.screens.job_detail import folded
from vestige_tui.text import ago, cells, cut, duration, grouped, plain
from vestige_tui.widgets.glyphs import level
from vestige_tui.widgets.job_words import fraction, short_model, standing
from vestige_tui.widgets.stacked_bar import Part

if TYPE_CHECKING:
    from vestige_tui.embedding import EmbedderSource
    from vestige_tui.model import Job, ModelChange, ModelSignature, SpareVectors, VectorCensus
    from vestige_tui.store.service import Store

AT_WORK = ("Making the vectors", "Loading")
"""How a banner begins that tells what is done, not what is wrong."""
BAR_CELLS = 20
WAY = 13
CHANGES = {"reembed": "re-embedded", "in_place": "re-embedded in place", "rollback": "rolled back"}


def card(
    store: Store,
    model: ModelSignature | None,
    source: EmbedderSource,
    banner: str,
    now: datetime,
    width: int,
    write_key: str,
) -> Content:
    """Return the registered model: name, width, hash, since when, and how it stands in this console."""
    if model is None:
        lines = [
            Content.styled("none yet", "$text bold"),
            Content.styled("The first memory that gets a vector registers its model here.", "$text-muted"),
        ]
    else:
        lines = [Content.styled(cut(plain(model.name), width), "$text bold")]
        parts = [f"{grouped(model.dimension)} dimensions"]
        if model.hash:
            parts.append(f"hash {plain(model.hash[:12])}")
        if model.created_at is not None:
            parts.append(f"since {model.created_at:%Y-%m-%d}, {ago(model.created_at, now)}")
        elif store.kind == "vestige":
            parts.append("as its vectors tell")
        lines += [Content.styled(line, "$text-muted") for line in _flow(parts, width)]
    return Content("\n").join([*lines, Content(""), *_state(model, source, banner, width, write_key)])


def _flow(parts: Sequence[str], width: int) -> list[str]:
    """Parts beside each other, three cells apart, on as many lines as they need."""
    lines = [""]
    for part in parts:
        if lines[-1] and cells(lines[-1]) + 3 + cells(part) > width:
            lines.append("")
        lines[-1] += f"   {part}" if lines[-1] else part
    return lines


def configured_otherwise(model: ModelSignature | None, source: EmbedderSource) -> bool:
    """Whether the settings name another model than the one that the store belongs to."""
    return model is not None and bool(source.configured) and not same_model(source.configured or "", model.name)


def _state(
    model: ModelSignature | None, source: EmbedderSource, banner: str, width: int, write_key: str
) -> list[Content]:
    """How the model stands in this console and, where it cannot be used, the ways out."""
    at_work = banner.startswith(AT_WORK)
    if banner and not at_work:
        mismatch = configured_otherwise(model, source)
        word = "◐ not the configured model" if mismatch else "◐ not usable here"
        return [
            Content.styled(word, "$warning bold"),
            Content.styled(plain(banner), "$text"),
            Content(""),
            *_ways_out(model, mismatch, width, write_key),
        ]
    words = {
        "ready": ("●", "loaded in this console; searches use it", "$text"),
        "loading": ("◌", plain(source.message) or "loading; until then searches answer by words alone", "$text-muted"),
        "failed": ("◐", plain(source.message), "$warning"),
        "idle": ("○", "not loaded yet", "$text-muted"),
    }
    glyph, said, ink = words[source.state]
    lines = [Content.styled(f"{glyph} {said}", ink)]
    if at_work:
        lines.append(Content.styled(f"◌ {plain(banner)}", "$text-muted"))
    return lines


def _ways_out(model: ModelSignature | None, mismatch: bool, width: int, write_key: str) -> list[Content]:
    if model is None:
        return []
    ways = []
    if mismatch:
        ways.append(("use it", f"{write_key} writes {short_model(model.name)} into your settings"))
        ways.append(("change it", "choose the configured model in the list, and re-embed"))
    else:
        ways.append(("fetch it", "it is downloaded on first use; with a network, open the console again"))
    ways.append(("go on", "searches answer by words alone, and nothing is lost"))
    lines = []
    for way, said in ways:
        for place, line in enumerate(folded(said, max(12, width - WAY))):
            head = f"  {way if not place else '':<{WAY - 2}}"
            lines.append(Content.assemble((head, "$accent"), (line, "$text-muted")))
    return lines


def parts(census: VectorCensus, model: ModelSignature | None) -> tuple[Part, ...]:
    """Return what vectors are there, and what is missing, as parts of one bar."""
    right = census.by_width.get(model.dimension, 0) if model else 0
    other = sum(census.by_width.values()) - right
    return (
        Part("searched by meaning", right - census.zero - census.non_finite, "$accent"),
        Part("without a vector", census.without, "$text-muted"),
        Part("of another width, never searched", other, "$warning"),
        Part("zero, never searched", census.zero, "$warning"),
        Part("not finite, never searched", census.non_finite, "$error"),
    )


def widths(census: VectorCensus, width: int) -> Content:
    """Return how many vectors there are of each width."""
    said = [f"{grouped(count)} of width {grouped(each)}" for each, count in census.by_width.items()]
    return Content("\n").join(Content.styled(line, "$text-muted") for line in _flow(said or ["none"], width))


def not_open(link: str) -> Content:
    """Return why there is no model to show."""
    said = "The store is being opened." if link == "opening" else "The store could not be opened."
    return Content.styled(said, "$text-muted" if link == "opening" else "$warning")


def second(spare: SpareVectors | None, job: Job | None, now: datetime, width: int, keys: Mapping[str, str]) -> Content:
    """Return the vectors of a second model: being made, with the job that does, or kept, with the keys for them.

    ``keys`` are those that go ``back``, ``drop`` them, and begin ``again``.
    """
    back, drop, again = keys["back"], keys["drop"], keys["again"]
    lines: list[Content] = []
    if spare is not None:
        name = f"{short_model(spare.model.name)} {grouped(spare.model.dimension)}"
        word = "being made" if spare.role == "building" else "kept"
        count = f"{grouped(spare.vectors)} {'vector' if spare.vectors == 1 else 'vectors'}"
        lines.append(
            Content.assemble((cut(name, max(8, width - 30)), "$text bold"), (f"   {count} {word}", "$text-muted"))
        )
    if job is not None:
        stands = standing(job, now)
        done = fraction(job)
        full, rest = level(done or 0.0, BAR_CELLS)
        said = f"{int(done * 100):>3} %" if done is not None else "  ─ %"
        left = f"   {duration(job.progress.eta)} left" if job.progress.eta is not None else ""
        phase = plain(job.progress.phase) or stands.word
        lines += [
            Content.assemble((full, "$accent"), (rest, "$text-disabled"), (f" {said}", "$text bold"), (left, "$text")),
            Content.styled(cut(f"{stands.word}, {phase}" if phase != stands.word else phase, width), "$text-muted"),
        ]
    elif spare is not None and spare.role == "kept":
        lines.append(_keys((back, "goes back to it"), (drop, "deletes them")))
    elif spare is not None:
        lines.append(Content.styled("Nobody is making them just now.", "$warning"))
        lines.append(_keys((again, "goes on with that model"), (drop, "deletes them")))
    return Content("\n").join(lines)


def _keys(*keys: tuple[str, str]) -> Content:
    pieces = [Content.assemble((key, "$accent bold"), (f" {what}", "$text-muted")) for key, what in keys]
    return Content("   ").join(pieces)


def history(changes: Sequence[ModelChange], now: datetime, width: int) -> Content:
    """Return how the store came to its model, the latest first."""
    return Content("\n").join(line for change in changes for line in _change(change, now, width))


def _change(change: ModelChange, now: datetime, width: int) -> Iterator[Content]:
    when = f"{ago(change.changed_at, now):<10}"
    said = f"{CHANGES.get(change.kind, plain(change.kind))} in {duration(change.seconds)}"
    rows = f"{grouped(change.memories)} {'memory' if change.memories == 1 else 'memories'}"
    yield Content.assemble(
        ("● ", "$accent"), (when, "$text-muted"), (cut(f"{said}, {rows}", max(8, width - 12)), "$text")
    )
    models = " → ".join(f"{short_model(each.name)} {grouped(each.dimension)}" for each in (change.before, change.after))
    yield Content.assemble(("│ ", "$text-disabled"), (cut(models, max(8, width - 2)), "$text-muted"))
