"""A store on a primary and its streaming standby: what each accepts, and what stays open when one of them goes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.support.polling import until
from tests.support.replicas import ReplicatedPair, new_standby, primary_stopped
from vestige_tui.core.errors import ReadOnly
from vestige_tui.core.memories import Draft
from vestige_tui.store.backends import postgres_hosts
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

STANDBY = "the server is a standby, which accepts only reads"
NO_PRIMARY = "no server of its URL accepts writes now, so a standby answers"


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_hosts, "LOOK_SECONDS", 0.2)


async def texts(store: Store) -> set[str]:
    return {memory.content for memory in (await store.page(limit=200)).items}


async def becomes_writable(store: Store, text: str) -> None:
    """Wait until the open store accepts a memory; reads go on meanwhile."""

    async def accepts() -> bool:
        await store.page()
        with suppress(ReadOnly):
            await store.insert(Draft(text), embed=False)
            return True
        return False

    await until(accepts)


async def becomes_read_only(store: Store) -> None:
    async def is_read_only() -> bool:
        await store.page()
        return store.read_only

    await until(is_read_only)


async def test_a_standby_is_open_read_only_with_its_reason(replicated_pair: ReplicatedPair) -> None:
    async with open_store(replicated_pair.standby_url) as store:
        assert (store.read_only, store.read_only_reason) == (True, STANDBY)
        with pytest.raises(ReadOnly, match=f"is open read-only: {STANDBY}\\.$"):
            await store.insert(Draft("nowhere"))
        assert (await store.health()).state == "healthy"


@pytest.mark.slow
async def test_what_the_primary_writes_appears_on_the_standby(replicated_pair: ReplicatedPair) -> None:
    async with open_store(replicated_pair.primary_url) as primary, open_store(replicated_pair.standby_url) as standby:
        assert await standby.wait_for_change(0)  # the first wait ends at once
        await primary.insert(Draft("Streamed to the standby."), embed=False)

        async def is_seen() -> bool:
            return await standby.wait_for_change(1) and "Streamed to the standby." in await texts(standby)

        await until(is_seen)


@pytest.mark.parametrize("attributes", ["read-write", "primary"])
async def test_the_host_that_accepts_writes_is_chosen(replicated_pair: ReplicatedPair, attributes: str) -> None:
    url = replicated_pair.url(target_session_attrs=attributes)
    async with open_store(url) as store:
        assert not store.read_only
        await store.insert(Draft(f"Written where {attributes} leads."), embed=False)
    async with open_store(url, read_only=True) as reader:
        # Its sessions are read-only by our own setting, which does not make their server unfit.
        assert f"Written where {attributes} leads." in await texts(reader)
        assert reader.read_only_reason == "opened with --read-only"


@pytest.mark.slow
async def test_reads_go_on_without_a_primary_and_writes_once_it_is_back(replicated_pair: ReplicatedPair) -> None:
    url = replicated_pair.url(target_session_attrs="read-write")
    async with open_store(url) as store:
        await store.insert(Draft("Before the primary went."), embed=False)
        await replicated_pair.replayed()
        await store.wait_for_change(0)
        with primary_stopped(replicated_pair):
            await becomes_read_only(store)
            assert "Before the primary went." in await texts(store)
            with pytest.raises(ReadOnly, match=f"is open read-only: {NO_PRIMARY}\\.$"):
                await store.insert(Draft("nowhere"))
            async with open_store(url) as late, open_store(url, read_only=True) as reader:
                assert (late.read_only, late.read_only_reason) == (True, NO_PRIMARY)
                assert "Before the primary went." in await texts(reader)
        await becomes_writable(store, "After the primary came back.")
        assert store.read_only_reason == ""
        assert await store.wait_for_change(5), "the console shows that it may write again"


async def test_any_host_follows_the_server_that_answers(replicated_pair: ReplicatedPair) -> None:
    """Sessions of one pool may come to lead to a standby, without the store being opened again."""
    hosts = replicated_pair.url().replace("postgresql://", "")
    first, _, second = hosts.partition("host=")[2].partition("&")[0].partition(",")
    url = replicated_pair.url().replace(f"{first},{second}", f"{second},{first}")
    async with open_store(url) as store:
        assert not store.read_only
        with primary_stopped(replicated_pair):
            await becomes_read_only(store)
            assert store.read_only_reason == STANDBY


@pytest.mark.slow
async def test_a_promoted_standby_accepts_writes(replicated_pair: ReplicatedPair, tmp_path: Path) -> None:
    with new_standby(replicated_pair.primary_url, tmp_path / "promoted") as url:
        async with open_store(url) as store, open_store(url, read_only=True) as reader:
            assert (store.read_only, reader.read_only) == (True, True)
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                await connection.execute("SELECT pg_promote()")
            await becomes_writable(store, "Written after the promotion.")
            assert "Written after the promotion." in await texts(reader)
            assert reader.read_only_reason == "opened with --read-only"
