"""The settings file: what it may say, what it may not, and where things are kept."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import tomllib
from datetime import time
from pathlib import Path
from subprocess import PIPE
from typing import NoReturn

import pytest
import tomlkit
from textual.keys import _character_to_key

from vestige_tui.config.default_store import default_store_url
from vestige_tui.config.directories import cache_dir, data_dir, default_path, make_private_dir, state_dir
from vestige_tui.config.keymap import check_keys, key_name
from vestige_tui.config.reader import check_theme, load_config
from vestige_tui.config.settings import Config
from vestige_tui.config.settings_file import KNOWN_KEYS
from vestige_tui.config.writer import DEFAULT_FILE, set_value, write_default
from vestige_tui.core.errors import ConfigError, HomeUnknown, Refused, Usage
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, Policy
from vestige_tui.core.times import LocalDays
from vestige_tui.tui import themes
from vestige_tui.tui.commands.catalogue import default_keys

FASTEMBED = '[embeddings]\nprovider = "fastembed"\nmodel = "BAAI/bge-base-en-v1.5"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vestige.toml"


def read(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return load_config(file, {"HOME": str(file.parent)})


def fault(file: Path, text: str) -> str:
    """The sentence that ``text`` is refused with, without its column."""
    return re.sub(r", column \d+:", ":", fault_with_column(file, text))


def fault_with_column(file: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    message = caught.value.message
    assert str(file) in message
    assert message[-1] in ".?"
    assert "\n" not in message
    return message.replace(str(file), "FILE")


def test_sqlite_with_fastembed(file: Path) -> None:
    config = read(file, f'[storage]\nbackend = "sqlite"\n[storage.sqlite]\npath = "/data/vestige.db"\n{FASTEMBED}')
    assert (config.backend, config.sqlite_path, config.postgres_url) == ("sqlite", Path("/data/vestige.db"), None)
    assert (config.provider, config.model) == ("fastembed", "BAAI/bge-base-en-v1.5")
    assert config.store_url == "sqlite:/data/vestige.db"
    assert config.path == file


def test_postgres_with_fastembed(file: Path) -> None:
    config = read(file, f'[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "postgresql://h/d"\n{FASTEMBED}')
    assert (config.backend, config.store_url) == ("postgres", "postgresql://h/d")
    assert (config.max_connections, config.acquire_timeout_secs) == (10, 30)


def test_postgres_with_a_pool_of_its_own_size(file: Path) -> None:
    text = """
