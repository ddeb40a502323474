"""Strategies for the values of arguments, for the environment and for stdin: the hostile beside the usual.

``{world}`` in a value stands for the folder of ``scratch_world``, ``{store}`` for the URL of the store.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hypothesis import strategies as st

from tests.fuzz.scratch_world import CONFIGS, PATHS
from tests.support.command_line import HOSTILE, sample_id

SECRET = "s3cret"
"""The password of every URL here; it may be shown nowhere."""

LONG = "x" * 100_000
_IDS = (
    *(sample_id(position) for position in range(6)),
    sample_id(0)[:8],
    sample_id(1).upper(),
    sample_id(2).replace("-", ""),
    f"{{{sample_id(3)}}}",
    f"urn:uuid:{sample_id(4)}",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "1_2_3_4_5_6_7_8_9_0_1_2_3_4_5_6_",
    "\uff11" * 32,
    "-".join("0" * 32),
    "abcdefg",
    "%",
    "______",
    "undo",
    "suspend",
)
_NUMBERS = (
    "0", "1", "2", "6", "-1", "999", "1000000", "2147483647", "2147483648", "9223372036854775807",
    "9223372036854775808", "1" + "0" * 30, "9" * 5_000, "0x10", "1e3", "0.5", "1.0", "nan", "inf", "-inf", "1e-400",
    "\u0663", "1_000", " 1", "+1",
)  # fmt: skip
_TIMES = (
    "now", "today", "yesterday", "tomorrow", "-7d", "+3mo", "-999999y", "999999d", "3d", "2026-11-01",
    "2026-02-30", "0001-01-01", "9999-12-31", "9999-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59",
    "2026-11-01T24:00:00Z", "2026-11-01T10:00:00+99:99", "1970-01-01", "10000-01-01", "\u0662\u0660-01-01", "-0d",
)  # fmt: skip
_CURSORS = (
    "", "=", "====", "bnVsbA", "W10", "NQ", "WzEsMiwzXQ", "WyJjcmVhdGVkIiwxLDJd", "WyJjcmVhdGVkIixudWxsLG51bGxd",
    "WyJjcmVhdGVkIiwieCIsInkiXQ", "WyJjcmVhdGVkIixbXSx7fV0", "WyJkdWUiLDEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwLCJ4Il0",
    "WyJkdWUiLCIyMDI2LTAxLTAxIiwieCJd", "WyJ1cGRhdGVkIiwiXHUwMDAwIiwiXHVkODAwIl0", "gICA", "W1tbW1tbW1tbW1tb",
    "W1sxLDJdLDEsMl0", "1", "\u00e9", "eyJhIjoxfQ", "WyJjcmVhdGVkIixOYU4sIngiXQ",
)  # fmt: skip
_TEXTS = (
    "", " ", "a", "-", "--", "-x", "+x", "@", "a b", "a=b", "=", "k=", "k=1e999", "k=[[[[", "k=" + "[" * 5_000,
    "a\x00b", "\ud800", "a\udcff", "\x1b[2J", "\u202e", "\n", "a\nb", "\r", "\t", "\x7f", "\x85", "\U0010ffff", HOSTILE,
    LONG, "'" * 99, '"', '"' * 9, "\\", "%", "%s", "%00", "_", "*", "(", "NEAR(a b)", "a*", "-a", "+a -a",
    "type:", "type:x tag:y", "since:never", "{}", "{0}", "$HOME", "~", "~nobody-here", "\u00e4", "a" * 256, "fact",
    "related", "ops", "infra", "auth", "local", "BAAI/bge-small-en-v1.5", "all-MiniLM-L6-v2", "none/such-model",
    "../../etc", "good", "again", "completed", "in_flight", "recent", "test", "hybrid", "true",
)  # fmt: skip
_HOSTS = (
    "127.0.0.1:1", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:x", "[::1]:1", "[::1", "::1", "[::g]:1",
    "127.0.0.1:1,127.0.0.1:2", "127.0.0.1:1,", ",", "%2Ftmp%2Fnone", "%zz", "a%00b", "", " ", "\x00", "\ud800",
    "x" * 300, f"me:{SECRET}@127.0.0.1:1", f"me:{SECRET}@", f"me:{SECRET}%40x@127.0.0.1:1",
    f"me:{SECRET} {SECRET}@127.0.0.1:1", f"me:%zz{SECRET}@127.0.0.1:1", "0.0.0.0:0",
)  # fmt: skip
_QUERIES = (
    "", "?", "?sslmode=nonsense", "?unknown=1", "?connect_timeout=x", "?connect_timeout=99999999999", "?host=127.0.0.1",
    "?port=1,2,3", "?hostaddr=nonsense", "?options=-c%20nonsense", "?sslmode=require", "?service=none", "?passfile=/",
    f"?password={SECRET}", "?client_encoding=nonsense", "?application_name=%00", "?target_session_attrs=x", "#x",
    "?sslrootcert=/nope&sslmode=verify-full", "?gssencmode=require", "?load_balance_hosts=x", "?a=b=c", "?=", "?%",
    "?fallback_application_name=" + "x" * 300, "?keepalives=x", "?require_auth=none", "?min_protocol_version=9",
)  # fmt: skip
_OTHER_URLS = (
    "", ":", "sqlite:", "sqlite://", "sqlite:///", "sqlite::memory:", ":memory:", "sqlite:.", "sqlite:..", "/",
    "file:{world}/kept.db?mode=rwc", "file:///etc/passwd", "http://127.0.0.1/", "mysql://me@h/d", "postgres",
    "postgresql:", "postgres:x", "postgresql:/", "postgresql:// /", "POSTGRESQL://127.0.0.1:1/x", "pgembed:",
    "pgembed:{world}/text",
    "pgembed:\x00", "pgembed:{world}/missing/\x00", "sqlite:\x00", "sqlite:{world}/a%2fb", "sqlite:~nobody-here/x",
    "host=127.0.0.1 port=1", "sqlite+x://y", "vestige://x",
)  # fmt: skip

free_texts = st.one_of(st.sampled_from(_TEXTS), st.text(st.characters(codec=None), max_size=12))
paths = st.sampled_from([*(f"{{world}}/{name}" for name in PATHS), "-", "", "/dev/null", "/dev/full", "/dev/fd/99",
                         "/proc/self/mem", "/proc/1/mem", "~", "~nobody-here/x", "\x00", "a\x00b", "\ud800", "x" * 300,
                         "x" * 5_000, "/", ".", "..", "{world}/text/under", "{world}/missing/deeper"])  # fmt: skip
urls = st.one_of(
    paths.map(lambda path: f"sqlite:{path}"),
    paths.map(lambda path: f"sqlite://{path}"),
    paths,
    st.builds(
        lambda host, name, query: f"postgresql://{host}{name}{query}",
        st.sampled_from(_HOSTS),
        st.sampled_from(["", "/", "/x", "/\x00", "/%", "/%00", "/a/b", "/" + "x" * 99, "/\ud800", "/postgres"]),
        st.sampled_from(_QUERIES),
    ),
    st.sampled_from(_OTHER_URLS),
    st.sampled_from(_QUERIES).map(lambda query: "{store}" + query.replace("?", "&")),
)
configs = st.sampled_from([*(f"{{world}}/{name}" for name in CONFIGS), "{world}/missing", "{world}/text/under", "\x00"])

_BY_METAVAR: Mapping[str, st.SearchStrategy[str]] = {
    "ID": st.sampled_from(_IDS),
    "TIME": st.sampled_from(_TIMES),
    "CURSOR": st.sampled_from(_CURSORS),
    "FILE": paths,
    "PATH": paths,
    "DIR": paths,
    "URL": st.one_of(st.just("{store}"), urls),
}
_IDS_IN_OTHER_WORDS = {"A", "B", "OLD", "NEW", "ENTRY"}
_anything = st.one_of(
    free_texts, st.sampled_from(_IDS), st.sampled_from(_NUMBERS), st.sampled_from(_TIMES), st.sampled_from(_CURSORS)
)


def values_of(action: argparse.Action) -> st.SearchStrategy[str]:
    """Return the strategy for one value of an argument: by its choices, its type and its metavar."""
    if action.dest == "config":
        return configs
    if action.choices is not None:
        return st.one_of(st.sampled_from([str(choice) for choice in action.choices]), free_texts)
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    known = [_BY_METAVAR[word] for word in _BY_METAVAR if word in metavar.upper().replace("…", " ").split("|")]
    if metavar in _IDS_IN_OTHER_WORDS or "ID" in metavar:
        known.append(_BY_METAVAR["ID"])
    if action.type is not None or metavar in ("N", "K", "SECONDS"):
        known.append(st.sampled_from(_NUMBERS))
    return st.one_of(*known, *known, _anything)


environments: st.SearchStrategy[Mapping[str, str | None]] = st.one_of(
    st.just({}),
    st.just({}),
    st.dictionaries(
        st.sampled_from(["HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "VESTIGE_CONFIG",
                         "VESTIGE_DATA_DIR", "XDG_CONFIG_HOME", "TMPDIR", "EDITOR", "VISUAL", "PGPASSFILE"]),
        st.sampled_from([None, "", ".", "relative", "{world}/text", "{world}/text/under", "{world}/missing",
                         "{world}/fifo", "{world}/loop", "{world}/directory", "~", "x" * 5_000, "'", "\udcff"]),
        max_size=2,
    ),
    st.sampled_from([{"COLUMNS": "0"}, {"COLUMNS": "-5"}, {"COLUMNS": "x"}, {"COLUMNS": "9" * 30}, {"TZ": "nonsense"},
                     {"TZ": ":"}, {"LC_ALL": "nonsense"}, {"PGPORT": "x"}, {"PGHOST": "\udcff"}, {"PGSERVICE": "none"},
                     {"PGCLIENTENCODING": "LATIN1"}, {"NO_COLOR": "1"}, {"PGOPTIONS": "-c nonsense"}]),
)  # fmt: skip

inputs = st.sampled_from(
    [b"", b"y\n", b"\xff\xfe\x00", b"text", b'{"content": "x"}\n', b"{}\n[]\n1\n\x00\n", b'{"content": 1e999}',
     b'{"id": "\x00", "content": "a"}', b'{"content": "\\ud800 \\u0000"}', b"[" * 100_000, b'{"kind": "edge"}',
     b'{"content": "x", "metadata": {"n": ' + b"9" * 5_000 + b"}}", b'{"content": "x", "id": "no uuid"}',
     b'{"kind":"review","memory_id":"x","rating":3,"at":"2026-01-01","id":' + b"9" * 40 + b"}"]
)  # fmt: skip
