"""The console in a real terminal: paints before it opens the store, and leaves the terminal as it found it."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.corpus import MEMORIES
from tests.support.terminal import ALTERNATE, PATIENCE_SECONDS, Terminal, console, isolated_env
from vestige_tui.store.backends.embedded_postgres import STOP_SECONDS
from vestige_tui.store.open import open_store

pytestmark = pytest.mark.terminal

SLOW_SECONDS = 1.5
TITLES = ("Browse", "Review", "Jobs", "Registry", "Store", "Search")


def wait_for_keyboard(terminal: Terminal) -> None:
    """Wait until the program hears keys itself; until then ctrl+q is the terminal's own."""
    terminal.until(lambda: terminal.now != terminal.before)


@pytest.mark.slow
def test_the_frame_is_painted_before_the_store_is_touched(tmp_path: Path, filled: str) -> None:
    script, may_open = tmp_path / "slow.py", tmp_path / "may-open"
    script.write_text(
        "import asyncio, os, sys\n"
        "import vestige_tui.tui.store_session as session\n"
        "from vestige_tui.__main__ import main\n"
        "real = session.open_store\n"
        "def slow(*arguments, **options):\n"
        "    store = real(*arguments, **options)\n"
        "    opening = store.open\n"
        "    async def open():\n"
        "        while not os.path.exists(sys.argv[2]):\n"
        "            await asyncio.sleep(0.02)\n"
        "        await opening()\n"
        "    store.open = open\n"
        "    return store\n"
        "session.open_store = slow\n"
        "sys.exit(main(['--store', sys.argv[1]]))\n"
    )
    with Terminal([sys.executable, str(script), filled, str(may_open)], env=isolated_env(tmp_path)) as terminal:
        terminal.until("F7 Store")
        assert "◌ opening" in terminal.text
        terminal.send("words typed meanwhile")
        terminal.until("words typed meanwhile")
        terminal.press("f7")
        terminal.until("Opening the store…")
        assert "live" not in terminal.text
        may_open.touch()
        terminal.until(f"{MEMORIES} memories")
        terminal.until("No problems found.")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("keys", [("ctrl+q",), ("ctrl+c", "ctrl+c", "ctrl+q")], ids=["ctrl+q", "ctrl+c first"])
def test_leaving_restores_the_terminal(tmp_path: Path, filled: str, keys: tuple[str, ...]) -> None:
    with Terminal(console(filled), env=isolated_env(tmp_path)) as terminal:
        terminal.until(f"{MEMORIES} memories")
        assert ALTERNATE in terminal.modes
        terminal.press(*keys)
        assert terminal.wait() == 0
        assert terminal.is_restored


@pytest.mark.slow
def test_leaving_while_the_store_is_being_opened(tmp_path: Path, filled: str) -> None:
    """At whatever moment: before the first frame, with it, or while connections are made."""
    for moment in (None, 0.0, 0.03, 0.06, 0.1):
        with Terminal(console(filled), env=isolated_env(tmp_path)) as terminal:
            wait_for_keyboard(terminal)
            if moment is not None:
                terminal.until("F7 Store")
                time.sleep(moment)
            terminal.press("ctrl+q")
            assert terminal.wait() == 0
            assert terminal.is_restored


@pytest.mark.slow
def test_leaving_closes_the_stores_whose_jobs_were_watched(tmp_path: Path, filled: str) -> None:
    environment = isolated_env(tmp_path)
    for number in range(3):
        target = f"sqlite:{tmp_path / f'copied-{number}.db'}"
        command = [sys.executable, "-m", "vestige_tui", "migrate", "copy", "--source", filled, "--target", target]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    with Terminal(console(filled), env=environment) as terminal:
        terminal.until("● live")
        terminal.press("f5")
        terminal.until("verified")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored


