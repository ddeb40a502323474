"""Runners of cases on a sample store, one for each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.command_runner import CommandRunner
from tests.fuzz.sample_stores import postgres_sample, sqlite_sample


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandRunner]:
    folder = tmp_path_factory.mktemp("fuzz")
    if request.param == "postgres":
        sample = postgres_sample(request.getfixturevalue("postgres_server"))
    else:
        sample = sqlite_sample(folder)
    with sample as store:
        yield CommandRunner(store, folder / "runs")
