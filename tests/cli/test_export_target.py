"""Where export writes: it replaces nothing unasked and no database at all, and a pipe or a device stays one."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.command_line import Answer, Command, copy_store, fill_sample, run_process
from tests.support.postgres import run_in_thread
from tests.support.terminal import PATIENCE_SECONDS, Terminal, isolated_env

LINES = 10
"""What an export of the sample store comes to."""


def path_of(store: str) -> Path:
    return Path(store.removeprefix("sqlite:"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def assert_whole(path: Path) -> None:
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()].count("memory") == 6
    assert len(path.read_text().splitlines()) == LINES


def assert_sound(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM knowledge_nodes").fetchone() == (6,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


# Databases


@pytest.mark.parametrize("yes", [(), ("--yes",)])
@pytest.mark.parametrize("way", ["absolute", "relative", "link", "hard link", "other", "its log", "its index"])
def test_a_database_is_never_replaced(
    run: Command, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, yes: tuple[str, ...]
) -> None:
    store = path_of(sample)
    name = str(store)
    if way == "relative":
        monkeypatch.chdir(tmp_path / "home")
        name = f"../{store.name}"
    elif way == "link":
        (tmp_path / "home" / "link").symlink_to(store)
        name = str(tmp_path / "home" / "link")
    elif way == "hard link":
        name = str(tmp_path / "home" / "hard")
        os.link(store, name)
    elif way == "other":
        name = str(copy_store(store, tmp_path / "other.db"))
    elif way == "its log":
        name = f"{store}-wal"
    elif way == "its index":
        name = f"{store}-shm"
    inode = store.stat().st_ino
    ran = run("--store", sample, "export", name, "--json", *yes)
    assert (ran.status, ran.json["error"]["code"]) == (3, "refused"), ran
    assert ran.json["error"]["message"].startswith(name)
    assert ran.err.count("\n") == 1
    assert store.stat().st_ino == inode
    assert_sound(store)


def test_a_store_whose_content_is_all_in_its_log_is_never_replaced(run: Command, sample: str, folder: Path) -> None:
    young = folder / "x.db"
    with closing(sqlite3.connect(young, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        young.write_bytes(b"")  # as it may look before the first checkpoint
        before = contents(folder)
        ran = run("--store", sample, "export", str(young), "--yes")
        assert (ran.status, contents(folder)) == (3, before)
        assert "x.db-wal beside it" in ran.err
        connection.execute("PRAGMA journal_mode")


def test_a_locked_store_is_never_replaced(run: Command, sample: str, folder: Path) -> None:
    other = copy_store(path_of(sample), folder / "other.db")
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        assert run("--store", sample, "export", str(other), "--yes").status == 3
        connection.execute("ROLLBACK")
    assert_sound(other)


@pytest.mark.slow
def test_the_files_of_an_embedded_server_are_never_replaced(tmp_path: Path) -> None:
    url = f"pgembed:{tmp_path / 'memories'}"
    run_in_thread(fill_sample(url))
    for name in ("data/PG_VERSION", "data/postgresql.conf", "data/base/1/PG_VERSION", "data/new", "server.log", "new"):
        path = tmp_path / "memories" / name
        before = path.read_bytes() if path.exists() else None
        ran = run_process("--store", url, "export", str(path), "--yes", "--json")
        assert (ran.status, ran.json["error"]["code"]) == (3, "refused"), ran
        assert (path.read_bytes() if path.exists() else None) == before or name == "server.log"
    ran = run_process("--store", url, "export", str(tmp_path / "out.jsonl"))
    assert ran.status == 0, ran
    assert_whole(tmp_path / "out.jsonl")


# Files that exist


def test_a_long_line_goes_through_a_pipe(run: Command, folder: Path) -> None:
    store, pipe = str(folder / "s.db"), folder / "pipe"
    with (folder / "in.jsonl").open("w") as file:
        json.dump({"content": "x" * 5_000_000}, file)
    assert run("--store", store, "import", str(folder / "in.jsonl")).status == 0
    os.mkfifo(pipe)
    with collected(pipe) as got:
        assert run("--store", store, "export", str(pipe)).status == 0
    assert len(json.loads(got[0])["content"]) == 5_000_000


def test_an_export_that_exists_is_replaced_with_yes_alone(run: Command, sample: str, folder: Path) -> None:
    path = folder / "out.jsonl"
    path.write_text("old\n")
    path.chmod(0o644)
    for more in ((), ("--codebase", "auth"), ("--memories-only",)):
        ran = run("--store", sample, "export", str(path), "--json", *more)
        assert (ran.status, ran.json["error"]["code"]) == (3, "refused")
        assert f"This would replace {path}; add --yes to confirm" in ran.err
        assert contents(folder) == {"out.jsonl": b"old\n"}
    assert run("--store", sample, "export", str(path), "--yes").status == 0
    assert_whole(path)
    assert (stat.S_IMODE(path.stat().st_mode), list(contents(folder))) == (0o644, ["out.jsonl"])


def test_what_is_refused_is_refused_before_the_store_is_looked_for(run: Command, folder: Path) -> None:
    (folder / "out.jsonl").write_text("old\n")
    ran = run("--store", str(folder / "none.db"), "export", str(folder / "out.jsonl"))
    assert (ran.status, "would replace" in ran.err) == (3, True)


@pytest.mark.slow
def test_a_postgres_store_is_exported_by_the_same_rules(run: Command, postgres_database: str, folder: Path) -> None:
    run_in_thread(fill_sample(postgres_database))
    path = folder / "out.jsonl"
    assert run("--store", postgres_database, "export", str(path)).status == 0
    assert_whole(path)
    before = contents(folder)
    assert run("--store", postgres_database, "export", str(path)).status == 3
    assert contents(folder) == before
    assert run("--store", postgres_database, "export", str(path), "--yes").status == 0
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert run("--store", postgres_database, "export", str(folder / "s.db"), "--yes").status == 3


def test_a_person_is_asked(run: Command, sample: str, folder: Path, answer: Answer) -> None:
    path = folder / "out.jsonl"
    path.write_text("old\n")
    answer("n\n")
    ran = run("--store", sample, "export", str(path))
    assert (ran.status, path.read_text()) == (1, "old\n")
    assert f"Replace {path}? [y/N]" in ran.err
    assert " ".join(ran.err.split()).endswith("was not changed.")
    answer("y\n")
    assert run("--store", sample, "export", str(path)).status == 0
    assert_whole(path)
    answer("n\n")
    ran = run("--store", sample, "export", sample.removeprefix("sqlite:"))
    assert (ran.status, "[y/N]" in ran.err) == (3, False)


@pytest.mark.terminal
def test_ctrl_c_at_the_question_ends_it(sample: str, folder: Path) -> None:
    path = folder / "out.jsonl"
    path.write_text("old\n")
    command = [sys.executable, "-m", "vestige_tui", "--store", sample, "export", str(path)]
    with Terminal(command, env=isolated_env(folder.parent / "home")) as terminal:
        terminal.until("[y/N]")
        terminal.press("ctrl+c")
        assert terminal.wait() == 130
    assert contents(folder) == {"out.jsonl": b"old\n"}


def test_an_empty_file_is_replaced_with_yes_alone_and_keeps_its_rights(run: Command, sample: str, folder: Path) -> None:
    path = folder / "out.jsonl"
    path.touch()
    path.chmod(0o640)
    assert run("--store", sample, "export", str(path)).status == 3
    assert path.read_bytes() == b""
    assert run("--store", sample, "export", str(path), "--yes").status == 0
    assert_whole(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_and_its_target_is_replaced_with_yes_alone(run: Command, sample: str, folder: Path) -> None:
    real, link = folder / "real.jsonl", folder / "link"
    link.symlink_to("real.jsonl")
    assert run("--store", sample, "export", str(link)).status == 0
    assert_whole(real)
    real.write_text("old\n")
    real.chmod(0o644)
    assert run("--store", sample, "export", str(link)).status == 3
    assert real.read_text() == "old\n"
    assert run("--store", sample, "export", str(link), "--yes").status == 0
    assert_whole(real)
    assert (os.readlink(link), stat.S_IMODE(real.stat().st_mode)) == ("real.jsonl", 0o644)


# Pipes and devices


@contextmanager
def collected(pipe: Path) -> Iterator[list[bytes]]:
    """What a reader of the pipe has got, once the block is left."""
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    yield got
    reader.join(PATIENCE_SECONDS)


def test_a_pipe_gets_every_line_and_stays_a_pipe(run: Command, sample: str, folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with collected(pipe) as got:
        assert run("--store", sample, "export", str(pipe)).status == 0
    assert len(got[0].splitlines()) == LINES
    assert (pipe.is_fifo(), [path.name for path in folder.iterdir()]) == (True, ["pipe"])


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_pipe_without_a_reader_is_waited_for_until_told_to_end(
    sample: str, folder: Path, end: signal.Signals
) -> None:
    os.mkfifo(folder / "pipe")
    command = [sys.executable, "-m", "vestige_tui", "--store", sample, "export", str(folder / "pipe")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"Waiting for a program to read {folder / 'pipe'}; ctrl-C cancels.\n"
        process.send_signal(end)
        assert process.wait(PATIENCE_SECONDS) == 130
        assert process.stderr.read() == "Interrupted.\n"


@pytest.mark.slow
def test_a_pipe_is_imported_from(sample: str, folder: Path) -> None:
    out = run_process("--store", sample, "export", "-")
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(out.out.encode()))
    writer.start()
    brought = run_process("--store", str(folder / "new.db"), "--json", "import", str(pipe))
    writer.join(PATIENCE_SECONDS)
    assert (brought.status, brought.json["inserted"]) == (0, LINES)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device")
def test_a_device_stays_one(run: Command, sample: str, folder: Path) -> None:
    device = folder / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.close(os.open(device, os.O_WRONLY))
    except PermissionError:
        pytest.skip("no device can be made here")
    ran = run("--store", sample, "export", str(device), "--json")
    assert (ran.status, ran.json["written"]["memory"]) == (0, 6)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert [path.name for path in folder.iterdir()] == ["null"]


def shell(command: str, *values: str) -> subprocess.CompletedProcess[str]:
    program = f"{shlex.quote(sys.executable)} -m vestige_tui"
    return subprocess.run(
        ["bash", "-c", command.replace("PROGRAM", program), "-", *values],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


STDOUT = ("-", "a link", "/dev/fd/1", "/proc/self/fd/1")
"""Names of stdout; the link is like /dev/stdout, which is not put at risk here."""


@pytest.mark.slow
@pytest.mark.parametrize("name", STDOUT)
def test_stdout_goes_on_behind_what_was_written_before(sample: str, folder: Path, name: str) -> None:
    out = folder / "out"
    if name == "a link":
        name = str(folder / "stdout")
        Path(name).symlink_to("/proc/self/fd/1")
    done = shell('{ echo before; PROGRAM --store "$1" export "$2"; echo after; } >"$3"', sample, name, str(out))
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines, last = out.read_text().splitlines()
    assert (first, len(lines), last) == ("before", LINES, "after")
    assert shell('PROGRAM --store "$1" export "$2" | true; exit ${PIPESTATUS[0]}', sample, name).returncode == 0
    assert shell('PROGRAM --store "$1" --json export "$2"', sample, name).returncode == 2
    full = shell('PROGRAM --store "$1" export "$2" >/dev/full', sample, name)
    assert full.returncode == 1
    assert full.stderr.endswith(" could not be written: No space left on device.\n")


def test_a_descriptor_is_written_into(sample: str, folder: Path) -> None:
    done = shell('PROGRAM --store "$1" export >(cat >"$2"); wait $!', sample, str(folder / "out"))
    assert done.returncode == 0, done
    assert done.stdout.startswith(f"Wrote {LINES} lines to /dev/fd/")
    assert_whole(folder / "out")


@pytest.mark.parametrize("into", ["-", "/dev/fd/1"])
def test_stdout_that_leads_into_a_database_is_refused(sample: str, into: str) -> None:
    store = path_of(sample)
    before = store.read_bytes()
    assert shell('PROGRAM --store "$1" export "$2" >>"$3"', sample, into, str(store)).returncode == 3
    assert store.read_bytes() == before


# Broken off

ENDLESS = """
import asyncio, sys
from vestige_tui.cli import portable
from vestige_tui.__main__ import main

real = portable.exported_lines

async def slow(*arguments, **options):
    async for line in real(*arguments, **options):
        yield {**line, "padding": "x" * 100_000}
    print("half", flush=True)
    await asyncio.Event().wait()

portable.exported_lines = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("exists", [True, False])
def test_an_export_that_is_broken_off_leaves_the_file_as_it_was(
    sample: str, folder: Path, end: signal.Signals, exists: bool
) -> None:
    path = folder / "out.jsonl"
    if exists:
        path.write_text("old\n")
    command = [sys.executable, "-c", ENDLESS, "--store", sample, "export", str(path), "--yes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(end)
        assert process.wait(PATIENCE_SECONDS) == (-end if end == signal.SIGKILL else 130)
    left = contents(folder)
    assert left.pop("out.jsonl", None) == (b"old\n" if exists else None)
    assert len(left) == (1 if end == signal.SIGKILL else 0)
