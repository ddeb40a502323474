"""Text of one job in full: title, state, facts, advice and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from textwrap import wrap

from textual.content import Content

from vestige_tui.core.jobs import Job
from vestige_tui.core.text import ago, below_home, cells, cut, duration, grouped, one_line, plain, redact, short_id
from vestige_tui.jobs.ledger import CALLER
from vestige_tui.jobs.transitions import GIVEN_UP, LEASE_LOST, OVERDUE
from vestige_tui.presenters.jobs import (
    CANCELLED,
    came_after,
    countdown,
    counted,
    differences,
    failed_rows,
    in_words,
    is_ours,
    model_in_words,
    since_sign,
    standing,
    stuck_for,
    title,
)
from vestige_tui.tui.jobs.job_progress import COMPARED, COPIED, ENCODED, JobProgressView, RowCounts, TableBar
from vestige_tui.tui.notice import Severity

INKS = {"muted": "$text-muted", "accent": "$accent", "good": "$success", "bad": "$error", "waiting": "$warning"}
COUNTS = (
    "read",
    "inserted",
    "present",
    "updated",
    "deleted",
    "repaired",
    "failed",
    "differ",
    "only_source",
    "only_target",
)
"""Counts of a table's rows in the ledger."""
LABEL_CELLS = 11
MAX_TEXT_LINES = 12
"""Limit for a task, a result or an error in the panel."""


def clock_time(moment: datetime, now: datetime) -> str:
    """Return a time in the local zone, with the date unless it is today's."""
    local, today = moment.astimezone(), now.astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


def about(job: Job, now: datetime, width: int, keys: Mapping[str, str], later: Job | None = None) -> Content:
    """Return the title, state, facts and advice of a job.

    ``keys`` are the labels of the keys that retry, fail, cancel and open; ``later`` is the last run of its plan, if
    that came after this job.
    """
    name = title(job) if is_ours(job) else one_line(job.task) or "work without a name"
    lines = [Content.styled(cut(name, width), "$text bold"), *_state_lines(job, now, width)]
    rows = list(
        _own_rows(job, width - LABEL_CELLS) if is_ours(job) else _agent_rows(job, now, title_fits=cells(name) <= width)
    )
    if rows:
        lines += [Content(""), *(line for row in rows for line in _row(*row, width))]
    if advice := _advice(job, now, keys, later):
        lines += [Content(""), *advice]
    return Content("\n").join(lines)


def _state_lines(job: Job, now: datetime, width: int) -> Iterator[Content]:
    """Yield the state of a job with its facts beside it, on as many lines as they need uncut."""
    state = standing(job, now)
    line: list[tuple[str, str]] = [(f"{state.glyph} {state.word}", INKS.get(state.ink, "$text"))]
    used = cells(line[0][0])
    for fact in _beside(job, now):
        if used + 3 + cells(fact) > width:
            yield Content.assemble(*line)
            line, used = [], -3
        line.append((f"{'   ' if line else ''}{fact}", "$text-muted"))
        used += 3 + cells(fact)
    yield Content.assemble(*line)


def _beside(job: Job, now: datetime) -> Iterator[str]:
    if is_ours(job) and job.resumed:
        when = f"resumed {clock_time(job.created_at, now)}" if job.created_at is not None else "resumed"
        yield f"{when}, attempt {grouped(job.tries)}"
    if job.created_at is not None:
        yield f"begun {ago(job.created_at, now)}"
    if not job.in_flight and job.finished_at is not None and job.created_at is not None:
        yield f"took {duration((job.finished_at - job.created_at).total_seconds())}"
    yield f"id {short_id(job.id)}"


def _own_rows(job: Job, width: int) -> Iterator[tuple[str, str, str]]:
    if job.kind == "reembed":
        yield "store", shortened(below_home(redact(job.target)), width), "$text-muted"
    elif job.target:
        first, second = ("source", "target") if job.kind == "verify" else ("from", "to")
        yield first, shortened(below_home(redact(job.source)), width), "$text-muted"
        yield second, shortened(below_home(redact(job.target)), width), "$text-muted"
    if model := model_in_words(job.options):
        yield "model", model, "$text-muted"
    if options := in_words(job.options):
        yield "how", options, "$text-muted"


