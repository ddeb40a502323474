"""Commands keep texts as they are in any locale and any environment, and refuse databases that cannot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.command_line import Command, run_process
from tests.support.postgres import new_database, with_any_encoding

TEXTS = ("café crème", "漢字かな交じり文", "rocket 🚀", "combining e\u0301", "line\u2028separator", "four bytes 𠀋")
LATIN = {"PGCLIENTENCODING": "LATIN1", "PGDATESTYLE": "German", "PGTZ": "Asia/Tokyo"}
LOCALES: Mapping[str, Mapping[str, str]] = {
    "no locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
    "Latin-1 streams": {"PYTHONIOENCODING": "latin1"},
}


@pytest.mark.slow
def test_commands_keep_texts_in_an_environment_of_another_encoding(
    run: Command, postgres_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The workers of jobs inherit that environment."""
    for name, value in LATIN.items():
        monkeypatch.setenv(name, value)
    url, file = with_any_encoding(postgres_database), tmp_path / "copied.db"
    assert run("--store", url, "schema", "up").status == 0
    for text in TEXTS:
        [memory_id] = run("--store", url, "add", text, "--tag", text, "--json").json["changed"]
        shown = run("--store", url, "show", memory_id, "--json").json["memory"]
        assert (shown["content"], shown["tags"]) == (text, [text])
        assert text in {hit["memory"]["content"] for hit in run("--store", url, "search", text, "--json").json["hits"]}
    exported = tmp_path / "out.jsonl"
    assert run("--store", url, "export", str(exported)).status == 0
    lines = [json.loads(line) for line in exported.read_bytes().splitlines()]
    assert sorted(line["content"] for line in lines if line["kind"] == "memory") == sorted(TEXTS)
    ends = ["--from", "postgres", "--to", "sqlite", "--sqlite-path", str(file), "--postgres-url", url]
    assert run("migrate", *ends).status == 0
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT content FROM knowledge_nodes").fetchall()
    assert sorted(row[0] for row in rows) == sorted(TEXTS)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM node_embeddings")
        connection.execute("UPDATE knowledge_nodes SET codebase = 'é'")
    assert run("migrate", "verify", *ends).status == 1
    with psycopg.connect(postgres_database) as server:
        server.execute("DELETE FROM knowledge_nodes")
    assert run("--store", url, "import", str(exported), "--json").json["inserted"] == len(TEXTS)
    with psycopg.connect(postgres_database) as server:
        rows = server.execute("SELECT content FROM knowledge_nodes").fetchall()
    assert sorted(row[0] for row in rows) == sorted(TEXTS)


