"""Converters: a raw row of a SQLite file, of each table, into a row that PostgreSQL accepts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.jobs import JobFinding
from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.core.scheduling import MAX_STABILITY_DAYS
from vestige_tui.core.storable import MAX_INTEGER, MAX_LABEL_CHARS, as_uuid, is_canonical, is_kept_id, new_id
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.transfer.sanitize import RowSanitizer, dump, sentence, shown

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.transfer.kept_ids import KeptIds

Raw: TypeAlias = tuple[Any, ...]

MAX_HALF_PRECISION = 65_504.0
"""Largest finite float16 value."""
MAX_VECTOR_BYTES = 4 * (2**16 - 1)
_LOCAL_USER_ID = new_id(LOCAL_USER)
_NO_OBJECT = b"{}"


class RowRejected(Exception):
    """Row that cannot be copied; its text is the reason, a sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class TransferContext:
    """Values that all rows of a copy share."""

    moment: datetime
    """Time of the copy, used for rows without a time of their own."""
    duplicate_ids: Mapping[str, str]
    """Ids that spell the UUID of another, earlier id: {later: earlier}."""
    width: int | None
    """Dimension of the vectors; None where no model is registered."""
    half: bool
    """True where the target stores vectors in half precision."""
    as_stored: bool = False
    """True where vectors are taken as they are stored, whether a target could store them or not."""
    users: set[bytes] = field(default_factory=lambda: {_LOCAL_USER_ID})
    """User ids that may own a memory."""
    kept_ids: KeptIds | None = None
    """Ids that the target spells as the source does; None for a target of UUIDs alone."""


@dataclass(frozen=True, slots=True)
class TransferRow:
    """Transfer row: wire-form values without the position in the batch, and notes on repaired values."""

    key: str
    values: tuple[bytes | None, ...]
    notes: tuple[str, ...] = ()
    zero: bool = False


Convert: TypeAlias = Callable[[Raw, TransferContext], TransferRow]


def _first_value(raw: Raw) -> str:
    return shown(raw[0])


def convert_all(
    table: str,
    convert: Convert,
    raw_rows: Iterable[Raw],
    transfer_context: TransferContext,
    row_name: Callable[[Raw], str] = _first_value,
) -> tuple[list[TransferRow], list[JobFinding], list[Raw]]:
    """Convert raw rows; return transfer rows, a finding for each rejected row, and the rejected raw rows.

    ``row_name`` names a raw row in its finding.
    """
    rows: list[TransferRow] = []
    failed: list[JobFinding] = []
    rejected: list[Raw] = []
    for raw in raw_rows:
        try:
            rows.append(convert(raw, transfer_context))
        except (RowRejected, ValueError, TypeError, OverflowError, RecursionError) as error:
            reason = str(error) if isinstance(error, RowRejected) else f"it could not be converted ({error!r})"
            failed.append(JobFinding(table, "failed", row_name(raw), sentence(reason)))
            rejected.append(raw)
    return rows, failed, rejected


def _id(raw: object, transfer_context: TransferContext) -> bytes:
    key = new_id(raw)
    if transfer_context.kept_ids is not None and not is_canonical(raw):
        transfer_context.kept_ids.add(key, raw)
    return key


def _is_written_as_is(raw: object, transfer_context: TransferContext) -> bool:
    """Check whether the target spells an id as the source does."""
    return is_canonical(raw) or (transfer_context.kept_ids is not None and isinstance(raw, str) and is_kept_id(raw))


def _memory_id(raw: object, transfer_context: TransferContext) -> bytes:
    if raw in transfer_context.duplicate_ids:
        raise RowRejected(
            f"its memory has the same UUID as {shown(transfer_context.duplicate_ids[str(raw)])}, which came first"
        )
    return _id(raw, transfer_context)


def _own_id(sanitizer: RowSanitizer, raw: object, transfer_context: TransferContext) -> bytes:
    """Return a row's own id; a changed one is noted."""
    if not _is_written_as_is(raw, transfer_context):
        is_uuid = isinstance(raw, str) and as_uuid(raw) is not None
        respelt = "was a UUID in another spelling; stored in the usual one"
        sanitizer.changed("id", raw, respelt if is_uuid else "was not a UUID; a UUID was made from it")
    return _id(raw, transfer_context)


def _with_originals(sanitizer: RowSanitizer, data: Any, text: bytes | None) -> bytes:
    """Return metadata with the originals of repaired values; its own text where nothing was repaired."""
    if not sanitizer.originals:
        return pgbinary_encode.jsonb(dump(data) if text is None else text)
    existing = data.get("vestige")
    note = dict(existing) if isinstance(existing, dict) else {} if existing is None else {"vestige": existing}
    # The source may itself be a copy, with originals of its own.
    earlier = note.get("original")
    originals = {**(earlier if isinstance(earlier, dict) else {}), **sanitizer.originals}
    return pgbinary_encode.jsonb(dump({**data, "vestige": {**note, "original": originals}}))


