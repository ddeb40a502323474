"""Index of the stores that hold jobs started on this machine: a file in the state directory, without passwords."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vestige_tui.config.directories import make_private_dir, state_dir
from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import HomeUnknown, Unavailable, VestigeError
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import HIDDEN, redact_url
from vestige_tui.core.times import format_time, parse_stored
from vestige_tui.jobs.store_identity import distinct_stores, store_identity
from vestige_tui.process.file_lock import lock_holder, lock_within
from vestige_tui.process.process_state import process_label

log = logging.getLogger(__name__)

KEEP = timedelta(days=30)
"""Age at which a job leaves the index and its log is deleted."""
LOCK_SECONDS = 5.0
"""Limit of the wait for the index: a process that was stopped while it holds the lock must not stop the others."""
MAX_JOBS = 100
"""Limit of the jobs of one store in the index; the oldest are dropped."""

_OBJECT_KEY = re.compile(r'("(?:[^"\\]|\\.)*")\s*:\s*(?=\{)')
"""Key of a JSON object whose value is an object."""


def without_password(url: str) -> str:
    """Return a store's URL without its passwords, so that libpq looks for one where it keeps them."""
    redacted = redact_url(url)
    if redacted == url and HIDDEN not in url:
        return url
    no_userinfo = redacted.replace(f":{HIDDEN}@", "@")
    base, separator, query = no_userinfo.partition("?")
    params = [part for part in query.split("&") if HIDDEN not in part]
    return base + (separator + "&".join(params) if params else "")


def with_passwords(urls: Iterable[str]) -> dict[str, str]:
    """Map the URL without passwords of each store to the URL to connect to: the first that has one, else any."""
    ordered = sorted(urls, key=lambda url: without_password(url) == url)
    return {without_password(url): url for url in reversed(ordered)}


def with_password(url: str, known: Iterable[str]) -> str:
    """Return the URL to connect to a store: the known one with its password, in this spelling if any, else ``url``."""
    if without_password(url) != url:
        return url
    known_urls = with_passwords(known)
    identity = store_identity(url)
    spellings = (url, *(bare for bare in known_urls if bare != url and store_identity(bare) == identity))
    return next((known_urls[bare] for bare in spellings if known_urls.get(bare, bare) != bare), url)


def index_path() -> Path:
    return state_dir() / "jobs.json"


def remember(store_url: str, job_id: str, kind: str) -> None:
    """Add a job and its store to the index. Raises OSError, Unavailable or Refused if it cannot be written."""
    now = datetime.now(UTC)
    with _locked() as stores:
        jobs = stores.setdefault(without_password(store_url), {})
        jobs[job_id] = {"kind": kind, "at": format_time(now)}
        for oldest in sorted(jobs, key=lambda each: str(jobs[each].get("at")))[:-MAX_JOBS]:
            del jobs[oldest]


def watched() -> tuple[str, ...]:
    """Return one URL of each indexed store, the latest first; leaves out stores that are old or gone."""
    return distinct_stores(_live(_read()))


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
    try:
        path = user_path(rest if scheme in ("sqlite", "pgembed") else url)
    except VestigeError as error:
        log.debug("A store in the index of jobs has no valid URL: %s", error)
        return False
    with suppress(OSError):
        return (path / "data").is_dir() if scheme == "pgembed" else path.is_file()
    return False


def _read() -> dict[str, Any]:
    try:
        text = index_path().read_text(encoding="utf-8", errors="replace")
    except HomeUnknown as error:
        log.debug("There is no index of jobs: %s", error)
        return {}
    except OSError:
        return {}
    try:
        data = json.loads(text)
    except ValueError:
        return _readable_stores(text)
    stores = data.get("stores") if isinstance(data, dict) else None
    return stores if isinstance(stores, dict) else {}


def _readable_stores(text: str) -> dict[str, Any]:
    """Return the stores of a damaged index that can be read."""
    stores: dict[str, Any] = {}
    for key in _OBJECT_KEY.finditer(text):
        with suppress(ValueError):
            jobs, _ = json.JSONDecoder().raw_decode(text, key.end())
            if jobs and all(isinstance(note, dict) and "at" in note for note in jobs.values()):
                stores[json.loads(key[1])] = jobs
    return stores


@contextmanager
def _locked() -> Iterator[dict[str, Any]]:
    """Lock the index and yield its stores for changes; writes them back atomically, without stale ones."""
    path = index_path()
    make_private_dir(path.parent)
    lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if not lock_within(lock, LOCK_SECONDS):
            pid = lock_holder(lock)
            holder = "another process" if pid is None else process_label(pid)
            raise Unavailable(f"The index of jobs is locked by {holder}; wait for it or end it, then try again.")
        target = file_targets.examine_document(path)
        stores = _read()
        yield stores
        files.write(target, json.dumps({"version": 1, "stores": _live(stores)}, indent=1), overwrite=True)
    finally:
        os.close(lock)
