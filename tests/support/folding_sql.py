"""SQL of the migrations named ``folding``, made from the rule of ``folding.py``.

``python -m tests.support.folding_sql`` writes both files. They are frozen once they are
released: an index holds what they folded.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby

from vestige_tui.store.schema.named_sql import sql_folder
from vestige_tui.store.search.folding import fold_character

UNLISTED = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7FF), (0xE000, 0xF8FF), (0x10000, 0x10FFFF))
"""Han, Hangul, private use and the planes beyond: what FTS5 takes for parts of words there is too much to be listed."""
CATEGORIES = "Lu Ll Lt Lm Nd Mn Mc"
LINE_CHARS = 112
# Of the planes beyond only the selectors matter: the others hold letters of Han.
CHARACTERS = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200))]
# First code point of each group of letters that are looked for together: Latin, its rarer letters, accents, Greek,
# Cyrillic, its rarer letters with Armenian, and all others.
GROUPS = (0x80, 0x180, 0x300, 0x370, 0x400, 0x460, 0x591, 0x1AB0, 0x2000, 0x2070, 0x2C00, 0xFB00)


def letter_group(character: str) -> int:
    return sum(first <= ord(character) for first in GROUPS)


def ranges(characters: Iterable[str], *, over_unassigned: bool = False) -> list[tuple[int, int]]:
    """Return code points as ranges; they may stretch over unassigned ones between two of their members."""
    found: list[tuple[int, int]] = []
    for code in sorted(map(ord, characters)):
        last = found[-1][1] if found else -2
        gap = range(last + 1, code)
        if found and (not gap or (over_unassigned and all(unicodedata.category(chr(each)) == "Cn" for each in gap))):
            found[-1] = (found[-1][0], code)
        else:
            found.append((code, code))
    return found


def wrapped(items: Iterable[str], indent: str, joint: str = "", limit: int = LINE_CHARS) -> str:
    """Join short items to lines of a bounded length."""
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) > limit - len(indent):
            lines.append("")
        lines[-1] += item + joint
    return f"\n{indent}".join(lines).removesuffix(joint).rstrip()


# PostgreSQL


def _code(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _class(characters: Iterable[str], *, over_unassigned: bool = False) -> str:
    """Return a character class of PostgreSQL as literals that stand below each other."""
    parts = [
        _code(first) if first == last else f"{_code(first)}-{_code(last)}"
        for first, last in ranges(characters, over_unassigned=over_unassigned)
    ]
    lines = wrapped(parts, "").split("\n")
    return (
        "\n        ".join(f"'{line}'" for line in ["[" + lines[0], *lines[1:-1], lines[-1] + "]"])
        if len(lines) > 1
        else f"'[{lines[0]}]'"
    )


def decomposed(character: str) -> str:
    """Return what the function's first steps leave of a character."""
    plain = "".join(c for c in unicodedata.normalize("NFD", character) if c.isascii() or fold_character(c))
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in plain)


def _escaped(text: str) -> str:
    return "".join(_code(ord(c)) for c in text)


def postgres_letters() -> list[str]:
    """Return the letters that are still to be folded after decomposition."""
    letters = []
    for character in CHARACTERS:
        folded = fold_character(character)
        if folded in ("", " ", character) or character.isascii():
            continue
        if (rest := decomposed(character)) != character:
            assert "".join(map(fold_character, rest)) == folded, (character, rest, folded)
        else:
            letters.append(character)
    return letters


def _postgres_steps(letters: Sequence[str]) -> str:
    steps = []
    for _, each in groupby(letters, letter_group):
        group = list(each)
        single = [c for c in group if len(fold_character(c)) == 1]
        several = [c for c in group if len(fold_character(c)) != 1]
        body = ""
        if single:
            old = wrapped(map(_escaped, single), "            ")
            new = wrapped(
                (_escaped(fold_character(c)) if not fold_character(c).isascii() else fold_character(c) for c in single),
                "            ",
            )
            body += f"        x := translate(x,\n            E{_literal(old)},\n            E{_literal(new)});\n"
        for start in range(0, len(several), 30):
            part = several[start : start + 30]
            pairs = wrapped((f", {_e(c)}, {_e(fold_character(c))})" for c in part), "            ")
            body += f"        x := {'replace(' * len(part)}x\n            {pairs};\n"
        steps.append(f"    IF x ~ ({_class(group)}) THEN\n{body}    END IF;\n")
    return "".join(steps)


