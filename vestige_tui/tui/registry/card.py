"""Text on the model of a store: its card, its state in this console, second vectors, and earlier models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from vestige_tui.core.text import ago, cells, cut, duration, grouped, plain
from vestige_tui.embedding.models import same_model
from vestige_tui.presenters.job_progress import fraction, percent, time_left
from vestige_tui.presenters.jobs import model_in_words, state_label
from vestige_tui.presenters.models import dimensions, hash_note, short_name, template_rows
from vestige_tui.presenters.reembedding import spare_vectors
from vestige_tui.tui.jobs.detail import folded
from vestige_tui.tui.store_session_events import ModelActivity, ModelBanner, SessionState
from vestige_tui.tui.widgets.glyphs import level
from vestige_tui.tui.widgets.stacked_bar import Part

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelChange, ModelSignature, SpareVectors, VectorCensus
    from vestige_tui.core.jobs import Job
    from vestige_tui.embedding.embedder_source import EmbedderSource, State

BAR_CELLS = 20
PERCENT_CELLS = 6
WAY_CELLS = 13
CHANGES = {"reembed": "re-embedded", "in_place": "re-embedded in place", "rollback": "rolled back"}
BY_WORDS = "searches use text only"


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """Snapshot of a store's model and of its vectors."""

    model: ModelSignature | None
    now: datetime
    state: State
    """State of the model that this console loads."""
    message: str = ""
    loaded_hash: str = ""
    """Hash of the model that this console has loaded; empty before."""
    banner: ModelBanner | None = None
    mismatch: bool = False
    """True if the settings name another model."""
    first: str = ""
    """Model that the first memory would register."""
    listed: bool = True
    """True if the catalog has the store's model."""
    census: VectorCensus | None = None
    spare: SpareVectors | None = None
    job: Job | None = None
    """Re-embedding of this store that has not ended."""
    changes: Sequence[ModelChange] = ()
    read_only: bool = False
    recorded: bool = True
    """True if the store records its model; otherwise it is inferred from the vectors."""

    @property
    def unusable(self) -> bool:
        """True if a problem keeps this console from using the model."""
        banner_says_so = self.banner is not None and self.banner.activity is ModelActivity.UNUSABLE
        return self.state == "failed" or banner_says_so

    @property
    def usable(self) -> bool:
        return self.state == "ready" and not self.unusable and not self.rebuilding

    @property
    def rebuilding(self) -> bool:
        """True while the vectors are re-embedded in place, so that no search uses them."""
        return self.job is not None and bool(self.job.options.get("in_place"))

    @property
    def searchable(self) -> int:
        """Number of vectors that vector search can use."""
        if self.census is None or self.model is None:
            return 0
        return self.census.by_width.get(self.model.dimension, 0) - self.census.zero - self.census.non_finite

    @property
    def memories(self) -> int:
        return sum(self.census.by_width.values()) + self.census.without if self.census is not None else 0


def first_model(snapshot: ModelSnapshot, key: str) -> str:
    """Return the sentence for a store without a model; ``key`` computes vectors."""
    name = short_name(snapshot.first)
    if snapshot.memories and not snapshot.read_only:
        return f"No model yet: {key} computes the first vectors, with {name}."
    return f"No model yet. The first memory added sets it; with your current settings it will be {name}."


def card(snapshot: ModelSnapshot, width: int, keys: Mapping[str, str]) -> Content:
    """Return the card of the registered model: name, width, hash, date, and state in this console."""
    model = snapshot.model
    if model is None:
        return _lines(first_model(snapshot, keys["fill"]), width, "$text")
    lines = [Content.styled(line, "$text bold") for line in _name(model.name, width)]
    parts = [dimensions(model.dimension)]
    if model.hash:
        parts.append(f"hash {plain(model.hash[:12])}")
    if model.created_at is not None:
        parts.append(f"since {model.created_at:%Y-%m-%d}, {ago(model.created_at, snapshot.now)}")
    elif not snapshot.recorded:
        parts.append("inferred from its vectors")
    lines += [Content.styled(line, "$text-muted") for line in _flow(parts, width)]
    lines += [_lines(f"{label} {template}", width, "$text-muted") for label, template in template_rows(model)]
    return Content("\n").join([*lines, Content(""), *_state(snapshot, width, keys)])


