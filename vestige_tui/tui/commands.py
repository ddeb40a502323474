"""Every command of the console, declared once: key, footer, palette, help and keymap id follow from its class.

A place or widget declares ``BINDINGS = bindings(EditMemory, CopyMemory)`` and writes ``action_copy_memory``;
``CommandPalette`` then offers the live commands of the screen in front, and ``catalogue()`` lists those that a config
may rebind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import ClassVar, Protocol, runtime_checkable

from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen


class Command:
    """Base class of all commands. ``action`` is the Textual action of the widget or screen that binds it."""

    id: ClassVar[str]
    """Name in the keymap, ``family.verb``."""
    key: ClassVar[str]
    """One key, or several with commas."""
    label: ClassVar[str]
    """One or two words for the footer."""
    help: ClassVar[str]
    """One sentence for help and palette."""
    action: ClassVar[str]
    group: ClassVar[str]
    """Heading in help."""
    footer: ClassVar[bool] = False
    """True if the footer shows it."""
    display: ClassVar[str | None] = None
    """Spelling of the key, where Textual's own is too long."""
    priority: ClassVar[bool] = False
    """True if it works while the user types into a line."""

    @classmethod
    def binding(cls) -> Binding:
        """Return the Textual binding of this command."""
        return Binding(
            cls.key,
            cls.action,
            cls.label,
            show=cls.footer,
            key_display=cls.display,
            priority=cls.priority,
            tooltip=cls.help,
            id=cls.id,
        )


def bindings(*commands: type[Command]) -> list[BindingType]:
    """Return the bindings of these commands, for a class's ``BINDINGS``, in footer order."""
    return [command.binding() for command in commands]


def catalogue() -> dict[str, type[Command]]:
    """Return every command by id, in the order of this file."""

    def below(parent: type[Command]) -> Iterator[type[Command]]:
        for child in parent.__subclasses__():
            if "id" in child.__dict__:
                yield child
            yield from below(child)

    return {command.id: command for command in below(Command) if command.__module__ == __name__}


# ── places ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class GoTo(Command):
    """Base class of the six commands that go to a place; they work everywhere, also while typing."""

    group = "Places"
    priority = True
    place: ClassVar[str]
    title: ClassVar[str]


class GoToSearch(GoTo):
    id, key, label, action = "place.search", "f2", "search", "place('search')"
    place, title = "search", "Search"
    help = "Ask a question and see which memories answer it."


class GoToBrowse(GoTo):
    id, key, label, action = "place.browse", "f3", "browse", "place('browse')"
    place, title = "browse", "Browse"
    help = "Walk through all memories, filter and sort them."


class GoToReview(GoTo):
    id, key, label, action = "place.review", "f4", "review", "place('review')"
    place, title = "review", "Review"
    help = "Grade the memories that are due."


class GoToJobs(GoTo):
    id, key, label, action = "place.jobs", "f5", "jobs", "place('jobs')"
    place, title = "jobs", "Jobs"
    help = "Watch copies and the work of agents."


class GoToRegistry(GoTo):
    id, key, label, action = "place.registry", "f6", "registry", "place('registry')"
    place, title = "registry", "Registry"
    help = "See which embedding model this store belongs to."


class GoToStore(GoTo):
    id, key, label, action = "place.store", "f7", "store", "place('store')"
    place, title = "store", "Store"
    help = "Health, size, schema and connections of this store."


PLACES: tuple[type[GoTo], ...] = (GoToSearch, GoToBrowse, GoToReview, GoToJobs, GoToRegistry, GoToStore)


class PreviousPlace(Command):
    id, key, label, action = "place.previous", "left_square_bracket", "previous place", "step_place(-1)"
    group, display = "Places", "["
    help = "Go to the place on the left."


class NextPlace(Command):
    id, key, label, action = "place.next", "right_square_bracket", "next place", "step_place(1)"
    group, display = "Places", "]"
    help = "Go to the place on the right."


# ── everywhere ──────────────────────────────────────────────────────────────────────────────────────────────────────


class ShowHelp(Command):
    id, key, label, action = "help.show", "question_mark,f1", "help", "show_help"
    group, footer, display = "Everywhere", True, "?"
    help = "Show what this place is for and every key that works here."


