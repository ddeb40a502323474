"""Writing to the settings file: the file of all defaults, or one value, with everything else kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestige_tui.config.directories import make_private_dir
from vestige_tui.config.reader import read_config
from vestige_tui.config.settings_file import parse, read_text
from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import ConfigError, Refused, Unavailable
from vestige_tui.core.text import file_name

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

log = logging.getLogger(__name__)

DEFAULT_FILE = """\
# Settings of vestige-tui. Each setting below has its default value. A line that begins with "# " is an example: remove
# the "# " and write your own value.

# [storage]                         # default: the file of a Vestige server if there is one, else a file of vestige-tui
# backend = "sqlite"                # or "postgres"

# [storage.sqlite]
# path = "~/memories/vestige.db"    # a relative path starts at the folder of this file

# [storage.postgres]
# url = "postgresql://me@localhost/vestige"   # keep the password in ~/.pgpass, which libpq reads
# direct_url = "postgresql://me@db1/vestige"     # the server itself, if url is a pooler
# read_url = "postgresql://me@replica/vestige"   # a standby of the same server, for searches and lists
# max_connections = 10
# acquire_timeout_secs = 30

[embeddings]
provider = "fastembed"
# model = "nomic-ai/nomic-embed-text-v1.5"   # default: the model that the store uses

[review]
desired_retention = 0.9             # a memory is due when the chance to remember it falls to this
new_per_day = 10                    # how many new (never reviewed) memories are offered per day at most
day_starts_at = "00:00"             # local time at which a new day starts
weights = [                         # those of FSRS-6; `review optimize --apply` gives a store its own, used instead
    0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796, 1.4835, 0.0614, 0.2629,
    1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542,
]

[keys]                              # the id of a command (`vestige-tui keys list`), and its keys separated by commas
# place.search = "f2,ctrl+f"

[filters]                           # a name and its filters; the key f lists them, --filter NAME uses one
# recent = "type:decision since:-30d"

[ui]
theme = "vestige-dark"              # `vestige-tui themes list`
history = true                      # keep the last 200 queries of the search line
"""


def write_default(path: Path) -> None:
    """Write a file that states every default, with mode 600. Raises ``Refused`` if ``path`` exists."""
    with _as_config_error(path):
        make_private_dir(Path(os.path.realpath(path)).parent)
        target = file_targets.examine(path)
        if target.status is not None:
            raise Refused(f"{file_name(path)} already exists; nothing was changed.")
        files.write(target, DEFAULT_FILE)
    log.info("Wrote default settings")


def set_value(path: Path, dotted_key: str, value: str | int | float | Sequence[float] | None) -> None:
    """Set one value in the file, None to remove it; comments, order and foreign tables stay. Creates a missing file.

    The part after ``keys.`` or ``filters.`` is one name, dots included. Raises ``ConfigError`` without writing if the
    result would be invalid, ``Refused`` if ``path`` is no settings file or was changed meanwhile.
    """
    with _as_config_error(path):
        target = file_targets.examine_document(path) if path.exists() else None
    source = read_text(path) if target else ""
    read_config(source, path, os.environ)
    document = parse(source, path)
    names = dotted_key.split(".", 1) if dotted_key.startswith(("keys.", "filters.")) else dotted_key.split(".")
    _assign(document, names, value)
    text = document.as_string()
    read_config(text, path, os.environ)
    with _as_config_error(path):
        if target is None:
            make_private_dir(Path(os.path.realpath(path)).parent)
        files.write(target or file_targets.examine_document(path), text, overwrite=target is not None)
    log.info("Wrote a setting of [%s]", names[0])


@contextmanager
def _as_config_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{file_name(path)} could not be written: {error.strerror or error}.") from None
    except Unavailable as error:
        raise ConfigError(error.message) from None


def _assign(document: TOMLDocument, names: Sequence[str], value: object) -> None:
    from tomlkit import table

    parent: Any = document
    for name in names[:-1]:
        if name not in parent:
            if value is None:
                return
            parent[name] = table()
        parent = parent[name]
    if value is not None:
        parent[names[-1]] = value
    elif names[-1] in parent:
        del parent[names[-1]]
