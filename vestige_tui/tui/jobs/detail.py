"""Text of one job in full: title, state, facts, advice and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from textwrap import wrap

from textual.content import Content

from vestige_tui.core.jobs import Job
from vestige_tui.core.text import cells, cut, grouped, one_line, plain, short_id
from vestige_tui.presenters.job_actions import next_actions
from vestige_tui.presenters.job_outcome import end_sentence, status_sentence
from vestige_tui.presenters.job_progress import count_name, fraction, phase_in_words, quantity, rows_read, unit
from vestige_tui.presenters.jobs import facts, heartbeat_age, run_times, state_label, title
from vestige_tui.presenters.style import Fact
from vestige_tui.tui.jobs.job_progress import COMPARED, COPIED, ENCODED, JobProgressView, RowCounts, TableBar
from vestige_tui.tui.notice import Severity

INKS = {
    "strong": "$text bold",
    "muted": "$text-muted",
    "accent": "$accent",
    "good": "$success",
    "bad": "$error",
    "waiting": "$warning",
}
SEVERITIES: Mapping[str, Severity] = {"bad": "bad", "waiting": "waiting"}
"""Severity of a sentence by its ink; any other one reports success."""
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


def about(job: Job, now: datetime, width: int, keys: Mapping[str, str], later: Job | None = None) -> Content:
    """Return the title, state, facts and advice of a job.

    ``keys`` are the labels of the keys that retry, fail, cancel and open; ``later`` is the last run of its plan, if
    that came after this job.
    """
    name = title(job) if job.is_ours else one_line(job.task) or "unnamed work"
    lines = [Content.styled(cut(name, width), "$text bold"), *_state_lines(job, now, width)]
    is_cut = cells(name) > width
    rows = [fact for fact in facts(job, now) if is_cut or fact.text != name]
    if rows:
        lines += [Content(""), *(line for fact in rows for line in _fact_lines(fact, width))]
    if advice := _advice(job, now, keys, later):
        lines += [Content(""), *advice]
    return Content("\n").join(lines)


def _state_lines(job: Job, now: datetime, width: int) -> Iterator[Content]:
    """Yield the state of a job with its times and id beside it, on as many lines as they need uncut."""
    state = state_label(job, now)
    line: list[tuple[str, str]] = [(f"{state.glyph} {state.word}", INKS.get(state.ink, "$text"))]
    used = cells(line[0][0])
    for fact in (*run_times(job, now), Fact("id", short_id(job.id))):
        text = f"{fact.label} {fact.text}"
        if used + 3 + cells(text) > width:
            yield Content.assemble(*line)
            line, used = [], -3
        line.append((f"{'   ' if line else ''}{text}", "$text-muted"))
        used += 3 + cells(text)
    yield Content.assemble(*line)


def _fact_lines(fact: Fact, width: int) -> Iterator[Content]:
    """Return a fact on at most ``MAX_TEXT_LINES`` lines; a location is shortened to one."""
    room = max(10, width - LABEL_CELLS)
    lines = folded(shortened(fact.text, width - LABEL_CELLS) if fact.location else fact.text, room)
    if len(lines) > MAX_TEXT_LINES:
        lines = [*lines[: MAX_TEXT_LINES - 1], cut(f"{lines[MAX_TEXT_LINES - 1]} …", room)]
    return _in_column(fact.label, lines, LABEL_CELLS, INKS.get(fact.ink, "$text"))


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
    """Return the problem or the result of a job, and the keys that act on it."""
    lines = []
    if sentence := status_sentence(job, now):
        lines.append(Content.styled(sentence.text, INKS.get(sentence.ink, "$text")))
    if actions := next_actions(job, now, keys, later):
        lines.append(Content.styled(actions, "$text-muted"))
    return lines


def ended(job: Job) -> tuple[str, Severity]:
    """Return the sentence on the end of a job, and its severity."""
    sentence = end_sentence(job)
    return sentence.text, SEVERITIES.get(sentence.ink, "done")


def progress_of(job: Job, now: datetime) -> JobProgressView | None:
    """Return the progress of a job, table by table; None before its first count."""
    if not job.progress.tables:
        return None
    bars = []
    for name, table in job.progress.tables.items():
        note = ""
        if table.left_behind and not table.read:
            note = f"{count_name('left_behind')}, {quantity(table.left_behind, 'row')}"
        elif not table.read and table.total:
            note = f"waiting, {quantity(table.total, 'row')}" if job.in_flight else "not started"
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
        phase=phase_in_words(job) if job.in_flight else "",
        share=fraction(job),
        tables=tuple(bars),
        rate=job.progress.rate,
        rates=job.progress.rates,
        seconds_left=job.progress.eta if job.in_flight else None,
        heartbeat_age=heartbeat_age(job, now) if job.in_flight else None,
        note=f"{grouped(zero)} zero {'vector is' if zero == 1 else 'vectors are'} kept, but not searched."
        if zero
        else "",
        running=job.in_flight,
        columns=(*columns, *extra),
        checkpoint=rows_read(job) if job.in_flight else None,
        unit=unit(job),
    )