class ShowErrorDetails(Command):
    id, key, label, action = "error.details", "exclamation_mark", "details", "show_details"
    group, display = "Everywhere", "!"
    help = "Show the details behind the last error."


class Leave(Command):
    id, key, label, action = "place.back", "escape", "back", "back"
    group = "Everywhere"
    help = "Leave what is open; what was typed stays."


class Refresh(Command):
    id, key, label, action = "place.refresh", "ctrl+r", "refresh", "refresh_place"
    group = "Everywhere"
    help = "Ask the store again."


class Quit(Command):
    id, key, label, action = "app.quit", "ctrl+q", "quit", "quit"
    group, priority = "Everywhere", True
    help = "Leave the console; jobs go on."


# ── lists ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class RowDown(Command):
    id, key, label, action = "list.down", "j,down", "down", "cursor_down"
    group = "Lists"
    help = "Go one row down."


class RowUp(Command):
    id, key, label, action = "list.up", "k,up", "up", "cursor_up"
    group = "Lists"
    help = "Go one row up."


class HalfPageDown(Command):
    id, key, label, action = "list.half_down", "ctrl+d", "half a page down", "half_page_down"
    group = "Lists"
    help = "Go half a page down."


class HalfPageUp(Command):
    id, key, label, action = "list.half_up", "ctrl+u", "half a page up", "half_page_up"
    group = "Lists"
    help = "Go half a page up."


class PageDown(Command):
    id, key, label, action = "list.page_down", "pagedown", "page down", "page_down"
    group = "Lists"
    help = "Go a page down."


class PageUp(Command):
    id, key, label, action = "list.page_up", "pageup", "page up", "page_up"
    group = "Lists"
    help = "Go a page up."


class FirstRow(Command):
    id, key, label, action = "list.first", "g,home", "first", "first"
    group = "Lists"
    help = "Go to the first row."


class LastRow(Command):
    id, key, label, action = "list.last", "G,end", "last", "last"
    group = "Lists"
    help = "Go to the last row."


class ChooseRow(Command):
    id, key, label, action = "list.choose", "enter", "open", "choose"
    group, footer, display = "Lists", True, "enter"
    help = "Open the row under the cursor."


class SelectRow(Command):
    id, key, label, action = "list.select", "space", "select", "toggle_selected"
    group, footer = "Lists", True
    help = "Select the row, or take it out of the selection, and go on."


class SelectRange(Command):
    id, key, label, action = "list.range", "v", "range", "toggle_range"
    group = "Lists"
    help = "Start a range here; move, and press again to select it."


class SelectAll(Command):
    id, key, label, action = "list.all", "asterisk", "all", "select_all"
    group, display = "Lists", "*"
    help = "Select everything that the filter matches."


class ClearSelection(Command):
    id, key, label, action = "list.clear", "escape", "clear selection", "clear_selection"
    group = "Lists"
    help = "Give up the range or the selection."


class FocusFilter(Command):
    id, key, label, action = "list.filter", "slash", "filter", "filter"
    group, footer, display = "Lists", True, "/"
    help = "Type what to look for, or add a filter such as type:decision."


class PickFilters(Command):
    id, key, label, action = "filter.pick", "f,f8", "filters", "pick_filters"
    group, footer = "Lists", True
    help = "Pick filters from what there is, with counts; f8 does it while you type. Saved filters are there too."


class CarryFilters(Command):
    id, key, label, action = "filter.carry", "F", "filters elsewhere", "carry_filters"
    group = "Lists"
    help = "Go to Search, Browse or Review with the same filters."


class SaveFilters(Command):
    id, key, label, action = "filter.save", "ctrl+s", "save filters", "save_filters"
    group = "Lists"
    help = "Give the filters a name, to come back to them."


class LeaveLine(Command):
    id, key, label, action = "line.leave", "down", "to the list", "leave_line"
    group, footer = "Lists", True
    help = "Go on from the line to the list, where letters are keys."


class Sort(Command):
    id, key, label, action = "list.sort", "s", "sort", "sort"
    group, footer = "Lists", True
    help = "Choose what the list is sorted by."


# ── memories ────────────────────────────────────────────────────────────────────────────────────────────────────────


class CopyMemory(Command):
    id, key, label, action = "memory.copy", "y", "copy", "copy_memory"
    group, footer = "Memory", True
    help = "Copy the memory's text to the clipboard."


