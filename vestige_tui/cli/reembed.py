"""Commands that take a store to another embedding model: migrate reembed, registry rollback."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.consent import confirmed, may_ask, refuse_unasked
from vestige_tui.cli.job_wait import begun
from vestige_tui.cli.jobs import findings, show
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, Parser, whole
from vestige_tui.cli.session import chosen_store, opened, settings, store_url
from vestige_tui.core.errors import Usage
from vestige_tui.core.text import bytes_size, duration, grouped
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.config import Config
    from vestige_tui.core.embeddings import ModelSignature, SpareVectors
    from vestige_tui.jobs.start import JobRequest
    from vestige_tui.reembed.plan import Estimate
    from vestige_tui.store.store import Store

_KINDS = {"reembed": "Re-embed", "in_place": "Re-embed in place", "rollback": "Go back"}


def add_options(migrate: Parser) -> None:
    """What ``migrate reembed`` takes beside the options that it shares with a copy."""
    group = migrate.add_argument_group("reembed", "vectors of another model for every memory, while searches go on")
    group.add_argument(
        "--model", metavar="NAME", help="the model that the store is to belong to; see `registry models`"
    )
    group.add_argument("--dimension", metavar="N", type=whole, help="cut the model's vectors to this width")
    group.add_argument("--in-place", action="store_true", help="on a small disk: search by meaning pauses, no way back")
    group.add_argument(
        "--drop-hnsw-first", action="store_true", help="in place: fill in without the index, build it last"
    )
    group.add_argument(
        "--concurrent-index",
        action="store_true",
        help="in place: writers need not wait for the index (without --in-place they never do)",
    )
    group.add_argument(
        "--drop-old",
        action="store_true",
        help="delete the old vectors at the end: no way back then; without --model: delete what was kept",
    )


def add_rollback(registry: Commands) -> None:
    """``registry rollback``."""
    rollback = registry.add("rollback", _rollback, "go back to the model before, whose vectors were kept")
    rollback.add_argument("--yes", action="store_true", help="do it without asking, even where vectors will be missing")
    rollback.add_argument("--detach", action="store_true", help="do not wait for the worker")


async def reembed(args: Namespace, output: Output) -> int:
    """``migrate reembed``."""
    from vestige_tui.jobs.start import JobRequest
    from vestige_tui.reembed import plan as jobs

    if not args.model:
        if args.drop_old:
            return await _drop_old(args, output)
        raise Usage("A re-embedding needs a model: --model NAME; `vestige-tui registry models` lists them.")
    _refuse_contradictions(args)
    await asyncio.to_thread(jobs.refuse_width, args.model, args.dimension)
    config = settings(args)
    url = store_url(args, config)
    progress = output.progress("loading")
    async with opened(url, config, read_only=args.read_only or args.dry_run) as store:
        if not args.dry_run:
            jobs.refuse_unwritable(store)
            if not may_ask(args) and await asyncio.to_thread(jobs.must_be_fetched, args.model):
                refuse_unasked(args, f"This would download {args.model}, and make new vectors for every memory with it")
        try:
            found = await jobs.estimate(
                store,
                args.model,
                dimension=args.dimension,
                in_place=args.in_place,
                measure=args.dry_run or (not args.yes and may_ask(args)),
                tell=lambda said: progress.show(said, 0),
            )
        finally:
            progress.end()
        if found is None:
            if output.as_json:
                output.document({"rows_updated": 0, "changed": False})
            model = await store.registered_model()
            name = in_full(model) if model else args.model
            output.line(f"{store.title} belongs to {name} already; there is nothing to change.")
            return 0
        if not args.dry_run:
            refuse_unasked(args, f"This would make new vectors for every memory with {in_full(found.after)}")
        _tell_estimate(args, output, store, found, await jobs.spare(store))
        if args.dry_run:
            return 0
        location, dialect = store.location, store.kind
    output.note(jobs.advice(location, dialect), fold=False)
    if not await confirmed(args, "Begin?"):
        return 1
    options = {
        "model": args.model,
        "dimension": args.dimension,
        "batch": args.batch_size,
        "in_place": args.in_place,
        "drop_hnsw_first": args.drop_hnsw_first,
        "concurrent_index": args.concurrent_index,
        "drop_old": args.drop_old,
    }
    return await _do(args, output, config, JobRequest("reembed", url, url, options))


async def _rollback(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.start import JobRequest
    from vestige_tui.reembed import plan as jobs

    config = settings(args)
    url = store_url(args, config)
    async with opened(url, config, read_only=args.read_only) as store:
        jobs.refuse_unwritable(store)
        found = await jobs.estimate_rollback(store)
        refuse_unasked(args, f"This would take the store back to {in_full(found.after)}")
        _tell_estimate(args, output, store, found, await jobs.spare(store))
    if not found.loadable:
        which = "memory that was" if found.memories == 1 else "memories that were"
        output.note(
            f"{found.after.name} cannot be loaded here: {grouped(found.memories)} {which} written since "
            "will be without a vector."
        )
    if not await confirmed(args, "Go back?"):
        return 1
    return await _do(
        args, output, config, JobRequest("reembed", url, url, {"rollback": True, "partial": not found.loadable})
    )


async def _drop_old(args: Namespace, output: Output) -> int:
    from vestige_tui.reembed.plan import drop_spare, refuse_unwritable, spare

    async with chosen_store(args) as store:
        found = await spare(store)
        if not args.dry_run:
            refuse_unwritable(store)
            if found is not None:
                refuse_unasked(args, f"This would delete {_beside(found)}; there is no way back then")
                if not await confirmed(args, f"Delete {_beside(found)}? There is no way back then."):
                    return 1
            found = await drop_spare(store)
    if output.as_json:
        output.document({"dropped": spare_shape(found)})
    what = _beside(found) if found else "No vectors"
    output.line(f"{what[:1].upper()}{what[1:]} {'would be' if args.dry_run else 'were'} deleted.")
    return 0


def in_full(model: ModelSignature) -> str:
    """A model as it is told apart from itself in another width."""
    return f"{model.name} ({model.dimension} dimensions)"


def _beside(found: SpareVectors) -> str:
    """The vectors that lie beside those in use."""
    made = "kept, by which one could go back," if found.role == "kept" else "made so far"
    return f"the {grouped(found.vectors)} vectors of {in_full(found.model)} {made}"


async def _do(args: Namespace, output: Output, config: Config, work: JobRequest) -> int:
    """Start the job, wait for its end unless told otherwise, and say what it came to."""
    from vestige_tui.reembed.plan import report

    async with begun(work, output, "encoded", detach=args.detach) as ended:
        job, store = ended.job, ended.store
        notes = [] if job.in_flight else await findings(store, job.id)
        made = await report(store, job.id)
        model = await store.refresh_model()
    if output.as_json:
        output.document({"job": json_shapes.job(job, datetime.now(UTC), notes), **(asdict(made) if made else {})})
    elif not job.in_flight:
        show(output, job, notes)
    if job.status == "completed" and model is not None:
        _advise_setting(output, config, model.name)
    return ended.status


def _refuse_contradictions(args: Namespace) -> None:
    """Raises Usage for options of which one makes no sense beside the others."""
    if args.in_place and args.drop_old:
        raise Usage("In place there are no old vectors to delete at the end: leave --drop-old out.")
    if args.drop_hnsw_first and not args.in_place:
        raise Usage("--drop-hnsw-first is for --in-place: else the index of the old vectors is searched to the end.")


def _tell_estimate(args: Namespace, output: Output, store: Store, found: Estimate, beside: SpareVectors | None) -> None:
    """The plan: what is made of what, how long it takes, and which vectors are there no longer at the end."""
    dry = bool(getattr(args, "dry_run", False))
    if dry and output.as_json:
        output.document(
            {
                "kind": found.kind,
                "from": json_shapes.model(found.before),
                "to": json_shapes.model(found.after),
                "rows": found.memories,
                "texts_per_second": json_shapes.number(found.texts_per_second),
                "seconds": json_shapes.number(found.seconds),
                "bytes": found.bytes,
                "drops": spare_shape(found.drops),
            }
        )
        return
    rows = [
        (_KINDS[found.kind], store.title),
        ("from", in_full(found.before)),
        ("to", in_full(found.after)),
        ("memories to encode", grouped(found.memories)),
    ]
    if found.texts_per_second is not None:
        rows.append(("measured on a sample", f"{found.texts_per_second:.1f} texts/s"))
    if found.seconds is not None:
        rows.append(("time, about", duration(found.seconds)))
    if found.bytes:
        rows.append(("room, about", bytes_size(found.bytes)))
    rows += _what_goes(found, beside, drops_old=bool(getattr(args, "drop_old", False)))
    for name, said in rows:
        if dry:
            output.line(f"{name}: {said}")
        else:
            output.note(f"{name}: {said}")


def _what_goes(found: Estimate, beside: SpareVectors | None, *, drops_old: bool) -> Iterator[tuple[str, str]]:
    """What becomes of the vectors that are there now."""
    from vestige_tui.reembed.spare_vectors import equal

    back = "`vestige-tui registry rollback`"
    kept = beside if beside is not None and beside.role == "kept" else None
    if found.kind == "in_place":
        if found.drops is not None:
            yield "deleted at the start", f"the {_of(found.drops)} in use"
        if kept is not None:
            yield "deleted at the start", f"the {_of(kept)} kept to go back to"
        yield "meanwhile", "search by meaning pauses; words are searched as ever. There is no way back."
        return
    if found.kind == "rollback":
        yield "afterwards", f"the vectors of {in_full(found.before)} are kept; {back} goes there again"
        return
    if kept is not None:
        yield "deleted at the start", f"the {_of(kept)} kept to go back to, not those in use"
        if equal(kept.model, found.after):
            yield "quicker", f"these are vectors of the very model; {back} takes them back"
    old = f"the vectors of {in_full(found.before)} in use now"
    if drops_old:
        yield "deleted at the end", f"{old} (--drop-old); there is no way back then"
    else:
        yield "afterwards", f"{old} are kept; {back} goes back to them"


def _of(found: SpareVectors) -> str:
    return f"{grouped(found.vectors)} vectors of {in_full(found.model)}"


def spare_shape(found: SpareVectors | None) -> dict[str, Any] | None:
    """The vectors of a second model as ``--json`` gives them."""
    return None if found is None else {**json_shapes.model(found.model), "role": found.role, "vectors": found.vectors}


def _advise_setting(output: Output, config: Config, name: str) -> None:
    from vestige_tui.embedding.models import same_model

    if config.model and not same_model(config.model, name):
        output.note(
            f"The settings still name {config.model}: set `model` under `[embeddings]` to {name}, "
            "or searches are answered by words alone."
        )
