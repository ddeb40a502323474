"""The model that a store belongs to, as text: its card, how it stands here, second vectors, and what came before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from vestige_tui.core.text import ago, cells, cut, duration, grouped, plain
from vestige_tui.embedding.models import same_model
from vestige_tui.presenters.jobs import fraction, model_in_words, short_model, standing
from vestige_tui.tui.jobs.detail import folded
from vestige_tui.tui.widgets.glyphs import level
from vestige_tui.tui.widgets.stacked_bar import Part

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelChange, ModelSignature, SpareVectors, VectorCensus
    from vestige_tui.core.jobs import Job
    from vestige_tui.embedding.models import EmbedderSource, State

AT_WORK = ("Making the vectors", "Loading")
"""How a banner begins that tells what is done, not what is wrong."""
BAR_CELLS = 20
WAY = 13
CHANGES = {"reembed": "re-embedded", "in_place": "re-embedded in place", "rollback": "rolled back"}
BY_WORDS = "searches answer by words alone"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known at one moment of a store's model and of the vectors that are there."""

    model: ModelSignature | None
    now: datetime
    state: State
    """Of the model that this console loads."""
    message: str = ""
    banner: str = ""
    mismatch: bool = False
    """The settings name another model."""
    first: str = ""
    """The model that the first memory would bring."""
    listed: bool = True
    """Is the store's model among those that can be had?"""
    census: VectorCensus | None = None
    spare: SpareVectors | None = None
    job: Job | None = None
    """The re-embedding that nobody has ended."""
    changes: Sequence[ModelChange] = ()
    read_only: bool = False
    told: bool = True
    """Does the store say by itself which model it has? Else it is known by its vectors."""

    @property
    def unusable(self) -> bool:
        """Whether something keeps this console from using the model."""
        return self.state == "failed" or (bool(self.banner) and not self.banner.startswith(AT_WORK))

    @property
    def usable(self) -> bool:
        return self.state == "ready" and not self.unusable and not self.remade

    @property
    def remade(self) -> bool:
        """Whether the vectors in use are being made anew, so that no search uses them."""
        return self.job is not None and bool(self.job.options.get("in_place"))

    @property
    def made(self) -> int:
        """How many vectors searches by meaning can use."""
        if self.census is None or self.model is None:
            return 0
        return self.census.by_width.get(self.model.dimension, 0) - self.census.zero - self.census.non_finite

    @property
    def memories(self) -> int:
        return sum(self.census.by_width.values()) + self.census.without if self.census is not None else 0


def first_model(seen: Seen, key: str) -> str:
    """Return why a store has no model yet, and what decides it; ``key`` makes vectors."""
    name = short_model(seen.first)
    if seen.memories and not seen.read_only:
        return f"No model yet: {key} makes the first vectors, with {name}."
    return f"No model yet: the first memory that is written decides it, {name} as things stand."


def card(seen: Seen, width: int, keys: Mapping[str, str]) -> Content:
    """Return the registered model: name, width, hash, since when, and how it stands in this console."""
    model = seen.model
    if model is None:
        return _lines(first_model(seen, keys["fill"]), width, "$text")
    lines = [Content.styled(line, "$text bold") for line in _name(model.name, width)]
    parts = [_dimensions(model)]
    if model.hash:
        parts.append(f"hash {plain(model.hash[:12])}")
    if model.created_at is not None:
        parts.append(f"since {model.created_at:%Y-%m-%d}, {ago(model.created_at, seen.now)}")
    elif not seen.told:
        parts.append("as its vectors tell")
    lines += [Content.styled(line, "$text-muted") for line in _flow(parts, width)]
    return Content("\n").join([*lines, Content(""), *_state(seen, width, keys)])


def brief(seen: Seen, width: int, keys: Mapping[str, str]) -> Content:
    """Return the most telling of all: model, how it stands, its vectors in words, and second ones."""
    model = seen.model
    if model is None:
        return _lines(first_model(seen, keys["fill"]), width, "$text")
    wide = _dimensions(model)
    name = cut(short_model(model.name), max(8, width - 3 - cells(wide)))
    lines = [Content.assemble((name, "$text bold"), (f"   {wide}", "$text-muted"))]
    if seen.unusable and not seen.remade:
        lines.append(_lines(f"{_wrong(seen)}: {BY_WORDS}", width, "$warning"))
    else:
        lines += _state(seen, width, keys)
    if seen.census is not None and not seen.remade:
        lines.append(_lines(_in_words(seen, keys["fill"]), width, "$text-muted"))
    if seen.unusable and not seen.remade:
        lines.append(_keys(*_short_ways(seen, keys)))
    if has_second(seen):
        lines.append(second(seen, width, keys))
    return Content("\n").join(lines)


def _in_words(seen: Seen, fill: str) -> str:
    census = seen.census
    assert census is not None
    if not seen.memories:
        return "no memory yet"
    if not census.without and seen.made == seen.memories:
        return f"{grouped(seen.made)} vectors, one for each memory" if seen.made > 1 else "1 vector, for the one memory"
    said = f"{grouped(seen.made)} of {grouped(seen.memories)} memories have a vector of it"
    # While a job makes them, or this console does, nobody else has to.
    idle = seen.usable and seen.job is None and not seen.banner and not seen.read_only
    return f"{said}; {fill} makes the rest" if census.without and idle else said


