"""completion: the shells themselves load the scripts, and answer as a person who presses tab."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.command_tree import leaf_commands
from tests.support.command_line import Command
from tests.support.terminal import Terminal
from vestige_tui.cli.completed_commands import completed_commands
from vestige_tui.cli.program import parser

LINES = {
    "vestige-tui mig": {"migrate"},
    "vestige-tui jobs ": {"list", "show", "watch", "cancel", "retry", "fail", "sweep"},
    "vestige-tui --read-only jobs li": {"list"},
    "vestige-tui --store jobs migrate co": {"copy"},
    "vestige-tui migrate reembed --dim": {"--dimension"},
    "vestige-tui search --mode l": {"literal"},
    "vestige-tui search keys --mode t": {"text"},
    "vestige-tui completion ": {"bash", "zsh", "fish"},
    "vestige-tui migrate --source demo.db verify --re": {"--read-only", "--repair"},
    "vestige-tui susp": {"suspend"},
    "vestige-tui review sus": {"suspend"},
    "vestige-tui review cl": {"clear"},
    "vestige-tui review 1234 ha": {"hard"},
    "vestige-tui import pla": {"place.jsonl"},
    "vestige-tui --config pla": {"place.jsonl"},
    "vestige-tui add pla": set(),
}
"""Command lines with what tab offers at their end, in a folder with the file place.jsonl."""
BASH = """\
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE={line}; COMP_POINT=${{#COMP_LINE}}
compopt() {{ plain=1; }}
_vestige_tui
[[ ${{#COMPREPLY[@]}} -gt 0 || -n $plain ]] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def folder(run: Command, tmp_path: Path) -> Path:
    """A folder with the scripts of all shells and a file."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "place.jsonl").touch()
    for shell in ("bash", "zsh", "fish"):
        (tmp_path / f"script.{shell}").write_text(run("completion", shell).out)
    return folder


def started(shell: str, *arguments: str, folder: Path) -> str:
    """Run a shell, with nothing of the program on its PATH; return stdout."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([path, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("line", LINES)
def test_bash(folder: Path, line: str) -> None:
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    code = BASH.format(
        script=folder.parent / "script.bash", words=" ".join(map(shlex.quote, words)), line=shlex.quote(line)
    )
    assert set(started("bash", "-c", code, folder=folder).split()) == LINES[line]


def test_bash_completes_a_value_after_an_equals_sign(folder: Path) -> None:
    # Readline hands over the sign as a word of its own.
    code = BASH.format(script=folder.parent / "script.bash", words="vestige-tui search --mode = l", line="x")
    assert started("bash", "-c", code, folder=folder).split() == ["literal"]


@pytest.mark.parametrize("line", LINES)
def test_fish(folder: Path, line: str) -> None:
    code = f"source {folder.parent / 'script.fish'}; complete -C {shlex.quote(line)}"
    lines = started("fish", "--no-config", "-c", code, folder=folder).splitlines()
    assert {each.split("\t")[0] for each in lines} == LINES[line]


@pytest.mark.terminal
@pytest.mark.parametrize("line", [line for line, words in LINES.items() if len(words) == 1])
def test_zsh(folder: Path, line: str) -> None:
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not installed")
    with Terminal([zsh, "-f"], folder=folder) as terminal:
        terminal.send("PS1='> '; autoload -U compinit; compinit -D; . ../script.zsh; echo loa''ded\n")
        terminal.until("\nloaded")
        terminal.send(f"{line}\t")
        terminal.until(f"{line.rpartition(' ')[0]} {next(iter(LINES[line]))}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_names_every_command_and_option(run: Command, shell: str) -> None:
    document = run("completion", shell, "--json").json
    assert document["shell"] == shell
    for leaf in leaf_commands():
        assert leaf.name in document["script"]
    for command in completed_commands(parser()):
        for option in command.options:
            for flag in option.flags:
                assert (flag if shell != "fish" else flag.lstrip("-")) in document["script"]


def test_another_shell_is_wrong_usage(run: Command) -> None:
    assert run("completion", "csh").status == 2