@pytest.mark.slow
def test_leaving_that_takes_its_time_says_so(tmp_path: Path, filled: str) -> None:
    script, gate = tmp_path / "slow.py", tmp_path / "gate"
    script.write_text(
        "import asyncio, pathlib, sys\n"
        "from vestige_tui.__main__ import main\n"
        "from vestige_tui.store.store import Store\n"
        "closing = Store.close\n"
        "async def close(store):\n"
        "    while not pathlib.Path(sys.argv[2]).exists():\n"
        "        await asyncio.sleep(0.02)\n"
        "    await closing(store)\n"
        "Store.close = close\n"
        "sys.exit(main(['--store', sys.argv[1]]))\n"
    )
    with Terminal([sys.executable, str(script), filled, str(gate)], env=isolated_env(tmp_path)) as terminal:
        terminal.until(f"{MEMORIES} memories")
        terminal.press("ctrl+q")
        terminal.until("Closing the store; jobs keep running.")
        gate.touch()
        assert terminal.wait() == 0
        assert terminal.is_restored


@pytest.mark.slow
def test_a_store_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear all, " * 500)
    with Terminal(console("sqlite:letter.txt"), env=isolated_env(tmp_path), folder=tmp_path) as terminal:
        terminal.until("encrypted or not a SQLite")
        assert "closed" in terminal.text
        terminal.press("f7")
        terminal.until("The store could not be opened")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.is_restored


def test_a_lost_terminal_ends_it(tmp_path: Path, filled: str) -> None:
    with Terminal(console(filled), env=isolated_env(tmp_path)) as terminal:
        terminal.until(f"{MEMORIES} memories")
        terminal.hang_up()
        terminal.process.wait(10)


async def make(url: str) -> None:
    async with open_store(url, create=True):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, None], ids=["told", "hung up", "terminal lost"])
def test_a_server_of_its_own_ends_with_it(tmp_path: Path, how: signal.Signals | None) -> None:
    server = tmp_path / "own" / "data" / "postmaster.pid"
    asyncio.run(make(f"pgembed:{tmp_path / 'own'}"))
    with Terminal(console(f"pgembed:{tmp_path / 'own'}"), env=isolated_env(tmp_path)) as terminal:
        terminal.until("● live")
        assert server.exists()
        if how is None:
            terminal.hang_up()
        else:
            terminal.process.send_signal(how)
        status = terminal.process.wait(STOP_SECONDS + PATIENCE_SECONDS)
        assert how is None or status == 128 + how
    assert not server.exists()


@pytest.mark.slow
def test_a_storm_of_sizes(tmp_path: Path, filled: str) -> None:
    chance = random.Random(3)
    with Terminal(console(filled), env=isolated_env(tmp_path)) as terminal:
        terminal.until(f"{MEMORIES} memories")
        for place in ("f2", "f3", "f4", "f5", "f6", "f7"):
            terminal.press(place)
            for _ in range(8):
                terminal.resize((chance.randint(12, 200), chance.randint(3, 60)))
                time.sleep(0.02)
        terminal.resize((120, 40))
        terminal.until("▌F7 Store")
        terminal.until("No problems found.")
        assert "Traceback" not in terminal.written
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [(20, 5), (60, 20), (250, 70)], ids=str)
def test_any_size_goes_through_every_place(tmp_path: Path, filled: str, size: tuple[int, int]) -> None:
    with Terminal(console(filled), size=size, env=isolated_env(tmp_path)) as terminal:
        terminal.until("●")
        for place, title in zip(("f3", "f4", "f5", "f6", "f7", "f2"), TITLES, strict=True):
            terminal.press(place)
            terminal.until(f"▌{place.upper()} {title}")
            terminal.still(0.1)
        terminal.press("down", "enter")
        terminal.still()
        assert terminal.process.poll() is None, terminal.text
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.written
        assert terminal.is_restored


def test_without_a_terminal_it_refuses(tmp_path: Path, filled: str) -> None:
    ran = subprocess.run(
        console(filled),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=isolated_env(tmp_path),
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.count("\n") == 1
    assert "needs a terminal" in ran.stderr
    assert "\x1b" not in ran.stderr


def test_keys_from_a_pipe_are_refused(tmp_path: Path, filled: str) -> None:
    script = tmp_path / "piped.sh"
    script.write_text('echo q | "$@"\necho status $?\n')
    with Terminal(["/bin/sh", str(script), *console(filled)], env=isolated_env(tmp_path)) as terminal:
        assert terminal.wait() == 0
        assert "needs a terminal" in terminal.text
        assert "status 3" in terminal.text
        assert ALTERNATE not in terminal.written
