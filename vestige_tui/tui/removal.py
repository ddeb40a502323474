"""Widgets that are being removed: their outstanding calls are left out.

A dialog may be closed before it is composed, by keys that were typed while the console was busy. It is then told of its
mount without having any widgets, and its calls after a refresh arrive at the screen below it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from textual._callback import invoke
from textual.widget import Widget

# Textual takes the style sheet of the first base that is a widget, which must be the one that is extended.
if TYPE_CHECKING:
    Extended = Widget
else:
    Extended = object


def is_being_removed(widget: Widget) -> bool:
    """Check whether a widget, or a parent of it, is being removed, or is one of a console that ends."""
    return not widget.is_attached or any(each._pruning or each._closing for each in widget.ancestors_with_self)


class WhileMounted(Extended):
    """Mixin of widgets whose calls after a refresh query their children: they are left out once it is being removed."""

    def call_after_refresh(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        return super().call_after_refresh(self._call_if_mounted, partial(callback, *args, **kwargs))

    async def _call_if_mounted(self, callback: Callable[[], Any]) -> None:
        if not is_being_removed(self):
            await invoke(callback)
