"""Commands for supersession: supersede, unsupersede, history."""

from __future__ import annotations

from argparse import Namespace

from vestige_tui.cli.bulk import add_target, change_many, chosen_target
from vestige_tui.cli.change_lines import is_answered, names, print_sentence
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import ID_HELP, Commands
from vestige_tui.core.bulk import Replacement
from vestige_tui.core.links import Lineage
from vestige_tui.core.text import ago, one_line, plain, short_id
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.moments import DECISIONS, RECORDED_LATE, late_events


def add_commands(commands: Commands) -> None:
    supersede = commands.add("supersede", _supersede, "mark memories as replaced by another one")
    supersede.add_argument("ids", metavar="OLD", nargs="*", help="the replaced memories")
    supersede.add_argument("--by", metavar="NEW", required=True, help="the memory that replaces them")
    add_target(supersede)
    unsupersede = commands.add("unsupersede", _unsupersede, "make a replaced memory active again")
    unsupersede.add_argument("id", metavar="ID", help=ID_HELP)
    history = commands.add("history", _history, "show which memories this one replaces or was replaced by")
    history.add_argument("id", metavar="ID", help=ID_HELP)


async def _supersede(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        winner = await store.memories.resolve(args.by)
        target = await chosen_target(args, store)
        if len(target.ids) != 1 or args.dry_run:
            return await change_many(args, output, store, target, Replacement(winner))
        [loser] = target.ids
        change = await store.links.supersede(loser, winner)
        if not is_answered(output, change):
            by_id = await names(store, (loser, winner))
            sentence = f"{by_id[loser]} is now replaced by {by_id[winner]} (hidden; --superseded shows it)"
            print_sentence(output, change, sentence)
    return 0


async def _unsupersede(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        memory_id = await store.memories.resolve(args.id)
        change = await store.links.unsupersede(memory_id)
        if not is_answered(output, change):
            print_sentence(output, change, f"{(await names(store, (memory_id,)))[memory_id]} is active again")
    return 0


async def _history(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        memory_id = await store.memories.resolve(args.id)
        events = await store.links.history(memory_id)
        if output.as_json:
            output.document(json_shapes.listed(map(json_shapes.event, events)))
            return 0
        lineage = await store.links.lineage(memory_id)
        now = store.now()
    _print_tree(output, lineage, "", "", memory_id)
    if not events:
        output.note("This memory was never replaced, and replaces no other.")
        return 0
    output.line()
    late = late_events(events)
    for event in events:
        winner = f" {short_id(event.winner_id)}" if event.winner_id else ""
        verb = DECISIONS.get(event.kind, plain(event.kind))
        recorded = f"  ({RECORDED_LATE})" if event.id in late else ""
        output.line(f"{ago(event.decided_at, now):>10}  {short_id(event.loser_id)} {verb}{winner}{recorded}")
    return 0


def _print_tree(output: Output, lineage: Lineage, branch: str, indent: str, memory_id: str) -> None:
    mark = "► " if lineage.memory.id == memory_id else "  "
    head = f"{branch}{mark}{short_id(lineage.memory.id)}  "
    output.line(f"{head}{one_line(lineage.memory.content, max(20, output.width - len(head)))}")
    for position, replaced in enumerate(lineage.replaces):
        last = position == len(lineage.replaces) - 1
        _print_tree(output, replaced, indent + ("└─" if last else "├─"), indent + ("  " if last else "│ "), memory_id)
