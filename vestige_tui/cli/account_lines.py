"""Lines of an import file about users, groups, memberships and domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from vestige_tui.cli.line_values import (
    BadLine,
    IsId,
    ParsedLine,
    integer_of,
    list_of,
    object_of,
    reference_id,
    reference_line,
    required_id,
    stored_text,
    text_of,
    time_of,
    with_imported,
)
from vestige_tui.core.accounts import Domain, Group, Membership, User
from vestige_tui.core.storable import MAX_INTEGER, MAX_LABEL_CHARS, MAX_METADATA_DEPTH
from vestige_tui.transfer.sanitize import RowSanitizer

_ACCOUNT_KEYS = frozenset({"kind", "id", "handle", "display_name", "created_at", "metadata"})
_DOMAIN_KEYS = frozenset({"kind", "id", "label", "top_terms", "memory_count", "created_at", "metadata"})
_WRAPPING_DEPTH = 2
"""Containers around unknown keys: the metadata, and one for those of an earlier import."""
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_ROLES = ("member", "admin")


def user_line(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    """Return the user of a line. Raises BadLine."""
    return _with_unknown_keys(data, User(**_account(data, sanitizer, is_id)), sanitizer)


def group_line(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    """Return the group of a line. Raises BadLine."""
    return _with_unknown_keys(data, Group(**_account(data, sanitizer, is_id)), sanitizer)


def membership_line(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    """Return the membership of a line. Raises BadLine."""
    role = text_of(data, "role", "member")
    if role not in _ROLES:
        raise BadLine(f"has a role other than {', '.join(_ROLES)}")
    user, group = required_id(data, "user_id", is_id), required_id(data, "group_id", is_id)
    membership = Membership(user, group, time_of(data, "joined_at") or _FIRST_DAY, role)
    return reference_line(membership, data, sanitizer, "user_id", "group_id", "joined_at", "role")


def domain_line(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> ParsedLine:
    """Return the domain of a line. Raises BadLine."""
    count = integer_of(data, "memory_count") or 0
    if not 0 <= count <= MAX_INTEGER:
        raise BadLine(f"has a memory_count that is not a whole number from 0 to {MAX_INTEGER:,}")
    domain_id = stored_text(sanitizer, "id", text_of(data, "id"), MAX_LABEL_CHARS)
    domain = Domain(
        id=domain_id,
        label=stored_text(sanitizer, "label", text_of(data, "label", domain_id)),
        top_terms=tuple(sanitizer.parsed_labels("top_terms", list_of(data, "top_terms"))),
        memory_count=count,
        created_at=time_of(data, "created_at") or _FIRST_DAY,
        metadata=sanitizer.parsed("metadata", object_of(data, "metadata")),
    )
    return _with_unknown_keys(data, domain, sanitizer)


def _account(data: Mapping[str, Any], sanitizer: RowSanitizer, is_id: IsId) -> dict[str, Any]:
    handle = text_of(data, "handle")
    if not handle.strip():
        raise BadLine("has an empty handle")
    account_id = text_of(data, "id")
    if not account_id.strip():
        raise BadLine("has an empty id")
    display_name = data.get("display_name")
    return {
        "id": reference_id(sanitizer, "id", account_id, is_id),
        "handle": stored_text(sanitizer, "handle", handle, MAX_LABEL_CHARS),
        "display_name": None
        if display_name is None
        else stored_text(sanitizer, "display_name", text_of(data, "display_name")),
        "created_at": time_of(data, "created_at") or _FIRST_DAY,
        "metadata": sanitizer.parsed("metadata", object_of(data, "metadata")),
    }


def _with_unknown_keys(data: Mapping[str, Any], entry: User | Group | Domain, sanitizer: RowSanitizer) -> ParsedLine:
    """Return a line whose unknown keys and repaired values are kept in the metadata."""
    known = _DOMAIN_KEYS if isinstance(entry, Domain) else _ACCOUNT_KEYS
    unknown = {name: value for name, value in data.items() if name not in known}
    imported = sanitizer.parsed("unknown_keys", unknown, MAX_METADATA_DEPTH - _WRAPPING_DEPTH)
    metadata = with_imported(entry.metadata, dict(imported), sanitizer)
    return ParsedLine(replace(entry, metadata=metadata), tuple(sanitizer.notes), tuple(unknown))
