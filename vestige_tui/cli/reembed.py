"""Commands that change the embedding model of a store: migrate reembed, registry rollback."""

from __future__ import annotations

import argparse
import asyncio
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.backup_offer import add_option, offered_backup
from vestige_tui.cli.consent import confirmed, may_ask, refuse_unasked
from vestige_tui.cli.global_options import chosen_store, open_with_settings, settings, store_url
from vestige_tui.cli.job_wait import started_job
from vestige_tui.cli.jobs import findings, show
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, whole
from vestige_tui.core.errors import Usage
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.job_progress import quantity
from vestige_tui.presenters.reembedding import (
    NOTHING_TO_CHANGE,
    ROLLBACK_NOTE,
    ROLLBACK_QUESTION,
    cost_facts,
    deleted_first,
    deleted_last,
    missing_after_rollback,
    model_facts,
    present_vectors,
)

if TYPE_CHECKING:
    from vestige_tui.config.settings import Config
    from vestige_tui.core.embeddings import ModelSignature, SpareVectors
    from vestige_tui.jobs.start import JobRequest
    from vestige_tui.reembed.plan import Estimate
    from vestige_tui.store.store import Store

_ROLLBACK = "`vestige-tui registry rollback`"
_KINDS = {"reembed": "Re-embed", "in_place": "Re-embed in place", "rollback": "Roll back"}


def add_command(steps: Commands) -> None:
    """Add ``migrate reembed``."""
    command = steps.add(
        "reembed",
        reembed,
        "compute all vectors with another model while searches keep working",
    )
    command.add_argument("--model", metavar="NAME", help="the new model; see `registry models`")
    command.add_argument("--dimension", metavar="N", type=whole, help="cut the vectors to N dimensions")
    command.add_argument(
        "--drop-old",
        action="store_true",
        help="delete the previous model's vectors when done (no rollback then); without --model: delete now the "
        "vectors kept for a rollback or left by an unfinished re-embedding",
    )
    command.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    add_option(command)
    group = command.add_argument_group("in place")
    group.add_argument("--in-place", action="store_true", help="needs less disk; vector search pauses, no rollback")
    group.add_argument(
        "--drop-hnsw-first", action="store_true", help="with --in-place: drop the index first, build it last"
    )
    group.add_argument(
        "--concurrent-index",
        action="store_true",
        help="with --in-place: build the index without blocking writers",
    )
    # These may also stand before the word reembed, where a copy has them, too.
    command.argument_default = argparse.SUPPRESS
    command.add_argument("--batch-size", metavar="N", type=whole, help="memories per transaction (default 128)")
    command.add_argument("--dry-run", action="store_true", help="show the plan, change nothing")
    command.add_argument("--detach", action="store_true", help="start the job and return at once")


def add_rollback(registry: Commands) -> None:
    """Add ``registry rollback``."""
    rollback = registry.add("rollback", _rollback, "roll back to the previous model, whose vectors were kept")
    rollback.add_argument("--yes", action="store_true", help="do not ask, even if some memories will have no vector")
    rollback.add_argument("--detach", action="store_true", help="start the job and return at once")


async def reembed(args: Namespace, output: Output) -> int:
    """Run ``migrate reembed``; return the exit status."""
    from vestige_tui.jobs.start import JobRequest
    from vestige_tui.reembed import plan

    if not args.model:
        if args.drop_old:
            return await _drop_old(args, output)
        raise Usage("Re-embedding needs a model; use --model NAME (`vestige-tui registry models` lists them).")
    _refuse_contradictions(args)
    await asyncio.to_thread(plan.refuse_width, args.model, args.dimension)
    config = settings(args)
    url = store_url(args, config)
    progress = output.progress("loading")
    async with open_with_settings(url, config, read_only=args.read_only or args.dry_run) as store:
        if not args.dry_run:
            plan.refuse_unwritable(store)
            if not may_ask(args) and await asyncio.to_thread(plan.must_be_fetched, args.model):
                refuse_unasked(args, f"This would download {args.model} and re-embed all memories with it")
        try:
            estimate = await plan.estimate(
                store,
                args.model,
                dimension=args.dimension,
                in_place=args.in_place,
                measure=_is_measured(args),
                tell=lambda step: progress.show(step, 0),
            )
        finally:
            progress.end()
        if estimate is None:
            if output.as_json:
                output.document({"rows_updated": 0, "changed": False})
            output.line(NOTHING_TO_CHANGE)
            return 0
        if not args.dry_run:
            refuse_unasked(args, f"This would re-embed all memories with {model_label(estimate.after)}")
        _print_estimate(args, output, store, estimate, await plan.spare(store))
        if args.dry_run:
            return 0
        location = store.location
    output.note(plan.advice(location), fold=False)
    if not await confirmed(args, "Start?"):
        return 1
    if args.drop_old or args.backup_file:
        await offered_backup(args, output, url)
    options = {
        "model": args.model,
        "dimension": args.dimension,
        "batch": args.batch_size,
        "in_place": args.in_place,
        "drop_hnsw_first": args.drop_hnsw_first,
        "concurrent_index": args.concurrent_index,
        "drop_old": args.drop_old,
    }
    return await _run_job(args, output, config, JobRequest("reembed", url, url, options))