def here(folder: Path) -> list[Path]:
    """All files of a folder, but the log, and those with which a reader of a SQLite store keeps its place."""
    state = folder / "home" / ".local"
    paths = [path for path in folder.rglob("*") if not path.is_relative_to(state)]
    return sorted(path for path in paths if not path.name.endswith(("-shm", "-wal")))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_every_command_refuses_a_database_of_another_encoding(
    encoding: str, run: Command, sample: str, postgres_server: str, tmp_path: Path
) -> None:
    lines, file, missing = tmp_path / "in.jsonl", sample.removeprefix("sqlite:"), tmp_path / "new.db"
    lines.write_text('{"content": "x"}\n')
    before = here(tmp_path)
    with new_database(postgres_server, encoding) as url:
        commands = [
            *(["--store", url, *words] for words in (["schema", "up"], ["schema", "info"], ["list"], ["add", "x"])),
            *(["--store", url, *words] for words in (["search", "x"], ["stats"], ["jobs", "list"], ["vacuum"])),
            *(["--store", url, *words] for words in (["jobs", "sweep"], ["registry", "show"], ["undo"])),
            *(["--store", url, *words] for words in (["import", str(lines)], ["export", str(tmp_path / "out.jsonl")])),
        ]
        for path, ends in ((file, ("sqlite", "postgres")), (str(missing), ("postgres", "sqlite"))):
            named = ["--from", ends[0], "--to", ends[1], "--sqlite-path", path, "--postgres-url", url]
            commands += [["migrate", *named], ["migrate", *named, "--dry-run"], ["migrate", "verify", *named]]
        for command in commands:
            ran = run("--json", *command)
            if command[1] == "verify" and str(missing) in command:
                continue  # It has no target either, which may be said first.
            assert (ran.status, ran.json["error"]["code"]) == (3, "refused"), command
            assert f"encoding {encoding}, but a store needs UTF8" in ran.json["error"]["message"], command
        with psycopg.connect(url) as server:
            cursor = server.execute(
                "SELECT (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()), "
                "(SELECT count(*) FROM pg_extension)"
            )
            assert cursor.fetchone() == (0, 1)
    assert here(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_arguments_files_and_pipes_are_utf8_in_every_locale(locale: str, run: Command, tmp_path: Path) -> None:
    environment = LOCALES[locale]
    folder = tmp_path / "é"
    folder.mkdir()
    url = f"sqlite:{folder / 'store.db'}"
    assert run_process("--store", url, "schema", "up", env=environment).status == 0
    for place, text in enumerate(TEXTS):
        written = {"content": text, "tags": [text]}
        if place % 3 == 0:
            ran = run_process("--store", url, "add", text, "--tag", text, env=environment)
        elif place % 3 == 1:
            ran = run_process("--store", url, "add", "-", "--tag", text, stdin=text.encode(), env=environment)
        else:
            line = json.dumps(written, ensure_ascii=False).encode()
            ran = run_process("--store", url, "import", "-", stdin=line, env=environment)
        assert ran.status == 0, ran
    listed = run("--store", url, "list", "--json").json["items"]
    assert sorted((each["content"], each["tags"]) for each in listed) == sorted((text, [text]) for text in TEXTS)
    document = run_process("--store", url, "search", TEXTS[0], "--mode", "text", "--json", env=environment).json
    assert [hit["memory"]["content"] for hit in document["hits"]] == [TEXTS[0]]
    exported = folder / "out.jsonl"
    assert run_process("--store", url, "export", str(exported), env=environment).status == 0
    piped = run_process("--store", url, "export", "-", env=environment)
    assert piped.out.encode() == exported.read_bytes()
    assert all(text in piped.out or json.dumps(text)[1:-1] in piped.out for text in TEXTS)


def test_an_argument_is_the_text_that_its_bytes_are_in_utf8(run: Command, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'store.db'}"
    assert run("--store", url, "schema", "up").status == 0
    assert run("--store", url, "add", "café".encode().decode("ascii", "surrogateescape")).status == 0
    for words in (["add", "caf{}"], ["add", "x", "--tag", "caf{}"], ["search", "caf{}"], ["tag", "abcdef", "+caf{}"]):
        ran = run("--store", url, *(word.format(b"\xe9".decode("ascii", "surrogateescape")) for word in words))
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.endswith("is not UTF-8; nothing was changed.\n")
        assert "caf\\xe9" in ran.err
    for text in ("\ud800", "caf\xe9\ud800", "\udcff" * 9_000):
        ran = run("--store", url, "add", "x", "--type", text)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.endswith("is not UTF-8; nothing was changed.\n")
        assert len(ran.err) < 400
    assert [each["content"] for each in run("--store", url, "list", "--json").json["items"]] == ["café"]


@pytest.mark.slow
def test_a_text_on_stdin_is_utf8_without_its_mark(run: Command, sample: str) -> None:
    before = run("--store", sample, "list", "--json").json["items"]
    for words in (["add", "-"], ["add"], ["edit", before[0]["id"], "--content", "-"]):
        ran = run_process("--store", sample, *words, stdin=b"ok gr\xfcn")
        assert (ran.status, ran.out) == (2, "")
        assert ran.err == "The text on stdin is not UTF-8 (byte 6); nothing was changed.\n"
    after = run("--store", sample, "list", "--json").json["items"]
    assert [each["content"] for each in after] == [each["content"] for each in before]
    added = run_process("--store", sample, "add", "-", "--json", stdin="\ufeffgrün\n".encode())
    assert run("--store", sample, "show", added.json["changed"][0], "--json").json["memory"]["content"] == "grün"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("streams", "encoding"),
    [
        ({"LC_ALL": "C"}, "ascii"),
        ({"PYTHONIOENCODING": "ascii"}, "ascii"),
        ({"PYTHONIOENCODING": "latin1:strict"}, "latin-1"),
    ],
    ids=["C", "ascii", "latin-1"],
)
def test_streams_that_are_not_utf8_get_shapes(streams: Mapping[str, str], encoding: str, sample: str) -> None:
    added = run_process("--store", sample, "add", f"größer → 漢字 {'x' * 200}", "--json", env=streams)
    memory_id = added.json["changed"][0]
    for words in (["forecast"], ["list"], ["tag", "--help"], ["edit", "--help"], ["--help"], ["show", memory_id]):
        ran = run_process("--store", sample, *words, env=streams, encoding=encoding)
        assert ran.status == 0, ran
        assert "\\u" not in ran.out + ran.err
        assert ("?" in ran.out) is (words[0] in ("list", "show"))
        lacking = "were replaced; set PYTHONIOENCODING=utf-8 to keep them." in ran.err
        assert lacking is ("?" in ran.out)
    assert ("größer > ????" if encoding == "latin-1" else "gro?er > ????") in ran.out
    assert run_process("--store", sample, "show", memory_id, "--json", env=streams).json["memory"]["content"][:9] == (
        "größer → "
    )
