"""Which Pythons the checks are run on, and that a failure on one of them is a failure of all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).parent.parent / ".ci"
# What is asked of it, it answers; it makes an environment where it can.
PYTHON = """\
#!/bin/sh
case "$1" in
-c) echo "{answer}";;
-m) [ "$2" = venv ] && {makes} || exit 1
    mkdir -p "$3/bin" && printf '#!/bin/sh\\nexit 0\\n' >"$3/bin/python" && chmod +x "$3/bin/python";;
esac
"""
SHIM = "#!/bin/sh\necho 'pyenv: python: command not found' >&2\nexit 127\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def python(path: Path, version: str, *, kind: str = "final", makes: bool = True) -> str:
    """Put a program there that answers as a Python of this version does; gives the line that it is listed with."""
    minor = version.rpartition(".")[0]
    put(path, PYTHON.format(answer=f"{minor} {version} {kind} {path}", makes="true" if makes else "false"))
    return f"{minor} {version} {path}"


def listed(tmp_path: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": ":".join(map(str, (*folders, tools(tmp_path)))),
        "HOME": str(tmp_path / "home"),
        "PYENV_ROOT": str(tmp_path / "pyenv"),
    }
    return subprocess.run([CI / "pythons"], env=environment, capture_output=True, text=True, check=False)


def tools(tmp_path: Path) -> Path:
    """A folder with what the scripts call, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir(exist_ok=True)
    for name in (
        "bash",
        "sh",
        "cat",
        "chmod",
        "cut",
        "dirname",
        "env",
        "mkdir",
        "mktemp",
        "paste",
        "rm",
        "sort",
        "tac",
    ):
        program = shutil.which(name)
        assert program is not None, name
        if not (folder / name).exists():
            (folder / name).symlink_to(program)
    return folder


def test_one_for_each_minor_version_newest_first(tmp_path: Path) -> None:
    first, second, pyenv = tmp_path / "first", tmp_path / "second", tmp_path / "pyenv" / "versions"
    put(first / "python3.13", SHIM)
    python(first / "python3.9", "3.9.18")
    put(first / "python3.11-config", SHIM)
    eleven = python(first / "python3.11", "3.11.7")
    python(second / "python3.11", "3.11.2")
    python(pyenv / "3.11.9" / "bin" / "python3.11", "3.11.9")
    python(pyenv / "3.13.2" / "bin" / "python3.13", "3.13.2")
    thirteen = python(pyenv / "3.13.10" / "bin" / "python3.13", "3.13.10")
    twelve = python(tmp_path / "home" / ".pyenv" / "versions" / "3.12.1" / "bin" / "python3.12", "3.12.1")
    found = listed(tmp_path, first, second)
    assert (found.stdout.splitlines(), found.stderr, found.returncode) == ([thirteen, twelve, eleven], "", 0)


def test_others_than_the_released_cpython_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    python(folder / "python3.15", "3.15.0", kind="alpha")
    python(folder / "python3.14", "3.14.2", kind="pypy")
    thirteen = python(folder / "python3.13", "3.13.1")
    assert listed(tmp_path, folder).stdout.splitlines() == [thirteen]


def test_one_that_makes_no_environment_is_skipped_and_named(tmp_path: Path) -> None:
    folder, other = tmp_path / "bin", tmp_path / "other"
    python(folder / "python3.11", "3.11.2", makes=False)
    python(folder / "python3.12", "3.12.3", makes=False)
    twelve = python(other / "python3.12", "3.12.9")
    found = listed(tmp_path, folder, other)
    assert found.stdout.splitlines() == [twelve]
    assert found.stderr == (
        f"Python 3.11 is skipped: {folder}/python3.11 makes no virtual environment; "
        "on Debian install python3.11-venv.\n"
    )


