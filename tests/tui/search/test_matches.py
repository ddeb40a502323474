"""Matches on the screen: marked in hits and card by colour and by shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style

from tests.support.console import Console, open_console
from vestige_tui.core.memories import Draft

TEXT = f"""# Gateway runbook

{"Nothing of it stands here. " * 30}

- **Rotating** the *signing* key, see `rotate_keys()`

```sh
rotate --signing   # every key
```

| key | place |
|---|---|
| signing | vault |
"""


def marked(console: Console) -> list[str]:
    """Return the texts of the screen that are bold and underlined."""
    strips = console.app.screen._compositor.render_strips()
    return [segment.text for strip in strips for segment in strip if is_marked(segment)]


def is_marked(segment: Segment) -> bool:
    style = segment.style or Style()
    return bool(style.bold and style.underline and segment.text.strip())


@pytest.mark.slow
async def test_words_are_marked_in_the_hit_and_in_the_card(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.store.insert(Draft(TEXT, tags=("signing-keys",)))
        await console.paste('+rotate "signing" keys codebook')
        await console.until("**Rotating** the *signing* key, see")
        await console.still()
        assert {"Rotating", "signing"} <= set(marked(console))
        await console.press("enter", "down", "enter", "G")
        await console.until("vault")
        await console.still()
        texts = marked(console)
        # In the list; then in a paragraph, in code and in a table of the card.
        for word in ("Rotating", "signing", "key", "keys", "rotate"):
            assert word in texts, texts
        await console.press("r")
        await console.until("| signing | vault |")
        assert {"Rotating", "rotate", "keys"} <= set(marked(console))


@pytest.mark.slow
async def test_the_marks_follow_the_query_on_an_unchanged_text(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.store.insert(Draft("zzunique zzother and runbook", tags=("zztag",)))
        await console.paste("zzunique zzother")
        await console.until(lambda: marked(console).count("zzother") == 2)
        await console.press("home", *["delete"] * len("zzunique zzother"))
        await console.paste("zzunique zztag")
        # Tags are marked in the row, where only those that match stand, and in the card.
        await console.until(lambda: marked(console).count("zztag") == 2)
        assert "zzother" not in marked(console)


@pytest.mark.slow
async def test_hostile_text_is_marked_harmlessly(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.store.insert(Draft("[/x] zzhostile\x1b[31m [bold]zzhostile[/] \u202ezzhostile"))
        await console.paste("zzhostile")
        await console.until(lambda: "zzhostile" in marked(console))
        assert not [letter for letter in console.text if (ord(letter) < 32 and letter != "\n") or letter == "\u202e"]
