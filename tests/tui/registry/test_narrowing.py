"""The list of models: language, size, a hint for whom each is, and narrowing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import Console, open_console
from vestige_tui.embedding.catalogue import CatalogModel, catalog, language_of
from vestige_tui.presenters.models import model_hint
from vestige_tui.tui.registry.model_list import ModelList
from vestige_tui.tui.registry.place import NarrowLine

SIZES = [(120, 40), (80, 24), (60, 20)]


async def open_registry(console: Console) -> ModelList:
    await console.press("f6")
    await console.until("downloaded on first use")
    return console.app.screen.query_one(ModelList)


@pytest.mark.parametrize(
    ("description", "language"),
    [
        ("Text embeddings, Unimodal (text), English, 512 input tokens truncation", "English"),
        ("Text embeddings, Unimodal (text), Multilingual (~100 languages), 512", "100 languages"),
        ("Multi-task unimodal (text) embedding model, multi-lingual (~100), 8192", "100 languages"),
        ("Text embeddings, Unimodal (text), Multilingual (German, English), 8192", "English and German"),
        ("supports mixed Spanish-English input text", "English and Spanish"),
        ("Text embeddings, Unimodal (text), multilingual, 2048 input tokens", "several languages"),
        ("Multilingual (English, 30 programming languages)", "English and code"),
        ("Text embeddings", ""),
    ],
)
def test_the_language_is_read_from_the_description(description: str, language: str) -> None:
    assert language_of(description) == language


def test_every_model_of_the_catalogue_has_a_hint_of_one_line() -> None:
    hints = {model.name: model_hint(model) for model in catalog()}
    assert all(hint.endswith(".") and "\n" not in hint and len(hint) <= 150 for hint in hints.values())
    assert len(set(hints.values())) > 6
    assert hints["sentence-transformers/all-MiniLM-L6-v2"] == "For English memories; fast on any machine."
    assert "source code" in hints["jinaai/jina-embeddings-v2-base-code"]
    assert "images" in hints["Qdrant/clip-ViT-B-32-text"]
    assert "100 languages" in hints["intfloat/multilingual-e5-large"]
    assert "fast machine" in hints["intfloat/multilingual-e5-large"]
    assert model_hint(CatalogModel("x", 8, None, "", "", False)) == "For general text; fast on any machine."


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_the_hint_follows_the_cursor_and_moves_nothing(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        models = await open_registry(console)
        heights = set()
        for _ in range(4):
            await console.until(lambda: models.current is not None and console.says(model_hint(models.current)))
            heights.add(models.size.height)
            await console.press("j")
        assert len(heights) == 1


async def test_the_language_is_a_column(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_registry(console)
        assert any("bge-small-zh-v1.5" in line and "Chinese" in line for line in console.lines)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_the_list_is_narrowed_by_words_and_escape_shows_all(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        models = await open_registry(console)
        count = models.count
        await console.press("/")
        assert isinstance(console.app.focused, NarrowLine)
        await console.type("german")
        await console.until(lambda: models.count == 1)
        assert models.current is not None
        assert models.current.name == "jinaai/jina-embeddings-v2-base-de"
        await console.press("down")
        await console.until(lambda: models.has_focus)
        await console.press("escape")
        await console.until(lambda: models.count == count)
        assert models.current.name == "jinaai/jina-embeddings-v2-base-de", "the cursor keeps its model"
        await console.press("/")
        await console.type("no such model")
        await console.until("No model matches these words.")
        assert not models.count
        await console.press("escape")
        await console.until(lambda: models.count == count)
