"""A store on each variant of PostgreSQL, in a few steps; ``make test-postgres`` runs the whole tests there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres_variants import VARIANTS
from tests.support.postgres import new_database, run_in_thread
from tests.support.postgres_variant import ROLE_VARIABLE
from tests.support.store_exercise import copied, fill, opened, use
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.schema import migrations

pytestmark = pytest.mark.own_variant

OF_A_SERVER = {"16": 16, "18": 18}
OF_A_DATABASE = ("search-path", "grants", "c-locale")


@pytest.fixture(scope="module", params=OF_A_SERVER.values())
def server_of_major(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of each major of the wheel."""
    lease = run_in_thread(embedded_postgres.acquire(tmp_path_factory.mktemp("major") / "server", request.param))
    with psycopg.connect(lease.url) as connection:
        assert connection.info.server_version // 10_000 == request.param
    yield lease.url
    run_in_thread(embedded_postgres.release(lease))


async def exercise(url: str, folder: Path) -> None:
    source = f"sqlite:{folder / 'source.db'}"
    await fill(source)
    await copied(source, url)
    async with opened(url) as store:
        await use(store)
    await copied(url, f"sqlite:{folder / 'back.db'}")
    async with opened(url) as store:
        await migrations.down(store.backend, yes=True)


@pytest.mark.slow
async def test_a_store_works_on_each_major(server_of_major: str, tmp_path: Path) -> None:
    with new_database(server_of_major) as url:
        await exercise(url, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("variant", OF_A_DATABASE)
async def test_a_store_works_in_each_database(
    postgres_server: str, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIANTS[variant].items():
        monkeypatch.setenv(name, value)
    with new_database(postgres_server) as url:
        with psycopg.connect(url) as connection:
            [is_superuser, path, ctype] = connection.execute(
                "SELECT current_setting('is_superuser')::boolean, current_setting('search_path'), datctype"
                " FROM pg_database WHERE datname = current_database()"
            ).fetchone() or (None, None, None)
        assert is_superuser != (ROLE_VARIABLE in VARIANTS[variant])
        assert (ctype == "C") >= (variant == "c-locale")
        assert (path != '"$user", public') == (variant != "c-locale")
        await exercise(url, tmp_path)
