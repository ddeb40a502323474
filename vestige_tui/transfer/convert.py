"""The tables of a copy, in their order: how a row of each is turned into a row that PostgreSQL takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.jobs import JobFinding
from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.transfer.sanitize import (
    MAX_INTEGER,
    MAX_LABEL,
    MAX_STABILITY,
    Mending,
    as_uuid,
    dump,
    is_canonical,
    new_id,
    sentence,
    shown,
)

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

Raw: TypeAlias = tuple[Any, ...]

MAX_HALF = 65_504.0
_LOCAL = new_id(LOCAL_USER)
_NO_OBJECT = b"{}"


class Unfit(Exception):
    """A row that cannot be copied; its text is the reason, a sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rows of a copy share."""

    moment: datetime
    """The time of the copy, for what has none of its own."""
    rivals: Mapping[str, str]
    """Ids that lost their UUID to another."""
    width: int | None
    """The dimension of the vectors, None where no model is registered."""
    half: bool
    """Does the target hold vectors in half precision?"""
    users: set[bytes] = field(default_factory=lambda: {_LOCAL})
    """Whoever may own a memory."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A row as it is staged: all but its place in the batch."""

    key: str
    values: tuple[bytes | None, ...]
    notes: tuple[str, ...] = ()
    zero: bool = False


Convert: TypeAlias = Callable[[Raw, Setting], Fit]


def _first(raw: Raw) -> str:
    return shown(raw[0])


def convert_all(
    table: str,
    convert: Convert,
    rows: Iterable[Raw],
    setting: Setting,
    named: Callable[[Raw], str] = _first,
) -> tuple[list[Fit], list[JobFinding], list[Raw]]:
    """Rows of a table in their common form; those that have none, and a finding for each; ``named`` is what it calls
    one."""
    fits: list[Fit] = []
    failed: list[JobFinding] = []
    unfit: list[Raw] = []
    for raw in rows:
        try:
            fits.append(convert(raw, setting))
        except (Unfit, ValueError, TypeError, OverflowError, RecursionError) as error:
            reason = str(error) if isinstance(error, Unfit) else f"it could not be converted ({error!r})"
            failed.append(JobFinding(table, "failed", named(raw), sentence(reason)))
            unfit.append(raw)
    return fits, failed, unfit


def probable_key(table: str, raw: Raw) -> bytes | None:
    """The key that a row of a SQLite file would have if it could be converted; None where that cannot be known."""
    if table in ("reviews", "supersession"):
        return None
    mending = Mending()
    if table == "domains":
        return mending.text("id", raw[0], limit=MAX_LABEL)
    ids = b"".join(map(new_id, raw[: 2 if table in ("memberships", "edges") else 1]))
    return ids + mending.text("edge_type", raw[2], limit=MAX_LABEL) if table == "edges" else ids


def _memory_id(raw: object, setting: Setting) -> bytes:
    if raw in setting.rivals:
        raise Unfit(f"its memory is one UUID with {shown(setting.rivals[str(raw)])}, which came first")
    return new_id(raw)


def _named_id(mending: Mending, raw: object) -> bytes:
    """The id of a row itself: a changed one is noted."""
    if not is_canonical(raw):
        spelt = isinstance(raw, str) and as_uuid(raw) is not None
        mending.changed("id", raw, "was another spelling of its UUID" if spelt else "was no UUID")
    return new_id(raw)


def _with_originals(mending: Mending, data: Any, text: bytes | None) -> bytes:
    """Metadata with the originals of what was mended; its own text where nothing was."""
    if not mending.originals:
        return pgbinary_encode.jsonb(dump(data) if text is None else text)
    theirs = data.get("vestige")
    note = dict(theirs) if isinstance(theirs, dict) else {} if theirs is None else {"vestige": theirs}
    return pgbinary_encode.jsonb(dump({**data, "vestige": {**note, "original": dict(mending.originals)}}))


