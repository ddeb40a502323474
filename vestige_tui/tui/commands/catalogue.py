"""The catalogue of all commands by id, and the commands of each place."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from vestige_tui.tui.commands import (
    doctor,
    domains,
    everywhere,
    jobs,
    journal,
    lists,
    memories,
    moments,
    places,
    registry,
    review,
    search,
    statistics,
    store,
    users,
)
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.doctor import ShowDoctor
from vestige_tui.tui.commands.domains import ShowDomains
from vestige_tui.tui.commands.jobs import (
    CancelJob,
    CopyJobId,
    FailJob,
    OpenJobStore,
    Reembed,
    RetryJob,
    StartCopy,
    VerifyCopy,
)
from vestige_tui.tui.commands.lists import OF_FILTERS, FocusFilter, PickFilters, Sort
from vestige_tui.tui.commands.memories import (
    BESIDE_A_CARD,
    ON_A_MEMORY,
    AddMemory,
    ClearMarks,
    CopyMemory,
    DeleteMemory,
    EditMemory,
    PinMemory,
    RedoChange,
    SupersedeMemory,
    UndoChange,
)
from vestige_tui.tui.commands.moments import ShowLineage
from vestige_tui.tui.commands.registry import (
    ConfigureModel,
    DropOldVectors,
    FillVectors,
    NarrowModels,
    PreviewModel,
    ReadModelCard,
    RollBack,
)
from vestige_tui.tui.commands.review import Bury, GradeAgain, GradeEasy, GradeGood, GradeHard, Reveal, Suspend
from vestige_tui.tui.commands.search import (
    AskWhyNot,
    CycleMode,
    ExplainAnswer,
    MoreHits,
    SearchLiteral,
    SearchWithout,
    ToggleSuperseded,
)
from vestige_tui.tui.commands.statistics import ShowStatistics
from vestige_tui.tui.commands.store import BackUp, RestoreBackup, Vacuum
from vestige_tui.tui.commands.users import ShowUsers

_MODULES: tuple[ModuleType, ...] = (
    places,
    everywhere,
    lists,
    memories,
    search,
    review,
    statistics,
    jobs,
    registry,
    store,
    journal,
    domains,
    users,
    doctor,
    moments,
)


def catalogue() -> dict[str, type[Command]]:
    """Return every command by id, for the keymap; in the order of ``_MODULES`` and of their lines."""
    return {
        value.id: value
        for module in _MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Command) and "id" in vars(value)
        if value.__module__ == module.__name__
    }


def default_keys() -> dict[str, str]:
    """Return the keys of every command by id, separated by commas."""
    return {id: command.key for id, command in catalogue().items()}


def action_names(commands: Iterable[type[Command]]) -> frozenset[str]:
    """Return the names of the actions of commands, without arguments: ``grade`` for ``grade(3)``."""
    return frozenset(command.action.rpartition(".")[2].partition("(")[0] for command in commands)


WRITES_THE_STORE = action_names(command for command in catalogue().values() if command.writes)
"""Actions that write to the open store."""

WRITES_ELSEWHERE = action_names(command for command in catalogue().values() if command.writes_elsewhere)
"""Actions that write to a store of their own choice, or to the job log of one."""

ONLY_NOW = action_names(command for command in catalogue().values() if command.only_now)
"""Actions that open a page whose figures are those of now."""

IN_PLACE: dict[str, tuple[type[Command], ...]] = {
    "search": (
        FocusFilter,
        PickFilters,
        ExplainAnswer,
        *ON_A_MEMORY,
        *BESIDE_A_CARD,
        ShowLineage,
        AddMemory,
        CycleMode,
        SearchLiteral,
        SearchWithout,
        MoreHits,
        AskWhyNot,
        ToggleSuperseded,
        *OF_FILTERS,
    ),
    "browse": (
        FocusFilter,
        PickFilters,
        Sort,
        ShowDomains,
        *ON_A_MEMORY,
        *BESIDE_A_CARD,
        ShowLineage,
        AddMemory,
        ToggleSuperseded,
        *OF_FILTERS,
        ShowUsers,
    ),
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
        PinMemory,
        ClearMarks,
        UndoChange,
        RedoChange,
        ShowStatistics,
    ),
    "jobs": (CancelJob, RetryJob, FailJob, OpenJobStore, StartCopy, VerifyCopy, Reembed, CopyJobId),
    "registry": (
        NarrowModels,
        PreviewModel,
        Reembed,
        ReadModelCard,
        RollBack,
        DropOldVectors,
        FillVectors,
        ConfigureModel,
    ),
    "store": (StartCopy, BackUp, RestoreBackup, Vacuum, ShowDoctor, ShowDomains, ShowUsers),
}
"""Commands of each place, besides ``EVERYWHERE``."""


def places_of(command: type[Command]) -> tuple[str, ...]:
    """Return the places where the key of a command works: their ids, ``everywhere``, or the group of its help."""
    places = tuple(place for place, commands in IN_PLACE.items() if command in commands)
    if places:
        return places
    at_once = command in everywhere.EVERYWHERE or command.group == everywhere.Quit.group
    return ("everywhere",) if at_once else (command.group.lower(),)
