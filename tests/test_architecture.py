"""The rules of the house that an import contract cannot say."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import vestige_tui
from tests.support.source_tree import ROOT, modules
from vestige_tui.core.log import SAFE_MESSAGES
from vestige_tui.embedding import runtime
from vestige_tui.jobs.worker import KINDS
from vestige_tui.store.schema.named_sql import sql_folder

DRIVERS = {"sqlite3", "aiosqlite", "psycopg", "psycopg_pool", "pgvector"}


def table_names() -> set[str]:
    """Every table that a migration makes."""
    found: set[str] = set()
    for path in sql_folder().rglob("*.up.sql"):
        found |= set(re.findall(r"CREATE (?:VIRTUAL )?TABLE (\w+)", path.read_text(encoding="utf-8")))
    return found


def docstrings(tree: ast.Module) -> set[int]:
    """The constants that are docstrings."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return {id(node.value) for node in nodes}


@pytest.mark.slow
def test_table_names_occur_only_under_sql() -> None:
    names = table_names()
    assert {"knowledge_nodes", "node_embeddings", "supersession_events"} <= names
    # Words that are also plain English are only looked for where SQL is around them.
    telling = {name for name in names if "_" in name}
    offences = []
    for name, tree in modules():
        skip = docstrings(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in skip:
                continue
            statement = re.search(
                r"\b(SELECT .* FROM (?!pragma_)|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE)\b", node.value
            )
            words = set(re.findall(r"\w+", node.value))
            # An archive of another program names its tables.
            exempt = name.startswith(("jobs/", "transfer/", "reembed/", "import_formats/"))
            if statement or ((telling & words) and not exempt):
                offences.append(f"{name}:{node.lineno}: {node.value[:60]!r}")
    assert offences == []


@pytest.mark.slow
def test_drivers_are_imported_by_their_backends_only() -> None:
    allowed = {
        "store/backends/sqlite.py": {"sqlite3"},
        "store/backends/sqlite_adoption.py": {"sqlite3"},
        "store/backends/sqlite_backup.py": {"sqlite3"},
        "store/backends/server_images.py": {"sqlite3"},
        "store/backends/sqlite_connection.py": {"sqlite3", "aiosqlite"},
        "store/backends/sqlite_errors.py": {"sqlite3"},
        "store/backends/sqlite_file.py": {"sqlite3"},
        "store/backends/sqlite_inspection.py": {"sqlite3"},
        "store/backends/sqlite_readers.py": {"sqlite3"},
        "store/backends/sqlite_restore.py": {"sqlite3"},
        "store/backends/sqlite_rows.py": {"sqlite3"},
        "store/backends/sqlite_search.py": {"sqlite3"},
        "store/backends/sqlite_text_check.py": {"sqlite3"},
        "store/backends/sqlite_wal.py": {"sqlite3"},
        "store/backends/sqlite_writer.py": {"sqlite3"},
        "store/schema/adoption.py": {"sqlite3"},
        "store/schema/sqlite_scripts.py": {"sqlite3"},
        "store/schema/vestige_files.py": {"sqlite3"},
        "store/backends/driver_versions.py": {"sqlite3", "psycopg"},
        "store/backends/postgres.py": {"psycopg", "psycopg_pool"},
        "store/backends/embedded_upgrade.py": {"psycopg"},
        "store/backends/postgres_connection.py": {"psycopg"},
        "store/backends/postgres_hosts.py": {"psycopg"},
        "store/backends/postgres_replica.py": {"psycopg", "psycopg_pool"},
        "store/backends/postgres_errors.py": {"psycopg", "psycopg_pool"},
        "store/backends/postgres_listener.py": {"psycopg"},
        "store/backends/postgres_pool.py": {"psycopg", "psycopg_pool", "pgvector"},
        "store/backends/postgres_pooler.py": {"psycopg"},
        "store/backends/postgres_request.py": {"psycopg"},
        "store/backends/postgres_parents.py": {"psycopg"},
        "store/backends/postgres_rows.py": {"psycopg"},
        "store/backends/postgres_settings.py": {"psycopg"},
        "transfer/file_tables.py": {"sqlite3"},
        "transfer/server_restore.py": {"psycopg"},
        "transfer/sqlite_source.py": {"sqlite3"},
        "transfer/postgres_source.py": {"psycopg"},
        "transfer/postgres_target.py": {"psycopg"},
        "transfer/sqlite_target.py": {"sqlite3"},
    }
    for name, tree in modules():
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
        assert imported & DRIVERS <= allowed.get(name, set()), name


RUNTIME = "fastembed|onnxruntime|huggingface_hub|hf_xet"
IMPORT_IN_TEXT = re.compile(rf"\b(?:import\s(?:[\w., ]*\W)?|from\s+)(?:{RUNTIME})\b")


def imports_runtime(node: ast.AST) -> bool:
    """Check for an import of the model runtime, also in code that a string holds."""
    names: list[object] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
        names = [each.value for each in node.args if isinstance(each, ast.Constant)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(IMPORT_IN_TEXT.search(node.value))
    return any(re.match(rf"(?:{RUNTIME})\b", str(name)) for name in names)


def test_the_model_runtime_is_imported_by_its_door_only() -> None:
    """Any other import may come before its telemetry is off; the door imports by the name that it is given."""
    offences = []
    for folder in ("vestige_tui", "tests", "benchmarks", "screenshots"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if path == Path(__file__) or not re.search(RUNTIME, source):
                continue
            if any(map(imports_runtime, ast.walk(ast.parse(source)))):
                offences.append(str(path.relative_to(ROOT)))
    assert offences == []
    assert "os.environ.update(NO_TELEMETRY)\n    return import_module" in inspect.getsource(runtime.library)


@pytest.mark.parametrize(
    "code",
    [
        "import fastembed",
        "import sys, onnxruntime as ort",
        "from huggingface_hub.constants import ENDPOINT",
        "importlib.import_module('fastembed.common')",
        "run(['python', '-c', 'import sys, fastembed; fastembed.TextEmbedding()'])",
    ],
)
def test_each_spelling_of_that_import_is_seen(code: str) -> None:
    assert any(map(imports_runtime, ast.walk(ast.parse(code))))


@pytest.mark.slow
def test_only_backends_and_their_sql_ask_for_the_dialect() -> None:
    for name, tree in modules():
        if name.startswith("store/backends/"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
                assert not any(getattr(part, "attr", getattr(part, "id", "")) == "dialect" for part in parts), (
                    f"{name}:{node.lineno} asks for the dialect: that is a capability of the backend"
                )


@pytest.mark.slow
def test_a_stores_backend_is_reached_by_the_store_and_by_jobs_only() -> None:
    for name, tree in modules():
        if name.startswith(("store/", "jobs/", "transfer/", "reembed/")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "backend":
                owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
                assert not owner.endswith("store"), f"{name}:{node.lineno}"


@pytest.mark.slow
def test_styles_are_written_from_state_and_never_read_as_state() -> None:
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("has_class", "classes"), f"{name}:{node.lineno} reads a CSS class"


def error_kinds() -> set[str]:
    """Return the names of VestigeError and of all that derive from it."""
    kinds = {"VestigeError"}
    bases = {
        node.name: {ast.unparse(base).split(".")[-1] for base in node.bases}
        for _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    while added := {name for name, parents in bases.items() if parents & kinds} - kinds:
        kinds |= added
    return kinds


@pytest.mark.slow
def test_no_error_is_suppressed_without_a_line_in_the_log() -> None:
    # BadChip is a fault of a filter that is typed at that moment: the answer of a parser, and nothing has failed.
    kinds = error_kinds() - {"BadChip"} | {"Exception", "BaseException", "PoolTimeout", "TooManyRequests", "PoolClosed"}
    offences = []

    def is_kind(node: ast.expr | None) -> bool:
        if isinstance(node, ast.Tuple):
            return any(map(is_kind, node.elts))
        name = "" if node is None else ast.unparse(node)
        return not name or name.split(".")[-1] in kinds or name.startswith(("psycopg.", "sqlite3.", "errors."))

    def leaves_a_trace(handler: ast.ExceptHandler) -> bool:
        nodes = [node for statement in handler.body for node in ast.walk(statement)]
        return any(
            isinstance(node, ast.Raise)
            or (isinstance(node, ast.Name) and node.id == handler.name)
            or (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "log")
            for node in nodes
        )

    for name, tree in modules():
        if name == "process/log_file.py":
            continue  # the log itself has no other place to report to
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and is_kind(node.type) and not leaves_a_trace(node):
                offences.append(f"{name}:{node.lineno} is silent about an error")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("suppress", "contextlib.suppress"):
                offences += [f"{name}:{node.lineno} suppresses silently" for each in node.args if is_kind(each)]
    assert offences == []


@pytest.mark.slow
def test_no_wait_loses_a_cancellation() -> None:
    """``asyncio.wait_for`` of Python 3.11 does, if what it waits for comes at once with it; ``timeout`` does not."""
    offences = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).split(".")[-1] == "wait_for"
    ]
    assert offences == []


@pytest.mark.slow
def test_log_lines_take_errors_as_arguments() -> None:
    """The formatter decides what of an error is written; a text that is put together before it would pass by."""
    offences = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.") and name != "core/log.py":
                for part in (each for argument in node.args for each in ast.walk(argument)):
                    is_message = isinstance(part, ast.Attribute) and part.attr == "message"
                    is_call = isinstance(part, ast.Call) and ast.unparse(part.func) in ("str", "repr", "format")
                    if is_message or is_call or isinstance(part, ast.JoinedStr):
                        offences.append(f"{name}:{node.lineno}")
    assert offences == []


@pytest.mark.slow
def test_a_class_of_errors_is_logged_with_its_message_only_if_that_can_quote_no_text() -> None:
    """Every class is decided: whoever adds one comes by here."""
    quoting = {
        "BadChip", "BadLine", "Cancelled", "CheckpointUnreadable", "ConfigError", "Conflict", "NotFound",
        "ReembeddingUnderWay", "Refused", "RightMissing", "TimeOutOfRange", "Unwritable", "Usage", "VestigeError",
    }  # fmt: skip
    assert error_kinds() == quoting | {kind.__name__ for kind in SAFE_MESSAGES}


@pytest.mark.slow
def test_workers_begin_alike_on_every_python() -> None:
    """None is begun by Textual itself: its body would run before the line after it, on some Pythons."""
    ours = 0
    for name, tree in modules():
        if name == "tui/workers.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert not (node.module or "").startswith("textual") or "work" not in names, f"{name}:{node.lineno}"
                ours += node.module == "vestige_tui.tui.workers"
            elif isinstance(node, ast.Attribute):
                assert node.attr != "run_worker", f"{name}:{node.lineno}"
    assert ours


@pytest.mark.slow
def test_what_starts_the_program_in_a_terminal_is_marked() -> None:
    """So that it can be run alone, on every Python that is here."""
    starting = {"tests.support.terminal", "tests.start_check"}
    marked = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if imported & starting:
            attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert "pytest.mark.terminal" in attributes, path
            marked.append(path.name)
    assert "test_first_paint.py" in marked


@pytest.mark.slow
def test_test_modules_import_no_test_module_and_no_conftest() -> None:
    """Helpers are in tests/support, and fixtures reach a test by their names."""
    test_modules = {path.stem for path in (ROOT / "tests").rglob("*.py") if path.stem.startswith(("test_", "conftest"))}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            imported = {part for name in names for part in name.split(".")}
            assert not imported & test_modules, f"{path}:{node.lineno} imports {imported & test_modules}"


def test_nothing_shows_markup() -> None:
    """Every widget that would read stored text as markup is told not to."""
    readers = {
        "Static",
        "Label",
        "OptionList",
        "SelectionList",
        "Tree",
        "DataTable",
        "Button",
        "Checkbox",
        "Collapsible",
    }
    for name, tree in modules():
        if not name.startswith("tui/"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in readers:
                told = [word for word in node.keywords if word.arg == "markup"]
                assert told, f"{name}:{node.lineno}: {node.func.id} without markup=False"
                assert isinstance(told[0].value, ast.Constant)
                assert told[0].value.value is False
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "notify":
                assert any(word.arg == "markup" for word in node.keywords), f"{name}:{node.lineno}: notify reads markup"


def imported_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split(".")[0] for line in done.stdout.splitlines()} | set(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("url", "foreign"),
    [("sqlite:store.db", {"psycopg", "psycopg_pool", "pgvector"}), ("postgresql://host/db", {"aiosqlite", "sqlite3"})],
)
def test_a_store_imports_only_its_own_driver(url: str, foreign: set[str]) -> None:
    imported = imported_by(f"from vestige_tui import open_store; open_store({url!r})")
    assert not imported & foreign
    assert not imported & {"textual", "rich", "fastembed", "onnxruntime"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_job_has_its_module(kind: str) -> None:
    """They are named by strings, because jobs know neither what is copied nor what is embedded."""
    module = import_module(KINDS[kind])
    assert inspect.iscoroutinefunction(module.check)
    assert inspect.iscoroutinefunction(module.run)


def test_the_package_is_light_and_gives_every_public_name() -> None:
    assert not {each for each in imported_by("import vestige_tui") if each.startswith("vestige_tui.")}
    assert set(vestige_tui.__all__) <= set(dir(vestige_tui))
    for name in vestige_tui.__all__:
        assert getattr(vestige_tui, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'open_shop'"):
        vestige_tui.open_shop  # noqa: B018


def test_the_entry_is_light() -> None:
    imported = imported_by("import vestige_tui.__main__")
    assert not imported & {"textual", "rich", "fastembed", "onnxruntime", "numpy", "psycopg", "aiosqlite", "fsrs"}


@pytest.mark.slow
def test_sql_reaches_an_installed_package(tmp_path: Path) -> None:
    """The wheel carries sql/, the models and the sample store inside the package."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    import zipfile

    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "vestige_tui/sql/sqlite/queries.sql",
        "vestige_tui/sql/postgres/migrations/0002_hnsw.up.sql",
        "vestige_tui/sql/sqlite/vestige/view_templates.sql",
        "vestige_tui/models/all-MiniLM-L6-v2/tokenizer.json",
        "vestige_tui/data/demo.jsonl",
        "vestige_tui/tui/reading_place.tcss",
    ):
        assert needed in names
