"""The themes of the console: dark and light, both also with high contrast, and the terminal's own sixteen colours.

One accent marks focus, selection and the next thing to do; red means loss or failure, amber waiting or overdue, green a
finished verification. Areas differ by tone (``$background``, ``$surface``, ``$panel``), never by boxes.

Contrast (WCAG 2): every colour of text has at least 4.5:1 on every tone, 7:1 in the high-contrast themes. ``$track`` is
for shapes that carry no text: rules, stems, and the empty part of a bar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App


def _heading_colours(text: str, muted: str) -> dict[str, str]:
    """Return the variables of Markdown's headings: the lower three levels are muted, the lowest two not bold."""
    colours = {f"markdown-h{level}-color": text if level < 4 else muted for level in range(1, 7)}
    return colours | {f"markdown-h{level}-text-style": "bold" for level in range(1, 5)}


def _theme(
    name: str,
    *,
    dark: bool,
    ground: str,
    surface: str,
    panel: str,
    row: str,
    text: str,
    muted: str,
    faint: str,
    track: str,
    accent: str,
    red: str,
    amber: str,
    green: str,
) -> Theme:
    return Theme(
        name=name,
        dark=dark,
        primary=accent,
        secondary=accent,
        accent=accent,
        error=red,
        warning=amber,
        success=green,
        foreground=text,
        background=ground,
        surface=surface,
        panel=panel,
        variables={
            "text": text,
            "text-muted": muted,
            "text-disabled": faint,
            "text-primary": accent,
            "text-accent": accent,
            "text-error": red,
            "text-warning": amber,
            "text-success": green,
            "track": track,
            "foreground-muted": muted,
            "foreground-disabled": faint,
            "border": accent,
            "border-blurred": panel,
            "block-cursor-background": row,
            "block-cursor-foreground": text,
            "block-cursor-text-style": "bold",
            "block-cursor-blurred-background": row,
            "block-cursor-blurred-foreground": text,
            "block-hover-background": panel,
            "input-selection-background": accent,
            "input-selection-foreground": ground,
            "screen-selection-background": accent,
            "screen-selection-foreground": ground,
            "input-cursor-background": accent,
            "input-cursor-foreground": ground,
            "footer-background": ground,
            "footer-foreground": muted,
            "footer-item-background": ground,
            "footer-description-foreground": muted,
            "footer-description-background": ground,
            "footer-key-foreground": text,
            "footer-key-background": ground,
            "scrollbar": row,
            "scrollbar-hover": track,
            "scrollbar-active": accent,
            "scrollbar-background": ground,
            "scrollbar-background-hover": ground,
            "scrollbar-background-active": ground,
            "scrollbar-corner-color": ground,
            "link-color": accent,
            "link-color-hover": accent,
            "link-background-hover": row,
            "button-foreground": text,
            **_heading_colours(text, muted),
        },
    )


DARK = _theme(
    "vestige-dark",
    dark=True,
    ground="#131519",
    surface="#181b20",
    panel="#20242b",
    row="#2a303a",
    text="#d5d8de",
    muted="#a8b0bd",
    faint="#959dac",
    track="#545c69",
    accent="#82aaf0",
    red="#ef7f7c",
    amber="#dcab62",
    green="#86c28b",
)

LIGHT = _theme(
    "vestige-light",
    dark=False,
    ground="#faf9f6",
    surface="#f2f1ec",
    panel="#e9e7e0",
    row="#dde3ee",
    text="#24272d",
    muted="#4a515c",
    faint="#59606c",
    track="#a3a7ae",
    accent="#2856ab",
    red="#a92b26",
    amber="#7a4e00",
    green="#1f6531",
)

DARK_CONTRAST = _theme(
    "vestige-dark-contrast",
    dark=True,
    ground="#000000",
    surface="#0a0b0d",
    panel="#14161a",
    row="#23282f",
    text="#ffffff",
    muted="#d0d5dc",
    faint="#bcc2cb",
    track="#767e8b",
    accent="#9cc2ff",
    red="#ffaaa6",
    amber="#ffcb70",
    green="#9be0a1",
)

LIGHT_CONTRAST = _theme(
    "vestige-light-contrast",
    dark=False,
    ground="#ffffff",
    surface="#f7f7f7",
    panel="#eeeeee",
    row="#dfe6f3",
    text="#000000",
    muted="#2f3339",
    faint="#3b4047",
    track="#7d838c",
    accent="#123a86",
    red="#82120d",
    amber="#543600",
    green="#0c4419",
)

ANSI = Theme(
    name="vestige-ansi",
    dark=True,
    ansi=True,
    primary="ansi_blue",
    secondary="ansi_blue",
    accent="ansi_blue",
    error="ansi_red",
    warning="ansi_yellow",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "text": "ansi_default",
        "text-muted": "ansi_bright_black",
        "text-disabled": "ansi_bright_black",
        "track": "ansi_bright_black",
        "foreground-muted": "ansi_bright_black",
        "foreground-disabled": "ansi_bright_black",
        "border": "ansi_blue",
        "border-blurred": "ansi_bright_black",
        "block-cursor-background": "ansi_blue",
        "block-cursor-foreground": "ansi_bright_white",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "ansi_default",
        "block-cursor-blurred-foreground": "ansi_default",
        # The list of a dialog has no focus, as its input line has it, and no background here. Reverse is not drawn.
        "block-cursor-blurred-text-style": "bold underline",
        "footer-key-foreground": "ansi_default",
        "footer-description-foreground": "ansi_bright_black",
        "scrollbar": "ansi_bright_black",
        "scrollbar-hover": "ansi_bright_black",
        "scrollbar-active": "ansi_blue",
        "scrollbar-background": "ansi_default",
        "scrollbar-background-hover": "ansi_default",
        "scrollbar-background-active": "ansi_default",
        "input-selection-background": "ansi_blue",
        "input-selection-foreground": "ansi_bright_white",
        "screen-selection-background": "ansi_blue",
        "screen-selection-foreground": "ansi_bright_white",
        "markdown-h1-color": "ansi_default",
        "markdown-h2-color": "ansi_default",
        "markdown-h2-text-style": "bold",
        "markdown-h3-color": "ansi_default",
        "markdown-h3-text-style": "bold",
        "markdown-h4-color": "ansi_default",
    },
)

THEMES = (DARK, LIGHT, DARK_CONTRAST, LIGHT_CONTRAST, ANSI)
DEFAULT_THEME = DARK.name


def themes() -> dict[str, Theme]:
    """Return all themes by name, those of this program first."""
    from textual.theme import BUILTIN_THEMES

    return {theme.name: theme for theme in THEMES} | BUILTIN_THEMES


def register(app: App[Any]) -> None:
    """Register the themes with the app; the app or its config chooses one."""
    for theme in THEMES:
        app.register_theme(theme)