class CopyId(Command):
    id, key, label, action = "memory.copy_id", "Y", "copy id", "copy_id"
    group = "Memory"
    help = "Copy the memory's whole id to the clipboard."


class AddMemory(Command):
    id, key, label, action = "memory.add", "a", "add", "add_memory"
    group = "Memory"
    help = "Write a new memory in your editor."


class EditMemory(Command):
    id, key, label, action = "memory.edit", "e", "edit", "edit_memory"
    group, footer = "Memory", True
    help = "Edit the memory's text in your editor."


class TagMemory(Command):
    id, key, label, action = "memory.tag", "t", "tag", "tag_memory"
    group, footer = "Memory", True
    help = "Add and remove tags: +security -draft."


class DeleteMemory(Command):
    id, key, label, action = "memory.delete", "d", "delete", "delete_memory"
    group, footer = "Memory", True
    help = "Delete the memory or the selection, after showing what will go."


class GradeMemory(Command):
    id, key, label, action = "memory.grade", "R", "review now", "grade_memory"
    group = "Memory"
    help = "Grade this memory now, due or not."


class LinkMemory(Command):
    id, key, label, action = "memory.link", "l", "link", "link_memory"
    group = "Memory"
    help = "Link this memory to another one."


class SupersedeMemory(Command):
    id, key, label, action = "memory.supersede", "S", "supersede", "supersede_memory"
    group = "Memory"
    help = "Say that another memory replaces this one."


class UndoChange(Command):
    id, key, label, action = "memory.undo", "u", "undo", "undo"
    group, footer = "Memory", True
    help = "Take back the last change."


class LeaveCard(Command):
    id, key, label, action = "card.leave", "escape", "back", "leave_card"
    group, footer, display = "Memory", True, "esc"
    help = "Go back from the memory to the list."


class ToggleRaw(Command):
    id, key, label, action = "card.raw", "r", "raw", "toggle_raw"
    group = "Memory"
    help = "Show the text as it is stored, or as Markdown."


class ShowWhole(Command):
    id, key, label, action = "card.whole", "w", "whole text", "show_whole"
    group = "Memory"
    help = "Show the whole of a very long memory."


# ── search ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class CycleMode(Command):
    id, key, label, action = "search.mode", "m", "mode", "cycle_mode"
    group, footer = "Search", True
    help = "Search by words and meaning, by words, by meaning alone, or for exact characters."


class MoreHits(Command):
    id, key, label, action = "search.more", "plus", "more", "more_hits"
    group, display = "Search", "+"
    help = "Ask for more hits."


class ExplainAnswer(Command):
    id, key, label, action = "search.explain", "x", "explain", "explain_answer"
    group, footer = "Search", True
    help = "Show how the answer came about: both lists, what each word weighed, the filters, and what it cost."


class AskWhyNot(Command):
    id, key, label, action = "search.why_not", "w", "why not", "ask_why_not"
    group, footer = "Search", True
    help = "Pick any memory, and see where it stands and what keeps it from the answer."


class LeaveExplanation(Command):
    id, key, label, action = "explain.leave", "escape", "back", "back"
    group, footer, display = "Search", True, "esc"
    help = "Go back from the explanation to the hits."


class ColumnBefore(Command):
    id, key, label, action = "explain.before", "left", "list before", "step_column(-1)"
    group = "Search"
    help = "Go to the list on the left."


class ColumnAfter(Command):
    id, key, label, action = "explain.after", "right", "next list", "step_column(1)"
    group, footer, display = "Search", True, "←→"
    help = "Go to the list on the right."


class ToggleSuperseded(Command):
    id, key, label, action = "list.superseded", "o", "replaced too", "toggle_superseded"
    group = "Lists"
    help = "Also show memories that another one has replaced."


# ── review ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reveal(Command):
    id, key, label, action = "review.reveal", "space", "reveal", "reveal"
    group, footer = "Review", True
    help = "Show the whole memory and the four grades."


class GradeAgain(Command):
    id, key, label, action = "review.again", "1", "again", "grade(1)"
    group = "Review"
    help = "Not remembered."


class GradeHard(Command):
    id, key, label, action = "review.hard", "2", "hard", "grade(2)"
    group = "Review"
    help = "Remembered with great effort."