def _e(text: str) -> str:
    return f"E'{_escaped(text)}'" if not text.isascii() else f"'{text}'"


def _literal(lines: str) -> str:
    """Return a text of several lines as literals that stand below each other, which SQL joins."""
    return "'" + "'\n".join(lines.split("\n")).replace("'\n            ", "'\n            '") + "'"


def postgres_function() -> str:
    separators = [c for c in CHARACTERS if fold_character(c) == " "]
    dropped = [c for c in CHARACTERS if fold_character(c) == ""]
    return f"""\
CREATE OR REPLACE FUNCTION vestige_fold_letters(t text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    x text COLLATE "C" := regexp_replace(t COLLATE "C", (
        {_class(separators, over_unassigned=True)} || '+'), ' ', 'g');
BEGIN
    x := lower(regexp_replace(normalize(x, NFD) COLLATE "C", (
        {_class(dropped, over_unassigned=True)} || '+'), '', 'g'));
{_postgres_steps(postgres_letters())}    RETURN x;
END;
$$;
"""


def postgres_up() -> str:
    return f"""\
-- Texts and queries are folded by one rule, in every locale of the server: see vestige_tui/store/search/folding.py, of
-- which tests/support/folding_sql.py made this. The functions keep their names, so that the text index stays as it is
-- but for the rows whose words change; these are written again in batches, and searches go on meanwhile.
--
-- A write that still runs by the old functions ends before they are replaced.
LOCK TABLE knowledge_nodes IN SHARE MODE;

{postgres_function()}
-- Makes the parser see what FTS5's tokenizer sees: no hosts, paths, mail addresses, versions or tags.
CREATE OR REPLACE FUNCTION vestige_fold(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN octet_length(t) = char_length(t)
        THEN translate(lower(t COLLATE "C"), '-./_@+&<>:\'\'', '           ') ELSE vestige_fold_letters(t) END;

-- Folding may lengthen a text, so it is cut once more.
CREATE OR REPLACE FUNCTION vestige_words(content text, node_type text, tags text[]) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('vestige'::regconfig,
            vestige_head(vestige_fold(vestige_head(coalesce(content, ''), 400000)), 400000))
        || to_tsvector('vestige'::regconfig,
            vestige_head(vestige_fold(vestige_head(coalesce(node_type, ''), 10000)), 10000))
        || to_tsvector('vestige'::regconfig,
            vestige_head(vestige_fold(vestige_head(coalesce(array_to_string(tags, ' '), ''), 90000)), 90000));

-- @batches apart
-- The words are counted anew where any have changed.
DELETE FROM term_stats;
INSERT INTO term_stats (lexeme, documents)
SELECT word, ndoc FROM ts_stat('SELECT search_vec FROM knowledge_nodes') WHERE word <> ''
UNION ALL SELECT '', count(*) FROM knowledge_nodes;
"""


# SQLite


