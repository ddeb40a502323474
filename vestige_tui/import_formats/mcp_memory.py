"""The graph of the MCP memory server: lines of entities with observations, and of relations between entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vestige_tui.import_formats.items import Item, Lines, Read, Unreadable, derived_id, objects, rest_of

_OF_RELATIONS = ("type", "from", "to", "relationType")
OBSERVATION = "observation"
"""Type of the link from an observation to its entity."""


def read_mcp(lines: Lines) -> Read:
    """Yield a memory for each entity and each observation, linked, and a link for each relation.

    A relation is unreadable if one of its ends is no entity of the file.
    """
    relations: list[tuple[int, dict[str, Any]]] = []
    names: set[str] = set()
    for number, data in _parts(lines):
        if isinstance(data, Unreadable):
            yield data
        elif data.get("relationType") is not None or data.get("type") == "relation":
            relations.append((number, data))
        elif isinstance(data.get("name"), str) and data["name"].strip():
            names.add(data["name"])
            yield from _entity(number, data)
        else:
            yield Unreadable(number, "is neither an entity with a name nor a relation")
    for number, relation in relations:
        ends = [str(relation.get(end)) for end in ("from", "to")]
        if missing := [end for end in ends if end not in names]:
            yield Unreadable(number, f"is a relation of {missing[0]!r}, which is no entity of this file")
        else:
            source, target = map(_entity_id, ends)
            kind = str(relation.get("relationType") or "related")
            link = {"source_id": source, "target_id": target, "edge_type": kind}
            yield Item(number, {**_rest_of_relation(relation), "kind": "edge", **link})


def _parts(lines: Lines) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    """Yield entities and relations, also those of one document that holds both lists."""
    for found in objects(lines):
        if isinstance(found, Unreadable):
            yield found.number, found
        elif isinstance(found[1].get("entities"), list):
            both = [*found[1]["entities"], *(found[1].get("relations") or [])]
            for number, each in enumerate(both, start=1):
                yield number, each if isinstance(each, dict) else Unreadable(number, "is not a JSON object")
        else:
            yield found


def _rest_of_relation(relation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the other keys of a relation: a link has a weight from 0 to 1, all else is named as left out."""
    rest = {f"{name} of the relation": value for name, value in rest_of(relation, *_OF_RELATIONS).items()}
    weight = relation.get("weight")
    if isinstance(weight, int | float) and not isinstance(weight, bool) and 0 <= weight <= 1:
        rest["weight"] = rest.pop("weight of the relation")
    return rest


def _entity(number: int, data: Mapping[str, Any]) -> Read:
    name, kind = data["name"], str(data.get("entityType") or "entity")
    entity = _entity_id(name)
    rest = rest_of(data, "type", "name", "entityType", "observations")
    line: dict[str, Any] = {"id": entity, "content": name, "node_type": kind, "tags": [name]}
    yield Item(number, line | ({"metadata": {"imported": rest}} if rest else {}))
    observations = data.get("observations")
    if not isinstance(observations, list | None):
        yield Unreadable(number, "has observations that are not a list")
    for each in observations if isinstance(observations, list) else []:
        text = each.get("content") if isinstance(each, dict) else each
        if not isinstance(text, str) or not text.strip():
            yield Unreadable(number, "has an observation without a text")
            continue
        extra = rest_of(each, "content") if isinstance(each, dict) else {}
        observation = derived_id("mcp observation", f"{name}\n{text}")
        line = {"id": observation, "content": text, "node_type": kind, "tags": [name]}
        yield Item(number, line | ({"metadata": {"imported": extra}} if extra else {}))
        link = {"kind": "edge", "source_id": observation, "target_id": entity, "edge_type": OBSERVATION}
        yield Item(number, link)


def _entity_id(name: str) -> str:
    return derived_id("mcp entity", name)