class GradeGood(Command):
    id, key, label, action = "review.good", "3", "good", "grade(3)"
    group = "Review"
    help = "Remembered after some thought."


class GradeEasy(Command):
    id, key, label, action = "review.easy", "4", "easy", "grade(4)"
    group = "Review"
    help = "Remembered at once."


class Suspend(Command):
    id, key, label, action = "review.suspend", "x", "suspend", "suspend"
    group, footer = "Review", True
    help = "Never offer this memory again until resumed."


class Bury(Command):
    id, key, label, action = "review.bury", "b", "bury", "bury"
    group, footer = "Review", True
    help = "Offer this memory again tomorrow."


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CancelJob(Command):
    id, key, label, action = "job.cancel", "x", "cancel", "cancel_job"
    group, footer = "Jobs", True
    help = "Stop the job at its next checkpoint; what is written stays."


class RetryJob(Command):
    id, key, label, action = "job.retry", "R", "retry", "retry_job"
    group, footer = "Jobs", True
    help = "Go on with a job from its last checkpoint, or queue an agent's work once more."


class FailJob(Command):
    id, key, label, action = "job.fail", "F", "mark failed", "fail_job"
    group, footer = "Jobs", True
    help = "Mark work that nobody ends any more as failed, with a reason."


class VerifyCopy(Command):
    id, key, label, action = "job.verify", "v", "verify", "verify_copy"
    group, footer = "Jobs", True
    help = "Compare every row of the two stores of this job, or of this store and another one."


class CopyJobId(Command):
    id, key, label, action = "job.copy_id", "y", "copy id", "copy_job_id"
    group = "Jobs"
    help = "Copy the job's whole id to the clipboard."


class LeaveJob(Command):
    id, key, label, action = "job.leave", "escape", "back", "screen.back"
    group, footer, display = "Jobs", True, "esc"
    help = "Go back from the findings to their job, and from the job to the list."


class StartCopy(Command):
    id, key, label, action = "store.copy", "c", "copy store", "start_copy"
    group, footer = "Store", True
    help = "Copy a store into another one, as a job, after showing what would come along."


class Reembed(Command):
    id, key, label, action = "store.reembed", "r", "re-embed", "reembed"
    group, footer = "Store", True
    help = "Make the vectors of this store anew with another model, as a job, after showing what it would cost."


# ── registry ────────────────────────────────────────────────────────────────────────────────────────────────────────


class FillVectors(Command):
    id, key, label, action = "registry.fill", "f", "fill", "fill_vectors"
    group, footer = "Registry", True
    help = "Embed the memories that have no vector yet."


class PreviewModel(Command):
    id, key, label, action = "registry.preview", "p", "compare", "preview_model"
    group = "Registry"
    help = "Compare how the chosen model and the present one answer the same questions."


class ReadModelCard(Command):
    id, key, label, action = "registry.card", "tab", "card", "read_card"
    group, footer = "Registry", True
    help = "Read about the store's model: its vectors, the ways out, second vectors, and the models so far."


class LeaveModelCard(Command):
    id, key, label, action = "registry.models", "tab,escape", "models", "leave_card"
    group, footer, display = "Registry", True, "tab"
    help = "Go back from the store's model to the list of models."


class RollBack(Command):
    id, key, label, action = "registry.rollback", "b", "roll back", "roll_back"
    group, footer = "Registry", True
    help = "Go back to the model before, whose vectors are kept."


class DropOldVectors(Command):
    id, key, label, action = "registry.drop_old", "D", "drop old", "drop_old"
    group, footer = "Registry", True
    help = "Delete the vectors of the model before; there is no way back then."


class ConfigureModel(Command):
    id, key, label, action = "registry.configure", "w", "write setting", "configure_model"
    group, footer = "Registry", True
    help = "Write the store's model into the settings file, where that names another one."


# ── store ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Vacuum(Command):
    id, key, label, action = "store.vacuum", "v", "vacuum", "vacuum"
    group, footer = "Store", True
    help = "Give unused space back to the disk."


# ── groups of commands ────────────────────────────────────────────────────────────────────────────────────────────────

EVERYWHERE: tuple[type[Command], ...] = (
    *PLACES,
    PreviousPlace,
    NextPlace,
    ShowErrorDetails,
    Refresh,
    Leave,
    ShowHelp,
)
"""Commands that every place binds; ``place.Place`` does it."""