def _short_ways(seen: Seen, keys: Mapping[str, str]) -> list[tuple[str, str]]:
    ways = [(keys["write"], "uses this one")] if seen.mismatch else []
    if not seen.read_only and seen.job is None and not has_second(seen):
        ways.append((keys["again"], "re-embeds"))
    return [*ways, (keys["card"], "tells more")]


def _dimensions(model: ModelSignature) -> str:
    return f"{grouped(model.dimension)} dimension{'' if model.dimension == 1 else 's'}"


def _name(name: str, width: int) -> list[str]:
    """A model's name, broken after its maker where it is too long."""
    house, slash, short = plain(name).rpartition("/")
    if not slash or cells(house) + 1 + cells(short) <= width:
        return [cut(plain(name), width)]
    return [cut(f"{house}/", width), cut(short, width)]


def _lines(said: str, width: int, style: str) -> Content:
    return Content("\n").join(Content.styled(line, style) for line in folded(said, width))


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


def _wrong(seen: Seen) -> str:
    return "◐ not the configured model" if seen.mismatch else "◐ not usable here"


def _state(seen: Seen, width: int, keys: Mapping[str, str]) -> list[Content]:
    """How the model stands in this console and, where it cannot be used, the ways out."""
    if seen.remade:
        return [_lines(f"◐ {_pause(seen)}", width, "$warning")]
    if seen.unusable:
        return [
            Content.styled(_wrong(seen), "$warning bold"),
            _lines(seen.banner or seen.message, width, "$text"),
            Content(""),
            *_ways_out(seen, width, keys),
        ]
    words = {
        "ready": ("●", "loaded in this console; searches use it", "$text"),
        "loading": ("◌", plain(seen.message) or f"loading; until then {BY_WORDS}", "$text-muted"),
        "failed": ("◐", plain(seen.message), "$warning"),
        "idle": ("○", "not loaded yet", "$text-muted"),
    }
    glyph, said, ink = words[seen.state]
    lines = [_lines(f"{glyph} {said}", width, ink)]
    if seen.banner:
        lines.append(_lines(f"◌ {seen.banner}", width, "$text-muted"))
    return lines


def _pause(seen: Seen) -> str:
    """What is true while the vectors in use are made anew: no search by meaning, and how far they are."""
    job = seen.job
    assert job is not None
    table = job.progress.tables.get("memories")
    done, total = (table.read, table.total) if table is not None and table.total is not None else (0, None)
    if total is None:
        done, total = seen.made, seen.memories
    said = f"search by meaning pauses: {grouped(done)} of {grouped(total)} vectors are made"
    if job.silence(seen.now) is not None:
        return f"{said}, and the job that makes them gives no sign of life"
    return said + (f", {duration(job.progress.eta)} left" if job.progress.eta is not None else "")


def _ways_out(seen: Seen, width: int, keys: Mapping[str, str]) -> list[Content]:
    model = seen.model
    if model is None:
        return []
    ways = []
    if seen.mismatch:
        ways.append(("use it", f"{keys['write']} writes {short_model(model.name)} into your settings"))
        if not seen.read_only:
            ways.append(("change it", "choose the configured model in the list, and re-embed"))
    elif seen.listed:
        ways.append(("fetch it", "it is downloaded on first use; with a network, open the console again"))
    elif not seen.read_only:
        said = f"{keys['again']} makes the vectors anew with a model of the list; this one is not in it"
        ways.append(("re-embed", said))
    ways.append(("go on", f"{BY_WORDS}, and nothing is lost"))
    lines = []
    for way, said in ways:
        for place, line in enumerate(folded(said, max(12, width - WAY))):
            head = f"  {way if not place else '':<{WAY - 2}}"
            lines.append(Content.assemble((head, "$accent"), (line, "$text-muted")))
    return lines


def parts(seen: Seen) -> tuple[Part, ...]:
    """Return what vectors are there, and what is missing, as parts of one bar; nothing where there is no memory."""
    census = seen.census
    if census is None or not seen.memories:
        return ()
    right = census.by_width.get(seen.model.dimension, 0) if seen.model else 0
    other = sum(census.by_width.values()) - right
    if seen.usable:
        of_it = Part("searched by meaning", seen.made, "$accent")
    else:
        of_it = Part("made so far" if seen.remade else "vectors of this model", seen.made, "$text-muted")
    return (
        of_it,
        Part("without a vector", census.without, "$text-disabled"),
        Part("of another width, never searched", other, "$warning"),
        Part("zero, never searched", census.zero, "$warning"),
        Part("not finite, never searched", census.non_finite, "$error"),
    )


def widths(census: VectorCensus, width: int) -> Content:
    """Return how many vectors there are of each width."""
    said = [f"{grouped(count)} of width {grouped(each)}" for each, count in census.by_width.items()]
    return Content("\n").join(Content.styled(line, "$text-muted") for line in _flow(said or ["none yet"], width))