def sqlite_tokens(tokenizer: str) -> dict[str, str]:
    """Return what FTS5 makes of each character between two letters."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(x, content='', tokenize=\"{tokenizer}\")")
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, 'instance')")
    connection.executemany("INSERT INTO t (rowid, x) VALUES (?, ?)", ((ord(c), f"q{c}q") for c in CHARACTERS))
    tokens: dict[str, str] = {}
    for term, seq in connection.execute("SELECT term, doc FROM v ORDER BY doc, offset"):
        tokens[chr(seq)] = f"{tokens[chr(seq)]} {term}" if chr(seq) in tokens else term
    connection.close()
    return {c: token[1:-1] for c, token in tokens.items()}


def _tokenizer(token_chars: Iterable[str], separators: Iterable[str]) -> str:
    return (
        f"unicode61 remove_diacritics 2 categories '{CATEGORIES}' tokenchars '{''.join(token_chars)}' "
        f"separators '{''.join(separators)}'"
    )


def sqlite_parts() -> tuple[list[str], list[str], list[str]]:
    """Return the letters and the separators that the tokenizer has to be told, and those that are replaced before."""
    outcome = {c: fold_character(c) for c in CHARACTERS}
    tokens = sqlite_tokens(_tokenizer("", ""))
    cut = {c for c in CHARACTERS if any(first <= ord(c) <= last for first, last in UNLISTED) and outcome[c] == " "}
    inside = {c for folded in outcome.values() for c in folded if c != " "}
    token_chars = [c for c in CHARACTERS if c in inside and not c.isascii() and tokens[c] == " "]
    separators = [
        c for c in CHARACTERS if outcome[c] == " " != tokens[c] and unicodedata.category(c) != "Cn" and c not in cut
    ]
    tokens = sqlite_tokens(_tokenizer(token_chars, separators))
    known = [c for c in CHARACTERS if unicodedata.category(c) != "Cn" and c not in cut]
    replaced = [c for c in known if " ".join(f"q{outcome[c]}q".split()) != f"q{tokens[c]}q"]
    return token_chars, separators, replaced


def sqlite_letters(replaced: Sequence[str]) -> tuple[str, str]:
    """Return the rows of the groups and of the letters; a group has all octets but the last in common."""
    groups, letters = [], []
    for number, (octets, each) in enumerate(groupby(replaced, lambda c: c.encode()[:-1]), 1):
        groups.append(f"({number},X'{octets.hex().upper()}')")
        letters += [f"({number},{_sqlite_letter(c)},'{fold_character(c)}')" for c in each]
    return wrapped(groups, "    ", ","), wrapped(letters, "    ", ",")


def _sqlite_letter(letter: str) -> str:
    return f"'{letter}'" if unicodedata.category(letter)[0] in "LN" else f"char({ord(letter)})"


def _class_of(spans: Iterable[tuple[int, int]]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)


def _is_cut() -> str:
    kept = ranges(c for c in CHARACTERS if ord(c) > 0xFFFF and fold_character(c) not in ("", " "))
    # By number: letters are compared by their octets, which have another order in UTF-16.
    inside = " OR ".join(f"unicode(letter) BETWEEN {first} AND {last}" for first, last in UNLISTED)
    but = " OR ".join(f"unicode(letter) BETWEEN {first} AND {last}" for first, last in kept)
    return f"({inside})\n            AND NOT ({but})"


TEXT = "NEW.content || NEW.node_type || NEW.tags"


def sqlite_up() -> str:
    token_chars, separators, replaced = sqlite_parts()
    groups, letters = sqlite_letters(replaced)
    ascii_text = f"length(CAST({TEXT} AS BLOB)) = length({TEXT})"
    return f"""\
-- Texts and queries are folded by one rule, the same on both databases: see vestige_tui/store/search/folding.py, of
-- which tests/support/folding_sql.py made this. FTS5 itself leaves out case and most accents; what it would keep, or
-- would not cut, is replaced before, by triggers alone, so that any program may write this file. Readers of the file
-- keep the old index until this is committed.
DROP TRIGGER trg_knowledge_fts_update;
DROP TRIGGER trg_knowledge_fts_delete;
DROP TRIGGER trg_knowledge_fts_insert;
DROP TABLE knowledge_fts;

-- The text index over content, type and tags; it stores no text of its own.
CREATE VIRTUAL TABLE knowledge_fts USING fts5(
    content, node_type, tags, content='',
    tokenize="porter {_tokenizer(token_chars, separators)}"
);

-- Letters that FTS5 does not fold, in groups by their first octets in UTF-8, which a text is searched for before; in a
-- file of UTF-16 every group is looked at.
CREATE TABLE knowledge_fts_groups (letters INTEGER PRIMARY KEY, octets BLOB NOT NULL);
INSERT INTO knowledge_fts_groups (letters, octets) VALUES
    {groups};
CREATE TABLE knowledge_fts_letters (letters INTEGER NOT NULL, letter TEXT NOT NULL, folded TEXT NOT NULL,
    PRIMARY KEY (letters, letter)) WITHOUT ROWID;
INSERT INTO knowledge_fts_letters (letters, letter, folded) VALUES
    {letters};

-- The parts of the memory that is folded just now; empty between two writes.
CREATE TABLE knowledge_fts_text (part INTEGER PRIMARY KEY, body TEXT NOT NULL);

-- The same with a space for each letter of Han, Hangul and the planes beyond, which FTS5 takes for letters of words.
CREATE VIEW knowledge_fts_cut AS
WITH RECURSIVE piece (part, n, body, rest) AS (
    SELECT part, 0, '', body FROM knowledge_fts_text WHERE body GLOB '*[{_class_of(UNLISTED)}]*'
    UNION ALL SELECT part, n + 1, substr(rest, 1, 4096), substr(rest, 4097) FROM piece WHERE rest <> ''),
place (i) AS MATERIALIZED (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < 64),
slice (part, n, i, body) AS (
    SELECT part, n, i, substr(body, 64 * i - 63, 64) FROM piece CROSS JOIN place ON length(body) > 64 * (i - 1)),