MOTIONS: tuple[type[Command], ...] = (
    RowDown,
    RowUp,
    HalfPageDown,
    HalfPageUp,
    PageDown,
    PageUp,
    FirstRow,
    LastRow,
)
"""Commands that every list binds; ``widgets.row_list.RowList`` does it."""

SELECTING: tuple[type[Command], ...] = (SelectRow, SelectRange, SelectAll, ClearSelection)
"""Further commands of a list with a selection."""

ON_A_MEMORY: tuple[type[Command], ...] = (
    EditMemory,
    TagMemory,
    CopyMemory,
    CopyId,
    DeleteMemory,
    GradeMemory,
    LinkMemory,
    SupersedeMemory,
    UndoChange,
)
"""Commands of a place with memories, on the selection or on the memory under the cursor."""

OF_FILTERS: tuple[type[Command], ...] = (CarryFilters, SaveFilters)
"""Commands of a place with a filter line, besides ``FocusFilter`` and ``PickFilters``."""

IN_PLACE: dict[str, tuple[type[Command], ...]] = {
    "search": (
        FocusFilter,
        PickFilters,
        ExplainAnswer,
        *ON_A_MEMORY,
        AddMemory,
        CycleMode,
        MoreHits,
        AskWhyNot,
        ToggleSuperseded,
        *OF_FILTERS,
    ),
    "browse": (FocusFilter, PickFilters, Sort, *ON_A_MEMORY, AddMemory, ToggleSuperseded, *OF_FILTERS),
    "review": (
        Reveal,
        GradeAgain,
        GradeHard,
        GradeGood,
        GradeEasy,
        Suspend,
        Bury,
        FocusFilter,
        PickFilters,
        *OF_FILTERS,
        EditMemory,
        CopyMemory,
        DeleteMemory,
        SupersedeMemory,
        UndoChange,
    ),
    "jobs": (CancelJob, RetryJob, FailJob, StartCopy, VerifyCopy, Reembed, CopyJobId),
    "registry": (PreviewModel, Reembed, ReadModelCard, RollBack, DropOldVectors, FillVectors, ConfigureModel),
    "store": (StartCopy, Vacuum),
}
"""Commands of each place, besides ``EVERYWHERE``."""


OF_AN_EXPLANATION: tuple[type[Command], ...] = (
    AskWhyNot,
    ColumnBefore,
    ColumnAfter,
    LeaveExplanation,
    *PLACES,
    Refresh,
    ShowHelp,
)
"""Commands of the explanation of a search, besides those of its lists."""


@runtime_checkable
class Offering(Protocol):
    """Protocol of a screen that adds entries of its own to the palette."""

    def offers(self) -> Iterator[tuple[str, str, Callable[[], Awaitable[bool]]]]:
        """Yield palette entries: title, help sentence, and the callable that runs the entry."""
        ...


class CommandPalette(Provider):
    """Palette of the live commands, those of the place first, then general ones; typing narrows them."""

    def _live(self) -> Iterator[tuple[str, str, Callable[[], Awaitable[bool]]]]:
        commands = catalogue()
        general_ids = {command.id for command in EVERYWHERE}
        ids: set[str] = set()
        screen: Screen[object] = self.screen
        # A screen's own bindings follow those of its base class; the palette shows the place's commands first.
        ordered = sorted(screen.active_bindings.values(), key=lambda active: (active.binding.id or "") in general_ids)
        for node, binding, enabled, _ in ordered:
            command = commands.get(binding.id or "")
            if command is None or not enabled or command.id in ids or command in MOTIONS:
                continue
            ids.add(command.id)
            title = command.title if issubclass(command, GoTo) else command.label
            run = partial(self.app.run_action, binding.action, node)
            yield f"{title.capitalize()}  ({self.app.get_key_display(binding)})", command.help, run
        if isinstance(screen, Offering):
            yield from screen.offers()

    async def discover(self) -> Hits:
        for title, sentence, run in self._live():
            yield DiscoveryHit(Content(title), run, text=title, help=sentence)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, sentence, run in self._live():
            score = max(matcher.match(title), matcher.match(sentence) * 0.6)
            if score > 0:
                yield Hit(score, Content(title), run, text=title, help=sentence)