def not_open(link: str) -> Content:
    """Return why there is no model to show."""
    said = "The store is being opened." if link == "opening" else "The store could not be opened."
    return Content.styled(said, "$text-muted" if link == "opening" else "$warning")


def has_second(seen: Seen) -> bool:
    """Whether there are vectors of a second model, or some are about to be made."""
    return seen.spare is not None or (seen.job is not None and not seen.remade)


def second(seen: Seen, width: int, keys: Mapping[str, str]) -> Content:
    """Return the vectors of a second model: being made, with the job that does, or kept, with the keys for them."""
    spare, job = seen.spare, seen.job if not seen.remade else None
    kept = spare is not None and spare.role == "kept"
    lines: list[Content] = []
    if spare is not None:
        word = "kept as the way back" if kept else "being made" if job is not None else "made so far"
        count = f"{grouped(spare.vectors)} {'vector' if spare.vectors == 1 else 'vectors'} {word}"
        name = f"{short_model(spare.model.name)}, {_dimensions(spare.model)}"
        lines += [Content.styled(cut(name, width), "$text bold"), Content.styled(count, "$text-muted")]
        if cells(name) + 3 + cells(count) <= width:
            lines = [Content.assemble((name, "$text bold"), (f"   {count}", "$text-muted"))]
    elif job is not None and (name := model_in_words(job.options)):
        lines.append(Content.styled(cut(name, width), "$text bold"))
    drop = (keys["drop"], "deletes them")
    ways: list[tuple[str, str]] = []
    if job is not None:
        lines += _progress(job, seen.now, width)
        if job.silence(seen.now) is not None and spare is not None and not kept:
            ways = [(keys["again"], "goes on with it"), drop]
    elif kept:
        ways = [(keys["back"], "goes back to it"), drop]
    else:
        lines.append(Content.styled("Nobody is making them just now.", "$warning"))
        ways = [(keys["again"], "goes on with that model"), drop]
    if ways and not seen.read_only:
        lines.append(_keys(*ways))
    return Content("\n").join(lines)


def _progress(job: Job, now: datetime, width: int) -> list[Content]:
    stands, done = standing(job, now), fraction(job)
    full, rest = level(done or 0.0, BAR_CELLS)
    said = f"{int(done * 100):>3} %" if done is not None else "  ─ %"
    # A worker that gave no sign of life is not on its way.
    quiet = job.silence(now) is not None
    left = f"   {duration(job.progress.eta)} left" if job.progress.eta is not None and not quiet else ""
    phase = plain(job.progress.phase) or stands.word
    return [
        Content.assemble(
            (full, "$text-muted" if quiet else "$accent"),
            (rest, "$text-disabled"),
            (f" {said}", "$text bold"),
            (left, "$text"),
        ),
        Content.styled(cut(f"{stands.word}, {phase}" if phase != stands.word else phase, width), "$text-muted"),
    ]


def _keys(*keys: tuple[str, str]) -> Content:
    pieces = [Content.assemble((key, "$accent bold"), (f" {what}", "$text-muted")) for key, what in keys]
    return Content("   ").join(pieces)


def history(seen: Seen, width: int) -> Content:
    """Return how the store came to its model, the latest first."""
    when = max((cells(ago(change.changed_at, seen.now)) for change in seen.changes), default=0) + 2
    lines = (line for place, change in enumerate(seen.changes) for line in _change(change, seen, place, when, width))
    return Content("\n").join(lines)


def _change(change: ModelChange, seen: Seen, place: int, when: int, width: int) -> Iterator[Content]:
    said = CHANGES.get(change.kind, plain(change.kind))
    rows = f"{grouped(change.memories)} {'memory' if change.memories == 1 else 'memories'}"
    # In place it is noted when it begins; what it came to is known at its end.
    if change.kind != "in_place" or change.memories or not seen.memories:
        became = f"in {duration(change.seconds)}, {rows}"
    else:
        became = "under way" if not place and seen.remade else "not finished"
        said += ","
    head = f"{ago(change.changed_at, seen.now):<{when}}"
    for line, text in enumerate(folded(f"{said} {became}", max(8, width - 2 - when))):
        mark = ("● ", "$accent") if not line else ("│ ", "$text-disabled")
        yield Content.assemble(mark, (head if not line else " " * when, "$text-muted"), (text, "$text"))
    for text in _from_to(change, max(8, width - 2)):
        yield Content.assemble(("│ ", "$text-disabled"), (text, "$text-muted"))


def _from_to(change: ModelChange, width: int) -> list[str]:
    """From which model to which; where only their widths differ, that is said once and in full."""
    one, other = change.before, change.after
    names = short_model(one.name), short_model(other.name)
    if same_model(one.name, other.name):
        return [cut(f"{names[0]}, {_dimensions(one)} → {grouped(other.dimension)}", width)]
    left, right = (f"{name} {grouped(each.dimension)}" for name, each in zip(names, (one, other), strict=True))
    said = f"{left} → {right}"
    return [said] if cells(said) <= width else [cut(left, width), cut(f"→ {right}", width)]