cut (part, n, i, body) AS (
    SELECT part, n, i, CASE WHEN body GLOB '*[{_class_of(UNLISTED)}]*' THEN (
        SELECT group_concat(CASE WHEN {_is_cut()} THEN ' ' ELSE letter END, '')
        FROM (SELECT substr(slice.body, p.i, 1) AS letter FROM place p WHERE p.i <= length(slice.body) ORDER BY p.i))
    ELSE body END FROM slice)
SELECT part, group_concat(body, '') AS body FROM (SELECT part, body FROM cut ORDER BY part, n, i) GROUP BY part;

CREATE VIEW knowledge_fts_replacement AS SELECT part, body AS letter, body AS folded FROM knowledge_fts_text;
CREATE TRIGGER trg_knowledge_fts_replacement INSTEAD OF INSERT ON knowledge_fts_replacement BEGIN
    UPDATE knowledge_fts_text SET body = replace(body, NEW.letter, NEW.folded) WHERE part = NEW.part;
END;

-- A row that is written here comes folded to the text index, with the command of FTS5 where it is one.
CREATE VIEW knowledge_fts_folded AS
SELECT NULL AS command, m.seq, m.content, m.node_type, m.tags FROM knowledge_nodes m;
CREATE TRIGGER trg_knowledge_fts_folded INSTEAD OF INSERT ON knowledge_fts_folded BEGIN
    INSERT INTO knowledge_fts (knowledge_fts, rowid, content, node_type, tags)
    SELECT NEW.command, NEW.seq, NEW.content, NEW.node_type, NEW.tags
    WHERE {ascii_text};
    INSERT INTO knowledge_fts_text (part, body)
    SELECT 1, NEW.content WHERE NOT {ascii_text}
    UNION ALL SELECT 2, NEW.node_type WHERE NOT {ascii_text}
    UNION ALL SELECT 3, NEW.tags WHERE NOT {ascii_text};
    UPDATE knowledge_fts_text SET body = coalesce(
        (SELECT c.body FROM knowledge_fts_cut c WHERE c.part = knowledge_fts_text.part), body)
    WHERE body GLOB '*[{_class_of(UNLISTED)}]*';
    INSERT INTO knowledge_fts_replacement (part, letter, folded)
    SELECT t.part, l.letter, l.folded FROM knowledge_fts_text t
    CROSS JOIN knowledge_fts_groups g ON instr(CAST(t.body AS BLOB), g.octets) > 0 OR length(CAST('a' AS BLOB)) > 1
    CROSS JOIN knowledge_fts_letters l ON l.letters = g.letters AND instr(t.body, l.letter) > 0;
    INSERT INTO knowledge_fts (knowledge_fts, rowid, content, node_type, tags)
    SELECT NEW.command, NEW.seq, t.body, (SELECT body FROM knowledge_fts_text WHERE part = 2),
        (SELECT body FROM knowledge_fts_text WHERE part = 3) FROM knowledge_fts_text t WHERE t.part = 1;
    DELETE FROM knowledge_fts_text;
END;

CREATE TRIGGER trg_knowledge_fts_insert AFTER INSERT ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts_folded (command, seq, content, node_type, tags)
    VALUES (NULL, NEW.seq, NEW.content, NEW.node_type, NEW.tags);
END;

CREATE TRIGGER trg_knowledge_fts_delete AFTER DELETE ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts_folded (command, seq, content, node_type, tags)
    VALUES ('delete', OLD.seq, OLD.content, OLD.node_type, OLD.tags);
END;

CREATE TRIGGER trg_knowledge_fts_update AFTER UPDATE OF content, node_type, tags ON knowledge_nodes BEGIN
    INSERT INTO knowledge_fts_folded (command, seq, content, node_type, tags)
    VALUES ('delete', OLD.seq, OLD.content, OLD.node_type, OLD.tags);
    INSERT INTO knowledge_fts_folded (command, seq, content, node_type, tags)
    VALUES (NULL, NEW.seq, NEW.content, NEW.node_type, NEW.tags);
END;

-- @batches within
"""


if __name__ == "__main__":
    for dialect, text in (("postgres", postgres_up()), ("sqlite", sqlite_up())):
        [path] = (sql_folder() / dialect / "migrations").glob("*_folding.up.sql")
        path.write_text(text, encoding="utf-8")
