"""Nothing is sent and nothing is left outside the program's own folders, whichever process loads the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ordinary_use import bare_env, foreign_files, run_step, search_in_console, steps
from vestige_tui.embedding.runtime import NO_TELEMETRY


@pytest.mark.slow
@pytest.mark.timeout(600)  # seven processes, four of which load the model
def test_ordinary_use_leaves_nothing_outside_the_own_folders(store_url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = bare_env(home)
    for command in steps(store_url, tmp_path):
        run_step(command, env)
        assert foreign_files(home) == [], command
    assert (home / ".local" / "state" / "vestige-tui").is_dir()


@pytest.mark.slow
@pytest.mark.terminal
@pytest.mark.timeout(600)
def test_a_console_leaves_nothing_outside_the_own_folders(tmp_path: Path) -> None:
    home, store = tmp_path / "home", f"sqlite:{tmp_path / 'store.db'}"
    env = bare_env(home)
    for command in steps(store, tmp_path)[:2]:
        run_step(command, env)
    search_in_console(store, env)
    assert foreign_files(home) == []


@pytest.mark.parametrize("name", NO_TELEMETRY)
def test_a_setting_of_the_users_does_not_switch_telemetry_on(name: str) -> None:
    code = (
        "import os\n"
        f"os.environ[{name!r}] = '0'\n"
        "from vestige_tui.embedding.runtime import library\n"
        "library('huggingface_hub.constants')\n"
        f"print(os.environ[{name!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_runtime_that_the_host_program_imported_is_told_to_send_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, types\n"
        "calls = []\n"
        "host = sys.modules['onnxruntime'] = types.ModuleType('onnxruntime')\n"
        "host.disable_telemetry_events = lambda: calls.append(1)\n"
        "from vestige_tui.embedding.runtime import library\n"
        "library('huggingface_hub.constants')\n"
        "library('huggingface_hub.constants')\n"
        "print(calls)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare_env(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[1]\n"
