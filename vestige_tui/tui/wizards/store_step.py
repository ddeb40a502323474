"""Step that asks for a store: a URL, typed or taken from the known stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from rich.highlighter import Highlighter
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from vestige_tui.core.jobs import Job
from vestige_tui.core.text import below_home, cut, masked, plain, redact_url, safe
from vestige_tui.jobs.known_stores import watched, without_password
from vestige_tui.jobs.known_stores import with_password as with_known_password
from vestige_tui.jobs.store_identity import distinct_stores
from vestige_tui.tui.store_session import StoreSession
from vestige_tui.tui.wizards.wizard import Wizard, WizardStep

KNOWN_STORES_LIMIT = 50


def known_stores(session: StoreSession, *leave_out: str) -> tuple[str, ...]:
    """Return the stores that the user's consoles know, without passwords, except those in ``leave_out``."""
    # Of several spellings that of the open store is the one in the ledgers of others.
    servers = (url for url in session.urls if url.startswith(("postgresql:", "postgres:", "pgembed:")))
    candidates: Iterable[str] = (*servers, *watched(), *(url for job in session.jobs for url in _ends(job)))
    open_store = [session.store.location] if session.store is not None else []
    urls = (without_password(url) for url in (*open_store, *candidates) if url)
    return distinct_stores(urls, leave_out)[:KNOWN_STORES_LIMIT]


def _ends(job: Job) -> tuple[str, ...]:
    return (job.source, job.target) if job.is_ours else ()


def with_password(session: StoreSession, typed: str) -> str:
    """Return the typed URL with the password that this console knows for it."""
    return with_known_password(typed.strip(), session.urls)


class _Masking(Highlighter):
    """Highlighter that masks a password while it is typed."""

    def highlight(self, text: Text) -> None:
        text.plain = masked(text.plain)


class StoreStep(WizardStep):
    """Input of a URL, below it the known stores; up and down take one of them.

    ``choose`` is called with the typed URL and its password, which is removed from the input.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,ctrl+n", "move(1)", "down", show=False, priority=True),
        Binding("up,ctrl+p", "move(-1)", "up", show=False, priority=True),
    ]

    def __init__(
        self,
        word: str,
        note: str,
        stores: Sequence[str],
        choose: Callable[[str], None],
        *,
        value: str = "",
        placeholder: str = "FILE, pgembed:FOLDER or postgresql://user@host/name",
    ) -> None:
        super().__init__()
        self.word = word
        self._note, self._stores, self._choose = note, tuple(stores), choose
        self._value, self._placeholder = value, placeholder
        self._secrets: dict[str, str] = {}
        self._tried_url = ""
        self.keys = (("enter", "continue"), ("↑↓", "known stores")) if stores else (("enter", "continue"),)

    def compose(self) -> ComposeResult:
        yield Static(Content(plain(self._note)), classes="note", markup=False)
        yield Input(
            value=safe(self._value),
            placeholder=self._placeholder,
            select_on_focus=False,
            highlighter=_Masking(),
        )
        yield Static(classes="said", markup=False)
        if self._stores:
            yield Static(Content("known stores"), classes="label", markup=False)
            yield OptionList(*(Option(self._line(url)) for url in self._stores), markup=False)

    @staticmethod
    def _line(url: str) -> Content:
        return Content(cut(plain(below_home(redact_url(url))), 200))

    def on_mount(self) -> None:
        for stores in self.query(OptionList):
            stores.can_focus = False
            stores.highlighted = self._stores.index(self._value) if self._value in self._stores else None

    def begin(self) -> None:
        self.query_one(Input).focus()

    def say(self, content: Content) -> bool:
        self.query_one(".said", Static).update(content)
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        # The message belongs to the store tried before.
        if event.value != self._tried_url and not self._wizard.is_busy:
            self.say(Content(""))

    @property
    def _wizard(self) -> Wizard[object]:
        screen = self.screen
        assert isinstance(screen, Wizard)
        return screen

    def action_move(self, step: int) -> None:
        for stores in self.query(OptionList):
            current, last = stores.highlighted, len(self._stores) - 1
            if current is None:
                current = -1 if step > 0 else last + 1
            stores.highlighted = index = (current + step) % (last + 1)
            self._take(index)

    def _take(self, index: int) -> None:
        line = self.query_one(Input)
        line.value = safe(self._stores[index])
        line.cursor_position = len(line.value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._take(event.option_index)
        self._tried_url = self._stores[event.option_index]
        self._choose(self._tried_url)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        if not typed:
            or_one = ", or choose one with ↑↓" if self._stores else ""
            self._wizard.say(f"Type the file or URL of a store{or_one}.", "waiting")
            return
        if (bare := without_password(typed)) != typed:
            # Remove a typed password from the screen.
            self._secrets[bare] = typed
            self.query_one(Input).value = bare
        self._tried_url = bare
        self._choose(self._secrets.get(bare, typed))
