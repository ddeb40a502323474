"""Top terms of a domain: the words that tell its memories from the others."""

from __future__ import annotations

from vestige_tui.store.domain_terms import top_terms

INSIDE = ["The signing key rotates weekly.", "Signing keys are in the vault.", "Two keys for the vault."]
OUTSIDE = ["Backups run weekly.", "The page is slow.", "Weekly numbers of the page."]


def test_words_that_are_frequent_inside_and_rare_outside_come_first() -> None:
    terms = top_terms(INSIDE, OUTSIDE)
    # One stem, in the form that most memories have; stop words and what is common outside are left out.
    assert terms[0] == "keys"
    assert {"signing", "vault"} < set(terms)
    assert not {"key", "the", "weekly", "are", "page"} & set(terms)


def test_a_domain_of_one_memory_has_terms_too() -> None:
    assert top_terms(["Signing keys."], []) == ("keys", "signing")


def test_nothing_to_count() -> None:
    assert top_terms([], OUTSIDE) == ()
    assert top_terms(["12 34 a b"], OUTSIDE) == ()


def test_as_many_as_are_wanted() -> None:
    assert len(top_terms(INSIDE, OUTSIDE, 2)) == 2
