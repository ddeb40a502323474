"""Changes and their undo in sentences: every verb that undo accepts, on one memory and on several."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.planted_faults import plant
from vestige_tui.core.bulk import DomainMove, FieldEdit, Target
from vestige_tui.core.journal import JournalLine
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Change, Draft, JournalEntry, Patch, UndoneChange
from vestige_tui.core.reviews import Rating
from vestige_tui.core.text import short_id
from vestige_tui.core.weights import Weights
from vestige_tui.presenters.changes import (
    VERB_WORDS,
    change_sentence,
    journal_sentence,
    not_undoable,
    subject,
    tags_value,
    title,
    undo_sentence,
)
from vestige_tui.store.undo import UNDOABLE_VERBS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vestige_tui.store.store import Store

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SECRETS = "# Secrets are in git\n\nBut encrypted."


async def _two(store: Store) -> tuple[str, str]:
    [one] = (await store.insert(Draft(SECRETS, tags=("old",)), embed=False)).changed
    [two] = (await store.insert(Draft("A live store is never copied by cp.", tags=("old",)), embed=False)).changed
    return one, two


async def _add(store: Store, one: str, two: str) -> Change:
    return await store.insert(Draft("A third one"), embed=False)


async def _import(store: Store, one: str, two: str) -> Change:
    await store.memories.delete([one, two])
    journal = store.journal.start_import()
    drafts = [Draft(SECRETS, id=one), Draft("A live store is never copied by cp.", id=two)]
    inserted, _, _ = await store.memories.insert_many(drafts, embed=False, journal=journal)
    await journal.finish()
    return Change(inserted, journal.number)


async def _edit(store: Store, one: str, two: str) -> Change:
    return await store.update(one, Patch(content="Secrets are nowhere"), embed=False)


async def _tag(store: Store, one: str, two: str) -> Change:
    return await store.memories.tag([one], ["keys", "new"], ["old"])


async def _delete(store: Store, one: str, two: str) -> Change:
    return await store.delete([one])


async def _supersede(store: Store, one: str, two: str) -> Change:
    return await store.links.supersede(one, two)


async def _unsupersede(store: Store, one: str, two: str) -> Change:
    await store.links.supersede(one, two)
    return await store.links.unsupersede(one)


async def _link(store: Store, one: str, two: str) -> Change:
    return await store.links.add(Edge(one, two, "supports"))


async def _unlink(store: Store, one: str, two: str) -> Change:
    await store.links.add(Edge(one, two, "supports"))
    return await store.links.remove(one, two, "supports")


async def _review(store: Store, one: str, two: str) -> Change:
    return await store.reviews.record(one, Rating.AGAIN)


async def _suspend(store: Store, one: str, two: str) -> Change:
    return await store.reviews.suspend(one)


async def _bury(store: Store, one: str, two: str) -> Change:
    return await store.reviews.bury(one)


async def _resume(store: Store, one: str, two: str) -> Change:
    await store.reviews.suspend(one)
    return await store.reviews.resume(one)


async def _pin(store: Store, one: str, two: str) -> Change:
    return await store.reviews.pin([one])


async def _unpin(store: Store, one: str, two: str) -> Change:
    await store.reviews.pin([one, two])
    return await store.reviews.unpin([one])


async def _clear_marks(store: Store, one: str, two: str) -> Change:
    await store.reviews.pin([one])
    await store.reviews.suspend(one)
    return await store.reviews.clear_marks([one, two])


async def _set_domain(store: Store, one: str, two: str) -> Change:
    return await store.domains.put("infra")


async def _rename_domain(store: Store, one: str, two: str) -> Change:
    return await _move(store, DomainMove("rename_domain", ("infra",), "servers"), one)


async def _merge_domains(store: Store, one: str, two: str) -> Change:
    await store.update(two, Patch(domains=("auth",)))
    return await _move(store, DomainMove("merge_domains", ("infra", "auth"), "servers"), one)


async def _delete_domain(store: Store, one: str, two: str) -> Change:
    return await _move(store, DomainMove("delete_domain", ("infra",)), one)


async def _move(store: Store, move: DomainMove, one: str) -> Change:
    await store.update(one, Patch(domains=("infra",)))
    return await store.domains.apply(await store.domains.preview(move))


async def _repair(store: Store, one: str, two: str) -> Change:
    await store.reviews.record(one, Rating.GOOD)
    plant(store.location, [("UPDATE scheduling SET lapses = -1 WHERE memory_id = ?", (one,))])
    fixed = await store.doctor.fix(await store.doctor.preview(["schedule"]))
    return Change(fixed.subjects, fixed.undo)


async def _optimize(store: Store, one: str, two: str) -> Change:
    return await store.weights.apply(Weights())


CASES: dict[str, tuple[Callable[[Store, str, str], Awaitable[Change]], str]] = {
    "add": (_add, 'Undid: add on "A third one"'),
    "import": (_import, "Undid: import on 2 memories"),
    "edit": (_edit, 'Undid: edit on "Secrets are in git"'),
    "tag": (_tag, 'Undid: tag +keys +new -old on "Secrets are in git"'),
    "delete": (_delete, 'Undid: delete on "Secrets are in git"'),
    "supersede": (_supersede, 'Undid: replace by "A live store is never copied by cp." on "Secrets are in git"'),
    "unsupersede": (_unsupersede, 'Undid: make active on "Secrets are in git"'),
    "link": (_link, 'Undid: link supports to "A live store is never copied by cp." on "Secrets are in git"'),
    "unlink": (_unlink, 'Undid: unlink supports to "A live store is never copied by cp." on "Secrets are in git"'),
    "review": (_review, 'Undid: grade Again on "Secrets are in git"'),
    "suspend": (_suspend, 'Undid: suspend on "Secrets are in git"'),
    "bury": (_bury, 'Undid: bury until tomorrow on "Secrets are in git"'),
    "resume": (_resume, 'Undid: resume on "Secrets are in git"'),
    "pin": (_pin, 'Undid: pin on "Secrets are in git"'),
    "unpin": (_unpin, 'Undid: unpin on "Secrets are in git"'),
    "clear_marks": (_clear_marks, 'Undid: clear suspended, pinned on "Secrets are in git"'),
    "set_domain": (_set_domain, "Undid: set domain infra"),
    "rename_domain": (_rename_domain, 'Undid: rename domain infra → servers on "Secrets are in git"'),
    "merge_domains": (_merge_domains, "Undid: merge domains infra, auth → servers on 2 memories"),
    "delete_domain": (_delete_domain, 'Undid: delete domain infra on "Secrets are in git"'),
    "repair": (_repair, 'Undid: repair on "Secrets are in git"'),
    "optimize": (_optimize, f"Undid: apply FSRS weights {Weights().hash[:8]} on new reviews"),
}


def test_every_verb_has_words() -> None:
    assert set(VERB_WORDS) == set(CASES) == UNDOABLE_VERBS


@pytest.mark.parametrize("verb", CASES)
async def test_an_undo_names_the_change_and_its_memory(store: Store, verb: str) -> None:
    act, sentence = CASES[verb]
    one, two = await _two(store)
    change = await act(store, one, two)
    undone = await store.journal.undo(change.undo)
    assert undone.undone is not None
    assert undone.undone.entry.verb == verb
    assert undo_sentence(undone) == sentence.format(one=short_id(one))


async def test_an_undo_on_several_memories_names_their_number(store: Store) -> None:
    one, two = await _two(store)
    await store.memories.update(two, Patch(tags=()), embed=False)
    await store.memories.tag([one, two], ["keys"], ["old"])
    # Without a number, the last change is undone.
    assert undo_sentence(await store.journal.undo()) == "Undid: tag +keys -old on 2 memories"
    await store.delete([one, two])
    assert undo_sentence(await store.journal.undo()) == "Undid: delete on 2 memories"


async def test_an_undone_grade_is_named_by_the_reviews_too(store: Store) -> None:
    one, _ = await _two(store)
    await store.reviews.record(one, Rating.EASY)
    sentence = undo_sentence(await store.reviews.undo(one), with_id=True)
    assert sentence == f'Undid: grade Easy on {one[:8]} "Secrets are in git"'


async def test_an_edit_of_fields_names_them_with_their_old_values(store: Store) -> None:
    one, two = await _two(store)
    for patch, value in (
        (Patch(node_type="decision", codebase="api"), "type fact → decision, codebase none → api"),
        (Patch(domains=("ops",), tags=("new",), metadata={"n": 1}), "domains +ops, tags +new -old, metadata"),
    ):
        change = await store.update(one, patch, embed=False)
        assert undo_sentence(await store.journal.undo(change.undo)) == f'Undid: edit {value} on "Secrets are in git"'
    edit = FieldEdit(Patch(node_type="decision"))
    many = await store.bulk.apply(await store.bulk.preview(Target((one, two)), edit))
    [line, *_] = (await store.journal.page(limit=1)).items
    assert journal_sentence(line) == "Edited 2 memories: type decision"
    assert undo_sentence(await store.journal.undo(many.undo)) == "Undid: edit type decision on 2 memories"


async def test_a_long_burial_names_its_day(store: Store) -> None:
    one, _ = await _two(store)
    until = store.now() + timedelta(days=9)
    change = await store.reviews.bury(one, until)
    day = f"{until.astimezone():%Y-%m-%d}"
    assert undo_sentence(await store.journal.undo(change.undo)) == f'Undid: bury until {day} on "Secrets are in git"'


def test_a_memory_without_a_text_is_named_by_its_id() -> None:
    entry = JournalEntry(7, NOW, "", "suspend", [{"id": "0123456789ab"}], [{"id": "0123456789ab"}])
    assert undo_sentence(Change(("0123456789ab",), undone=UndoneChange(entry, " "))) == "Undid: suspend on 01234567"


def test_a_change_has_one_shape() -> None:
    quoted = title("Secrets are in git {value}\x1b[31m and nowhere else at all, they say", 20)
    assert quoted == '"Secrets are in git…"'
    assert change_sentence("tag", quoted, tags_value(["keys"], ["old"])) == f"Tagged {quoted}: +keys -old"
    assert change_sentence("delete", subject([])) == "Deleted 0 memories"
    assert change_sentence("tag", quoted, tags_value(["note:"], [])) == f"Tagged {quoted}: +note:"
    assert change_sentence("suspend", quoted) == f"Suspended {quoted}"
    assert change_sentence("supersede", quoted, '"B"') == f'{quoted} is now replaced by "B"'
    assert change_sentence("add", title("Braces {subject} {0} stay")) == 'Added "Braces {subject} {0} stay"'


def test_a_line_of_the_journal_keeps_its_value_where_the_text_is_cut() -> None:
    before, after = ([{"id": "a", "memory": {"tags": tags}}] for tags in ([], ["keys"]))
    line = JournalLine(7, NOW, "me", None, "tag", ("a",), None, before, after, content=SECRETS * 9)
    assert journal_sentence(line, width=10) == 'Tagged "Secrets a…": +keys'
    undo = JournalLine(8, NOW, "me", None, "undo", ("a",), None, [{"id": "a", "entry": 7}], [], target=line)
    assert journal_sentence(undo, width=10) == 'Undid: tag +keys on "Secrets a…"'
    unknown = JournalLine(9, NOW, "me", None, "odd\x1b", ("a", "b"), None, [], [])
    assert journal_sentence(unknown) == "odd\ufffd: 2 memories"
    assert not_undoable(unknown) == "A change of the kind 'odd\ufffd' cannot be undone."
