"""A key is shown only where it works: key line, help and the focused widget agree, in every place and state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.keys import key_to_character
from textual.screen import Screen
from textual.widgets import Input

from tests.support.console import Console, open_browse, open_console, open_explanation
from vestige_tui.tui.commands.everywhere import Interrupt, Quit, SuspendConsole
from vestige_tui.tui.commands.offered import offered_commands
from vestige_tui.tui.dialogs.help import help_rows
from vestige_tui.tui.widgets.key_line import KeyLine

Reach = Callable[[Console], Awaitable[None]]
ENDS_THE_CONSOLE = {Quit.id, Interrupt.id, SuspendConsole.id}
OPENS_AN_EDITOR = {"memory.edit", "memory.add"}
NEEDS_ANOTHER_PROGRAM = {"memory.copy", "memory.copy_id", "job.copy_id"}


async def search_line(console: Console) -> None:
    await console.press("f2")


async def search_list(console: Console) -> None:
    await console.press("f2")
    await console.paste("webhook")
    await console.press("enter")


async def search_card(console: Console) -> None:
    await search_list(console)
    await console.still()
    await console.press("enter")


async def explanation(console: Console) -> None:
    await open_explanation(console)


async def browse_list(console: Console) -> None:
    await open_browse(console)


async def browse_line(console: Console) -> None:
    await open_browse(console)
    await console.press("slash")


async def browse_card(console: Console) -> None:
    await open_browse(console)
    await console.press("enter")


async def review_question(console: Console) -> None:
    await console.press("f4")


async def review_answer(console: Console) -> None:
    await console.press("f4")
    await console.still()
    await console.press("space")


async def jobs(console: Console) -> None:
    await console.press("f5")


async def registry_list(console: Console) -> None:
    await console.press("f6")


async def registry_card(console: Console) -> None:
    await console.press("f6")
    await console.still()
    await console.press("tab")


async def store(console: Console) -> None:
    await console.press("f7")


async def domains(console: Console) -> None:
    await open_browse(console)
    await console.press("D")
    await console.still()


STATES: tuple[Reach, ...] = (
    *(search_line, search_list, search_card, explanation, browse_list, browse_line, browse_card),
    *(review_question, review_answer, jobs, registry_list, registry_card, store, domains),
)


def shown_keys(screen: Screen[object]) -> list[tuple[str, str]]:
    """Return the enabled keys of the key line: the key and the id of each binding."""
    keys, palette, _ = screen.query_one(KeyLine)._keys()
    shown = {(key.written, key.action) for key in (*keys, *([palette] if palette else [])) if key.enabled}
    found = {
        name: (screen.app.get_key_display(active.binding), active.binding.action)
        for name, active in screen.active_bindings.items()
        if active.enabled
    }
    assert shown <= {*found.values()}
    return [(name, screen.active_bindings[name].binding.id or "") for name, key in found.items() if key in shown]


def state_of(console: Console) -> tuple[object, ...]:
    app = console.app
    return console.text, app.focused, len(app.screen_stack), app.screen


async def back_to(console: Console, reach: Reach) -> None:
    """Close whatever is open, and reach the state."""
    while len(console.app.screen_stack) > 1:
        await console.press("escape")
        await console.still()
    await console.press("escape", "escape")
    await reach(console)
    await console.still()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)], ids=str)
async def test_every_key_that_is_shown_reaches_an_action_that_exists(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        for reach in STATES:
            await back_to(console, reach)
            screen = console.app.screen
            shown = shown_keys(screen)
            assert len(shown) >= 2, reach
            focused = screen.focused
            for key, id in shown:
                active = screen.active_bindings[key]
                # The action as Textual finds it: with its name, on the node that it names.
                target, name, parameters = console.app._parse_action(active.binding.action, active.node)
                assert callable(getattr(target, f"action_{name}", None)), (reach, key)
                assert target.check_action(name, parameters), (reach, key)
                if focused is not None and not active.binding.priority and focused is not active.node:
                    assert not focused.check_consume_key(key, key_to_character(key)), (reach, key, id)
            assert "ctrl+q quit" in console.lines[-1], reach
            assert ("F1 help" if isinstance(focused, Input) else "? help") in console.lines[-1], reach
            # Help lists what works now with the same keys.
            rows = {row.sentence: row for row in help_rows(screen) if not row.reason}
            for each in offered_commands(screen):
                if each.is_live and not each.reason:
                    assert rows[each.command.help].keys.split() == each.keys.split()


@pytest.mark.slow
@pytest.mark.parametrize("reach", STATES, ids=lambda reach: str(reach.__name__))
async def test_every_key_that_is_shown_does_something(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    left_out = ENDS_THE_CONSOLE | OPENS_AN_EDITOR | NEEDS_ANOTHER_PROGRAM
    async with open_console(corpus) as console:
        await back_to(console, reach)
        keys = [key for key, id in shown_keys(console.app.screen) if id not in left_out]
        for key in keys:
            assert key in [name for name, _ in shown_keys(console.app.screen)], key
            before = state_of(console)
            await console.press(key)
            await console.until(lambda before=before: state_of(console) != before)  # type: ignore[misc]
            await back_to(console, reach)