def _agent_rows(job: Job, now: datetime, *, title_fits: bool) -> Iterator[tuple[str, str, str]]:
    task = plain(job.task, newlines=True).strip()
    if task and not (title_fits and task == one_line(job.task)):
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
        remaining, overdue = countdown(job.deadline, now)
        yield "deadline", f"{remaining}, at {clock_time(job.deadline, now)}", "$warning" if overdue else "$text-muted"
    if job.result:
        yield "result", plain(job.result, newlines=True).strip(), "$text"
    yield "ledger of", below_home(redact(job.store)), "$text-muted"


def _row(label: str, text: str, style: str, width: int) -> Iterator[Content]:
    """Return a label and its text, on at most ``MAX_TEXT_LINES`` lines."""
    room = max(10, width - LABEL_CELLS)
    lines = folded(text, room)
    if len(lines) > MAX_TEXT_LINES:
        lines = [*lines[: MAX_TEXT_LINES - 1], cut(f"{lines[MAX_TEXT_LINES - 1]} …", room)]
    return _in_column(label, lines, LABEL_CELLS, style)


def labelled(label: str, text: str, width: int, column: int, style: str) -> Iterator[Content]:
    """Return a label in a column of its own and its text beside it, in lines of at most ``width`` cells in all."""
    return _in_column(label, folded(text, width - column), column, style)


def _in_column(label: str, lines: Sequence[str], column: int, style: str) -> Iterator[Content]:
    for place, line in enumerate(lines):
        yield Content.assemble((f"{label if not place else '':<{column}}", "$text-disabled"), (line, style))


def folded(text: str, width: int) -> list[str]:
    """Return text in lines of at most ``width`` cells, broken between words if possible."""
    lines: list[str] = []
    for paragraph in plain(text, newlines=True).replace("\t", "    ").split("\n"):
        for line in wrap(paragraph, width, break_on_hyphens=False, break_long_words=False) or [""]:
            # A wide character takes two cells; a path too long for a line is broken behind a slash.
            while cells(line) > width:
                head = cut(line, width).removesuffix("…") or line[:1]
                head = head[: head.rfind("/") + 1] or head
                lines.append(head)
                line = line[len(head) :]
            lines.append(line)
    return lines


def shortened(url: str, width: int) -> str:
    """Return a store's URL or path in ``width`` cells, with ``…`` for its first parts."""
    if cells(url) <= width:
        return url
    scheme, colon, rest = url.partition(":")
    head, slash, last = url.rpartition("/")
    if colon and rest.startswith("//") and slash:
        server = cut(head, width - cells(last) - 1)
        return f"{server}/{last}" if cells(server) > len(scheme) + 3 else cut(url, width)
    parts = (rest if colon else url).split("/")
    for place in range(1, len(parts)):
        candidate = f"{scheme}:…/" if colon else "…/"
        candidate += "/".join(parts[place:])
        if cells(candidate) <= width:
            return candidate
    return cut(url, width)


def _advice(job: Job, now: datetime, keys: Mapping[str, str], later: Job | None) -> list[Content]:
    """Return the advice on a job: its problem or result, and the keys that act on it."""
    if job.in_flight:
        return _advice_in_flight(job, now, keys)
    if job.status == "failed":
        if job.error == CANCELLED:
            problem, style = "A person cancelled it; what was written by then stays.", "$text"
        else:
            problem, style = _why(job), "$error"
        if later is not None:
            remedy = came_after(later)
        elif is_ours(job):
            remedy = f"{keys['retry']} {'goes on from its last checkpoint' if job.resumable else 'begins it anew'}."
        else:
            remedy = f"{keys['retry']} queues it once more."
        return [Content.styled(problem, style), Content.styled(remedy, "$text-muted")]
    if difference_count := differences(job):
        counts = counts_of(job)
        kinds = [kind for kind in ("differ", "only in source", "only in target") if counts[kind]]
        each = ", ".join(f"{grouped(counts[kind])} {kind}" for kind in kinds)
        it = "it" if difference_count == 1 else "them"
        lines = [
            Content.styled(f"{counted(difference_count, 'difference')}: {each}; the findings name {it}.", "$warning")
        ]
        alone = "; a copy leaves alone what the target has" if job.kind == "copy" else ""
        return [*lines, Content.styled(f"{keys['verify']} compares once more{alone}.", "$text-muted")]
    if failed := failed_rows(job):
        rows = "row" if failed == 1 else "rows"
        sentence = f"{grouped(failed)} {rows} could not be copied; the findings say why."
        return [Content.styled(sentence, "$warning")]
    if job.kind in ("verify", "repair"):
        return [Content.styled("Every row is the same on both sides.", "$success")]
    if job.kind == "copy":
        lines = [Content.styled("Every row that was read is in the target.", "$text")]
        if job.options.get("verify") is False:
            lines.append(Content.styled(f"{keys['verify']} compares both, row by row.", "$text-muted"))
        return lines
    if is_ours(job) and job.result:
        return [Content.styled(f"{plain(job.result).rstrip('.')}.", "$text")]
    return []


