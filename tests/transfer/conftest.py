"""Transfers into a target on either database."""

from __future__ import annotations

import pytest


@pytest.fixture
def target(store_url: str) -> str:
    """The URL of a target that does not exist yet, on either database."""
    return store_url
