"""Imports of lines and files that cannot be taken, imports that are broken off, and exports that are imported."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.lab import PROGRAM_SECONDS, Lab, answer, refusal, wait_while
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, texts
from tests.support.command_line import sample_id
from tests.support.file_limits import limit_file_bytes
from tests.support.portable_lines import FAILED_LINES, PLAIN_LINES, REPAIRED_LINES, as_bytes

FOREIGN = {
    "archive of a later version": '{"archiveFormat":"vestige.portable.v2","tables":[]}',
    "archive of a later version, over lines": '{\n "archiveFormat": "vestige.portable.v2",\n "tables": [\n',
}
"""Files of a format that import knows and cannot read."""
NAMES = ("vestige.portable.v1",)
"""Names of formats in a refusal."""


def _hostile_lines() -> tuple[list[bytes], list[str], range, range]:
    """Return lines, the texts of the good ones, and the numbers of the lines to be repaired and to be refused."""
    good = [f"good line {number}" for number in range(2)]
    lines = [as_bytes(json.dumps({"content": text, "id": sample_id(n)})) for n, text in enumerate(good)]
    between = [*PLAIN_LINES.values(), *REPAIRED_LINES.values(), *FAILED_LINES.values()]
    first_repaired = 2 + len(PLAIN_LINES)
    first_failed = first_repaired + len(REPAIRED_LINES)
    repaired, failed = range(first_repaired, first_failed), range(first_failed, first_failed + len(FAILED_LINES))
    return [lines[0], *map(as_bytes, between), lines[1]], good, repaired, failed


def _import(lab: Lab, url: str, data: bytes, *options: str) -> tuple[int, Mapping[str, Any], str]:
    """Import lines from stdin; return the status, the document and the sentences."""
    result = lab.run("--store", url, "import", "-", "--json", *options, stdin=data)
    assert result.out, f"ended with {result.status}: {result.err[:300]}"
    return result.status, json.loads(result.out), result.err


@fault(31, "import of lines that no store can hold")
def failing_lines(lab: Lab) -> FaultResult:
    lines, good, repaired, failed = _hostile_lines()
    attempts: list[Attempt] = []
    with lab.database() as server:
        for url in (server, f"sqlite:{lab.path('store.db')}"):
            answer(lab.run("--store", url, "schema", "up", "--json"))
            status, document, _ = _import(lab, url, b"\n".join(lines) + b"\n")
            assert status == 4, f"ended with {status}"
            assert sorted(each["line"] for each in document["errors"]) == list(failed), document["errors"]
            assert sorted(each["line"] for each in document["repairs"]) == list(repaired), document["repairs"]
            taken = len(lines) - len(failed)
            assert (document["read"], document["inserted"]) == (len(lines), taken)
            stored = texts(url)
            counts = against_acknowledged(good, stored)[0], stored.total() - taken
            attempts += [Attempt(f"line {each['line']}: {each['message']}", *counts) for each in document["errors"][:1]]
            attempts += [Attempt(f"line {each['line']}: {each['message']}") for each in document["errors"][1:]]
            answer(lab.run("--store", url, "undo", str(document["undo"]), "--json"))
            assert not texts(url), "the undo left some of the import"
    return summarize(attempts)


@fault(32, "import of a file in a later format")
def foreign_file(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    with lab.database() as server:
        answer(lab.run("--store", server, "schema", "up", "--json"))
        for number, (name, text) in enumerate(FOREIGN.items()):
            path, new = lab.path(f"{number}.json"), lab.path(f"new-{number}.db")
            path.write_text(text, encoding="utf-8")
            for url in (server, f"sqlite:{new}"):
                result = lab.run("--store", url, "import", str(path))
                assert result.status == 3, f"{name}: ended with {result.status}"
                assert any(each in result.err for each in NAMES), f"{name}: the format is not named: {result.err}"
                attempts.append(Attempt(refusal(result)))
            assert not new.exists(), f"{name}: a store was created before the refusal"
        assert not texts(server), "something was imported"
    return summarize(attempts)


def _interrupt(lab: Lab, url: str, how: signal.Signals) -> Attempt:
    """Interrupt an import from a pipe that stays open after its third batch; undo what it tells."""
    with lab.start("--store", url, "import", "-", "--json") as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(b'{"content": "piped %d"}\n' % number for number in range(200)))
        process.stdin.flush()
        wait_while(lambda: texts(url).total() < 192, PROGRAM_SECONDS)
        process.send_signal(how)
        assert process.stdout is not None
        assert process.stderr is not None
        # The pipe stays open until the end: the program does not wait for its other side.
        process.wait(PROGRAM_SECONDS)
        out, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130, f"ended with {process.returncode}: {err[:300]!r}"
    document, stored = json.loads(out), texts(url)
    assert document["inserted"] == stored.total() >= 192, f"{document['inserted']} were told"
    answer(lab.run("--store", url, "undo", str(document["undo"]), "--json"))
    assert not texts(url), "the undo left some of the import"
    message = f"{document['read']} read: {document['inserted']} inserted. {err.decode().splitlines()[-1].strip()}"
    return Attempt(message, max(0, document["inserted"] - stored.total()), stored.total() - len(stored))


def _fill_disk(lab: Lab, path: Path) -> Attempt:
    """Import into a file that may not grow further; undo what was told to be stored."""
    url = lab.new_store(path.name)
    data = b"".join(b'{"content": "%d %s"}\n' % (number, b"x" * 4_000) for number in range(400))
    with limit_file_bytes(900_000):
        status, document, err = _import(lab, url, data)
    assert status == 1, f"ended with {status}"
    assert f"the disk of {path} is full" in err, err
    stored = texts(url)
    assert document["inserted"] > 0
    answer(lab.run("--store", url, "undo", str(document["undo"]), "--json"))
    assert not texts(url), "the undo left some of the import"
    lost, doubled = document["inserted"] - stored.total(), stored.total() - len(stored)
    return Attempt(err.strip().splitlines()[-1], abs(lost), doubled)


@fault(33, "import that is interrupted, or fills the disk")
def broken_off_import(lab: Lab) -> FaultResult:
    attempts = [_fill_disk(lab, lab.path("full.db"))]
    with lab.database() as server:
        for url in (server, f"sqlite:{lab.path('store.db')}"):
            answer(lab.run("--store", url, "schema", "up", "--json"))
            attempts.append(_interrupt(lab, url, signal.SIGINT if url == server else signal.SIGTERM))
    return summarize(attempts)


def _exported(lab: Lab, url: str, name: str) -> bytes:
    path = lab.path(name)
    result = lab.run("--store", url, "export", str(path))
    assert result.status == 0, result.err
    return path.read_bytes()


@fault(34, "export that is imported into another database")
def exported_and_imported(lab: Lab) -> FaultResult:
    """Take the hostile lines that have a UUID around: SQLite, PostgreSQL, SQLite."""
    with lab.database() as server, lab.database() as other:
        urls = [f"sqlite:{lab.path('first.db')}", server, f"sqlite:{lab.path('last.db')}", other]
        for url in urls:
            answer(lab.run("--store", url, "schema", "up", "--json"))
        lines = [
            line
            for line in (*PLAIN_LINES.values(), *REPAIRED_LINES.values())
            if '"id": "mem' not in line and '"id": 7' not in line
        ]
        status, document, _ = _import(lab, urls[0], "\n".join(lines).encode("utf-8", "surrogatepass"))
        assert (status, document["failed"]) == (0, 0), document["errors"]
        _link(lab, urls[0])
        first = _exported(lab, urls[0], "0.jsonl")
        attempts: list[Attempt] = []
        for number, url in enumerate(urls[1:], start=1):
            result = lab.run("--store", url, "import", str(lab.path(f"{number - 1}.jsonl")))
            assert result.status == 0, result.err
            again = _exported(lab, url, f"{number}.jsonl")
            before, after = set(first.splitlines()), set(again.splitlines())
            counts = len(before - after), len(after - before)
            assert any(counts) or again == first, "the lines have another order"
            attempts.append(Attempt(result.out.strip().splitlines()[0], *counts))
    return summarize(attempts)


def _link(lab: Lab, url: str) -> None:
    """Give a store a link, a review, a mark and a replacement."""
    one, two, three, *_ = (each["id"] for each in answer(lab.run("--store", url, "list", "--json"))["items"])
    for command in (
        ("link", one, two),
        ("review", one, "good"),
        ("review", "suspend", two),
        ("supersede", three, "--by", one),
    ):
        result = lab.run("--store", url, *command)
        assert result.status == 0, f"{command[0]}: {result.err}"
