"""Examples at the end of the help of each command. The ids are those of the sample store."""

from __future__ import annotations

import re
from collections.abc import Mapping

EXAMPLES_HEADING = "examples:"
COMMENT = "  # "
SAMPLE_IDS = ("890fd2", "54eb8b", "e1da54")
"""First characters of the ids that the examples name."""
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "": (
        "demo  # the console on a sample store",
        "--store ~/agents/vestige.db  # the console on a store of your own",
        'search "how do we rotate keys"        # a command',
        "search --help  # options and examples of a command",
    ),
    "about": ("about", "about --json"),
    "demo": ("demo", "demo ~/vestige-demo --no-console", "demo ~/vestige-demo --postgres"),
    "search": (
        'search "how do we rotate keys" --limit 5',
        "search '+key \"public repository\" -mail' --mode text",
        "search 'SET lock_timeout' --mode literal  # exactly these characters",
        'search "how do we rotate keys" --type decision --since 6mo',
        'search "how do we rotate keys" --explain  # both rankings, weight of each word, time',
        'search "how do we rotate keys" --why-not 54eb8b  # rank of this memory, or why it is missing',
    ),
    "list": (
        "list --type decision --domain auth --since 6mo",
        "list --sort due --limit 10",
        "list --tag keys --tag security --json",
        "list --all-tag keys --all-tag security --not type:event",
        "list --is suspended --is leech",
        "list --owner mara --visibility group --viewer jonas  # those that jonas may see",
        "list --as-of -30d  # what there was, and not replaced yet, 30 days ago",
    ),
    "users": ("users list", "users list --json"),
    "users list": ("users list", "users list --json"),
    "show": ("show 890fd2", "show 890fd2 --json"),
    "add": (
        'add "Mara wants short answers." --type preference --tag people',
        "add - --tag keys --domain auth < note.txt",
        'add "The on-call phone is in room 12." --visibility public',
    ),
    "edit": (
        "edit 890fd2  # in $EDITOR",
        'edit 890fd2 --content "Keys rotate every 60 days."',
        "edit 890fd2 --type fact --codebase harbour-api",
        "edit 890fd2 --meta reviewed=yes --meta source=  # set one key, remove another",
        "edit 890fd2 --owner mara --share-with harbourline  # with visibility group",
        "edit --where 'type:note domain:auth' --type fact --dry-run  # several, after a preview",
    ),
    "tag": (
        "tag 890fd2 54eb8b +rotation -keys",
        'tag 890fd2 "+two words"',
        "tag +checked --type decision --since 6mo  # every memory that passes the filters",
    ),
    "delete": (
        "delete 54eb8b",
        "undo  # restores it",
        "delete --type note --until 2020-01-01 --dry-run",
        "delete 54eb8b --keep-replaced --dry-run",
    ),
    "journal": ("journal", "journal --memory 54eb8b --since -7d", "journal --actor mira --json"),
    "undo": ("undo  # your newest change", "undo 3  # the change with this number"),
    "redo": ("redo  # reverses your newest undo", "redo 8  # reverses the undo with this number"),
    "due": ("due", "due --count  # fast enough for a prompt", "due --before tomorrow --domain auth"),
    "review": (
        "review 890fd2 good",
        "review undo",
        "review suspend 890fd2  # not due until `review resume 890fd2`",
        "review bury 890fd2  # not due before tomorrow",
        "review clear 890fd2  # takes off suspended, buried, leech and pinned",
        "review optimize  # fits the weights of FSRS to the log; --apply uses them",
    ),
    "suspend": ("suspend 890fd2 54eb8b", "suspend --type note --dry-run", "undo  # of all of them"),
    "bury": ("bury 890fd2", "bury --domain auth"),
    "resume": ("resume 890fd2 54eb8b", "resume --domain auth"),
    "pin": ("pin 890fd2 54eb8b  # kept when several memories are deleted at once", "pin --type decision --dry-run"),
    "unpin": ("unpin 890fd2", "unpin --is pinned --dry-run"),
    "reviews": ("reviews", "reviews --days 90 --tag keys"),
    "forecast": ("forecast", "forecast --days 7 --domain auth", "forecast --retention 0.85  # what if"),
    "supersede": (
        "supersede e1da54 --by 890fd2",
        "history e1da54",
        "supersede --tag keys --until 2020-01-01 --by 890fd2 --dry-run  # several by one",
    ),
    "unsupersede": ("unsupersede e1da54",),
    "history": ("history 890fd2", "history 890fd2 --as-of -30d"),
    "diff": (
        "diff --from -30d",
        "diff --from 2026-01-01 --to yesterday --domain auth",
        "diff --from -7d --json",
    ),
    "edges": ("edges 890fd2", "edges 890fd2 --type supports"),
    "link": ("link 890fd2 54eb8b", "link 890fd2 54eb8b --type supports --weight 0.8"),
    "unlink": ("unlink 890fd2 54eb8b", "unlink 890fd2 54eb8b --type supports"),
    "neighbors": ("neighbors 890fd2", "neighbors 890fd2 --depth 2"),
    "domains": ("domains list", "domains show auth", "domains rename auth identity --dry-run"),
    "domains list": ("domains list", "domains list --json"),
    "domains show": ("domains show auth", "domains show auth --limit 20  # memories near it that are not in it"),
    "domains set": (
        "domains set auth  # computes centroid and top terms again",
        'domains set auth --label "Keys and sign-in" --term keys --term login',
    ),
    "domains rename": ("domains rename auth identity --dry-run", "domains rename auth identity"),
    "domains merge": ("domains merge eta carriers --into delivery --dry-run", "domains merge eta --into carriers"),
    "domains delete": ("domains delete eta --dry-run", "domains delete eta  # its memories stay"),
    "classify": ("classify 890fd2", "classify 890fd2 --apply  # adds the nearest domain"),
    "import": ("import memories.jsonl", "import - < memories.jsonl"),
    "export": (
        "export memories.jsonl",
        "export keys.jsonl --tag keys --yes  # replaces an existing file",
        "export - --memories-only > memories.jsonl",
        "export then.jsonl --as-of -30d",
    ),
    "schema": ("schema info", "schema up --dry-run"),
    "schema info": ("schema info",),
    "schema up": ("schema up", "schema up --dry-run", "--store new.db schema up  # creates an empty store"),
    "schema down": ("schema down --dry-run", "schema down --to 3 --dry-run"),
    "schema upgrade-server": (
        "--store pgembed:~/memories schema upgrade-server --dry-run",
        "--store pgembed:~/memories schema upgrade-server",
    ),
    "adopt": (
        "adopt --store ~/agents/vestige.db --dry-run  # what would be added",
        "adopt --store ~/agents/vestige.db",
        "adopt --store ~/agents/vestige.db --undo --backup before-undo.db",
    ),
    "stats": ("stats", "stats --json"),
    "doctor": ("doctor", "doctor --fix --dry-run", "doctor --fix --only vector_zero json --yes", "doctor --json"),
    "vacuum": ("vacuum",),
    "backup": ("backup before.db", "backup before.db --store ~/agents/vestige.db"),
    "restore": (
        "restore copy.db --dry-run  # what would be lost",
        "restore copy.db --backup before.db  # writes a backup of the store first",
    ),
    "migrate": (
        "migrate copy --source demo.db --target copy.db",
        "migrate verify --source demo.db --target copy.db",
        "migrate reembed --model BAAI/bge-small-en-v1.5",
        "migrate --from sqlite --to postgres --sqlite-path demo.db --postgres-url postgresql://me@db1/memories",
    ),
    "migrate copy": (
        "migrate copy --source demo.db --target copy.db",
        "migrate copy --source demo.db --target copy.db --dry-run",
        "migrate copy --source demo.db --target pgembed:~/memories",
        "migrate copy --source demo.db --target postgresql://me@db1/memories --follow",
    ),
    "migrate verify": (
        "migrate verify --source demo.db --target copy.db",
        "migrate verify --source demo.db --target copy.db --repair --dry-run",
        "migrate verify --source demo.db --target copy.db --repair --delete",
    ),
    "migrate reembed": (
        "migrate reembed --model BAAI/bge-small-en-v1.5 --dry-run  # memories, time and disk space",
        "migrate reembed --model BAAI/bge-small-en-v1.5",
        "migrate reembed --model all-MiniLM-L6-v2 --dimension 128 --yes",
        "migrate reembed --drop-old  # deletes kept or unfinished vectors",
    ),
    "registry": ("registry show", "registry models", "registry preview BAAI/bge-small-en-v1.5"),
    "registry show": ("registry show", "registry show --json"),
    "registry models": ("registry models",),
    "registry fill": ("registry fill",),
    "registry rollback": ("registry rollback",),
    "registry preview": (
        "registry preview BAAI/bge-small-en-v1.5",
        'registry preview all-MiniLM-L6-v2 --dimension 128 --query "rotate keys" "deploy on Friday"',
    ),
    "jobs": ("jobs list", "jobs watch", "jobs cancel 4f2a"),
    "jobs list": ("jobs list", "jobs list --status in_flight --json"),
    "jobs show": ("jobs show 4f2a",),
    "jobs watch": ("jobs watch  # all jobs, until ctrl-C", "jobs watch 4f2a  # one job, until it ends"),
    "jobs cancel": ("jobs cancel 4f2a",),
    "jobs retry": ("jobs retry 4f2a",),
    "jobs fail": ('jobs fail 4f2a --reason "the machine is gone"',),
    "jobs sweep": ("jobs sweep", "jobs sweep --threshold 120"),
    "config": ("config init", "config show"),
    "config show": ("config show", "config show --json"),
    "config path": ("config path",),
    "config init": ("config init", "--config other.toml config init"),
    "completion": (
        "completion bash > ~/.local/share/bash-completion/completions/vestige-tui",
        'completion zsh > "${fpath[1]}/_vestige-tui"',
        "completion fish > ~/.config/fish/completions/vestige-tui.fish",
    ),
    "themes": ("themes list",),
    "themes list": ("themes list", "themes list --json"),
    "keys": ("keys list",),
    "keys list": ("keys list", "keys list --json"),
}
"""Command lines for each command, without the name of the program. A comment may follow ``COMMENT``."""
_SAMPLE_ID = re.compile("|".join(rf"\b{prefix}\b" for prefix in SAMPLE_IDS))


def examples_text(command: str) -> str:
    """Return the examples of a command for the end of its help; empty where it has none."""
    examples = EXAMPLES.get(command, ())
    if not examples:
        return ""
    lines = [EXAMPLES_HEADING, *(f"  vestige-tui {example}" for example in examples)]
    if any(map(_SAMPLE_ID.search, examples)):
        lines += ["", "The ids are those of the sample store (`vestige-tui demo`)."]
    return "\n".join(lines)


def aligned(text: str, width: int) -> str:
    """Return a text of examples with aligned comments; a comment without room stands above its command."""
    parts = [line.partition(COMMENT) for line in text.split("\n")]
    column = max((len(command) for command, _, comment in parts if comment), default=0)
    lines: list[str] = []
    for command, _, comment in parts:
        if not comment:
            lines.append(command)
        elif column + len(COMMENT) + len(comment) <= width:
            lines.append(f"{command:<{column}}{COMMENT}{comment}")
        else:
            lines += [f"{COMMENT}{comment}", command]
    return "\n".join(lines)