def brief(snapshot: ModelSnapshot, width: int, keys: Mapping[str, str]) -> Content:
    """Return the short form of the card: model, state, vectors in words, and second vectors."""
    model = snapshot.model
    if model is None:
        return _lines(first_model(snapshot, keys["fill"]), width, "$text")
    wide = dimensions(model.dimension)
    name = cut(short_name(model.name), max(8, width - 3 - cells(wide)))
    lines = [Content.assemble((name, "$text bold"), (f"   {wide}", "$text-muted"))]
    if snapshot.unusable and not snapshot.rebuilding:
        lines.append(_lines(f"{_wrong(snapshot)}: {BY_WORDS}", width, "$warning"))
    else:
        lines += _state(snapshot, width, keys)
    if snapshot.census is not None and not snapshot.rebuilding:
        lines.append(_lines(_in_words(snapshot, keys["fill"]), width, "$text-muted"))
    if snapshot.unusable and not snapshot.rebuilding:
        lines.append(_keys(*_short_ways(snapshot, keys)))
    if has_second(snapshot):
        lines.append(second(snapshot, width, keys))
    return Content("\n").join(lines)


def _in_words(snapshot: ModelSnapshot, fill: str) -> str:
    census = snapshot.census
    assert census is not None
    if not snapshot.memories:
        return "no memory yet"
    if not census.without and snapshot.searchable == snapshot.memories:
        return (
            f"{grouped(snapshot.searchable)} vectors, one for each memory"
            if snapshot.searchable > 1
            else "1 vector, for 1 memory"
        )
    text = f"{grouped(snapshot.searchable)} of {grouped(snapshot.memories)} memories have a vector of it"
    # No hint while a job or this console computes them.
    idle = snapshot.usable and snapshot.job is None and snapshot.banner is None and not snapshot.read_only
    return f"{text}; {fill} computes the rest" if census.without and idle else text


def _short_ways(snapshot: ModelSnapshot, keys: Mapping[str, str]) -> list[tuple[str, str]]:
    ways = [(keys["write"], "use this model")] if snapshot.mismatch else []
    if not snapshot.read_only and snapshot.job is None and not has_second(snapshot):
        ways.append((keys["again"], "re-embed"))
    return [*ways, (keys["card"], "details")]


def _name(name: str, width: int) -> list[str]:
    """Return the name of a model, broken behind its maker if it is too long."""
    house, slash, short = plain(name).rpartition("/")
    if not slash or cells(house) + 1 + cells(short) <= width:
        return [cut(plain(name), width)]
    return [cut(f"{house}/", width), cut(short, width)]


def _lines(text: str, width: int, style: str) -> Content:
    return Content("\n").join(Content.styled(line, style) for line in folded(text, width))


def _flow(parts: Sequence[str], width: int) -> list[str]:
    """Return parts beside each other, three cells apart, on as many lines as they need."""
    lines = [""]
    for part in parts:
        if lines[-1] and cells(lines[-1]) + 3 + cells(part) > width:
            lines.append("")
        lines[-1] += f"   {part}" if lines[-1] else part
    return lines


def configured_otherwise(model: ModelSignature | None, source: EmbedderSource) -> bool:
    """Check whether the settings name another model than the store's."""
    return model is not None and bool(source.configured) and not same_model(source.configured or "", model.name)


def _wrong(snapshot: ModelSnapshot) -> str:
    return "◐ not the configured model" if snapshot.mismatch else "◐ not usable here"


def _state(snapshot: ModelSnapshot, width: int, keys: Mapping[str, str]) -> list[Content]:
    """Return the state of the model in this console and, if it cannot be used, the remedies."""
    if snapshot.rebuilding:
        return [_lines(f"◐ {_pause(snapshot)}", width, "$warning")]
    if snapshot.unusable:
        return [
            Content.styled(_wrong(snapshot), "$warning bold"),
            _lines(snapshot.banner.text if snapshot.banner else snapshot.message, width, "$text"),
            Content(""),
            *_ways_out(snapshot, width, keys),
        ]
    words = {
        "ready": ("●", "loaded in this console; searches use it", "$text"),
        "loading": ("◌", plain(snapshot.message) or f"loading; until then {BY_WORDS}", "$text-muted"),
        "failed": ("◐", plain(snapshot.message), "$warning"),
        "idle": ("○", "not loaded yet", "$text-muted"),
    }
    glyph, text, ink = words[snapshot.state]
    lines = [_lines(f"{glyph} {text}", width, ink)]
    if snapshot.state == "ready" and (note := hash_note(snapshot.model, snapshot.loaded_hash)):
        lines.append(_lines(note, width, "$text-muted"))
    if snapshot.banner is not None:
        lines.append(_lines(f"◌ {snapshot.banner.text}", width, "$text-muted"))
    return lines


