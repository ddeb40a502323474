"""What every test may ask for, and what each of them gets."""

from __future__ import annotations

import pytest
from textual.app import App

from tests.support import task_factory
from tests.support.postgres import postgres_database, postgres_server

__all__ = ["postgres_database", "postgres_server"]


@pytest.fixture(autouse=True)
def consoles_run_as_the_program_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``run_test`` mean what ``run`` means, in every test that opens a console."""
    monkeypatch.setattr(App, "run_test", task_factory.run_test)
