"""Write what every command prints as JSON, so that two versions of the program can be compared.

``python -m tests.support.json_outputs FOLDER PROGRAM [PROGRAM]`` runs each program on a demo store and on a Vestige
file of its own, in a home of its own, and writes one document for each command. Times, durations, sizes, paths and ids
made anew are replaced by their kind. With two programs it ends with 1 where their documents differ.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.vestige_files import make_v18

SEARCHES = (
    ("search", "how do webhook retries work"),
    ("search", '"signing key" +rotate -staging', "--mode", "text"),
    ("search", "database", "--type", "decision", "--limit", "3"),
    ("search", "xyzzy nothing like it"),
)
READING = (
    ("list",),
    ("list", "--limit", "5", "--sort", "due"),
    ("show", "{first}"),
    ("due",),
    ("forecast",),
    ("forecast", "--retention", "0.8"),
    ("reviews",),
    ("history", "{first}"),
    ("diff", "--from", "2020-01-01"),
    ("list", "--as-of", "-1d"),
    ("edges", "{first}"),
    ("neighbors", "{first}"),
    ("domains", "list"),
    ("domains", "show", "auth"),
    ("stats",),
    ("schema", "info"),
    ("registry", "show"),
    ("registry", "models"),
    ("jobs", "list"),
    ("config", "show"),
    ("config", "path"),
    ("export", "-"),
    ("show", "no-such-memory"),
    ("unheard-of",),
)
WRITING = (
    ("add", "A new memory about tides.", "--tag", "sea"),
    ("edit", "{first}", "--type", "note"),
    ("tag", "+reviewed", "{first}", "{second}"),
    ("review", "{first}", "good"),
    ("link", "{first}", "{second}", "--type", "related"),
    ("unlink", "{first}", "{second}", "--type", "related"),
    ("supersede", "{second}", "--by", "{third}"),
    ("history", "{second}"),
    ("unsupersede", "{second}"),
    ("domains", "set", "auth", "--label", "Keys"),
    ("classify", "{first}"),
    ("domains", "rename", "auth", "identity"),
    ("delete", "{third}", "--yes"),
    ("undo",),
    ("show", "{third}"),
    ("search", "tides"),
    ("vacuum",),
    ("migrate", "copy", "--target", "sqlite:{copy}", "--dry-run"),
    ("migrate", "copy", "--target", "sqlite:{copy}"),
    ("migrate", "verify", "--target", "sqlite:{copy}"),
    ("migrate", "verify", "--target", "sqlite:{copy}", "--repair", "--yes"),
    ("migrate", "reembed", "--model", "all-MiniLM-L6-v2", "--dry-run"),
    ("jobs", "list"),
    ("jobs", "sweep"),
    ("stats",),
)

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_SHORT = re.compile(r"\b([Jj]ob|attempt) [0-9a-f]{8}\b")
_MEASURED = re.compile(
    r"(_ms|_seconds|seconds|_bytes|bytes|_at|elapsed|rate|retrievability|pid|worker|plan|owner|callee|next|stability)$"
)
_UNORDERED = {"queries"}
"""Lists that stand in the order of what was measured."""
_PROGRESS = re.compile(r"^\d+ %, .*\n?", re.MULTILINE)
_TOOK = re.compile(r"\b\d+(\.\d+)?( ?)(ms|s|KB|MB|GB)\b")


def steady(value: Any, name: str = "") -> Any:
    """Replace what differs from run to run by its kind; the names of members stay, and so does the order of lists."""
    if isinstance(value, dict):
        return {key: steady(each, key) for key, each in value.items()}
    if isinstance(value, list):
        items = [steady(each, name) for each in value]
        return sorted(items, key=json.dumps) if name in _UNORDERED else items
    if isinstance(value, bool) or value is None:
        return value
    if _MEASURED.search(name):
        return type(value).__name__
    if isinstance(value, int | float):
        return round(value, 4)
    text = _DAY.sub("DAY", _TIME.sub("TIME", value))
    return _TOOK.sub("DURATION", _SHORT.sub(r"\1 ID", _UUID.sub("ID", text)))


def commands(folder: Path, program: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield every command with its options, by the name of its document."""
    demo, vestige = folder / "demo" / "demo.db", make_v18(folder / "vestige.db", 60)
    yield "demo", ("demo", str(folder / "demo"), "--no-console")
    for store, given in (("demo", (*SEARCHES, *READING, *WRITING)), ("vestige", (*SEARCHES, *READING, *WRITING))):
        path = demo if store == "demo" else vestige
        ids: dict[str, str] = {}
        for number, words in enumerate(given):
            if not ids:
                listed = run(folder, program, ("--store", f"sqlite:{path}", "--json", "list", "--limit", "3"))
                found = [each["id"] for each in json.loads(listed.stdout)["items"]]
                ids = dict(zip(("first", "second", "third"), found, strict=True))
            filled = [word.format(**ids, copy=folder / f"copy-{store}.db") for word in words]
            # What is exported is JSON lines by itself.
            form = () if words[0] == "export" else ("--json",)
            yield f"{store}-{number:02}-{words[0]}", ("--store", f"sqlite:{path}", *form, *filled)


def run(folder: Path, program: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the program in a home of its own."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VESTIGE_", "XDG_", "PG"))}
    env = {**kept, "HOME": str(home), "COLUMNS": "100", "TZ": "UTC"}
    return subprocess.run(
        [program, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
    )


def document(folder: Path, done: subprocess.CompletedProcess[str]) -> str:
    """Return the output and status of a command as one document, equal in two runs."""
    printed = done.stdout.replace(str(folder), "FOLDER")
    try:
        lines = [json.dumps(steady(json.loads(printed)), indent=1, ensure_ascii=False)]
    except ValueError:
        lines = [_line(line) for line in printed.splitlines()]
    note = _PROGRESS.sub("", str(steady(done.stderr.replace(str(folder), "FOLDER"))))
    return "\n".join([*lines, f"status {done.returncode}", note])


def _line(line: str) -> str:
    try:
        return json.dumps(steady(json.loads(line)), ensure_ascii=False)
    except ValueError:
        return str(steady(line))


def write_all(folder: Path, program: str) -> dict[str, str]:
    """Run every command; gives the documents by their names."""
    folder.mkdir(parents=True)
    documents = {name: document(folder, run(folder, program, words)) for name, words in commands(folder, program)}
    for name, text in documents.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return documents


def main(arguments: Sequence[str]) -> int:
    """Compare the documents of two programs, or write those of one."""
    folder, *programs = arguments
    written = [write_all(Path(folder) / str(number), program) for number, program in enumerate(programs)]
    differ = [name for name in written[0] if any(each.get(name) != written[0][name] for each in written)]
    print(f"{len(written[0])} documents, {len(differ)} differ" + "".join(f"\n  {name}" for name in differ))
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