def _person(raw: Raw, setting: Setting, name: str) -> Fit:
    ident, handle, display, created, metadata, *_ = raw
    mending = Mending()
    key = _named_id(mending, ident)
    shown_handle = mending.text("handle", handle, shown(ident), MAX_LABEL)
    shown_name = mending.optional("display_name", display)
    at = mending.moment("created_at", created, default=setting.moment)
    assert at is not None
    data, text = mending.json("metadata", metadata, dict)
    values = (key, shown_handle, shown_name, pgbinary_encode.moment(at), _with_originals(mending, data, text))
    return Fit(shown(ident), values, tuple(mending.notes))


def user(raw: Raw, setting: Setting) -> Fit:
    fit = _person(raw, setting, "user")
    setting.users.add(fit.values[0] or b"")
    return fit


def group(raw: Raw, setting: Setting) -> Fit:
    return _person(raw, setting, "group")


def membership(raw: Raw, setting: Setting) -> Fit:
    user_id, group_id, role, joined, *_ = raw
    mending = Mending()
    at = mending.moment("joined_at", joined, default=setting.moment)
    assert at is not None
    values = (
        new_id(user_id),
        new_id(group_id),
        mending.choice("role", role, ("member", "admin"), "member"),
        pgbinary_encode.moment(at),
    )
    return Fit(f"{shown(user_id)} in {shown(group_id)}", values, tuple(mending.notes))


def domain(raw: Raw, setting: Setting) -> Fit:
    ident, label, centroid, terms, count, created, metadata, *_ = raw
    mending = Mending()
    key = mending.text("id", ident, limit=MAX_LABEL)
    shown_label = mending.text("label", label, shown(ident))
    place = None
    if centroid is not None:
        try:
            place = pgbinary_encode.vector(_vector(centroid))
        except Unfit as reason:
            mending.changed("centroid", centroid, f"was left out: {reason}")
    words = mending.labels("top_terms", terms)
    many = mending.count("memory_count", count)
    at = mending.moment("created_at", created, default=setting.moment)
    assert at is not None
    data, text = mending.json("metadata", metadata, dict)
    values = (
        key,
        shown_label,
        place,
        pgbinary_encode.texts(words),
        pgbinary_encode.integer(many),
        pgbinary_encode.moment(at),
        _with_originals(mending, data, text),
    )
    return Fit(shown(ident), values, tuple(mending.notes))


def _times(mending: Mending, created: object, updated: object, setting: Setting) -> tuple[datetime, datetime]:
    made = mending.moment("created_at", created, updated, default=setting.moment)
    edited = mending.moment("updated_at", updated, created, default=setting.moment)
    assert made is not None
    assert edited is not None
    return made, edited


def memory(raw: Raw, setting: Setting) -> Fit:
    (
        ident,
        content,
        node_type,
        tags,
        metadata,
        domains,
        scores,
        codebase,
        owner,
        visibility,
        groups,
        created,
        updated,
        scheduled,
        *schedule,
        _,
    ) = raw
    if ident is None:
        raise Unfit("it has no id")
    if ident in setting.rivals:
        raise Unfit(f"it is one UUID with {shown(setting.rivals[ident])}, which came first")
    mending = Mending()
    key = _named_id(mending, ident)
    text = mending.text("content", content)
    kind = mending.text("node_type", node_type, "fact", MAX_LABEL)
    labels = mending.labels("tags", tags)
    topics = mending.labels("domains", domains)
    weights, weights_text = ({}, _NO_OBJECT) if scores == "{}" else mending.json("domain_scores", scores, dict)
    code = mending.optional("codebase", codebase, MAX_LABEL)
    owned_by = new_id(owner)
    if owned_by not in setting.users:
        mending.changed("owner_user_id", owner, "is no user of the source")
        owned_by = _LOCAL
    seen_by = mending.choice("visibility", visibility, ("private", "group", "public"), "private")
    shared = [] if groups == "[]" else [each.decode() for each in mending.labels("shared_with_groups", groups)]
    if not all(map(is_canonical, shared)):
        mending.changed("shared_with_groups", groups, "held ids that are no UUID")
    made, edited = _times(mending, created, updated, setting)
    if scheduled is not None:
        review = Mending()
        _schedule(review, schedule)
        if review.originals:
            mending.originals["scheduling"] = review.originals
    data, data_text = ({}, _NO_OBJECT) if metadata == "{}" else mending.json("metadata", metadata, dict)
    try:
        note = _with_originals(mending, data, data_text)
    except RecursionError:
        # It could just be read, but not with its originals around it.
        mending.changed("metadata", metadata, "was nested too deeply")
        note = _with_originals(mending, {}, None)
    values = (
        key,
        text,
        kind,
        pgbinary_encode.texts(labels),
        note,
        pgbinary_encode.texts(topics),
        pgbinary_encode.jsonb(dump(weights) if weights_text is None else weights_text),
        code,
        owned_by,
        seen_by,
        pgbinary_encode.uuids([new_id(each) for each in shared]),
        pgbinary_encode.moment(made),
        pgbinary_encode.moment(edited),
    )
    return Fit(shown(ident), values, tuple(mending.notes))


