"""Command that upgrades the data of an embedded server to the PostgreSQL installed here."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vestige_tui.cli.global_options import settings, store_url
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands
from vestige_tui.core.errors import Refused
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import bytes_size, grouped, redact_url

if TYPE_CHECKING:
    from pathlib import Path

    from vestige_tui.store.backends.embedded_upgrade import UpgradePlan


def add_command(steps: Commands) -> None:
    """Add ``schema upgrade-server``."""
    command = steps.add(
        "upgrade-server", _upgrade_server, "upgrade the data of pgembed:DIR to the installed PostgreSQL version"
    )
    command.add_argument("--dry-run", action="store_true", help="show the plan and the disk space it needs")
    command.add_argument("--drop-old", action="store_true", help="delete the old data that an earlier upgrade kept")


async def _upgrade_server(args: Namespace, output: Output) -> int:
    import asyncio

    from vestige_tui.store.backends import embedded_upgrade

    directory = _directory(args)
    if args.read_only and not args.dry_run:
        raise Refused("schema upgrade-server writes to the store; remove --read-only.")
    plan = await asyncio.to_thread(embedded_upgrade.plan_upgrade, directory)
    if args.drop_old:
        if plan is not None:
            raise Refused(f"pgembed:{plan.directory} is not upgraded yet; its old data is its only data.")
        return await _drop_old(args, output, directory)
    if plan is None:
        if output.as_json:
            output.document({"changed": [], "undo": None})
        output.line("The data is up to date.")
        return 0
    _announce(plan, output, dry_run=args.dry_run)
    if args.dry_run:
        return 0
    rows = await asyncio.to_thread(
        embedded_upgrade.upgrade, plan, lambda step: output.note(f"{step[:1].upper()}{step[1:]} …")
    )
    if output.as_json:
        output.document(_document(plan, ["data"]) | {"rows": dict(rows)})
    output.line(
        f"Upgraded to PostgreSQL {plan.new_major}: {grouped(sum(rows.values()))} rows in {len(rows)} tables, "
        f"as many as before. The old data is in {plan.kept}; --drop-old deletes it."
    )
    return 0


def _directory(args: Namespace) -> Path:
    url = store_url(args, settings(args))
    scheme, _, rest = url.partition(":")
    if scheme != "pgembed" or not rest:
        raise Refused(f"{redact_url(url)} is not a pgembed:DIR store; upgrade a server with its own tools.")
    return user_path(rest)


def _announce(plan: UpgradePlan, output: Output, *, dry_run: bool) -> None:
    if dry_run and output.as_json:
        output.document(_document(plan, []))
    sentences = (
        f"pgembed:{plan.directory} is upgraded from PostgreSQL {plan.old_major} to {plan.new_major}.",
        f"The old data ({bytes_size(plan.data_bytes)}) is copied first and stays unchanged in {plan.kept}.",
        f"This needs {bytes_size(plan.needed_bytes)}; {bytes_size(plan.free_bytes)} are free.",
    )
    for sentence in sentences:
        (output.line if dry_run else output.note)(sentence)


def _document(plan: UpgradePlan, changed: list[str]) -> dict[str, object]:
    return {
        "changed": changed,
        "undo": None,
        "from": plan.old_major,
        "to": plan.new_major,
        "kept": str(plan.kept),
        "data_bytes": plan.data_bytes,
        "needed_bytes": plan.needed_bytes,
        "free_bytes": plan.free_bytes,
    }


async def _drop_old(args: Namespace, output: Output, directory: Path) -> int:
    import asyncio

    from vestige_tui.store.backends import embedded_upgrade

    folders = embedded_upgrade.old_data_folders(directory)
    names = [str(path) for path in folders]
    size = 0 if args.dry_run else await asyncio.to_thread(embedded_upgrade.drop_old_data, directory)
    if output.as_json:
        output.document({"changed": names, "undo": None, "bytes": size})
    for name in names:
        output.line(f"Would delete: {name}" if args.dry_run else f"Deleted: {name}")
    if not names:
        output.line("There is no old data.")
    return 0
