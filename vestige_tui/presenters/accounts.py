"""Users and groups in words: rows of the list, and their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vestige_tui.core.accounts import Account, GroupSummary, UserSummary
from vestige_tui.core.memories import VISIBILITIES
from vestige_tui.core.text import grouped, plain
from vestige_tui.core.times import format_time

NO_ACCOUNTS = "The memories of a Vestige file have no owners; a store of this program, or an adopted file, has users."


def full_name(user: UserSummary) -> str:
    """Return the display name of a user where it says more than the handle."""
    name = user.account.display_name
    return "" if name is None or name == user.account.handle else plain(name)


def group_names(user: UserSummary) -> str:
    """Return the groups of a user, separated by commas."""
    return ", ".join(map(plain, user.groups))


def figures(user: UserSummary) -> tuple[str, ...]:
    """Return the number of memories in all, private, shared with groups, and public; a dash for none."""
    counts = (user.total, *(user.memories.get(visibility, 0) for visibility in VISIBILITIES))
    return tuple(grouped(count) if count else "-" for count in counts)


def viewing_sentence(viewer: Account | None) -> str:
    """Return the view of the console as a sentence: the memories that one user may see, or all."""
    if viewer is None:
        return "Shows the memories of everybody."
    return f"Shows what {plain(viewer.handle)} may see; read-only."


def accounts_title(users: Sequence[UserSummary], groups: Sequence[GroupSummary]) -> str:
    """Return the number of users and groups."""
    counts = ((len(users), "user"), (len(groups), "group"))
    return ", ".join(f"{grouped(count)} {noun}{'' if count == 1 else 's'}" for count, noun in counts)


def group_line(group: GroupSummary) -> str:
    """Return a group with its members and the number of memories shared with it."""
    shared = "1 shared memory" if group.shared == 1 else f"{grouped(group.shared)} shared memories"
    return f"group {plain(group.account.handle)}: {shared}; {members_line(group)}"


def members_line(group: GroupSummary) -> str:
    """Return the members of a group, or that there are none."""
    return ", ".join(map(plain, group.members)) or "no members"


def accounts_document(users: Sequence[UserSummary], groups: Sequence[GroupSummary]) -> dict[str, Any]:
    """Return the JSON document of ``users list``."""
    return {
        "items": [
            {
                "id": user.account.id,
                "handle": user.account.handle,
                "display_name": user.account.display_name,
                "created_at": format_time(user.account.created_at),
                "groups": list(user.groups),
                "memories": {name: user.memories.get(name, 0) for name in VISIBILITIES},
            }
            for user in users
        ],
        "groups": [
            {
                "id": group.account.id,
                "handle": group.account.handle,
                "display_name": group.account.display_name,
                "created_at": format_time(group.account.created_at),
                "members": list(group.members),
                "shared_memories": group.shared,
            }
            for group in groups
        ],
        "next": None,
    }