def _pause(snapshot: ModelSnapshot) -> str:
    """Return the sentence on a re-embedding in place: no vector search, and its progress."""
    job = snapshot.job
    assert job is not None
    table = job.progress.tables.get("memories")
    count, total = (table.read, table.total) if table is not None and table.total is not None else (0, None)
    if total is None:
        count, total = snapshot.searchable, snapshot.memories
    text = f"vector search is paused: {grouped(count)} of {grouped(total)} vectors computed"
    if job.silence(snapshot.now) is not None:
        return f"{text}; the job sends no heartbeat"
    return text + (f", {time_left(job.progress.eta)}" if job.progress.eta is not None else "")


def _ways_out(snapshot: ModelSnapshot, width: int, keys: Mapping[str, str]) -> list[Content]:
    model = snapshot.model
    if model is None:
        return []
    ways = []
    if snapshot.mismatch:
        ways.append(("use it", f"{keys['write']} saves {short_name(model.name)} in your settings"))
        if not snapshot.read_only:
            ways.append(("change it", "choose the configured model in the list and re-embed"))
    elif snapshot.listed:
        ways.append(("download it", "connect to the network and restart the console, which then downloads it"))
    elif not snapshot.read_only:
        hint = f"{keys['again']} re-embeds with a model of the list; this one is not in it"
        ways.append(("re-embed", hint))
    ways.append(("continue", f"{BY_WORDS}; nothing is lost"))
    lines = []
    for way, hint in ways:
        for place, line in enumerate(folded(hint, max(12, width - WAY_CELLS))):
            head = f"  {way if not place else '':<{WAY_CELLS - 2}}"
            lines.append(Content.assemble((head, "$accent"), (line, "$text-muted")))
    return lines


def parts(snapshot: ModelSnapshot) -> tuple[Part, ...]:
    """Return the vectors by kind, and the missing ones, as parts of one bar; empty without memories."""
    census = snapshot.census
    if census is None or not snapshot.memories:
        return ()
    right = census.by_width.get(snapshot.model.dimension, 0) if snapshot.model else 0
    other = sum(census.by_width.values()) - right
    if snapshot.usable:
        of_it = Part("used by vector search", snapshot.searchable, "$accent")
    else:
        of_it = Part(
            "computed so far" if snapshot.rebuilding else "vectors of this model", snapshot.searchable, "$text-muted"
        )
    return (
        of_it,
        Part("without a vector", census.without, "$text-disabled"),
        Part("other dimension, never searched", other, "$warning"),
        Part("all zeros, never searched", census.zero, "$warning"),
        Part("NaN or infinity, never searched", census.non_finite, "$error"),
    )


def widths(census: VectorCensus, width: int) -> Content:
    """Return the number of vectors of each width."""
    counts = [f"{grouped(count)} with {grouped(each)} dimensions" for each, count in census.by_width.items()]
    return Content("\n").join(Content.styled(line, "$text-muted") for line in _flow(counts or ["none yet"], width))


def not_open(state: SessionState) -> Content:
    """Return the reason for a missing model while no store is open."""
    is_opening = state is SessionState.OPENING
    sentence = "Opening the store…" if is_opening else "The store could not be opened."
    return Content.styled(sentence, "$text-muted" if is_opening else "$warning")


def has_second(snapshot: ModelSnapshot) -> bool:
    """Check whether there are vectors of a second model, or some are about to be computed."""
    return snapshot.spare is not None or (snapshot.job is not None and not snapshot.rebuilding)


def titled_second(snapshot: ModelSnapshot, width: int, keys: Mapping[str, str]) -> Content:
    """Return the vectors of a second model under a heading that says which they are."""
    is_kept = snapshot.spare is not None and snapshot.spare.role == "kept"
    title = "vectors of the previous model" if is_kept else "unfinished vectors"
    return Content("\n").join([Content.styled(title, "$text-disabled bold"), second(snapshot, width, keys)])