def _advice_in_flight(job: Job, now: datetime, keys: Mapping[str, str]) -> list[Content]:
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
    if (quiet := job.silence(now)) is not None:
        return [
            Content.styled(f"Its worker gave no sign for {duration(quiet)}.", "$warning"),
            Content.styled(
                f"{keys['retry']} {'takes it over from its last checkpoint' if job.resumable else 'begins it anew'}.",
                "$text-muted",
            ),
        ]
    return [Content.styled("It ends at its next checkpoint.", "$warning")] if job.cancel_requested else []


def _why(job: Job) -> str:
    """Return the reason of a failure as a sentence, also for the ledger's codes."""
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


KINDS = {"copy": "copy", "verify": "comparison", "repair": "repair", "reembed": "re-embedding"}


def ended(job: Job) -> tuple[str, Severity]:
    """Return the sentence on the end of a job, and its severity."""
    subject = f"The {KINDS[job.kind]}" if job.kind in KINDS else "The work"
    if job.options.get("rollback"):
        subject = "The rolling back"
    if job.error == CANCELLED:
        return f"{subject} was cancelled; what was written by then stays.", "done"
    if job.status == "failed":
        return f"{subject} failed: {_why(job)}", "bad"
    rows = sum(table.read for table in job.progress.tables.values())
    details = [counted(rows, "text" if job.kind == "reembed" else "row")] if is_ours(job) and rows else []
    state = standing(job, job.finished_at or job.updated_at or job.created_at or datetime.now(UTC))
    if is_ours(job) and state.word != "done":
        details.append(state.word)
    sentence = f"{subject} is done: {', '.join(details)}." if details else f"{subject} is done."
    return sentence, "waiting" if state.ink == "waiting" else "done"


def counts_of(job: Job) -> dict[str, int]:
    """Return the number of findings of each kind, by the figures of a job."""
    tables = job.progress.tables.values()
    sums = {name: sum(getattr(table, name) for table in tables) for name in COUNTS}
    return {
        "failed": sums["failed"],
        "differ": sums["differ"],
        "only in source": sums["only_source"],
        "only in target": sums["only_target"],
        "repaired": sums["repaired"],
        "left behind": sum(bool(table.left_behind) for table in tables),
        "zero vectors": job.progress.zero_vectors,
        "updated": sums["updated"],
        "deleted": sums["deleted"],
    }


def counts_in_words(job: Job) -> str:
    """Return the numbers of findings in words, ``2 failed   3 repaired``."""
    return "   ".join(f"{grouped(count)} {kind}" for kind, count in counts_of(job).items() if count)


def progress_of(job: Job, now: datetime) -> JobProgressView | None:
    """Return the progress of a job, table by table; None before its first count."""
    if not job.progress.tables:
        return None
    bars = []
    for name, table in job.progress.tables.items():
        note = ""
        if table.left_behind and not table.read:
            note = f"left behind, {grouped(table.left_behind)} {'row' if table.left_behind == 1 else 'rows'}"
        elif not table.read and table.total:
            note = f"waiting, {counted(table.total, 'row')}" if job.in_flight else "not begun"
        rows = RowCounts(**{count: getattr(table, count) for count in COUNTS}, encoded=table.inserted)
        # Rows in the target alone are counted without any row read.
        if table.only_target and not table.read:
            note = ""
        if table.total or table.read or table.left_behind or table.only_target:
            bars.append(TableBar(name, table.read, table.total, note, None if note else rows))
    zero = job.progress.zero_vectors
    columns = {"verify": COMPARED, "reembed": ENCODED}.get(job.kind, COPIED)
    extra = tuple(
        name
        for name in COUNTS[1:]
        if name not in (*columns, "inserted") and any(getattr(table, name) for table in job.progress.tables.values())
    )
    return JobProgressView(
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
        columns=(*columns, *extra),
        checkpoint=sum(table.read for table in job.progress.tables.values()) if job.in_flight else None,
        unit="texts" if job.kind == "reembed" else "rows",
    )
