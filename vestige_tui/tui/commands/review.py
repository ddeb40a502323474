"""Commands of the place Review."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command


class Reveal(Command):
    id, key, label, action = "review.reveal", "space", "reveal", "reveal"
    group, footer = "Review", True
    help = "Show the full memory and the four grades."


class GradeAgain(Command):
    id, key, label, action = "review.again", "1", "again", "grade(1)"
    group = "Review"
    help = "Not remembered."
    writes = True


class GradeHard(Command):
    id, key, label, action = "review.hard", "2", "hard", "grade(2)"
    group = "Review"
    help = "Remembered with great effort."
    writes = True


class GradeGood(Command):
    id, key, label, action = "review.good", "3", "good", "grade(3)"
    group = "Review"
    help = "Remembered after some thought."
    writes = True


class GradeEasy(Command):
    id, key, label, action = "review.easy", "4", "easy", "grade(4)"
    group = "Review"
    help = "Remembered at once."
    writes = True


class Suspend(Command):
    id, key, label, action = "review.suspend", "x", "suspend", "suspend"
    group, footer = "Review", True
    help = "Leave this memory out of reviews until you resume it."
    words = "pause"
    writes = True


class Bury(Command):
    id, key, label, action = "review.bury", "b", "bury", "bury"
    group, footer = "Review", True
    help = "Leave this memory out of reviews until tomorrow."
    words = "tomorrow"
    writes = True
