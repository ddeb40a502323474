"""Commands of the place Registry."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command


class FillVectors(Command):
    id, key, label, action = "registry.fill", "f", "fill", "fill_vectors"
    group, footer = "Registry", True
    help = "Compute the vectors of the memories that have none yet."
    writes = True


class PreviewModel(Command):
    id, key, label, action = "registry.preview", "p", "compare", "preview_model"
    group = "Registry"
    help = "Compare the search results of the chosen and the current model for the same queries."


class NarrowModels(Command):
    id, key, label, action = "registry.narrow", "slash", "narrow", "narrow_models"
    group, footer, display = "Registry", True, "/"
    help = "Narrow the list of models by words: a name, a language, a number of dimensions, a licence."


class ReadModelCard(Command):
    id, key, label, action = "registry.card", "tab", "card", "read_card"
    group, footer = "Registry", True
    help = "Show the store's model: its vectors, those of the previous model or unfinished ones, and its history."


class LeaveModelCard(Command):
    id, key, label, action = "registry.models", "tab,escape", "models", "leave_card"
    group, footer, display = "Registry", True, "tab"
    help = "Go back from the store's model to the list of models."


class RollBack(Command):
    id, key, label, action = "registry.rollback", "b", "roll back", "roll_back"
    group, footer = "Registry", True
    help = "Roll back to the previous model; the current vectors are kept."
    writes = True


class DropOldVectors(Command):
    id, key, label, action = "registry.drop_old", "D", "delete previous", "drop_old"
    group, footer = "Registry", True
    help = "Delete the vectors of the previous model, which makes a rollback impossible, or unfinished vectors."
    writes = True


class ConfigureModel(Command):
    id, key, label, action = "registry.configure", "w", "write setting", "configure_model"
    group, footer = "Registry", True
    help = "If your settings name another model, write this store's model into the settings file."
