"""One job in full, as text: what it is, how it stands and what a person can do, and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from textwrap import wrap

from textual.content import Content

from vestige_tui.jobs.ledger import CALLER, GIVEN_UP, LEASE_LOST, OVERDUE
from vestige_tui.model import Job
from vestige_tui.text import ago, below_home, cells, cut, duration, grouped, one_line, plain, redact, short_id
from vestige_tui.widgets.job_progress import COLUMNS, COMPARED, COPIED, ENCODED, Progress, Rows, TableBar
from vestige_tui.widgets.job_words import (
    CANCELLED,
    countdown,
    differences,
    failed_rows,
    in_words,
    is_ours,
    silent,
    since_sign,
    standing,
    stuck_for,
    title,
)

INKS = {"muted": "$text-muted", "accent": "$accent", "good": "$success", "bad": "$error", "waiting": "$warning"}
LABEL = 11
LONGEST_TOLD = 12
"""Lines of a task, a result or an error; all of it is a key away."""


def clock_time(moment: datetime, now: datetime) -> str:
    """Return a moment as the person's clock shows it, with the day where it is not today's."""
    local, today = moment.astimezone(), now.astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


def about(job: Job, now: datetime, width: int, keys: Mapping[str, str]) -> Content:
    """Return what a job is and how it stands; ``keys`` are those that retry, fail, cancel and open, as written."""
    stands = standing(job, now)
    said = f"{stands.glyph} {stands.word}"
    rest = cut("   ".join(_beside(job, now)), max(0, width - cells(said) - 3))
    name = title(job) if is_ours(job) else one_line(job.task) or "work without a name"
    lines = [
        Content.styled(cut(name, width), "$text bold"),
        Content.assemble((said, INKS.get(stands.ink, "$text")), "   ", (rest, "$text-muted")),
    ]
    rows = list(_ours(job) if is_ours(job) else _theirs(job, now))
    if rows:
        lines += [Content(""), *(line for row in rows for line in _row(*row, width))]
    if told := _told(job, now, keys):
        lines += [Content(""), *told]
    return Content("\n").join(lines)


def _beside(job: Job, now: datetime) -> Iterator[str]:
    if is_ours(job) and job.attempt > 1:
        when = f", resumed {clock_time(job.created_at, now)}" if job.created_at is not None else ""
        yield f"attempt {job.attempt}{when}"
    if job.created_at is not None:
        yield f"begun {ago(job.created_at, now)}"
    if not job.in_flight and job.finished_at is not None and job.created_at is not None:
        yield f"took {duration((job.finished_at - job.created_at).total_seconds())}"
    if job.in_flight and is_ours(job) and job.deadline is not None:
        yield f"deadline {countdown(job.deadline, now)[0]}"
    yield f"id {short_id(job.id)}"


def _ours(job: Job) -> Iterator[tuple[str, str, str]]:
    if job.kind == "reembed":
        yield "store", below_home(redact(job.target)), "$text-muted"
    elif job.target:
        first, second = ("source", "target") if job.kind == "verify" else ("from", "to")
        yield first, below_home(redact(job.source)), "$text-muted"
        yield second, below_home(redact(job.target)), "$text-muted"
    if told := in_words(job.options):
        yield "how", told, "$text-muted"


def _theirs(job: Job, now: datetime) -> Iterator[tuple[str, str, str]]:
    task = plain(job.task, newlines=True).strip()
    if task and task != one_line(job.task):
        yield "task", task, "$text"
    yield "asked by", "this program" if job.caller == str(CALLER) else job.caller or "nobody known", "$text-muted"
    yield "given to", job.callee or "nobody known", "$text-muted"
    yield "retries", grouped(job.retry_count) if job.retry_count else "none", "$text-muted"
    if job.in_flight:
        sign = since_sign(job, now)
        if sign is None or job.last_heartbeat is None:
            yield "heartbeat", "none yet", "$text-muted"
        else:
            late = "$warning" if job.status == "stuck" else "$text-muted"
            yield "heartbeat", f"{duration(sign)} ago, at {clock_time(job.last_heartbeat, now)}", late
    if job.deadline is not None and job.in_flight:
        left, over = countdown(job.deadline, now)
        yield "deadline", f"{left}, at {clock_time(job.deadline, now)}", "$warning" if over else "$text-muted"
    if job.result:
        yield "result", plain(job.result, newlines=True).strip(), "$text"
    yield "ledger of", below_home(redact(job.store)), "$text-muted"


def _row(label: str, text: str, style: str, width: int) -> Iterator[Content]:
    """A label and its text, on as many lines as it needs."""
    room = max(10, width - LABEL)
    lines = folded(text, room)
    for place, line in enumerate(lines[:LONGEST_TOLD]):
        more = place == LONGEST_TOLD - 1 and len(lines) > LONGEST_TOLD
        shown = cut(f"{line} …", room) if more else line
        yield Content.assemble((f"{label if not place else '':<{LABEL}}", "$text-disabled"), (shown, style))


def folded(text: str, width: int) -> list[str]:
    """Return text in lines of at most ``width`` cells, broken between words where there are any."""
    lines: list[str] = []
    for paragraph in plain(text, newlines=True).replace("\t", "    ").split("\n"):
        for line in wrap(paragraph, width, break_on_hyphens=False) or [""]:
            # What is wide takes two cells for each character.
            while cells(line) > width:
                head = cut(line, width).removesuffix("…") or line[:1]
                lines.append(head)
                line = line[len(head) :]
            lines.append(line)
    return lines


def _told(job: Job, now: datetime, keys: Mapping[str, str]) -> list[Content]:
    """What a person should know about how the job stands, and what they can do."""
    again = f"{keys['retry']} goes on from its last checkpoint."
    if job.in_flight:
        return _told_in_flight(job, now, keys)
    if job.status == "failed":
        if job.error == CANCELLED:
            what, style = "A person stopped it; what was written by then stays.", "$text"
        else:
            what, style = _why(job), "$error"
        then = again if is_ours(job) else f"{keys['retry']} queues it once more."
        return [Content.styled(what, style), Content.styled(then, "$text-muted")]
    if found := differences(job):
        rows = "row differs" if found == 1 else "rows differ"
        said = f"{grouped(found)} {rows}, or {'is' if found == 1 else 'are'} on one side only; the findings name them."
        return [Content.styled(said, "$warning")]
    if failed := failed_rows(job):
        rows = "row" if failed == 1 else "rows"
        said = f"{grouped(failed)} {rows} could not be copied; the findings say why."
        return [Content.styled(said, "$warning")]
    if job.kind == "verify":
        return [Content.styled("Every row is the same on both sides.", "$success")]
    if job.kind == "copy":
        told = [Content.styled("Every row that was read is in the target.", "$text")]
        if job.options.get("verify") is False:
            told.append(Content.styled(f"{keys['verify']} compares both, row by row.", "$text-muted"))
        return told
    if is_ours(job) and job.result:
        return [Content.styled(f"{plain(job.result).rstrip('.')}.", "$text")]
    return []


def _told_in_flight(job: Job, now: datetime, keys: Mapping[str, str]) -> list[Content]:
    if not is_ours(job):
        if (stuck := stuck_for(job, now)) is None:
            return []
        since = job.last_heartbeat or job.updated_at or now
        return [
            Content.styled(
                f"It gave no sign of life since {clock_time(since, now)}, for {duration(stuck)}; it may still recover.",
                "$warning",
            ),
            Content.styled(f"{keys['retry']} queues it once more, {keys['fail']} marks it as failed.", "$text-muted"),
        ]
    if (quiet := silent(job, now)) is not None:
        return [
            Content.styled(f"Its worker gave no sign for {duration(quiet)}.", "$warning"),
            Content.styled(f"{keys['retry']} takes it over from its last checkpoint.", "$text-muted"),
        ]
    return [Content.styled("It ends at its next checkpoint.", "$warning")] if job.cancel_requested else []


def _why(job: Job) -> str:
    """The reason of a failure as a sentence, also where the ledger has only a word for it."""
    error = redact(job.error or "")
    if error == LEASE_LOST:
        return "Its worker gave no sign of life, and another attempt took over."
    if error == OVERDUE:
        return "It did not end before its deadline."
    if error == GIVEN_UP:
        return "A person marked it as failed."
    if error.startswith("retried as "):
        return f"It was queued once more, as {short_id(error.removeprefix('retried as '))}."
    return plain(error) or "It gave no reason."


def counts_of(job: Job) -> dict[str, int]:
    """Return how many findings of each kind the figures of a job tell of."""
    tables = job.progress.tables.values()
    sums = {name: sum(getattr(table, name) for table in tables) for name in COLUMNS}
    return {
        "failed": sums["failed"],
        "differ": sums["differ"],
        "only in the source": sums["only_source"],
        "only in the target": sums["only_target"],
        "repaired": sums["repaired"],
        "left behind": sum(bool(table.left_behind) for table in tables),
        "zero vectors": job.progress.zero_vectors,
        "updated": sums["updated"],
        "deleted": sums["deleted"],
    }


def counts_in_words(job: Job) -> str:
    """Return the same in words, ``2 failed   3 repaired``."""
    return "   ".join(f"{grouped(count)} {kind}" for kind, count in counts_of(job).items() if count)


def progress_of(job: Job, now: datetime) -> Progress | None:
    """Return how far a job is, table by table; None where it has counted nothing yet."""
    if not job.progress.tables:
        return None
    bars = []
    for name, table in job.progress.tables.items():
        note = ""
        if table.left_behind and not table.read:
            note = f"left behind, {grouped(table.left_behind)} {'row' if table.left_behind == 1 else 'rows'}"
        elif not table.read and table.total:
            note = f"waiting, {grouped(table.total)} rows" if job.in_flight else "not begun"
        rows = Rows(**{count: getattr(table, count) for count in ("read", *COLUMNS)})
        # Rows of the target alone are found where nothing was read.
        if table.only_target and not table.read:
            note = ""
        if table.total or table.read or table.left_behind or table.only_target:
            bars.append(TableBar(name, table.read, table.total, note, None if note else rows))
    zero = job.progress.zero_vectors
    wanted = {"verify": COMPARED, "reembed": ENCODED}.get(job.kind, COPIED)
    extra = tuple(
        name
        for name in COLUMNS
        if name not in wanted and any(getattr(table, name) for table in job.progress.tables.values())
    )
    return Progress(
        title="",
        phase=job.progress.phase if job.in_flight else "",
        tables=tuple(bars),
        rate=job.progress.rate,
        rates=job.progress.rates,
        seconds_left=job.progress.eta if job.in_flight else None,
        heartbeat_age=since_sign(job, now) if job.in_flight else None,
        note=f"{grouped(zero)} zero {'vector is' if zero == 1 else 'vectors are'} kept, but not searched."
        if zero
        else "",
        running=job.in_flight,
        columns=(*wanted, *extra),
        checkpoint=sum(table.read for table in job.progress.tables.values()) if job.in_flight else None,
    )
