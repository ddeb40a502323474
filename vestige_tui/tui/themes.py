"""The three themes of the console: dark, light, and the terminal's own sixteen colours.

One accent marks focus, selection and the next thing to do; red means loss or failure, amber waiting or overdue, green a
finished verification. Areas differ by tone (``$background``, ``$surface``, ``$panel``), never by boxes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App


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
            "input-selection-background": f"{accent} 35%",
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
            "scrollbar-hover": faint,
            "scrollbar-active": accent,
            "scrollbar-background": ground,
            "scrollbar-background-hover": ground,
            "scrollbar-background-active": ground,
            "scrollbar-corner-color": ground,
            "link-color": accent,
            "link-color-hover": accent,
            "link-background-hover": row,
            "button-foreground": text,
            "markdown-h1-color": text,
            "markdown-h1-text-style": "bold",
            "markdown-h2-color": text,
            "markdown-h2-text-style": "bold",
            "markdown-h3-color": text,
            "markdown-h3-text-style": "bold",
            "markdown-h4-color": muted,
            "markdown-h4-text-style": "bold",
            "markdown-h5-color": muted,
            "markdown-h6-color": muted,
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
    muted="#8b93a1",
    faint="#545c69",
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
    muted="#626975",
    faint="#a3a7ae",
    accent="#2a5db8",
    red="#b3302b",
    amber="#8a5a00",
    green="#2b7a3d",
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
        "foreground-muted": "ansi_bright_black",
        "foreground-disabled": "ansi_bright_black",
        "border": "ansi_blue",
        "border-blurred": "ansi_bright_black",
        "block-cursor-background": "ansi_blue",
        "block-cursor-foreground": "ansi_bright_white",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "ansi_default",
        "block-cursor-blurred-foreground": "ansi_default",
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
        "markdown-h1-color": "ansi_default",
        "markdown-h2-color": "ansi_default",
        "markdown-h2-text-style": "bold",
        "markdown-h3-color": "ansi_default",
        "markdown-h3-text-style": "bold",
        "markdown-h4-color": "ansi_default",
    },
)

THEMES = (DARK, LIGHT, ANSI)
DEFAULT_THEME = DARK.name


def themes() -> dict[str, Theme]:
    """Return all themes by name, those of this program first."""
    from textual.theme import BUILTIN_THEMES

    return {theme.name: theme for theme in THEMES} | BUILTIN_THEMES


def register(app: App[Any]) -> None:
    """Register the three themes with the app; the app or its config chooses one."""
    for theme in THEMES:
        app.register_theme(theme)
