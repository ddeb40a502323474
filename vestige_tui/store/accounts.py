"""Users, groups and domains of a store: read by filters and cards, written with imported or sample memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.accounts import Account, Domain, Membership
from vestige_tui.store.backends.protocol import Json

if TYPE_CHECKING:
    from vestige_tui.store.context import StoreContext


class AccountService:
    """Users, groups, memberships and domains. Rows that exist are never changed."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._backend = context.backend

    async def restore(
        self, users: Sequence[Account], groups: Sequence[Account], memberships: Sequence[Membership]
    ) -> int:
        """Insert missing users, groups and memberships in one transaction; return the number of new rows."""
        self._context.refuse_read_only()
        parts = {
            "insert_user_if_absent": [_account(user) for user in users],
            "insert_group_if_absent": [_account(group) for group in groups],
            "insert_membership_if_absent": [
                {"user_id": each.user_id, "group_id": each.group_id, "role": each.role, "joined_at": each.joined_at}
                for each in memberships
            ],
        }
        async with self._backend.write() as transaction:
            return sum([await transaction.execute_many(name, many) for name, many in parts.items() if many])

    async def restore_domains(self, domains: Sequence[Domain]) -> int:
        """Insert missing domains; return the number of new rows."""
        self._context.refuse_read_only()
        params = [
            {
                "id": domain.id,
                "label": domain.label,
                "top_terms": list(domain.top_terms),
                "memory_count": domain.memory_count,
                "created_at": domain.created_at,
            }
            for domain in domains
        ]
        async with self._backend.write() as transaction:
            return await transaction.execute_many("insert_domain_if_absent", params) if params else 0


def _account(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "handle": account.handle,
        "display_name": account.display_name,
        "created_at": account.created_at,
        "metadata": Json({}),
    }
