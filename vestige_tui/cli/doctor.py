"""Command that finds faults in every row of a store, and fixes them after a preview."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vestige_tui.cli import backup_offer
from vestige_tui.cli.change_lines import is_answered, print_sentence
from vestige_tui.cli.consent import confirmed, refuse_unasked
from vestige_tui.cli.global_options import chosen_store, settings, store_url
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.core.doctor import KINDS
from vestige_tui.core.errors import Cancelled, Usage
from vestige_tui.core.memories import Change
from vestige_tui.presenters import doctor as words
from vestige_tui.presenters import json_shapes, store_report

if TYPE_CHECKING:
    from vestige_tui.core.doctor import DoctorListener, Examination, FixPreview
    from vestige_tui.core.health import Health, HealthProblem
    from vestige_tui.store.store import Store


def add_command(commands: Commands) -> None:
    doctor = commands.add("doctor", _doctor, "check the store for damage and other problems, with a remedy for each")
    doctor.add_argument("--fix", action="store_true", help="fix what can be fixed, after a preview of the rows")
    doctor.add_argument(
        "--only",
        metavar="KIND",
        nargs="+",
        action="extend",
        choices=list(KINDS),
        default=[],
        help=f"kinds of fault to list or fix: {', '.join(KINDS)}",
    )
    doctor.add_argument("--dry-run", action="store_true", help="with --fix: print the rows that would change")
    backup_offer.add_option(doctor)
    doctor.add_argument("--yes", action="store_true", help="with --fix: do not ask")


async def _doctor(args: Namespace, output: Output) -> int:
    for name, option in (("dry_run", "--dry-run"), ("backup_file", "--backup"), ("yes", "--yes")):
        if getattr(args, name) and not args.fix:
            raise Usage(f"{option} belongs to --fix.")
    async with chosen_store(args, announces=False) as store:
        if args.fix and not args.dry_run:
            store.refuse_read_only()
        with _progress(output, "doctor") as tell:
            examination = _chosen(await store.doctor.examine(tell), args.only)
        if args.fix:
            return await _fix(args, output, store, examination)
        report, title = await store.maintenance.report(thorough=True), store.title
    health = report.health
    if output.as_json:
        state = "degraded" if health.state == "healthy" and examination.findings else health.state
        shape = {**json_shapes.health(health), "state": state}
        output.document({**shape, **words.examination_document(examination)})
        return 0
    output.line(title)
    _print_findings(output, health, examination)
    return 0


@contextmanager
def _progress(output: Output, label: str) -> Iterator[DoctorListener]:
    """Show the progress of the doctor on stderr for the block."""
    line = output.progress(label)
    try:
        yield lambda step: line.show(words.step_in_words(step), step.done)
    finally:
        line.end()


def _chosen(examination: Examination, kinds: list[str]) -> Examination:
    from dataclasses import replace

    if not kinds:
        return examination
    findings = tuple(each for each in examination.findings if each.kind in kinds)
    return replace(examination, findings=findings, unfinished=tuple(set(examination.unfinished) & set(kinds)))


def _print_findings(output: Output, health: Health, examination: Examination) -> None:
    """Print the state of the store, its problems, and its findings; a problem that a finding names is left out."""
    kinds = {each.kind for each in examination.findings}
    rest = tuple(each for each in health.problems if not _is_named(each, kinds))
    output.line("degraded" if health.state == "healthy" and kinds else health.state)
    for sentence in store_report.problems(rest):
        output.line(sentence)
    for finding in examination.findings:
        output.line()
        output.line(f"{finding.kind}: {words.problem(finding)}")
        output.line(f"  {words.examples(finding)}")
        output.line(f"  Fix: {words.fix_sentence(finding)}" if finding.fixable else f"  {words.fix_sentence(finding)}")
    notes = [words.unfinished(examination), words.other_tables(examination.other_tables)]
    if any(each.fixable for each in examination.findings):
        notes.append("Preview the changes: vestige-tui doctor --fix --dry-run")
    for note in filter(None, notes):
        output.note(note)


def _is_named(problem: HealthProblem, kinds: set[str]) -> bool:
    return bool(kinds.intersection(problem.kinds))


async def _fix(args: Namespace, output: Output, store: Store, examination: Examination) -> int:
    with _progress(output, "preview") as tell:
        preview = await store.doctor.preview(examination.fixable, tell)
    document: dict[str, Any] = words.examination_document(examination)
    if args.dry_run:
        if output.as_json:
            output.document({**document, **words.preview_document(preview)})
        else:
            _print_preview(output, preview)
            output.note("Nothing was changed: this was a dry run.")
        return 0
    if preview.is_empty:
        is_answered(output, Change(()), **document)
        return 0
    refuse_unasked(args, f"This would fix {words.fix_question(preview).removeprefix('Fix ').removesuffix('?')}")
    if not args.yes:
        _print_preview(output, preview)
    if not await confirmed(args, words.fix_question(preview)):
        raise Cancelled("Nothing was fixed.")
    backup = await backup_offer.offered_backup(args, output, store_url(args, settings(args)))
    with _progress(output, "fix") as tell:
        fixed = await store.doctor.fix(preview, tell)
    change = Change(fixed.subjects, fixed.undo)
    if output.as_json:
        path = None if backup is None else str(backup.path)
        output.document({**json_shapes.change(change), **words.preview_document(preview), "backup": path})
        return 0
    print_sentence(output, change, f"{words.fixed_sentence(fixed)}.")
    return 0


def _print_preview(output: Output, preview: FixPreview) -> None:
    if preview.is_empty:
        output.line("Nothing to fix.")
        return
    if preview.changes:
        output.table([words.change_parts(change) for change in preview.changes], flexible=2)
    for note in words.preview_notes(preview):
        output.note(note)
