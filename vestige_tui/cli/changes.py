"""Commands that change memories: add, edit, tag, delete."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vestige_tui.cli.bulk import KEEP_REPLACED, add_target, change_many, chosen_target
from vestige_tui.cli.change_lines import print_change
from vestige_tui.cli.editor import edit_in_editor
from vestige_tui.cli.global_options import chosen_store
from vestige_tui.cli.interrupts import interruptible
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import ID_HELP, Commands
from vestige_tui.core.bulk import Deletion, FieldEdit, TagEdit
from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import LOCAL_USER, VISIBILITIES, Change, Patch
from vestige_tui.core.memory_template import MemoryForm, Sharing
from vestige_tui.core.metadata_rows import json_or_text
from vestige_tui.core.storable import check_draft
from vestige_tui.core.text import quoted

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

MAX_UNCONFIRMED_MEMORIES = 100
_TEXT_FOR_ADD = "give the text as an argument, or - to read it from stdin"
_TEXT_FOR_EDIT = "give the text with --content"


def add_commands(commands: Commands) -> None:
    add = commands.add("add", _add, "add a memory; without a text, write it in $EDITOR")
    add.add_argument("text", metavar="TEXT", nargs="?", help="text of the memory; - reads stdin")
    add.add_argument("--type", metavar="TYPE", default="fact", help="default: fact")
    add.add_argument("--tag", metavar="TAG", action="append", default=[], help="repeat for several")
    add.add_argument("--domain", metavar="NAME", action="append", default=[], help="repeat for several")
    add.add_argument("--codebase", metavar="NAME", help="codebase that it belongs to")
    add.add_argument("--owner", metavar="USER", help="owner: handle, display name or id (default: the local user)")
    add.add_argument("--visibility", choices=VISIBILITIES, help="default: private, or group if --group is given")
    add.add_argument(
        "--group",
        "--share-with",
        dest="groups",
        metavar="GROUP",
        nargs="+",
        action="extend",
        default=[],
        help="groups that the memory is shared with, by handle, display name or id",
    )
    edit = commands.add("edit", _edit, "edit a memory; without options, open its fields and its text in $EDITOR")
    edit.add_argument("ids", metavar="ID", nargs="*", help=ID_HELP)
    edit.add_argument("--content", metavar="TEXT", help="new text; - reads stdin")
    edit.add_argument("--type", metavar="TYPE", help="new type")
    edit.add_argument("--codebase", metavar="NAME", help='new codebase; "" for none')
    edit.add_argument(
        "--domain",
        metavar="NAME",
        action="append",
        help='new domain (a subject, such as auth), repeat for several; "" for none',
    )
    edit.add_argument("--visibility", choices=VISIBILITIES, help="new visibility")
    edit.add_argument("--owner", metavar="USER", help="new owner: handle, display name or id")
    edit.add_argument(
        "--share-with",
        metavar="GROUP",
        nargs="+",
        action="extend",
        help='groups to share the memory with instead of the present ones, "" for none; with groups, the visibility '
        "becomes group, unless --visibility is given",
    )
    edit.add_argument("--meta", metavar="K=V", action="append", help="set a metadata key; K= removes it")
    add_target(edit, filters=False)
    tag = commands.add("tag", _tag, "add (+a) or remove (-b) tags of memories", dashed_words=True)
    tag.add_argument("words", metavar="ID… +a -b", nargs="*", help="ids of memories, then the tags")
    add_target(tag)
    delete = commands.add("delete", _delete, "delete memories; `undo` restores them")
    delete.add_argument("ids", metavar="ID", nargs="*", help=ID_HELP)
    add_target(delete)
    delete.add_argument(
        KEEP_REPLACED,
        action="store_true",
        help="memories replaced by the deleted one stay replaced, now by the memory that replaces it, if there is one "
        "(default: they become active again)",
    )
    delete.add_argument(
        "--yes", action="store_true", help=f"required for more than {MAX_UNCONFIRMED_MEMORIES} memories"
    )


async def _add(args: Namespace, output: Output) -> int:
    if args.text is not None or not sys.stdin.isatty():
        return await _insert(args, output, _form(args, _text_or_stdin("-" if args.text is None else args.text)))
    statuses: list[int] = []

    async def save(form: MemoryForm) -> Change:
        statuses.append(await _insert(args, output, form))
        return Change(())

    if await edit_in_editor(_form(args, ""), output, save, instead=_TEXT_FOR_ADD) is None:
        raise Usage("The text is empty; a memory needs one.")
    return statuses[-1]


def _form(args: Namespace, content: str) -> MemoryForm:
    return MemoryForm(
        content,
        args.type,
        tuple(dict.fromkeys(args.domain)),
        args.codebase or "",
        tuple(dict.fromkeys(args.tag)),
        _sharing(args),
    )


def _sharing(args: Namespace) -> Sharing:
    sharing, groups = Sharing(args.owner, args.visibility), tuple(dict.fromkeys(filter(None, args.groups)))
    if not groups:
        return sharing
    return replace(sharing, groups=groups) if args.visibility else sharing.shared_with(groups)


async def _insert(args: Namespace, output: Output, form: MemoryForm) -> int:
    if not form.content.strip():
        raise Usage("The text is empty; a memory needs one.")
    draft = form.draft()
    check_draft(draft)  # before a new store is created for it
    # A new store has no user and no group but the local user.
    names_account = draft.owner_user_id != LOCAL_USER or bool(draft.shared_with_groups)
    async with chosen_store(args, create=not names_account) as store:
        draft = await store.accounts.draft_by_id(draft)
        return await print_change(output, store, await store.insert(draft), "Added")


def _text_or_stdin(text: str) -> str:
    """Return the text of an argument, or stdin where it is ``-``. Raises Usage if that is not UTF-8."""
    if text != "-":
        return text
    with interruptible():
        content = sys.stdin.buffer.read()
    try:
        return content.decode("utf-8-sig").rstrip("\n")
    except UnicodeDecodeError as error:
        raise Usage(f"The text on stdin is not UTF-8 (byte {error.start + 1}); nothing was changed.") from None


async def _edit(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        if not args.dry_run:
            store.refuse_read_only()
        target = await chosen_target(args, store)
        if len(target.ids) != 1 or args.dry_run:
            return await change_many(args, output, store, target, FieldEdit(await _patch_of_several(args, store)))
        memory = await store.get(target.ids[0])
        if not _has_options(args):
            before = MemoryForm.of(memory, await store.accounts.sharing_of(memory))

            async def save(form: MemoryForm) -> Change:
                patch = await store.accounts.patch_by_id(form.patch(before))
                return await store.update(memory.id, patch, expected=memory.updated_at)

            change = await edit_in_editor(before, output, save, instead=_TEXT_FOR_EDIT) or Change(())
        else:
            patch = await _patch(args, store, memory.metadata)
            change = await store.update(memory.id, patch, expected=memory.updated_at)
        return await print_change(output, store, change, "Edited")


def _has_options(args: Namespace) -> bool:
    options = (args.content, args.type, args.codebase, args.domain, args.meta)
    return any(option is not None for option in (*options, args.visibility, args.owner, args.share_with))


async def _patch(args: Namespace, store: Store, metadata: Mapping[str, Any]) -> Patch:
    replacement = None if args.content is None else _text_or_stdin(args.content)
    if replacement is not None and not replacement.strip():
        raise Usage("The new text is empty; nothing was changed.")
    return Patch(
        content=replacement,
        node_type=args.type,
        codebase=args.codebase,
        domains=None if args.domain is None else tuple(name for name in args.domain if name),
        owner_user_id=None if args.owner is None else (await store.accounts.user(args.owner)).id,
        visibility=args.visibility or ("group" if any(args.share_with or ()) else None),
        shared_with_groups=None if args.share_with is None else await _group_ids(store, args.share_with),
        metadata=_metadata(metadata, args.meta) if args.meta else None,
    )


async def _group_ids(store: Store, names: list[str]) -> tuple[str, ...]:
    return tuple([(await store.accounts.group(name)).id for name in names if name])


async def _patch_of_several(args: Namespace, store: Store) -> Patch:
    if args.content is not None or args.meta is not None:
        raise Usage("--content and --meta change one memory; give one ID, without --dry-run.")
    if not _has_options(args):
        raise Usage(
            "To edit several memories, or with --dry-run, give at least one option, such as --type fact; "
            "see `vestige-tui edit --help`."
        )
    return await _patch(args, store, {})


def _metadata(stored: Any, options: list[str]) -> dict[str, Any]:
    metadata = dict(stored)
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name:
            raise Usage(f"--meta needs KEY=VALUE, not {quoted(option)}.")
        if text:
            metadata[name] = json_or_text(f"--meta {name}", text)
        else:
            metadata.pop(name, None)
    return metadata


async def _tag(args: Namespace, output: Output) -> int:
    words: list[str] = [*args.words, *args.extra]
    args.ids = [word for word in words if word[:1] not in ("+", "-")]
    add = [word[1:].strip() for word in words if word.startswith("+")]
    remove = [word[1:].strip() for word in words if word.startswith("-")]
    if not (add or remove) or not all([*add, *remove]):
        raise Usage("tag needs ids and tags, for example `vestige-tui tag 1a2b3c4d +keep -draft`.")
    async with chosen_store(args) as store:
        target = await chosen_target(args, store)
        return await change_many(args, output, store, target, TagEdit(tuple(add), tuple(remove)))


async def _delete(args: Namespace, output: Output) -> int:
    async with chosen_store(args) as store:
        target = await chosen_target(args, store)
        deletion = Deletion(keep_replaced=args.keep_replaced)
        return await change_many(args, output, store, target, deletion, most_unconfirmed=MAX_UNCONFIRMED_MEMORIES)