def _vector(blob: object) -> Vector:
    """The vector in a packed little-endian float32 blob. Raises Unfit."""
    import numpy as np

    if not isinstance(blob, bytes):
        raise Unfit("it is no blob")
    if not blob or len(blob) % 4:
        raise Unfit(f"its {len(blob):,} bytes are no vector of float32")
    vector = np.frombuffer(blob, dtype="<f4")
    # A finite sum of squares needs no look at each value.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = vector.dot(vector)
    if not math.isfinite(squares) and not np.isfinite(vector).all():
        raise Unfit("it holds values that are not finite")
    return vector


def measure(found: Vector, setting: Setting) -> None:
    """Raises Unfit for a finite vector that the target cannot hold."""
    import numpy as np

    if setting.width is None:
        raise Unfit("the source has no registered model")
    if len(found) != setting.width:
        raise Unfit(f"it has {len(found):,} dimensions, the model has {setting.width:,}")
    if setting.half and float(np.max(np.abs(found))) > MAX_HALF:
        raise Unfit("it holds values too large for half precision")


def vector(raw: Raw, setting: Setting) -> Fit:
    ident, blob, created, updated, *_ = raw
    key = _memory_id(ident, setting)
    found = _vector(blob)
    measure(found, setting)
    edited = Mending().moment("updated_at", updated, created, default=setting.moment)
    assert edited is not None
    zero = not found[0] and not found.any()
    return Fit(shown(ident), (key, pgbinary_encode.vector(found), pgbinary_encode.moment(edited)), zero=zero)


def _schedule(mending: Mending, raw: list[Any]) -> tuple[bytes | None, ...]:
    stability, difficulty, retrievability, last, following, reps, lapses = raw
    seen = mending.count("reps", reps)
    last_at, next_at = mending.moment("last_review", last), mending.moment("next_review", following)
    return (
        pgbinary_encode.double(mending.number("stability", stability, 0.001 if seen else 0.0, MAX_STABILITY, 0.001)),
        pgbinary_encode.double(mending.number("difficulty", difficulty, 1.0 if seen else 0.0, 10.0, 5.0)),
        pgbinary_encode.double(mending.number("retrievability", retrievability, 0.0, 1.0, 1.0)),
        pgbinary_encode.moment(last_at) if last_at else None,
        pgbinary_encode.moment(next_at) if next_at else None,
        pgbinary_encode.integer(seen),
        pgbinary_encode.integer(mending.count("lapses", lapses)),
    )


def schedule(raw: Raw, setting: Setting) -> Fit:
    ident, *state, _ = raw
    mending = Mending()
    return Fit(shown(ident), (_memory_id(ident, setting), *_schedule(mending, state)), tuple(mending.notes))


def edge(raw: Raw, setting: Setting) -> Fit:
    source, target, kind, weight, created, *_ = raw
    mending = Mending()
    at = mending.moment("created_at", created, default=setting.moment)
    assert at is not None
    values = (
        _memory_id(source, setting),
        _memory_id(target, setting),
        mending.text("edge_type", kind, "related", MAX_LABEL),
        pgbinary_encode.double(mending.number("weight", weight, 0.0, 1.0, 1.0)),
        pgbinary_encode.moment(at),
    )
    return Fit(f"{shown(source)} to {shown(target)}, {shown(kind)}", values, tuple(mending.notes))


