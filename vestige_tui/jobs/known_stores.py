"""Which stores hold jobs that were started here: a file in the person's state directory, without any password."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vestige_tui.config import state_dir
from vestige_tui.core import files
from vestige_tui.core.text import HIDDEN, redact
from vestige_tui.core.times import format_time, parse_stored

KEEP = timedelta(days=30)
MAX_JOBS = 100


def without_password(url: str) -> str:
    """A store's URL with every password taken out of it, so that libpq looks for one where it keeps them."""
    hidden = redact(url)
    if hidden == url and HIDDEN not in url:
        return url
    bare = hidden.replace(f":{HIDDEN}@", "@")
    base, mark, query = bare.partition("?")
    kept = [part for part in query.split("&") if HIDDEN not in part]
    return base + (mark + "&".join(kept) if kept else "")


def with_passwords(urls: Iterable[str]) -> dict[str, str]:
    """How each store is to be reached, by its URL without a password: the first URL of it that has one, else any."""
    ordered = sorted(urls, key=lambda url: without_password(url) == url)
    return {without_password(url): url for url in reversed(ordered)}


def index_path() -> Path:
    return state_dir() / "jobs.json"


def remember(store_url: str, job_id: str, kind: str) -> None:
    """Note that a job's row lies in a store. Raises OSError, Unavailable or Refused where that cannot be written."""
    now = datetime.now(UTC)
    with _locked() as stores:
        jobs = stores.setdefault(without_password(store_url), {})
        jobs[job_id] = {"kind": kind, "at": format_time(now)}
        for oldest in sorted(jobs, key=lambda each: str(jobs[each].get("at")))[:-MAX_JOBS]:
            del jobs[oldest]


def watched() -> tuple[str, ...]:
    """The URLs of the stores to look at, the latest first; those that are old, or gone, are left out."""
    return tuple(_live(_read()))


def _live(stores: dict[str, Any]) -> dict[str, dict[str, Any]]:
    limit = datetime.now(UTC) - KEEP
    live: dict[str, dict[str, Any]] = {}
    for url, jobs in stores.items():
        if not isinstance(jobs, dict) or not _may_exist(url):
            continue
        recent = {
            job_id: note
            for job_id, note in jobs.items()
            if isinstance(note, dict) and (parse_stored(str(note.get("at"))) or limit) > limit
        }
        if recent:
            live[url] = recent
    return dict(sorted(live.items(), key=lambda each: max(str(note["at"]) for note in each[1].values()), reverse=True))


def _may_exist(url: str) -> bool:
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres"):
        return True
    path = Path(rest if scheme in ("sqlite", "pgembed") else url).expanduser()
    with suppress(OSError):
        return (path / "data").is_dir() if scheme == "pgembed" else path.is_file()
    return False


def _read() -> dict[str, Any]:
    try:
        data = json.loads(index_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    stores = data.get("stores") if isinstance(data, dict) else None
    return stores if isinstance(stores, dict) else {}


@contextmanager
def _locked() -> Iterator[dict[str, Any]]:
    """The stores of the index, to be changed; written back in one step, what is stale taken out."""
    path = index_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = files.examine_document(path)
        stores = _read()
        yield stores
        files.write(target, json.dumps({"version": 1, "stores": _live(stores)}, indent=1), overwrite=True)
    finally:
        os.close(lock)