@pytest.mark.parametrize("lacking", [False, True], ids=["none", "none that makes an environment"])
def test_where_there_is_none_a_sentence_says_so(tmp_path: Path, lacking: bool) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    put(folder / "python3.13", SHIM)
    if lacking:
        python(folder / "python3.11", "3.11.2", makes=False)
    found = listed(tmp_path, folder)
    assert (found.stdout, found.returncode) == ("", 1)
    assert found.stderr.splitlines()[-1] == (
        "There is no Python from 3.11 on here, on PATH or under pyenv, that makes a virtual environment. Install one."
    )
    assert len(found.stderr.splitlines()) == 1 + lacking


# Notes what it is told to make, and with what; some of it fails.
MAKE = """\
#!/bin/sh
echo "$*" >>"{noted}"
case "$*" in *{failing}*) exit 2;; esac
"""


def run(tmp_path: Path, failing: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the checks of a tree of their own, where ``make`` fails at what holds ``failing``."""
    tree, folder, noted = tmp_path / "tree", tmp_path / "bin", tmp_path / "noted"
    for name in ("run", "pythons"):
        put(tree / ".ci" / name, (CI / name).read_text())
    for version in ("3.11.7", "3.12.1", "3.13.0"):
        python(folder / f"python{version[:4]}", version)
    put(folder / "make", MAKE.format(noted=noted, failing=failing))
    # Made by a Python that has been replaced since.
    stale = put(tree / ".venv-3.12" / "bin" / "python", "#!/bin/sh\necho 3.12.0\n")
    fresh = put(tree / ".venv-3.13" / "bin" / "python", "#!/bin/sh\necho 3.13.0\n")
    environment = {"PATH": f"{folder}:{tools(tmp_path)}", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        [tree / ".ci" / "run", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert (stale.exists(), fresh.exists()) == (False, True)
    return ran, noted.read_text().splitlines()


def test_all_of_it_on_the_newest_and_the_terminal_on_the_others(tmp_path: Path) -> None:
    ran, made = run(tmp_path, "nothing")
    assert ran.returncode == 0
    assert [line.replace(str(tmp_path), "") for line in made] == [
        "PYTHON=/bin/python3.11 VENV=.venv-3.11 check-terminal",
        "PYTHON=/bin/python3.12 VENV=.venv-3.12 check-terminal",
        "PYTHON=/bin/python3.13 VENV=.venv-3.13 check",
    ]
    # Packages of Debian that some tests need are not part of what is asked here.
    assert [line for line in ran.stdout.splitlines() if not line.startswith("Debian packages")][-4:] == [
        "── What was tried",
        "Python 3.13.0  make check  passed",
        "Python 3.12.1  make check-terminal  passed",
        "Python 3.11.7  make check-terminal  passed",
    ]


def test_the_whole_suite_on_each(tmp_path: Path) -> None:
    ran, made = run(tmp_path, "nothing", "--whole")
    assert ran.returncode == 0
    assert [line.partition("VENV=")[2] for line in made] == [
        ".venv-3.11 test demo-check SLOW=1",
        ".venv-3.12 test demo-check SLOW=1",
        ".venv-3.13 check",
    ]


@pytest.mark.parametrize("failing", ["3.11", "3.12", "3.13"])
def test_one_that_fails_fails_all_and_the_others_are_tried(tmp_path: Path, failing: str) -> None:
    ran, made = run(tmp_path, failing)
    assert ran.returncode == 1
    assert len(made) == 3
    results = {line.split()[1][:4]: line.split()[-1] for line in ran.stdout.splitlines()[-3:]}
    assert results == {"3.11": "passed", "3.12": "passed", "3.13": "passed"} | {failing: "FAILED"}


def test_without_a_python_nothing_passes(tmp_path: Path) -> None:
    environment = {"PATH": str(tools(tmp_path)), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    ran = subprocess.run([CI / "run"], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("There is no Python from 3.11 on here")
    assert os.listdir(tmp_path) == ["tools"]


@pytest.mark.parametrize(("target", "leaves_out"), [("test", True), ("check", False)])
def test_only_make_test_leaves_the_slow_tests_out(target: str, leaves_out: bool) -> None:
    # Without the variables of a make that runs the tests.
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        cwd=CI.parent,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = [line for line in done.stdout.splitlines() if "-m pytest" in line]
    assert ('-m "not slow"' in line) == leaves_out
