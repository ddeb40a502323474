"""themes list and keys list: the names that the settings take, as the console has them."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import Command
from vestige_tui.config.keymap import key_name, spelling
from vestige_tui.config.settings import Config
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.commands.catalogue import IN_PLACE, catalogue
from vestige_tui.tui.themes import register


def test_themes(run: Command, tmp_path: Path) -> None:
    settings = tmp_path / "vestige.toml"
    settings.write_text('[ui]\ntheme = "nord"\n')
    items = run("--config", str(settings), "themes", "list", "--json").json["items"]
    app = VestigeApp(Config(), "sqlite:none.db")
    register(app)
    assert {item["name"] for item in items} == set(app.available_themes)
    assert [item["name"] for item in items if item["current"]] == ["nord"]
    text = run("--config", str(settings), "themes", "list").out
    assert "*  nord" in text
    assert "   vestige-light" in text


def test_keys(run: Command, tmp_path: Path) -> None:
    settings = tmp_path / "vestige.toml"
    settings.write_text('[keys]\n"memory.edit" = "ctrl+e,f9"\n')
    items = {item["id"]: item for item in run("--config", str(settings), "keys", "list", "--json").json["items"]}
    assert set(items) == set(catalogue())
    for id, command in catalogue().items():
        assert items[id]["help"] == command.help
        assert items[id]["default"] == [key.strip() for key in command.key.split(",")]
    assert items["memory.edit"]["keys"] == ["ctrl+e", "f9"]
    assert items["app.quit"]["where"] == items["place.jobs"]["where"] == ["everywhere"]
    for place, commands in IN_PLACE.items():
        assert all(place in items[command.id]["where"] for command in commands)


def test_keys_are_printed_as_the_settings_spell_them(run: Command) -> None:
    lines = run("keys", "list").out.splitlines()
    assert lines[0].split() == ["id", "key", "where", "use"]
    assert next(line for line in lines if line.startswith("help.show")).split()[1:3] == ["?", "f1"]
    for command in catalogue().values():
        for key in command.key.split(","):
            assert key_name(spelling(key.strip())) == key.strip()
