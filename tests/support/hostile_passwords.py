"""Passwords that are not percent-encoded, each with words that no other text holds."""

from __future__ import annotations

import random
import re

COUNT = 500
SPECIAL = [*"@:/%#?[]'\"&=\\;,+~$*| \t", "%zz", "%4", "://", "@@", "/@", "@/", "?a=", "&b="]
_WORD = re.compile(r"Q\d+[xz]")


def hostile_passwords(count: int = COUNT) -> list[str]:
    """Return passwords of two to four words, with special characters before, between and behind them."""
    choice = random.Random(7)
    fixed = ["Q1x@Q2z", "/Q1x", ":Q1x", "Q1x:Q2z", "%zzQ1x", "Q1x Q2z", "'Q1x' Q2z", '"Q1x', "#Q1x", "Q1x?Q2z", "[Q1x"]
    fixed += ["12/Q1x@Q2z", "5432/Q1x?a=Q2z", "@Q1x", "Q1x@", "Q1x/", "postgresql://Q1x:Q2z@Q3x/Q4z"]
    passwords = list(fixed)
    while len(passwords) < count:
        words = [f"Q{choice.randrange(10, 1_000)}{choice.choice('xz')}" for _ in range(choice.randint(2, 4))]
        gaps = ["".join(choice.choices(SPECIAL, k=choice.randint(0, 2))) for _ in range(len(words) + 1)]
        passwords.append("".join(gap + word for gap, word in zip(gaps, [*words, ""], strict=True)))
    return passwords


def parts_shown(shown: str) -> list[str]:
    """Return the words of such a password that a text shows."""
    return _WORD.findall(shown)
