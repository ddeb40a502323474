"""Options that the commands of jobs share: source, target and dry run."""

from __future__ import annotations

from argparse import Namespace

from vestige_tui.cli.global_options import is_file, settings, store_url
from vestige_tui.cli.output import Output
from vestige_tui.core.errors import Usage
from vestige_tui.core.jobs import TableProgress
from vestige_tui.core.text import grouped
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.job_progress import sum_in_words


def source_and_target(args: Namespace, subject: str, verb: str) -> tuple[str, str]:
    """Return the URLs of source and target, from the options or else the settings.

    Raises Usage with ``subject`` and ``verb`` in its message, as in "A copy" and "write".
    """
    config = settings(args)
    from_postgres = args.source_kind == "postgres" or (args.source_kind is None and args.target_kind == "sqlite")
    if from_postgres:
        default_store = store_url(args, config)
        source = args.source or args.postgres_url or (config.postgres_url if is_file(default_store) else default_store)
        if not source:
            raise Usage(f"{subject} needs a PostgreSQL store to read; use --postgres-url URL or --source URL.")
        target = args.target or (args.sqlite_path if args.target_kind != "postgres" else None)
        if not target:
            raise Usage(f"{subject} needs a store to {verb}; use --sqlite-path PATH or --target URL.")
        return source, target
    source = args.source or args.sqlite_path or store_url(args, config)
    if not is_file(source) and not args.source and not args.target:
        raise Usage(f"{subject} needs a SQLite file to read; use --sqlite-path PATH or --source URL.")
    target = args.target or (args.postgres_url or config.postgres_url if args.target_kind != "sqlite" else None)
    if not target:
        raise Usage(f"{subject} needs a store to {verb}; use --postgres-url URL or --target URL.")
    return source, target


def print_plan(output: Output, tables: dict[str, TableProgress]) -> int:
    if output.as_json:
        output.document({"tables": {name: json_shapes.table(progress) for name, progress in tables.items()}})
        return 0
    rows = [
        (
            name,
            grouped(each.total) if each.total is not None else "",
            sum_in_words(each.left_behind, "left_behind") if each.left_behind else "",
        )
        for name, each in tables.items()
    ]
    output.table(rows, flexible=0, header=("table", "rows", ""), right=(1,))
    return 0
