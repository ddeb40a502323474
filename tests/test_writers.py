"""No module but the door makes, fills or replaces a file, except where this says why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from tests.support.source_tree import modules

DOOR = "core/files.py"
OTHERS = {
    ("cli/program.py", "_open_closed_streams", "os.open"): "the null device, where a stream came closed",
    ("cli/program.py", "_open_closed_streams", "os.fdopen"): "the null device, where a stream came closed",
    ("cli/program.py", "_drop_stdout", "os.open"): "the null device, where the reader of stdout went away",
    ("config/search_history.py", "_locked", "os.open"): "a lock, which stays empty",
    ("embedding/encoder_pool.py", "serve", "os.fdopen"): "a pipe",
    ("jobs/known_stores.py", "_locked", "os.open"): "a lock, which stays empty",
    ("jobs/start.py", "spawn_worker", "os.open"): "a worker's log, which is appended to",
    ("jobs/worker_sign.py", "WorkerSign.__enter__", "os.open"): "a worker's sign, which is overwritten in place",
    (
        "store/backends/embedded_postgres.py",
        "EmbeddedServer.open",
        "os.open",
    ): "locks, leases and the server's log, which follow no link",
    (
        "store/backends/embedded_postgres.py",
        "EmbeddedServer.launch",
        "os.ftruncate",
    ): "the server's log, begun again where it has grown too long",
    (
        "store/backends/embedded_postgres.py",
        "EmbeddedServer.make_cluster",
        ".rename",
    ): "a whole directory, where there is none",
    ("store/backends/embedded_programs.py", "finish_upgrade", ".rename"): "a whole directory, where there is none",
    ("store/backends/embedded_upgrade.py", "upgrade", ".rename"): "a whole directory, to a name that is free",
    ("process/log_file.py", "SharedLogFile._open_file", "os.open"): "the log, to which several processes append",
    ("process/log_file.py", "SharedLogFile._append", "os.ftruncate"): "a line of the log that was written in part",
    ("process/log_file.py", "SharedLogFile._rotate", "os.replace"): "the log, by a number behind its name",
    ("store/backends/sqlite.py", "SqliteBackend._prepare", "os.open"): "a store, made empty where there is none",
    ("store/backends/sqlite_restore.py", "_prepare", "os.open"): "a draft of a store, filled by SQLite",
    ("store/backends/sqlite_restore.py", "restore_file", "os.rename"): "a whole store, in place of the one restored",
    ("store/backends/sqlite_restore.py", "_keep", "os.link"): "a damaged store, under a name that is free",
    ("store/backends/sqlite_restore.py", "_keep", "os.open"): "the same, where there are no links",
    ("store/backends/sqlite_restore.py", "_keep", "os.fdopen"): "the same, where there are no links",
    ("store/backends/sqlite_restore.py", "_keep", "shutil.copyfileobj"): "the same, where there are no links",
    ("core/drafts.py", "_create_lock", "os.open"): "a lock, which stays empty",
    ("core/drafts.py", "_remove_if_abandoned", "os.open"): "a lock, which stays empty",
}
"""What writes past the door, and what it is."""

WRITE = {
    *("os.link", "os.symlink", "os.rename", "os.renames", "os.replace", "os.truncate", "os.ftruncate"),
    *("os.mknod", "os.mkfifo", "os.sendfile", "os.copy_file_range", "io.FileIO"),
    *("shutil.move", "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copyfileobj", "shutil.copytree"),
    *("tempfile.mkstemp", "tempfile.NamedTemporaryFile"),
    *(".write_text", ".write_bytes", ".rename", ".symlink_to", ".hardlink_to"),
}
"""Functions, and methods of a path, that always write."""
OPEN = {"open": 1, "io.open": 1, "os.fdopen": 1, "codecs.open": 1, ".open": 0}
"""Functions that write by their mode, and the place of that."""
READS = {"O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_DIRECTORY", "O_PATH"}


def writers(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The functions that write files, and what they call to do so."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def walk(node: ast.AST, scope: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scope = (*scope, node.name)
        if isinstance(node, ast.Call) and writes(node, called := called_name(node.func, names)):
            yield ".".join(scope), called
        for child in ast.iter_child_nodes(node):
            yield from walk(child, scope)

    return walk(tree, ())


def called_name(function: ast.expr, names: Mapping[str, str]) -> str:
    """``os.open`` for a function, by whatever name it was imported; ``.open`` for a method of anything else."""
    if isinstance(function, ast.Name):
        return names.get(function.id, function.id)
    if not isinstance(function, ast.Attribute):
        return ""
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    known = f"{names.get(owner, '')}.{function.attr}"
    return known if known in WRITE or known in OPEN or known == "os.open" else f".{function.attr}"


def writes(call: ast.Call, called: str) -> bool:
    if called == "os.open":
        flags = {node.attr for node in ast.walk(call.args[1]) if isinstance(node, ast.Attribute)}
        return not flags or not flags <= READS
    if called == ".replace":  # of a text it takes two arguments, of a value only names
        return len(call.args) == 1 and not call.keywords
    if called == ".touch":
        return any(word.arg in ("mode", "exist_ok") for word in call.keywords) or bool(call.args)
    if called not in OPEN:
        return called in WRITE
    place = OPEN[called]
    modes = [word.value for word in call.keywords if word.arg == "mode"] or call.args[place : place + 1]
    return any(is_writing(mode, certain=called != ".open") for mode in modes)


def is_writing(mode: ast.expr, *, certain: bool) -> bool:
    """Does a mode allow writing? What may as well be the argument of another method has to look like one."""
    if not isinstance(mode, ast.Constant) or not isinstance(mode.value, str):
        return certain
    return bool(re.search("[wxa+]", mode.value) if certain else re.fullmatch(r"[rbt]*[wxa+][bt+]*", mode.value))


@pytest.mark.slow
def test_every_document_passes_the_door() -> None:
    found = {(name, scope, called) for name, tree in modules() if name != DOOR for scope, called in writers(tree)}
    assert found == set(OTHERS)


@pytest.mark.parametrize(
    "code",
    [
        "open(p, 'w')",
        "open(p, mode='ab')",
        "open(p, 'r+')",
        "open(p, how)",
        "io.open(p, 'x')",
        "os.open(p, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)",
        "os.open(p, flags)",
        "system.open(p, system.O_RDWR)",
        "os.fdopen(d, 'w')",
        "os.replace(a, b)",
        "rename(a, b)",
        "shift(a, b)",
        "shutil.copyfile(a, b)",
        "tempfile.mkstemp()",
        "tempfile.NamedTemporaryFile(delete=False)",
        "Path(p).open('w')",
        "p.open(mode='a')",
        "p.write_text('x')",
        "p.write_bytes(b'x')",
        "p.replace(q)",
        "p.parent.rename(q)",
        "p.touch(exist_ok=False)",
    ],
)
def test_what_writes_is_found(code: str) -> None:
    imports = "import io, os, os as system, shutil, tempfile\nfrom os import rename\nfrom shutil import move as shift\n"
    assert [scope for scope, _ in writers(ast.parse(f"{imports}def f():\n    {code}"))] == ["f"]


@pytest.mark.parametrize(
    "code",
    [
        "open(p)",
        "open(p, 'rb')",
        "open(p, encoding='utf-8')",
        "os.open(p, os.O_RDONLY | os.O_CLOEXEC)",
        "p.open('rb')",
        "self.open('server.log', os.O_RDONLY)",
        "backend.open()",
        "text.replace('a', 'b')",
        "moment.replace(tzinfo=UTC)",
        "dataclasses.replace(value, name=1)",
        "link.touch()",
        "tempfile.TemporaryFile()",
    ],
)
def test_what_only_reads_is_not(code: str) -> None:
    assert list(writers(ast.parse(f"import os, tempfile\n{code}"))) == []