def review(raw: Raw, setting: Setting) -> Fit:
    ident, at, rating, prior, new, alike, undone, undone_at, undone_rating, undone_alike, undoes, number = raw
    mending = Mending()
    key = _memory_id(ident, setting)
    moment = mending.moment("timestamp", at, default=setting.moment)
    assert moment is not None
    before, before_text = mending.json("prior_state", prior, dict)
    after, after_text = mending.json("new_state", new, dict)
    if undoes is not None and undone is None:
        mending.changed("undoes", undoes, "named a review that is not there")
    back_to = Mending().moment("timestamp", undone_at, default=setting.moment) if undone is not None else None
    values = (
        key,
        pgbinary_encode.moment(moment),
        pgbinary_encode.smallint(_grade(mending, rating)),
        pgbinary_encode.jsonb(dump(before) if before_text is None else before_text),
        pgbinary_encode.jsonb(dump(after) if after_text is None else after_text),
        pgbinary_encode.integer(int(alike)),
        _memory_id(undone, setting) if undone is not None else None,
        pgbinary_encode.moment(back_to) if back_to else None,
        pgbinary_encode.smallint(_grade(Mending(), undone_rating)) if undone is not None else None,
        pgbinary_encode.integer(int(undone_alike)) if undone is not None else None,
    )
    return Fit(f"review {number} of {shown(ident)}", values, tuple(mending.notes))


def _grade(mending: Mending, rating: object) -> int:
    return int(mending.number("rating", rating, 1, 4, 3))


_WITHOUT_WINNER = ("unsupersede", "winner_deleted")


def decision(raw: Raw, setting: Setting) -> Fit:
    loser, winner, kind, at, alike, number = raw
    mending = Mending()
    key = _memory_id(loser, setting)
    if kind not in ("supersede", "imported", *_WITHOUT_WINNER) or (winner is None) != (kind in _WITHOUT_WINNER):
        raise Unfit(f"a decision of the kind {shown(kind)} {'lacks' if winner is None else 'has'} a winner")
    wins = None if winner is None else _memory_id(winner, setting)
    if wins == key:
        raise Unfit("it would replace itself")
    moment = mending.moment("decided_at", at, default=setting.moment)
    assert moment is not None
    values = (
        key,
        wins,
        str(kind).encode(),
        pgbinary_encode.moment(moment),
        pgbinary_encode.integer(min(int(alike), MAX_INTEGER)),
    )
    return Fit(f"decision {number} on {shown(loser)}", values, tuple(mending.notes))


def mark(raw: Raw, setting: Setting) -> Fit:
    ident, suspended, buried, *_ = raw
    mending = Mending()
    until = mending.moment("buried_until", buried)
    values = (
        _memory_id(ident, setting),
        pgbinary_encode.boolean(bool(suspended)),
        pgbinary_encode.moment(until) if until else None,
    )
    return Fit(shown(ident), values, tuple(mending.notes))


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a copy. ``owned``: its rows belong to others, which may be missing; ``linked``: to one another."""

    name: str
    convert: Convert
    owned: bool = True
    linked: bool = False


TABLES = (
    Table("users", user, owned=False),
    Table("groups", group, owned=False),
    Table("memberships", membership),
    Table("domains", domain, owned=False),
    Table("memories", memory, owned=False),
    Table("vectors", vector),
    Table("scheduling", schedule),
    Table("edges", edge),
    Table("reviews", review, linked=True),
    Table("supersession", decision),
    Table("marks", mark),
)
BY_NAME = {table.name: table for table in TABLES}


def model_of(model: ModelSignature | None) -> ModelSignature | None:
    """A source's model as a target can register it; None where it says nothing that could be one."""
    if model is None or model.dimension <= 0 or not model.name:
        return None
    return replace(model, name=shown(model.name), hash=shown(model.hash))