def second(snapshot: ModelSnapshot, width: int, keys: Mapping[str, str]) -> Content:
    """Return the vectors of a second model: being computed, with their job, or kept, with their keys."""
    spare, job = snapshot.spare, snapshot.job if not snapshot.rebuilding else None
    is_kept = spare is not None and spare.role == "kept"
    lines: list[Content] = []
    if spare is not None:
        count = spare_vectors(spare, being_made=job is not None)
        name = f"{short_name(spare.model.name)}, {dimensions(spare.model.dimension)}"
        lines += [Content.styled(cut(name, width), "$text bold"), Content.styled(count, "$text-muted")]
        if cells(name) + 3 + cells(count) <= width:
            lines = [Content.assemble((name, "$text bold"), (f"   {count}", "$text-muted"))]
    elif job is not None and (name := model_in_words(job.options)):
        lines.append(Content.styled(cut(name, width), "$text bold"))
    drop = (keys["drop"], "delete them")
    ways: list[tuple[str, str]] = []
    if job is not None:
        lines += _progress(job, snapshot.now, width)
        if job.silence(snapshot.now) is not None and spare is not None and not is_kept:
            ways = [(keys["again"], "continue"), drop]
    elif is_kept:
        ways = [(keys["back"], "roll back to it"), drop]
    else:
        lines.append(_lines("This re-embedding is unfinished, and no job is running it.", width, "$warning"))
        ways = [(keys["again"], "continue"), drop]
    if ways and not snapshot.read_only:
        lines.append(_keys(*ways))
    return Content("\n").join(lines)


def _progress(job: Job, now: datetime, width: int) -> list[Content]:
    state, share = state_label(job, now), fraction(job)
    full, rest = level(share or 0.0, BAR_CELLS)
    # A worker without a heartbeat makes no progress.
    quiet = job.silence(now) is not None
    left = f"   {time_left(job.progress.eta)}" if job.progress.eta is not None and not quiet else ""
    phase = plain(job.progress.phase) or state.word
    return [
        Content.assemble(
            (full, "$text-muted" if quiet else "$accent"),
            (rest, "$track"),
            (percent(share).rjust(PERCENT_CELLS), "$text bold"),
            (left, "$text"),
        ),
        Content.styled(cut(f"{state.word}, {phase}" if phase != state.word else phase, width), "$text-muted"),
    ]


def _keys(*keys: tuple[str, str]) -> Content:
    pieces = [Content.assemble((key, "$accent bold"), (f" {label}", "$text-muted")) for key, label in keys]
    return Content("   ").join(pieces)


def history(snapshot: ModelSnapshot, width: int) -> Content:
    """Return the changes of the store's model, the latest first."""
    when = max((cells(ago(change.changed_at, snapshot.now)) for change in snapshot.changes), default=0) + 2
    lines = (
        line for place, change in enumerate(snapshot.changes) for line in _change(change, snapshot, place, when, width)
    )
    return Content("\n").join(lines)


def _change(change: ModelChange, snapshot: ModelSnapshot, place: int, when: int, width: int) -> Iterator[Content]:
    text = CHANGES.get(change.kind, plain(change.kind))
    rows = f"{grouped(change.memories)} {'memory' if change.memories == 1 else 'memories'}"
    # A change in place is recorded at its start; duration and count are known at its end.
    if change.kind != "in_place" or change.memories or not snapshot.memories:
        became = f"in {duration(change.seconds)}, {rows}"
    else:
        became = "under way" if not place and snapshot.rebuilding else "not finished"
        text += ","
    head = f"{ago(change.changed_at, snapshot.now):<{when}}"
    for line, line_text in enumerate(folded(f"{text} {became}", max(8, width - 2 - when))):
        mark = ("● ", "$accent") if not line else ("│ ", "$track")
        yield Content.assemble(mark, (head if not line else " " * when, "$text-muted"), (line_text, "$text"))
    for line_text in _from_to(change, max(8, width - 2)):
        yield Content.assemble(("│ ", "$track"), (line_text, "$text-muted"))


def _from_to(change: ModelChange, width: int) -> list[str]:
    """Return the models before and after a change; one name with both widths if only these differ."""
    one, other = change.before, change.after
    names = short_name(one.name), short_name(other.name)
    if same_model(one.name, other.name):
        return [cut(f"{names[0]}, {dimensions(one.dimension)} → {grouped(other.dimension)}", width)]
    old, new = (f"{name} {grouped(each.dimension)}" for name, each in zip(names, (one, other), strict=True))
    text = f"{old} → {new}"
    return [text] if cells(text) <= width else [cut(old, width), cut(f"→ {new}", width)]
