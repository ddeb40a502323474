"""The action ``review optimize``: weights of FSRS fitted to the review log of the store."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vestige_tui.cli.change_lines import print_sentence
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.core.errors import Refused, Usage
from vestige_tui.core.memories import Change
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.weights import (
    applied_sentence,
    fit_document,
    fit_lines,
    next_step_sentence,
    no_better_sentence,
    preview_sentence,
)

if TYPE_CHECKING:
    from vestige_tui.cli.parser import Parser

OPTIMIZE = "optimize"


def add_options(review: Parser) -> None:
    group = review.add_argument_group("optimize", "options of `review optimize`, which fits the weights of FSRS")
    group.add_argument("--apply", action="store_true", help="schedule the coming reviews by the fitted weights")
    group.add_argument(
        "--reschedule", action="store_true", help="with --apply: also move the due dates of reviewed memories"
    )
    group.add_argument("--yes", action="store_true", help="with --apply: apply the fit even if it predicts no better")


def refuse_options(args: Namespace) -> None:
    """Raise Usage for an option of ``review optimize`` on another action."""
    for name in ("apply", "reschedule", "yes"):
        if getattr(args, name):
            raise Usage(f"--{name} belongs to `vestige-tui review optimize`.")


async def optimize(args: Namespace, output: Output) -> int:
    """Fit weights and print their effect; apply them with --apply."""
    if args.grade is not None:
        raise Usage("review optimize takes no id: it reads the log of all memories.")
    if (args.reschedule or args.yes) and not args.apply:
        raise Usage(f"{'--reschedule' if args.reschedule else '--yes'} needs --apply.")
    async with chosen_store(args) as store:
        if args.apply:
            store.refuse_read_only()
        fit = await store.weights.fit()
        current, applied = store.weights.current, store.weights.applied
        preview = await store.weights.preview(fit.weights) if args.reschedule or not args.apply else None
        if args.apply and not fit.improves and not args.yes:
            raise Refused(no_better_sentence(fit))
        change = await store.weights.apply(fit.weights, reschedule=args.reschedule) if args.apply else Change(())
    if output.as_json:
        output.document({**fit_document(fit, current, preview, applied=applied), **json_shapes.change(change)})
        return 0
    for line in fit_lines(fit, current, applied=applied):
        output.line(line)
    if args.apply:
        print_sentence(output, change, f"{applied_sentence(fit.weights, change)}.")
        return 0
    if preview is not None:
        output.line(preview_sentence(preview))
    output.line(next_step_sentence(fit))
    return 0
