"""The screen of a running app, as text to assert on and as a PNG to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from textual.app import App
from textual.pilot import Pilot

T = TypeVar("T")

FONTS = (
    "/usr/share/fonts/truetype/firacode/FiraCode-Regular.ttf",
    "/usr/share/fonts/truetype/firacode/FiraCode-Bold.ttf",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
)


def screen_lines(app: App[T]) -> list[str]:
    """Return the screen's lines from top to bottom, without the spaces at their ends."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


async def picture(app_or_pilot: App[T] | Pilot[T], path_png: str | Path) -> None:
    """Write what is on the screen as a PNG, in Fira Code and Noto Sans CJK where they are installed."""
    if isinstance(app_or_pilot, Pilot):
        await app_or_pilot.pause()
        app = app_or_pilot.app
    else:
        app = app_or_pilot
    write_png(app.export_screenshot(), Path(path_png))


def write_png(svg: str, path: Path) -> None:
    """Draw an exported screenshot with fixed fonts."""
    import resvg_py

    fonts = [font for font in FONTS if Path(font).exists()]
    image = resvg_py.svg_to_bytes(
        svg_string=svg,
        font_files=fonts or None,
        skip_system_fonts=bool(fonts),
        monospace_family="Fira Code",
        sans_serif_family="Fira Code",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(image))
