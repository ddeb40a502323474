"""A server's URL: what libpq reads is what we read, and no part of a password is ever shown."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.hostile_passwords import COUNT, hostile_passwords, parts_shown
from vestige_tui.config.reader import load_config
from vestige_tui.core.errors import ConfigError, Usage, VestigeError
from vestige_tui.core.log import LogFormatter
from vestige_tui.core.server_url import PERCENT_ENCODE, read_server_url
from vestige_tui.core.text import masked, redact, redact_url
from vestige_tui.jobs.known_stores import with_password, without_password
from vestige_tui.jobs.store_identity import store_identity
from vestige_tui.presenters.stores import location, store_name
from vestige_tui.store.backends.postgres_connection import parse_url
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.transfer.open import open_source

PASSWORDS = hostile_passwords()


def urls(password: str) -> Iterator[str]:
    """Yield each form of a URL or conninfo in which a user may write a password."""
    yield f"postgresql://me:{password}@db1:5432/memories"
    yield f"postgres://me:{password}@db1/memories?sslmode=require"
    yield f"postgresql://:{password}@/memories"
    yield f"postgresql://me:{password}@[::1]:5432,db2:5433/memories"
    yield f"POSTGRESQL://me:{password}@db1/memories"
    yield f"postgresql:/me:{password}@db1/memories"
    yield f"postgresql+psycopg://me:{password}@db1/memories"
    yield f"me:{password}@db1/memories"
    yield f"postgresql://me@db1:5432/memories?password={password}"
    yield f"postgresql://db1/memories?password={password}&sslmode=require"
    yield f"postgresql://db1/memories?sslpassword={password}"
    yield f"host=db1 user=me password={password} dbname=memories"


def texts(url: str) -> Iterator[str]:
    """Yield everything that is shown, logged or stored of a URL, and every error about it."""
    yield without_password(url)
    yield location(url)
    yield store_name(url)
    yield redact_url(url)
    if url.startswith(("postgres:", "postgresql:")):
        yield repr(store_identity(url))
    if url.startswith("me:") and re.search(r"\s", url):
        return  # a path with blanks is no word of a message; the errors quote none
    yield redact(f"could not open {url}")
    yield redact(f'No "{url}" and postgresql://other/store: no such server.')
    yield redact(f"argument: invalid choice: {url!r} (choose from 'a', 'b')")
    yield LogFormatter().format(logging.makeLogRecord({"name": "vestige_tui", "msg": "Open %s", "args": (url,)}))
    for open_one in (open_backend, open_source):
        try:
            store = open_one(url)
        except VestigeError as error:
            yield str(error)
        else:
            yield f"{store.title} {store.location() if callable(store.location) else store.location}"


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection be tried: a source asks its server at once, and these servers are made up."""

    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)


def test_there_are_enough_passwords() -> None:
    assert len(set(PASSWORDS)) > COUNT - 5
    assert all(map(parts_shown, PASSWORDS))


@pytest.mark.slow
def test_no_part_of_a_password_is_shown() -> None:
    leaks = []
    for password in PASSWORDS:
        for url in urls(password):
            leaks += [(url, text) for text in texts(url) if parts_shown(text)]
    assert leaks[:8] == []


def test_a_typed_password_is_masked_and_nothing_moves() -> None:
    leaks = []
    for password in PASSWORDS:
        for url in urls(password):
            shown = masked(url)
            assert len(shown) == len(url)
            leaks += [(url, shown)] if parts_shown(shown) else []
    assert leaks[:8] == []


@pytest.mark.parametrize(
    "before", ["sqlite:/x/store.db&", "/x/store.db?", "./store.db?a=b&ssl", "no store at x&pwd=y&"]
)
def test_a_parameter_behind_a_path_is_hidden(before: str) -> None:
    text = f"{before}password=s3cret&sslmode=require"
    assert redact(text) == redact_url(text)
    assert "s3cret" not in redact(text) + masked(text)
    assert len(masked(text)) == len(text)


def test_a_url_is_used_only_where_its_password_is_whole() -> None:
    used = 0
    for password in PASSWORDS:
        for url in list(urls(password))[:1] + list(urls(password))[8:11]:
            with suppress(Usage):
                parts = parse_url(url)
                used += 1
                assert password in (parts.get("password"), parts.get("sslpassword")), url
                assert not parts_shown(f"{parts.get('host')} {parts.get('user')} {parts.get('dbname')}"), url
    assert used > COUNT // 2


def test_a_percent_encoded_password_is_always_read_whole() -> None:
    for password in PASSWORDS:
        for url in urls(quote(password, safe="")):
            if url.startswith("postgres://") or url.startswith("postgresql://"):
                assert read_server_url(url) is not None
                parts = parse_url(url)
                assert password in (parts.get("password"), parts.get("sslpassword"))
                assert with_password(without_password(url), [url]) == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///memories",
        "postgresql://me@/memories?host=/run/postgresql&port=5433",
        "postgresql://me@%2Frun%2Fpostgresql/memories",
        "postgresql://h1:5432,h2:5433/memories?target_session_attrs=read-write",
        "postgresql://[::1]:5432/memories",
        "postgresql://me@db1?dbname=memories",
        "postgresql://me@/memories?host=@abstract",
        "postgresql://me@db1/memories?application_name=a@b",
        "postgresql://me@db1/memories?options=-c%20search_path%3Dx&service=memories",
        "postgresql://josé@db1/memories",
    ],
)
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert redact(url) == masked(url) == without_password(url) == url
    parts, read = conninfo_to_dict(url), read_server_url(url)
    assert read is not None
    assert read.user == (parts.get("user") or "")
    assert parse_url(url) == parts


async def test_of_an_unreadable_url_the_sentence_says_to_encode() -> None:
    with pytest.raises(Usage) as raised:
        async with open_store("postgresql://me:Q1x@Q2z@db1/memories"):
            pass
    assert raised.value.message == redact(PERCENT_ENCODE) == PERCENT_ENCODE


@pytest.mark.parametrize("url", ["ftp://h/d", "me:Q1x@db1/memories", "host=db1 password=Q1x", "postgresql://h:x/d"])
def test_an_error_of_ours_passes_the_redaction_whole(url: str) -> None:
    with pytest.raises(Usage) as raised:
        open_backend(url)
    assert redact(raised.value.message) == raised.value.message


def test_settings_show_no_part(tmp_path: Path) -> None:
    file = tmp_path / "vestige.toml"
    for password in PASSWORDS[::3]:
        url = f"me:{password}@db1/memories".replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
        for value in (f"postgresql://{url}", f"mysql://{url}", url):
            file.write_text(f'[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "{value}"\n', encoding="utf-8")
            try:
                shown = " ".join(load_config(file).warnings)
            except ConfigError as error:
                shown = str(error)
            assert not parts_shown(shown)