async def _rollback(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.start import JobRequest
    from vestige_tui.reembed import plan

    config = settings(args)
    url = store_url(args, config)
    async with open_with_settings(url, config, read_only=args.read_only) as store:
        plan.refuse_unwritable(store)
        estimate = await plan.estimate_rollback(store)
        refuse_unasked(args, f"This would roll back to {model_label(estimate.after)}")
        _print_estimate(args, output, store, estimate, await plan.spare(store))
    if not await confirmed(args, ROLLBACK_QUESTION):
        return 1
    return await _run_job(
        args, output, config, JobRequest("reembed", url, url, {"rollback": True, "partial": not estimate.loadable})
    )


async def _drop_old(args: Namespace, output: Output) -> int:
    from vestige_tui.reembed.plan import drop_spare, refuse_unwritable, spare

    async with chosen_store(args) as store:
        vectors = await spare(store)
        if not args.dry_run:
            refuse_unwritable(store)
            if vectors is not None:
                refuse_unasked(args, f"This would permanently delete {_describe_spare(vectors)}")
                if not await confirmed(args, f"Delete {_describe_spare(vectors)}? This cannot be undone."):
                    return 1
                await offered_backup(args, output, store_url(args, settings(args)))
            vectors = await drop_spare(store)
    if output.as_json:
        output.document({"dropped": spare_document(vectors)})
    verb = "Would delete" if args.dry_run else "Deleted"
    nothing = "There are no kept or unfinished vectors to delete."
    output.line(f"{verb} {_describe_spare(vectors)}." if vectors else nothing)
    return 0


def model_label(model: ModelSignature) -> str:
    """Return the name of a model with its dimension."""
    return f"{model.name} ({model.dimension} dimensions)"


def _describe_spare(spare: SpareVectors) -> str:
    """Return a description of the spare vectors."""
    state = "kept for a rollback" if spare.role == "kept" else "of an unfinished re-embedding"
    return f"{quantity(spare.vectors, 'vector')} of {model_label(spare.model)}, {state}"


async def _run_job(args: Namespace, output: Output, config: Config, request: JobRequest) -> int:
    """Start the job, wait for its end unless --detach, and print the outcome; return the exit status."""
    from vestige_tui.reembed.plan import report

    async with started_job(request, output, "computed", detach=args.detach) as handle:
        job, store = handle.job, handle.store
        notes = [] if job.in_flight else await findings(store, job.id)
        summary = await report(store, job.id)
        model = await store.models.refresh()
    if output.as_json:
        output.document({"job": json_shapes.job(job, datetime.now(UTC), notes), **(asdict(summary) if summary else {})})
    elif not job.in_flight:
        show(output, job, notes)
    if job.status == "completed" and model is not None:
        _advise_setting(output, config, model.name)
    return handle.status


def _refuse_contradictions(args: Namespace) -> None:
    """Raise Usage for options that exclude each other."""
    if args.in_place and args.drop_old:
        raise Usage("--in-place keeps no vectors of the previous model; remove --drop-old.")
    if args.drop_hnsw_first and not args.in_place:
        raise Usage("--drop-hnsw-first works only with --in-place, because searches otherwise need the old index.")


def _print_estimate(
    args: Namespace, output: Output, store: Store, estimate: Estimate, spare: SpareVectors | None
) -> None:
    """Print the plan: models, duration, disk space, and the vectors that are kept or deleted."""
    from vestige_tui.reembed.index_build import index_note

    dry_run = bool(getattr(args, "dry_run", False))
    if dry_run and output.as_json:
        output.document(
            {
                "kind": estimate.kind,
                "from": json_shapes.model(estimate.before),
                "to": json_shapes.model(estimate.after),
                "rows": estimate.memories,
                "texts_per_second": json_shapes.number(estimate.texts_per_second),
                "seconds": json_shapes.number(estimate.seconds),
                "bytes": estimate.bytes,
                "drops": spare_document(estimate.drops),
            }
        )
        return
    previous = spare if spare is not None and spare.role == "kept" else None
    is_rollback = estimate.kind == "rollback"
    facts = model_facts(estimate) if is_rollback else cost_facts(estimate, previous, measured=_is_measured(args))
    rows = [(_KINDS[estimate.kind], store.title), *((fact.label, fact.text) for fact in facts if fact.label)]
    print_line = output.line if dry_run else output.note
    for label, value in rows:
        print_line(f"{label}: {value}")
    for sentence in _sentences(estimate, previous, drops_old=bool(getattr(args, "drop_old", False))):
        print_line(sentence)
    if note := index_note(store):
        print_line(note)


def _is_measured(args: Namespace) -> bool:
    """Check whether the speed of the model is measured: for a plan that a user reads."""
    return bool(args.dry_run) or (not args.yes and may_ask(args))


def _sentences(estimate: Estimate, previous: SpareVectors | None, *, drops_old: bool) -> Iterator[str]:
    """Yield sentences on the vectors that are missing, kept or deleted after the change."""
    from vestige_tui.reembed.spare_vectors import equal

    if estimate.kind == "rollback":
        yield missing_after_rollback(estimate)
        yield ROLLBACK_NOTE
        return
    # The first sentence stands beside its label.
    yield from deleted_first(estimate, previous)[1:]
    if estimate.kind == "in_place":
        return
    if previous is not None and equal(previous.model, estimate.after):
        yield f"The store still has vectors of this model; {_ROLLBACK} is faster than computing them again."
    if drops_old:
        yield deleted_last(estimate)
    else:
        yield f"{present_vectors(estimate)}, are kept; {_ROLLBACK} restores them."


def spare_document(spare: SpareVectors | None) -> dict[str, Any] | None:
    """Return the spare vectors in the form of ``--json``."""
    return None if spare is None else {**json_shapes.model(spare.model), "role": spare.role, "vectors": spare.vectors}


def _advise_setting(output: Output, config: Config, name: str) -> None:
    from vestige_tui.embedding.models import same_model

    if config.model and not same_model(config.model, name):
        output.note(
            f"The settings still name {config.model}: set `model` under `[embeddings]` to {name}, "
            "or vector search stays off."
        )
