"""Commands that go to a place."""

from __future__ import annotations

from typing import ClassVar

from vestige_tui.tui.commands.command import Command


class GoTo(Command):
    """Base class of the six commands that go to a place; they work everywhere, also while typing."""

    group = "Screens"
    priority = True
    place: ClassVar[str]
    title: ClassVar[str]


class GoToSearch(GoTo):
    id, key, label, action = "place.search", "f2", "search", "place('search')"
    place, title = "search", "Search"
    help = "Ask a question and see the memories that answer it."


class GoToBrowse(GoTo):
    id, key, label, action = "place.browse", "f3", "browse", "place('browse')"
    place, title = "browse", "Browse"
    help = "List, filter and sort all memories."


class GoToReview(GoTo):
    id, key, label, action = "place.review", "f4", "review", "place('review')"
    place, title = "review", "Review"
    help = "Grade the memories that are due."


class GoToJobs(GoTo):
    id, key, label, action = "place.jobs", "f5", "jobs", "place('jobs')"
    place, title = "jobs", "Jobs"
    help = "Watch copies, comparisons, re-embeddings and delegated agent work."


class GoToRegistry(GoTo):
    id, key, label, action = "place.registry", "f6", "registry", "place('registry')"
    place, title = "registry", "Registry"
    help = "See which embedding model this store uses."


class GoToStore(GoTo):
    id, key, label, action = "place.store", "f7", "store", "place('store')"
    place, title = "store", "Store"
    help = "Health, size, schema and connections of this store."


PLACES: tuple[type[GoTo], ...] = (GoToSearch, GoToBrowse, GoToReview, GoToJobs, GoToRegistry, GoToStore)


class PreviousPlace(Command):
    id, key, label, action = "place.previous", "left_square_bracket", "previous screen", "step_place(-1)"
    group, display = "Screens", "["
    help = "Go to the screen on the left."


class NextPlace(Command):
    id, key, label, action = "place.next", "right_square_bracket", "next screen", "step_place(1)"
    group, display = "Screens", "]"
    help = "Go to the screen on the right."