def _person(raw: Raw, transfer_context: TransferContext, name: str) -> TransferRow:
    ident, handle, display, created, metadata, *_ = raw
    sanitizer = RowSanitizer()
    key = _own_id(sanitizer, ident, transfer_context)
    handle_value = sanitizer.text("handle", handle, shown(ident), MAX_LABEL_CHARS)
    name_value = sanitizer.optional("display_name", display)
    at = sanitizer.moment("created_at", created, default=transfer_context.moment)
    data, text = sanitizer.json("metadata", metadata, dict)
    values = (key, handle_value, name_value, pgbinary_encode.moment(at), _with_originals(sanitizer, data, text))
    return TransferRow(shown(ident), values, tuple(sanitizer.notes))


def user(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    row = _person(raw, transfer_context, "user")
    transfer_context.users.add(row.values[0] or b"")
    return row


def group(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    return _person(raw, transfer_context, "group")


def membership(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    user_id, group_id, role, joined, *_ = raw
    sanitizer = RowSanitizer()
    at = sanitizer.moment("joined_at", joined, default=transfer_context.moment)
    values = (
        _id(user_id, transfer_context),
        _id(group_id, transfer_context),
        sanitizer.choice("role", role, ("member", "admin"), "member"),
        pgbinary_encode.moment(at),
    )
    return TransferRow(f"{shown(user_id)} in {shown(group_id)}", values, tuple(sanitizer.notes))


def domain(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    ident, label, centroid, terms, count, created, metadata, *_ = raw
    sanitizer = RowSanitizer()
    key = sanitizer.text("id", ident, limit=MAX_LABEL_CHARS)
    label_value = sanitizer.text("label", label, shown(ident))
    centroid_value = None
    if centroid is not None:
        try:
            centroid_value = pgbinary_encode.vector(_vector(centroid))
        except RowRejected as reason:
            sanitizer.changed("centroid", centroid, f"was left out: {reason}")
    top_terms = sanitizer.labels("top_terms", terms)
    memory_count = sanitizer.count("memory_count", count)
    at = sanitizer.moment("created_at", created, default=transfer_context.moment)
    data, text = sanitizer.json("metadata", metadata, dict)
    values = (
        key,
        label_value,
        centroid_value,
        pgbinary_encode.texts(top_terms),
        pgbinary_encode.integer(memory_count),
        pgbinary_encode.moment(at),
        _with_originals(sanitizer, data, text),
    )
    return TransferRow(shown(ident), values, tuple(sanitizer.notes))


def _times(
    sanitizer: RowSanitizer, created: object, updated: object, transfer_context: TransferContext
) -> tuple[datetime, datetime]:
    created_at = sanitizer.moment("created_at", created, updated, default=transfer_context.moment)
    updated_at = sanitizer.moment("updated_at", updated, created, default=transfer_context.moment)
    return created_at, updated_at


def memory(raw: Raw, transfer_context: TransferContext) -> TransferRow:
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
        raise RowRejected("it has no id")
    if ident in transfer_context.duplicate_ids:
        raise RowRejected(f"it has the same UUID as {shown(transfer_context.duplicate_ids[ident])}, which came first")
    sanitizer = RowSanitizer()
    key = _own_id(sanitizer, ident, transfer_context)
    text = sanitizer.text("content", content)
    kind = sanitizer.text("node_type", node_type, "fact", MAX_LABEL_CHARS)
    labels = sanitizer.labels("tags", tags)
    topics = sanitizer.labels("domains", domains)
    weights, weights_text = ({}, _NO_OBJECT) if scores == "{}" else sanitizer.json("domain_scores", scores, dict)
    code = sanitizer.optional("codebase", codebase, MAX_LABEL_CHARS)
    owner_id = _id(owner, transfer_context)
    if owner_id not in transfer_context.users:
        sanitizer.changed(
            "owner_user_id", owner, "is not a user of the source; the memory now belongs to the local user"
        )
        owner_id = _LOCAL_USER_ID
    visibility_value = sanitizer.choice("visibility", visibility, ("private", "group", "public"), "private")
    shared_ids = [] if groups == "[]" else [each.decode() for each in sanitizer.labels("shared_with_groups", groups)]
    if not all(_is_written_as_is(each, transfer_context) for each in shared_ids):
        sanitizer.changed("shared_with_groups", groups, "contained ids that are not UUIDs")
    created_at, updated_at = _times(sanitizer, created, updated, transfer_context)
    if scheduled is not None:
        review = RowSanitizer()
        _schedule(review, schedule)
        if review.originals:
            sanitizer.originals["scheduling"] = review.originals
    data, data_text = ({}, _NO_OBJECT) if metadata == "{}" else sanitizer.json("metadata", metadata, dict)
    try:
        note = _with_originals(sanitizer, data, data_text)
    except RecursionError:
        # The data just fits the nesting limit, but not with its originals around it.
        sanitizer.changed("metadata", metadata, "was nested too deeply")
        note = _with_originals(sanitizer, {}, None)
    values = (
        key,
        text,
        kind,
        pgbinary_encode.texts(labels),
        note,
        pgbinary_encode.texts(topics),
        pgbinary_encode.jsonb(dump(weights) if weights_text is None else weights_text),
        code,
        owner_id,
        visibility_value,
        pgbinary_encode.uuids([_id(each, transfer_context) for each in shared_ids]),
        pgbinary_encode.moment(created_at),
        pgbinary_encode.moment(updated_at),
    )
    return TransferRow(shown(ident), values, tuple(sanitizer.notes))


def _vector(blob: object) -> Vector:
    """Return the vector in a packed little-endian float32 blob. Raises RowRejected."""
    import numpy as np

    if not isinstance(blob, bytes):
        raise RowRejected("it is not a blob")
    if not blob or len(blob) % 4:
        raise RowRejected(f"its {len(blob):,} bytes are not a float32 vector")
    vector = np.frombuffer(blob, dtype="<f4")
    # A finite sum of squares proves all values finite without a test of each.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = vector.dot(vector)
    if not math.isfinite(squares) and not np.isfinite(vector).all():
        raise RowRejected("it contains values that are not finite")
    return vector


def check_vector(embedding: Vector, transfer_context: TransferContext) -> None:
    """Raise RowRejected for a finite vector that the target cannot store."""
    import numpy as np

    if transfer_context.width is None:
        raise RowRejected("the source has no registered model")
    if len(embedding) != transfer_context.width:
        raise RowRejected(f"it has {len(embedding):,} dimensions, but the model has {transfer_context.width:,}")
    if transfer_context.half and float(np.max(np.abs(embedding))) > MAX_HALF_PRECISION:
        raise RowRejected("it contains values too large for half precision")


def _stored_vector(blob: object) -> bytes:
    """Return the wire form of a blob as a file holds it; empty for one that cannot be a vector."""
    import numpy as np

    is_vector = isinstance(blob, bytes) and len(blob) % 4 == 0 and len(blob) <= MAX_VECTOR_BYTES
    return pgbinary_encode.vector(np.frombuffer(blob, dtype="<f4")) if is_vector else b""


def vector(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    ident, blob, created, updated, *_ = raw
    key = _memory_id(ident, transfer_context)
    if transfer_context.as_stored:
        return TransferRow(shown(ident), (key, _stored_vector(blob), None))
    embedding = _vector(blob)
    check_vector(embedding, transfer_context)
    updated_at = RowSanitizer().moment("updated_at", updated, created, default=transfer_context.moment)
    zero = not embedding[0] and not embedding.any()
    return TransferRow(
        shown(ident), (key, pgbinary_encode.vector(embedding), pgbinary_encode.moment(updated_at)), zero=zero
    )


def _schedule(sanitizer: RowSanitizer, raw: list[Any]) -> tuple[bytes | None, ...]:
    stability, difficulty, retrievability, last, following, reps, lapses = raw
    review_count = sanitizer.count("reps", reps)
    last_at, next_at = sanitizer.moment("last_review", last), sanitizer.moment("next_review", following)
    return (
        pgbinary_encode.double(
            sanitizer.number("stability", stability, 0.001 if review_count else 0.0, MAX_STABILITY_DAYS, 0.001)
        ),
        pgbinary_encode.double(sanitizer.number("difficulty", difficulty, 1.0 if review_count else 0.0, 10.0, 5.0)),
        pgbinary_encode.double(sanitizer.number("retrievability", retrievability, 0.0, 1.0, 1.0)),
        pgbinary_encode.moment(last_at) if last_at else None,
        pgbinary_encode.moment(next_at) if next_at else None,
        pgbinary_encode.integer(review_count),
        pgbinary_encode.integer(sanitizer.count("lapses", lapses)),
    )


def schedule(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    ident, *state, _ = raw
    sanitizer = RowSanitizer()
    return TransferRow(
        shown(ident), (_memory_id(ident, transfer_context), *_schedule(sanitizer, state)), tuple(sanitizer.notes)
    )


def edge(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    source, target, kind, weight, created, *_ = raw
    sanitizer = RowSanitizer()
    at = sanitizer.moment("created_at", created, default=transfer_context.moment)
    values = (
        _memory_id(source, transfer_context),
        _memory_id(target, transfer_context),
        sanitizer.text("edge_type", kind, "related", MAX_LABEL_CHARS),
        pgbinary_encode.double(sanitizer.number("weight", weight, 0.0, 1.0, 1.0)),
        pgbinary_encode.moment(at),
    )
    return TransferRow(f"{shown(source)} to {shown(target)}, {shown(kind)}", values, tuple(sanitizer.notes))


def review(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    (
        ident,
        at,
        rating,
        prior,
        new,
        weights_hash,
        alike,
        undone,
        undone_at,
        undone_rating,
        undone_alike,
        undoes,
        number,
    ) = raw
    sanitizer = RowSanitizer()
    key = _memory_id(ident, transfer_context)
    moment = sanitizer.moment("timestamp", at, default=transfer_context.moment)
    before, before_text = sanitizer.json("prior_state", prior, dict)
    after, after_text = sanitizer.json("new_state", new, dict)
    if undoes is not None and undone is None:
        sanitizer.changed("undoes", undoes, "named a review that does not exist")
    undone_moment = (
        RowSanitizer().moment("timestamp", undone_at, default=transfer_context.moment) if undone is not None else None
    )
    values = (
        key,
        pgbinary_encode.moment(moment),
        pgbinary_encode.smallint(_grade(sanitizer, rating)),
        pgbinary_encode.jsonb(dump(before) if before_text is None else before_text),
        pgbinary_encode.jsonb(dump(after) if after_text is None else after_text),
        sanitizer.optional("weights_hash", weights_hash, MAX_LABEL_CHARS),
        pgbinary_encode.integer(int(alike)),
        _memory_id(undone, transfer_context) if undone is not None else None,
        pgbinary_encode.moment(undone_moment) if undone_moment else None,
        pgbinary_encode.smallint(_grade(RowSanitizer(), undone_rating)) if undone is not None else None,
        pgbinary_encode.integer(int(undone_alike)) if undone is not None else None,
    )
    return TransferRow(f"review {number} of {shown(ident)}", values, tuple(sanitizer.notes))


def _grade(sanitizer: RowSanitizer, rating: object) -> int:
    return int(sanitizer.number("rating", rating, 1, 4, 3))


_WITHOUT_WINNER = ("unsupersede", "winner_deleted")


def decision(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    loser, winner, kind, at, alike, number = raw
    sanitizer = RowSanitizer()
    key = _memory_id(loser, transfer_context)
    if kind not in ("supersede", "imported", *_WITHOUT_WINNER) or (winner is None) != (kind in _WITHOUT_WINNER):
        raise RowRejected(f"a decision of the kind {shown(kind)} {'lacks' if winner is None else 'has'} a winner")
    winner_id = None if winner is None else _memory_id(winner, transfer_context)
    if winner_id == key:
        raise RowRejected("it would replace itself")
    moment = sanitizer.moment("decided_at", at, default=transfer_context.moment)
    values = (
        key,
        winner_id,
        str(kind).encode(),
        pgbinary_encode.moment(moment),
        pgbinary_encode.integer(min(int(alike), MAX_INTEGER)),
    )
    return TransferRow(f"decision {number} on {shown(loser)}", values, tuple(sanitizer.notes))


def mark(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    ident, suspended, buried, pinned, cleared_lapses, *_ = raw
    sanitizer = RowSanitizer()
    until = sanitizer.moment("buried_until", buried)
    values = (
        _memory_id(ident, transfer_context),
        pgbinary_encode.boolean(bool(suspended)),
        pgbinary_encode.moment(until) if until else None,
        pgbinary_encode.boolean(bool(pinned)),
        pgbinary_encode.integer(sanitizer.count("cleared_lapses", cleared_lapses)),
    )
    return TransferRow(shown(ident), values, tuple(sanitizer.notes))


def weights(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    key, algorithm, numbers, created, applied, *_ = raw
    if key is None:
        raise RowRejected("it has no hash")
    sanitizer = RowSanitizer()
    data, text = sanitizer.json("weights", numbers, list)
    created_at = sanitizer.moment("created_at", created, default=transfer_context.moment)
    applied_at = sanitizer.moment("applied_at", applied)
    values = (
        sanitizer.text("hash", key, limit=MAX_LABEL_CHARS),
        sanitizer.text("algorithm", algorithm, limit=MAX_LABEL_CHARS),
        pgbinary_encode.jsonb(dump(data) if text is None else text),
        pgbinary_encode.moment(created_at),
        pgbinary_encode.moment(applied_at) if applied_at else None,
    )
    return TransferRow(f"weights {shown(key)}", values, tuple(sanitizer.notes))


def model_of(model: ModelSignature | None) -> ModelSignature | None:
    """Return a source's model as a target can register it; None where its values are unusable."""
    if model is None or model.dimension <= 0 or not model.name:
        return None
    return replace(model, name=shown(model.name), hash=shown(model.hash))