[storage]
backend = "postgres"
[storage.postgres]
url = "postgres://h/d"
max_connections = 25
acquire_timeout_secs = 60
"""
    config = read(file, text)
    assert (config.max_connections, config.acquire_timeout_secs) == (25, 60)
    assert config.direct_url is None


def test_a_direct_line_past_a_pooler(file: Path) -> None:
    config = read(file, f"{POSTGRES}direct_url = 'postgresql://u:s3cret@h2/d'\n")
    assert (config.store_url, config.direct_url) == ("postgresql://h/d", "postgresql://u:s3cret@h2/d")
    assert "s3cret" not in repr(config)


def test_an_unknown_backend(file: Path) -> None:
    message = fault(file, '# mine\n[storage]\nbackend = "mysql"\n[storage.mysql]\nurl = "x"\n')
    assert message == "FILE, line 4: storage.mysql is not a known setting."
    message = fault(file, '# mine\n[storage]\nbackend = "mysql"\n')
    assert message == 'FILE, line 3: storage.backend is "mysql", but must be "sqlite" or "postgres".'


def test_a_missing_section(file: Path) -> None:
    message = fault(file, '[storage]\nbackend = "postgres"\n[storage.sqlite]\npath = "x"\n')
    assert message == 'FILE, line 2: storage.backend is "postgres", but the section [storage.postgres] is missing.'


@pytest.mark.parametrize("url", ["", "   "])
def test_an_empty_url(file: Path, url: str) -> None:
    message = fault(file, f'[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "{url}"\n')
    assert message == "FILE, line 4: storage.postgres.url is empty."


POSTGRES = '[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "postgresql://h/d"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[storage]\nbackend = 3\n", "FILE, line 2: storage.backend must be text in quotes."),
        ("storage = 3\n", "FILE, line 1: storage must be a table."),
        ("[storage.sqlite]\npath = 'x'\n", "FILE, line 1: storage.backend is missing: set it to"),
        ("[storage]\nbackend = 'sqlite'\n[storage.sqlite]\n", "FILE, line 3: storage.sqlite.path is missing."),
        ("[storage]\nbackend = 'sqlite'\nsqlite = {path = ''}\n", "FILE, line 3: storage.sqlite.path is empty."),
        (
            f"{POSTGRES}max_conections = 2\n",
            "line 5: storage.postgres.max_conections is not a known setting; did you mean max_con",
        ),
        (f"{POSTGRES}max_connections = 0\n", "line 5: storage.postgres.max_connections must be a whole number from 1"),
        (
            f"{POSTGRES}max_connections = true\n",
            "FILE, line 5: storage.postgres.max_connections must be a whole number",
        ),
        (f"{POSTGRES}max_connections = '9'\n", "FILE, line 5: storage.postgres.max_connections must be a whole number"),
        (f"{POSTGRES}acquire_timeout_secs = nan\n", "line 5: storage.postgres.acquire_timeout_secs must be a number"),
        (
            f"{POSTGRES}read_url = 'pgembed:x'\n",
            "FILE, line 5: storage.postgres.read_url must start with postgresql://",
        ),
        (f"{POSTGRES}read_url = ''\n", "FILE, line 5: storage.postgres.read_url is empty."),
        (POSTGRES.replace("postgresql:", "mysql:"), "line 4: storage.postgres.url must start with postgresql://"),
        (f"{POSTGRES}direct_url = 'pgembed:d'\n", "line 5: storage.postgres.direct_url must start with postgresql://"),
        ("[embeddings]\nmodle = 'x'\n", "FILE, line 2: embeddings.modle is not a known setting; did you mean model?"),
        ("[embeddings]\nmodel = ''\n", "FILE, line 2: embeddings.model is empty."),
        (
            "[review]\ndesired_retention = 1.0\n",
            "FILE, line 2: review.desired_retention must be a number from 0.5 to 0.99.",
        ),
        ("[review]\nnew_per_day = 1.5\n", "FILE, line 2: review.new_per_day must be a whole number"),
        ("[review]\nnew_per_day = -1\n", "FILE, line 2: review.new_per_day must be a whole number"),
        ("[review]\nday_starts_at = '24:00'\n", "FILE, line 2: review.day_starts_at must be a time from"),
        ("[review]\nday_starts_at = '4 am'\n", "FILE, line 2: review.day_starts_at must be a time from"),
        ("[review]\nday_starts_at = 4\n", "FILE, line 2: review.day_starts_at must be a time from"),
        ("[review]\nday_starts_at = 04:00:30\n", "FILE, line 2: review.day_starts_at must be a time from"),
        ("[review]\nday_starts_at = ''\n", "FILE, line 2: review.day_starts_at must be a time from"),
        ("[review]\nweights = [1, 2]\n", "FILE, line 2: review.weights must be a list of 21 numbers."),
        (
            f"[review]\nweights = {[9.0] * 21}\n",
            "FILE, line 2: review.weights[5] is 9.0, but must be between 0.001 and 4.",
        ),
        (f"[review]\nweights = {['x'] * 21}\n", "FILE, line 2: review.weights must be a list of 21 numbers."),
        ("[keys]\nsearch = 'ctrl+nothing'\n", 'FILE, line 2: keys.search: "ctrl+nothing" is not a key;'),
        ("[keys]\nsearch = 'a,'\n", "FILE, line 2: keys.search: a key is empty;"),
        ("[keys]\nsearch = 5\n", "FILE, line 2: keys.search must be a key"),
        ("[keys]\nsearch = []\n", "FILE, line 2: keys.search must be a key"),
        ("[keys]\na = 'f3'\n'b.c' = 'nope'\n", 'FILE, line 3: keys.b.c: "nope" is not a key;'),
        ("[ui]\ntheme = 1\n", "FILE, line 2: ui.theme must be text in quotes."),
        ("[ui]\n'\x1b[2J' = 1\n", "FILE, line 2: not valid TOML."),
        ('[ui]\n"\\u001b[2J" = 1\n', "FILE, line 1: ui.\ufffd[2J is not a known setting."),
        ("[ui\n", "FILE, line 1: not valid TOML."),
        ("[ui]\ntheme = 'a'\ntheme = 'b'\n", "FILE, line 3: not valid TOML."),
    ],
)
def test_faults_name_file_key_and_line(file: Path, text: str, sentence: str) -> None:
    assert sentence in fault(file, text)


def test_a_table_given_twice(file: Path) -> None:
    message = fault(file, "[ui]\ntheme = 'a'\n[ui]\ntheme = 'b'\n")
    assert message == "FILE, line 3: not valid TOML."


@pytest.mark.parametrize(
    "text",
    [
        '[storage]\nbackend = "postgresql://u:s3cret@h/d"\n',
        '[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "mysql://u:s3cret@h/d"\n',
        '[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "postgresql://u:s3cret@h/d\nx = 1\n',
        '[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = ["postgresql://u:s3cret@h/d"]\n',
        '[storage.postgres]\n"postgresql://u:s3cret@h/d" = 1\n',
        '[storage.postgres]\npassword = "s3cret"\n',
        '[keys]\nsearch = "postgresql://u:s3cret@h/d"\n',
    ],
)
def test_no_sentence_holds_a_password(file: Path, text: str) -> None:
    assert "s3cret" not in fault(file, text)


def test_a_config_in_a_traceback_holds_no_password(file: Path) -> None:
    config = read(file, POSTGRES.replace("//h", "//u:s3cret@h") + 'read_url = "postgresql://u:s3cret@r/d"\n')
    assert config.store_url == "postgresql://u:s3cret@h/d"
    assert config.read_url("postgresql://u:s3cret@h/d") == "postgresql://u:s3cret@r/d"
    assert "s3cret" not in repr(config)


def test_a_replica_is_that_of_the_configured_store_alone(file: Path) -> None:
    config = read(file, f'{POSTGRES}read_url = "postgresql://r/d"\n')
    assert config.read_url("postgresql://h/d") == "postgresql://r/d"
    assert config.read_url("postgresql://h/other") == ""
    assert read(file, POSTGRES).read_url("postgresql://h/d") == ""


@pytest.mark.parametrize(
    ("url", "mode", "warned"),
    [
        ('postgresql://u@h/d"\ndirect_url = "postgresql://u:s3cret@h2/d', 0o644, True),
        ("postgresql://u:s3cret@h/d", 0o644, True),
        ("postgresql://u@h/d?password=s3cret", 0o640, True),
        ("postgresql://u:s3cret@h/d", 0o600, False),
        ("postgresql://u@h/d", 0o644, False),
    ],
)
def test_a_readable_file_with_a_password_is_warned_of(file: Path, url: str, mode: int, warned: bool) -> None:
    read(file, POSTGRES.replace("postgresql://h/d", url))
    file.chmod(mode)
    warnings = load_config(file, {}).warnings
    assert len(warnings) == warned
    assert "s3cret" not in str(warnings)
    file.write_text(f'{POSTGRES}read_url = "{url}"\n')
    assert len(load_config(file, {}).warnings) == warned


def test_foreign_tables_are_left_alone(file: Path) -> None:
    config = read(file, 'name = "x"\n[server]\nport = 3000\n[auth]\nkey = "k"\n[ui]\ntheme = "nord"\n')
    assert config.theme == "nord"
    assert config.store_url is None


def test_everything_else(file: Path) -> None:
    weights = [*DEFAULT_WEIGHTS[:20], 0.2]
    config = read(
        file,
        f"[review]\ndesired_retention = 0.85\nnew_per_day = 0\nweights = {weights}\n"
        "[keys]\nsearch = 'Ctrl+F, /'\nhelp = ['?', 'f1', '?']\nreview.good = '3'\n'review.easy' = 'shift+e'\n",
    )
    assert config.policy() == Policy(0.85, tuple(weights), 0)
    assert config.keys == {
        "search": "ctrl+f,slash",
        "help": "question_mark,f1",
        "review.good": "3",
        "review.easy": "E",
    }


@pytest.mark.parametrize("written", ["'04:30'", "04:30:00"])
def test_the_start_of_a_day(file: Path, written: str) -> None:
    config = read(file, f"[review]\nday_starts_at = {written}\n")
    assert config.policy().days == LocalDays(time(4, 30))


def test_an_empty_file_is_the_defaults(file: Path) -> None:
    assert read(file, "") == Config(path=file)
    assert read(file, "\ufeff[storage]\n") == Config(path=file)
    assert Config().policy() == Policy()


def test_paths_start_at_home_or_at_the_file(file: Path) -> None:
    text = "[storage]\nbackend = 'sqlite'\n[storage.sqlite]\npath = '{}'\n"
    assert read(file, text.format("~/a/v.db")).sqlite_path == file.parent / "a" / "v.db"
    assert read(file, text.format("v.db")).sqlite_path == file.parent / "v.db"


def test_which_file_is_read(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    assert load_config(None, env) == Config()
    usual = default_path(env)
    assert usual == tmp_path / ".vestige" / "vestige.toml"
    usual.parent.mkdir()
    for file, theme in ((usual, "usual"), (tmp_path / "b.toml", "variable"), (tmp_path / "c.toml", "argument")):
        file.write_text(f'[ui]\ntheme = "{theme}"\n')
    assert load_config(None, env).theme == "usual"
    assert load_config(None, env | {"VESTIGE_CONFIG": ""}).theme == "usual"
    env["VESTIGE_CONFIG"] = "~/b.toml"
    assert load_config(None, env).theme == "variable"
    assert load_config(tmp_path / "c.toml", env).theme == "argument"


def test_a_named_file_must_be_there_and_be_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.toml does not exist\.$"):
        load_config(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigError, match=r"absent.toml does not exist\.$"):
        load_config(None, {"VESTIGE_CONFIG": str(tmp_path / "absent.toml")})
    with pytest.raises(ConfigError, match=r"could not be read: Is a directory\.$"):
        load_config(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(ConfigError, match=r"latin.toml is not UTF-8 text\.$"):
        load_config(tmp_path / "latin.toml", {})


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("linux", ".local/share/core/vestige.db"),
        ("linux", ".local/share/vestige/core/vestige.db"),
        ("darwin", "Library/Application Support/com.vestige.core/vestige.db"),
        ("win32", "AppData/Roaming/vestige/core/data/vestige.db"),
        ("win32", "AppData/Roaming/vestige/core/vestige.db"),
        ("linux", ".vestige/vestige.db"),
    ],
)
def test_a_vestige_file_in_its_usual_place_is_found(tmp_path: Path, platform: str, place: str) -> None:
    env = {"HOME": str(tmp_path)}
    own = default_store_url(Config(), env, platform)
    assert own == f"sqlite:{data_dir() / 'vestige.db'}"
    usual = tmp_path / place
    usual.parent.mkdir(parents=True)
    usual.touch()
    assert default_store_url(Config(), env, platform) == f"sqlite:{usual}"
    named = tmp_path / "named"
    env["VESTIGE_DATA_DIR"] = str(named)
    assert default_store_url(Config(), env, platform) == f"sqlite:{usual}"
    named.mkdir()
    (named / "vestige.db").touch()
    assert default_store_url(Config(), env, platform) == f"sqlite:{named / 'vestige.db'}"
    configured = Config(backend="postgres", postgres_url="postgresql://h/d")
    assert default_store_url(configured, env, platform) == "postgresql://h/d"


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have directories of their own")
def test_the_directories_of_linux_are_those_of_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert data_dir() == Path("/h/.local/share/vestige-tui")
    assert state_dir() == Path("/h/.local/state/vestige-tui")
    assert cache_dir() == Path("/h/.cache/vestige-tui")
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    # The XDG specification ignores relative paths.
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert data_dir() == Path("/x/vestige-tui")
    assert state_dir() == Path("/h/.local/state/vestige-tui")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("desired_retention", "review.desired_retention must be a number from 0.5 to 0.99"),
        ("new_per_day", "review.new_per_day must be a whole number from 0 to 1,000,000"),
    ],
)
def test_an_integer_of_any_length_is_compared(file: Path, key: str, sentence: str) -> None:
    assert fault(file, f"[review]\n{key} = 1{'0' * 400}\n") == f"FILE, line 2: {sentence}."


def test_a_pipe_of_a_shell_is_read_to_its_end() -> None:
    with subprocess.Popen(["sh", "-c", "printf '[review]\nnew_per_day'; sleep .2; echo ' = 7'"], stdout=PIPE) as shell:
        assert shell.stdout is not None
        assert load_config(Path(f"/dev/fd/{shell.stdout.fileno()}"), {}).new_per_day == 7


def test_a_pipe_that_nothing_is_written_to_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vestige_tui.config.settings_file.PIPE_SECONDS", 0.01)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="a pipe that nothing writes to"):
        load_config(tmp_path / "pipe", {})


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("/dev/zero", "is larger than 4 MiB"), ("/proc/self/mem", "could not be read"), ("/", "could not be read")],
)
def test_what_is_no_settings_file_is_one_sentence(path: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(Path(path), {})


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "~nobody-here/vestige.toml"])
def test_a_name_of_no_file_is_wrong_usage(path: str) -> None:
    with pytest.raises(Usage):
        load_config(Path(path), {})


def test_without_a_home_directory_there_are_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: int) -> NoReturn:
        raise KeyError(user)

    for name in ("HOME", "USERPROFILE", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "VESTIGE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert load_config() == Config()
    for directory in (state_dir, data_dir, cache_dir, default_path):
        with pytest.raises(HomeUnknown, match="set HOME"):
            directory()
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert state_dir() == Path("/somewhere/vestige-tui")


def test_private_folders(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_dir(tmp_path / "a" / "b")
    make_private_dir(tmp_path / "a" / "b")
    assert [p.stat().st_mode & 0o777 for p in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == [0o755, 0o700, 0o700]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("[ui]\ntheme = 1\n", "line 2, column 9"),
        ("[ui]\n  thme = 'nord'\n", "line 2, column 3"),
        ("[embeddings]\nprovider   =   'fastembd'\n", "line 2, column 16"),
        ("[embeddings]\n\n'modle' = 'x'\n", "line 3, column 1"),
        ("[storage]\nbackend = 'sqlite'\nsqlite = {path = ''}\n", "line 3, column 10"),
        ("embeddings.provider = 'x'\n", "line 1, column 23"),
        ("  [storage.sqlite]\npath = 'x'\n", "line 1, column 3"),
        ("[keys]\n'place.jobs' = 'ctlr+j'\n", "line 2, column 16"),
        ("[ui]\ntheme = nord\n", "line 2, column 9"),
    ],
)
def test_faults_name_the_column(file: Path, text: str, position: str) -> None:
    assert f"FILE, {position}: " in fault_with_column(file, text).replace(str(file), "FILE")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[embeddings]\nprovider = 'fastembd'\n", "which is not a provider of models; did you mean fastembed?"),
        ("[embeddings]\nprovider = 'ollama'\n", 'which is not a provider of models; it must be "fastembed".'),
        ("[keys]\nsearch = 'ctlr+f'\n", '"ctlr+f" is not a key; did you mean ctrl+f?'),
        ("[keys]\nsearch = 'escpe'\n", '"escpe" is not a key; did you mean escape?'),
        ("[ui]\nthem = 'nord'\n", "ui.them is not a known setting; did you mean theme?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(file: Path, text: str, sentence: str) -> None:
    assert fault(file, text).endswith(sentence)


def test_a_theme_is_checked_against_all_themes(file: Path) -> None:
    names = ["vestige-dark", "vestige-light"]
    for text in ("", "[ui]\ntheme = 'vestige-light'\n"):
        check_theme(read(file, text), names)
    for theme, sentence in (
        ("vestige-lihgt", 'ui.theme is "vestige-lihgt", which is not a theme; did you mean vestige-light?'),
        ("?", 'ui.theme is "?", which is not a theme; `vestige-tui themes list` prints all themes.'),
    ):
        with pytest.raises(ConfigError) as caught:
            check_theme(read(file, f"[ui]\ntheme = '{theme}'\n"), names)
        assert caught.value.message == f"{file}, line 2, column 9: {sentence}"


def test_the_default_theme_is_the_consoles() -> None:
    assert Config().theme == themes.DEFAULT_THEME
    assert Config().theme in themes.themes()


def test_the_default_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "vestige.toml"
    write_default(file)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert load_config(file, {}) == Config(path=file)
    file.write_text("mine")
    with pytest.raises(Refused, match="already exists"):
        write_default(file)
    assert file.read_text() == "mine"
    with pytest.raises(ConfigError, match="could not be written"):
        write_default(file / "under" / "a file")


def test_every_setting_of_the_default_file_is_stated(file: Path) -> None:
    """Each key that has a default stands there as a setting, and nothing else does: together they are the defaults."""
    stated = tomllib.loads(DEFAULT_FILE)
    assert read(file, DEFAULT_FILE) == Config(path=file)
    assert stated.pop("keys") == stated.pop("filters") == {}
    values = {f"{table}.{key}": value for table, content in stated.items() for key, value in content.items()}
    assert {key.split(".")[0] for key in values} == set(KNOWN_KEYS) - {"storage", "storage.sqlite", "storage.postgres"}
    for table, names in KNOWN_KEYS.items():
        for name in names:
            if not table.startswith("storage") and name != "model":
                assert f"{table}.{name}" in values
    # A changed value reads as another one: no setting is a line without effect.
    for key in values:
        assert read(file, _changed(key)) != Config(path=file), key


def _changed(key: str) -> str:
    other = {
        "embeddings.provider": None, "review.desired_retention": 0.8, "review.new_per_day": 11,
        "review.day_starts_at": "04:00", "ui.theme": "nord", "ui.history": False,
    }  # fmt: skip
    document = tomlkit.parse(DEFAULT_FILE)
    table, name = key.split(".")
    if key == "review.weights":
        document[table][name][0] = 0.3
    elif other[key] is None:
        # One provider only: another one is refused.
        document["embeddings"]["model"] = "x"
    else:
        document[table][name] = other[key]
    return document.as_string()


def test_every_example_of_the_default_file_is_valid(file: Path) -> None:
    text = re.sub(r"(?m)^# (?=\[|[\w.]+ = )", "", DEFAULT_FILE)
    assert set(tomllib.loads(text)) == {"storage", "embeddings", "review", "keys", "filters", "ui"}
    config = read(file, text)
    assert (config.backend, config.max_connections, config.acquire_timeout_secs) == ("sqlite", 10, 30)
    assert (config.max_connections, config.acquire_timeout_secs) == (
        Config().max_connections,
        Config().acquire_timeout_secs,
    )
    assert config.filters == {"recent": "type:decision since:-30d"}
    check_keys(config, default_keys())


def test_setting_a_value_keeps_the_rest(file: Path) -> None:
    text = '# top\n[server] # theirs\nport = 3000\n\n[ui]\ntheme = "nord" # I like it\n# end\n'
    read(file, text)
    file.chmod(0o640)
    set_value(file, "ui.theme", "dracula")
    assert file.read_text() == text.replace("nord", "dracula")
    assert file.stat().st_mode & 0o777 == 0o640
    set_value(file, "keys.review.good", "g")
    assert load_config(file, {}).keys == {"review.good": "g"}
    set_value(file, "ui.theme", None)
    set_value(file, "review.weights", None)
    assert load_config(file, {}).theme == Config().theme
    assert "port = 3000" in file.read_text()
    assert [p.name for p in file.parent.iterdir()] == ["vestige.toml"]


def test_setting_a_value_makes_the_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "vestige.toml"
    set_value(file, "review.new_per_day", 5)
    assert load_config(file, {}).new_per_day == 5
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    write_default(tmp_path / "default.toml")
    set_value(tmp_path / "default.toml", "ui.theme", "nord")
    assert (tmp_path / "default.toml").read_text() == DEFAULT_FILE.replace("vestige-dark", "nord")


def test_setting_a_value_follows_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "vestige.toml"
    real.write_text("")
    link.symlink_to(real)
    set_value(link, "ui.theme", "nord")
    assert link.is_symlink()
    assert load_config(real, {}).theme == "nord"


def test_a_link_that_leads_nowhere_gets_its_file(tmp_path: Path) -> None:
    for name, write in (("one", write_default), ("two", lambda path: set_value(path, "ui.theme", "nord"))):
        link = tmp_path / f"{name}.toml"
        link.symlink_to(f"dotfiles/{name}.toml")
        write(link)
        assert link.is_symlink()
        assert load_config(tmp_path / "dotfiles" / f"{name}.toml", {}).backend is None


def test_settings_are_written_into_no_pipe_and_no_device(tmp_path: Path) -> None:
    person, terminal = os.openpty()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    try:
        for path in (pipe, Path(os.ttyname(terminal))):
            with pytest.raises(Refused, match="already exists"):
                write_default(path)
            with pytest.raises(Refused, match=f"{path.name} is not a regular file; nothing was written to it"):
                set_value(path, "ui.theme", "nord")
            assert not path.is_file()
    finally:
        os.close(person)
        os.close(terminal)


def test_what_another_program_wrote_meanwhile_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(file, "[ui]\ntheme = 'nord'\n")
    parse = tomlkit.parse

    def slow(source: str) -> tomlkit.TOMLDocument:
        file.write_text("[ui]\ntheme = 'theirs'\n")
        return parse(source)

    monkeypatch.setattr(tomlkit, "parse", slow)
    with pytest.raises(Refused, match="changed meanwhile"):
        set_value(file, "ui.theme", "dracula")
    assert file.read_text() == "[ui]\ntheme = 'theirs'\n"


def test_a_draft_that_somebody_planted_is_not_written(tmp_path: Path, file: Path) -> None:
    file.write_text("")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file.with_name(f".{file.name}.{os.getpid()}").symlink_to(victim)
    set_value(file, "ui.theme", "nord")
    assert (victim.read_text(), load_config(file, {}).theme, file.is_symlink()) == ("precious", "nord", False)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("", "ui.thema", "x"),
        ("", "review.new_per_day", -1),
        ("", "keys.search", "ctrl+nothing"),
        ("ui = 3\n", "ui.theme", "nord"),
        ("[ui\n", "ui.theme", "nord"),
    ],
)
def test_a_wrong_value_is_not_written(file: Path, text: str, key: str, value: str | int) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError):
        set_value(file, key, value)
    assert file.read_text() == text


def test_every_printable_key_has_textuals_name() -> None:
    for code in range(0x21, 0x7F):
        assert key_name(chr(code)) == _character_to_key(chr(code))
        assert key_name(_character_to_key(chr(code))) == _character_to_key(chr(code))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("F3", "f3"),
        ("f24", "f24"),
        ("f25", None),
        ("Esc", "escape"),
        ("PgDn", "pagedown"),
        ("Return", "enter"),
        ("ctrl+I", "tab"),
        ("Ctrl+Shift+F3", "ctrl+shift+f3"),
        ("shift+ctrl+left", "ctrl+shift+left"),
        ("shift+a", "A"),
        ("ctrl+A", "ctrl+a"),
        ("+", "plus"),
        ("ctrl++", "ctrl+plus"),
        ("ctrl+/", "ctrl+slash"),
        ("é", "é"),
        ("", None),
        ("ctrl+", None),
        ("ctrl+ctrl+a", None),
        ("hold+a", None),
        ("ab", None),
        ("\x1b", None),
        ("\u202e", None),
    ],
)
def test_key_names(written: str, name: str | None) -> None:
    assert key_name(written) == name


KNOWN = {"search": "slash", "help": "question_mark,f1", "copy": "y", "edit": "e", "review.edit": "e"}


def test_keys_that_fit_the_commands(file: Path) -> None:
    check_keys(read(file, ""), KNOWN)
    check_keys(read(file, "[keys]\nsearch = 'f3,ctrl+f'\n"), KNOWN)
    check_keys(read(file, "[keys]\nsearch = 'y'\ncopy = '/'\n"), KNOWN)
    check_keys(read(file, "[keys]\nedit = 'e,f4'\n"), KNOWN)  # edit and review.edit share a key of their own accord
    check_keys(Config(keys={"copy": "c"}), KNOWN)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("serch = 'f3'", "FILE, line 2: keys.serch is not a command; did you mean search?"),
        ("search = 'y'", 'FILE, line 2: keys.search and copy are both bound to "y".'),
        ("search = '?'", 'FILE, line 2: keys.search and help are both bound to "question_mark".'),
        ("copy = 'f9'\nsearch = 'f9'", 'FILE, line 3: keys.search and copy are both bound to "f9".'),
    ],
)
def test_keys_that_clash(file: Path, text: str, sentence: str) -> None:
    config = read(file, f"[keys]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        check_keys(config, KNOWN)
    assert re.sub(r", column \d+:", ":", caught.value.message.replace(str(file), "FILE")) == sentence
