"""Strategies for whole cases: a command with arguments of its parser, and what surrounds it."""

from __future__ import annotations

import argparse

from hypothesis import strategies as st

from tests.fuzz.command_runner import Case
from tests.fuzz.command_tree import LeafCommand
from tests.fuzz.values import configs, environments, free_texts, inputs, urls, values_of

MAX_OPTIONS = 4
MAX_WORDS = 3
"""Words for an argument that takes several."""
_GLOBAL_OPTIONS = {"--config", "--store", "--read-only", "--json", "--debug"}
_ENDLESS = {"jobs watch"}
"""Commands that end with ctrl-C alone."""


def is_endless(command: LeafCommand) -> bool:
    return command.name in _ENDLESS


@st.composite
def cases(draw: st.DrawFn, command: LeafCommand) -> Case:
    """Return cases of one command: most parse, and many do not."""
    words = list(command.words)
    for action in command.positionals:
        words += draw(st.lists(values_of(action), min_size=_least(action), max_size=_most(action)))
    options = [action for action in command.options if _GLOBAL_OPTIONS.isdisjoint(action.option_strings)]
    if options:
        for action in draw(st.lists(st.sampled_from(options), max_size=MAX_OPTIONS)):
            words += _option(draw, action)
    for action in command.options:
        if action.required and not set(action.option_strings) & set(words):
            words += _option(draw, action)
    words += draw(st.sampled_from([[], [], [], [], [], ["--json"], ["--json"], ["--json"], ["--read-only"], ["--"]]))
    # A rare word too many, so that each parser also meets what it does not know.
    words += draw(st.one_of(*[st.just([])] * 8, st.lists(free_texts, min_size=1, max_size=1)))
    head = ["--store", draw(st.one_of(*[st.just("{store}")] * 3, urls))]
    head += draw(st.one_of(*[st.just([])] * 3, configs.map(lambda config: ["--config", config])))
    head += draw(st.sampled_from([[], [], ["--json"], ["--debug"]]))
    if command.name == "demo":
        head = draw(st.sampled_from([[], ["--json"]]))
    return Case((*head, *words), draw(environments), draw(inputs))


def _least(action: argparse.Action) -> int:
    return 0 if action.nargs in ("?", "*") else 1


def _most(action: argparse.Action) -> int:
    return MAX_WORDS if action.nargs in ("*", "+") else 1


def _option(draw: st.DrawFn, action: argparse.Action) -> list[str]:
    name = draw(st.sampled_from(list(action.option_strings)))
    if action.nargs == 0:
        return [name]
    value = draw(values_of(action))
    return draw(st.sampled_from([[name, value], [f"{name}={value}"]]))
