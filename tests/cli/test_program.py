"""The program as a whole: statuses, streams, what is imported, and that no traceback reaches a person."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import SENTENCES, Command, run_process, sample_id
from tests.support.polling import POLL_SECONDS
from vestige_tui import __version__
from vestige_tui.cli.program import parser


def test_version(run: Command) -> None:
    assert run("--version").out == f"vestige-tui {__version__}\n"
    assert run("list", "--version").status == 2


def loaded(*arguments: str) -> set[str]:
    """The modules that a run imports."""
    program = (
        "import sys\nfrom vestige_tui.__main__ import main\n"
        "status = main(sys.argv[1:])\nsys.stderr.write(' '.join(sys.modules))\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.slow
def test_a_store_imports_its_own_driver_alone(sample: str, postgres_database: str) -> None:
    sqlite = loaded("--store", sample, "--json", "list", "--limit", "1")
    assert not {"psycopg", "psycopg_pool", "pgvector", "textual", "rich", "fastembed", "onnxruntime"} & sqlite
    assert "aiosqlite" in sqlite
    subprocess.run([sys.executable, "-m", "vestige_tui", "--store", postgres_database, "schema", "up"], check=True)
    postgres = loaded("--store", postgres_database, "--json", "list", "--limit", "1")
    assert not {"aiosqlite", "textual", "rich", "fastembed", "onnxruntime"} & postgres
    assert "psycopg" in postgres


def test_version_imports_next_to_nothing() -> None:
    assert not {"argparse", "asyncio", "dataclasses", "json", "vestige_tui.cli"} & loaded("--version")


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"], ["search", " "], ["list", "--limit", "0"], ["list", "--limit", "many"], ["nonsense"],
        ["list", "--since", "soon"], ["list", "--after", "nonsense"], ["search", "x", "--mode", "psychic"],
        ["show"], ["jobs"], ["schema"], ["migrate", "backwards"], ["list", "--min-retrievability", "2"],
        ["due", "--before", "never"], ["list", "extra"], ["link", "a"], ["backup"], [],
    ],
)  # fmt: skip
def test_wrong_usage(run: Command, sample: str, arguments: list[str]) -> None:
    ran = run("--store", sample, "--json", *arguments)
    assert ran.status == 2
    assert ran.json["error"]["code"] == "usage"
    assert ran.err.strip() == ran.json["error"]["message"]
    told = run("--store", sample, *arguments) if arguments else ran
    assert told.status == 2
    assert told.err == ran.err


def test_json_may_stand_behind_the_command(run: Command, sample: str) -> None:
    behind = run("edges", sample_id(0), "--json", "--store", sample)
    assert behind.json == run("--json", "--store", sample, "edges", sample_id(0)).json
    assert run("--store", sample, "search", "--", "--json").status == 0


def test_every_command_has_help(run: Command) -> None:
    commands = [
        line.split()[0] for line in run("--help").out.splitlines() if line.startswith("    ") and line[4] != " "
    ]
    assert len(commands) > 25
    for command in commands:
        assert run(command, "--help").out.startswith("usage: vestige-tui")
    assert parser().prog == "vestige-tui"


def test_a_mistyped_path_makes_nothing(run: Command, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for url in (f"sqlite:{tmp_path / 'no.db'}", str(tmp_path / "no.db"), f"pgembed:{tmp_path / 'no'}"):
        for arguments in (["search", "x"], ["list"], ["stats"], ["schema", "info"], ["schema", "down"], ["undo"]):
            ran = run("--store", url, "--json", *arguments)
            assert (ran.status, ran.json["error"]["code"]) == (1, "unavailable")
    state = tmp_path / "home" / ".local"  # of the log
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(state)] == before


def test_without_a_store_the_ways_on_are_named(run: Command, tmp_path: Path) -> None:
    for url in ((), ("--store", str(tmp_path / "no.db")), ("--store", f"pgembed:{tmp_path / 'no'}")):
        message = run(*url, "list").err
        assert message.startswith("There is no store at ")
        for way in ("--store", "vestige-tui demo", "add TEXT" if "pgembed" not in str(url) else "schema up"):
            assert way in message


def test_one_folder_for_everything(run: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "all").mkdir()
    monkeypatch.setenv("VESTIGE_TUI_HOME", str(home / "all"))
    assert run("add", "In one folder.").status == 0
    assert run("config", "init").status == 0
    assert {path.name for path in (home / "all").iterdir()} == {"data", "state", "vestige.toml"}
    assert [path.name for path in home.iterdir()] == ["all"]


def test_config_show_refuses_names_that_only_the_console_knows(run: Command, tmp_path: Path) -> None:
    settings = tmp_path / "vestige.toml"
    for text, sentence in (
        ('[ui]\ntheme = "vestige-dakr"\n', "did you mean vestige-dark?"),
        ('[keys]\n"memory.edti" = "e"\n', "did you mean memory.edit?"),
    ):
        settings.write_text(text)
        ran = run("--config", str(settings), "config", "show")
        assert ran.status == 1
        assert f"{settings}, line 2, column " in ran.err.replace("\n", " ")
        assert sentence in ran.err
        # The lists that help to mend it are printed all the same.
        assert run("--config", str(settings), "themes", "list").status == 0
        assert run("--config", str(settings), "keys", "list").status == 0


def test_the_usual_place_is_used_without_a_store(run: Command, home: Path) -> None:
    assert run("add", "In the usual place.").status == 0
    assert (home / ".local/share/vestige-tui/vestige.db").is_file()
    assert "In the usual place." in run("list").out


def test_a_foreign_or_broken_file(run: Command, tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database " * 1000)
    ran = run("--store", str(text), "--json", "list")
    assert (ran.status, ran.json["error"]["code"]) == (3, "refused")
    assert text.read_text() == "no database " * 1000


def test_settings_are_used_and_refused(run: Command, sample: str, tmp_path: Path) -> None:
    path = tmp_path / "vestige.toml"
    path.write_text(f'[storage]\nbackend = "sqlite"\n[storage.sqlite]\npath = "{sample.removeprefix("sqlite:")}"\n')
    assert SENTENCES[0][:20] in run("--config", str(path), "list").out
    path.write_text('[embeddings]\nmodel = "BAAI/bge-small-en-v1.5"\n')
    answered = run("--config", str(path), "--store", sample, "search", "signing keys", "--json")
    assert answered.status == 0
    assert answered.json["mode"] == "text"
    assert "bge-small" in answered.json["warnings"][0]
    refused = run("--config", str(path), "--store", sample, "search", "signing keys", "--mode", "vector", "--json")
    assert (refused.status, refused.json["error"]["code"]) == (3, "mismatch")
    added = run("--config", str(path), "--store", sample, "add", "without a vector", "--json")
    assert added.status == 0
    assert "Stored without a vector." in added.err
    path.write_text("[storage]\nbackend = 1\n")
    assert run("--config", str(path), "list", "--json").json["error"]["code"] == "failed"
    assert run("--config", str(tmp_path / "none.toml"), "list").status == 1


def test_config_commands(run: Command, home: Path) -> None:
    place = home / ".vestige" / "vestige.toml"
    assert run("config", "path").out == f"{place}\n"
    assert run("config", "path", "--json").json == {"path": str(place), "exists": False}
    assert run("config", "init").status == 0
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert run("config", "init").status == 3
    place.write_text(
        '[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "postgresql://me:s3cret@db/vestige"\n'
        'direct_url = "postgresql://me:s3cret@db1/vestige"\n'
    )
    for shown in (run("config", "show"), run("config", "show", "--json")):
        assert shown.status == 0
        assert "s3cret" not in shown.out + shown.err
        assert "postgresql://me:***@db/vestige" in shown.out
        assert "postgresql://me:***@db1/vestige" in shown.out


def test_no_password_in_an_error(run: Command) -> None:
    for url in ("postgresql://me:s3cret%20PW@127.0.0.1:1/none", "postgresql://me:s3cret PW@127.0.0.1:1/none"):
        ran = run("--store", url, "--json", "list")
        assert ran.status in (1, 2)
        assert "s3cret" not in ran.out + ran.err


def test_schema(run: Command, tmp_path: Path) -> None:
    store = str(tmp_path / "new.db")
    planned = run("--store", store, "schema", "up", "--dry-run", "--json").json
    assert not Path(store).exists()
    document = run("--store", store, "schema", "up", "--json").json
    assert document["changed"] == planned["changed"]
    assert document["changed"][0] == "0001_init"
    assert run("--store", store, "schema", "up").out == "No migration was pending.\n"
    steps = run("--store", store, "schema", "info", "--json").json["items"]
    assert set(steps[0]) == {"version", "name", "state", "checksum", "applied_at", "duration_ms", "waits_for"}
    assert {step["state"] for step in steps} == {"applied"}
    newest = f"{steps[-1]['version']:04d}_{steps[-1]['name']}"
    assert run("--store", store, "schema", "down", "--dry-run", "--json").json["changed"] == [newest]
    assert run("--store", store, "schema", "down", "--json").json["changed"] == [newest]
    run("--store", store, "add", "precious")
    refused = run("--store", store, "schema", "down", "--to", "0")
    assert refused.status == 3
    assert "--yes" in refused.err
    assert len(run("--store", store, "schema", "down", "--to", "0", "--yes", "--json").json["changed"]) == len(steps)
    left = run("--store", store, "schema", "info", "--json").json["items"]
    assert {step["state"] for step in left} == {"pending"}


def test_vacuum(run: Command, sample: str) -> None:
    assert set(run("--store", sample, "vacuum", "--json").json) == {"changed", "undo", "bytes_before", "bytes_after"}


def test_the_console_refuses_without_a_terminal(sample: str) -> None:
    for arguments in ([], ["demo"]):
        ran = run_process(*arguments, env={"VESTIGE_DATA_DIR": sample})
        assert ran.status == 3
        assert ran.out == ""
        assert ran.err.count("\n") == 1
        assert "terminal" in ran.err


def test_a_reader_that_goes_away_is_no_failure(sample: str) -> None:
    command = f"{sys.executable} -m vestige_tui --store {sample} list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    command = f"ulimit -f 0; {sys.executable} -m vestige_tui config path >{tmp_path / 'out'}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "The output could not be written: File too large.\n"


def test_what_nobody_foresaw_leaves_a_report_each_time(
    run: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("postgresql://me:s3cret@h/d")

    monkeypatch.setattr("vestige_tui.config.directories.default_path", fail)
    folder = home / ".local" / "state" / "vestige-tui"
    for reports in (1, 2):
        ran = run("config", "path")
        assert ran.status == 1
        assert "Unexpected error (ZeroDivisionError); " in ran.err
        assert len(list(folder.glob("failure-*.log"))) == reports
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "test_program.py" in path.read_text()
        assert "s3cret" not in path.read_text()
    folder.chmod(0o700)
    (folder.parent / "vestige-tui").rename(folder.parent / "other")
    folder.write_text("no folder")
    assert "its report could not be written" in run("config", "path").err


@pytest.mark.slow
def test_every_folder_that_a_command_creates_is_private(run: Command, home: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert run("add", "In the usual place.").status == 0
        assert run("--store", str(tmp_path / "some" / "where" / "store.db"), "schema", "up").status == 0
        copy = ("migrate", "copy", "--source", str(tmp_path / "some" / "where" / "store.db"))
        assert run(*copy, "--target", str(tmp_path / "else" / "where" / "store.db")).status == 0
    finally:
        os.umask(before)
    created = [path for root in (home, tmp_path / "some", tmp_path / "else") for path in root.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in created if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in created if path.is_file()} == {0o600}


def test_closed_streams(sample: str) -> None:
    command = f"{sys.executable} -m vestige_tui --store {sample} list <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stdout_without_unicode(run: Command, tmp_path: Path, encoding: str) -> None:
    store = str(tmp_path / "new.db")
    run("--store", store, "add", "Größe → 東京")
    env = {"PYTHONIOENCODING": encoding}
    assert "?" in run_process("--store", store, "list", env=env).out
    answer = run_process("--store", store, "list", "--json", env=env)
    assert answer.json["items"][0]["content"] == "Größe → 東京"
    assert answer.out.isascii()


@pytest.mark.slow
def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    # Where the tests run in the background of a shell they would hand on that ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "vestige_tui", "--store", str(tmp_path / "new.db"), "import", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"".join(b'{"content": "line %d"}\n' % number for number in range(200)))
    process.stdin.flush()
    # The last eight lines are no whole batch, and wait for more.
    while count_memories(tmp_path / "new.db") < 192:
        time.sleep(POLL_SECONDS)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert re.match(rb"(19\d|200) read: (192|200) inserted, 0 already present, 0 failed\.", out), out
    assert re.fullmatch(
        rb"Reading JSON Lines of this program\.\nRecorded as change (\d+), also if it is interrupted\. "
        rb"Undo: vestige-tui undo \1\nInterrupted\.\n",
        err,
    ), err


def count_memories(path: Path) -> int:
    """Return the number of memories in a file; 0 before it has tables."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM knowledge_nodes").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_what_nobody_foresaw_goes_to_a_private_file(
    run: Command, sample: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("postgresql://me:s3cret@db/x \x1b[2J")

    monkeypatch.setattr("vestige_tui.store.maintenance.MaintenanceService.stats", broken)
    ran = run("--store", sample, "stats", "--json")
    assert ran.status == 1
    assert ran.json["error"]["code"] == "failed"
    assert ran.err.count("\n") == 1
    [log] = (home / ".local/state/vestige-tui").glob("failure-*.log")
    assert str(log) in ran.err
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    text = log.read_text()
    assert "Traceback" in text
    assert "s3cret" not in text
    assert "\x1b" not in text


def test_an_ambiguous_prefix(run: Command, tmp_path: Path) -> None:
    store, lines = str(tmp_path / "new.db"), tmp_path / "in.jsonl"
    lines.write_text("".join(f'{{"id": "{sample_id(0)[:35]}{digit}", "content": "x"}}\n' for digit in "ab"))
    run("--store", store, "import", str(lines))
    ran = run("--store", store, "--json", "show", sample_id(0)[:20])
    assert (ran.status, ran.json["error"]["code"]) == (2, "usage")


@pytest.mark.slow
def test_the_process_ends_as_the_function_does(sample: str) -> None:
    ran = run_process("--store", sample, "--json", "search", "nightly backup", "--mode", "text")
    assert (ran.status, ran.err) == (0, "")
    assert ran.json["hits"][0]["memory"]["id"] == sample_id(1)
    assert run_process("--store", sample, "show", "ffffffff").status == 1
