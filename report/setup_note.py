"""What a reader has to know beside a row's numbers: how its making differs from a paper's, and what its training lost."""

from collections.abc import Mapping, Sequence
from typing import Any


def setup_text(check: Mapping[str, Any]) -> str:
    """`differs in: speech model, validation`, `set-up unknown: n`, or both; empty where all is as in the paper.

    Args:
        check: `differs` and `unknown` of a row in `grid.json`.
    """
    differs, unknown = check.get("differs") or (), check.get("unknown") or ()
    parts = [f"differs in: {', '.join(differs)}"] if differs else []
    return "; ".join([*parts, *([f"set-up unknown: {', '.join(unknown)}"] if unknown else [])])


def left_out_for_text(result: Mapping[str, Any]) -> str:
    """`text-disjoint training without 12 utterances for test session 1, 9 for 2`; empty where nothing was to be left out.

    Args:
        result: `result.json`, or a row of `grid.json`.
    """
    removed = result.get("removed_for_text") or {}
    configs = [result.get("config") or {}, *(result.get("configs") or ())]
    if not removed or not (any(removed.values()) or any(config.get("text_disjoint") for config in configs)):
        return ""
    counts = [f"{count:,} for {'test session ' * (place == 0)}{fold}" for place, (fold, count) in enumerate(removed.items())]
    return f"text-disjoint training without utterances whose sentence recurs: {', '.join(counts)}"


def seeds_of_paper(seeds: int | None) -> str:
    """How many seeds a paper's figure is the mean of, and what follows from it."""
    if seeds is None:
        return "the number of the paper's seeds is not known: nothing is claimed"
    return f"mean of {seeds} seeds" if seeds > 1 else "one run: spread unknown, taken to be ours"


def grouped_notes(notes: Mapping[str, str]) -> list[str]:
    """Each note once, with the rows that it is of: `late F, late F+S: differs in: n`; `each row` where it is of all.

    Args:
        notes: row to its note; rows without one have an empty text.
    """
    found: dict[str, list[str]] = {}
    for name, note in notes.items():
        if note:
            found.setdefault(note, []).append(name)
    return [f"{_rows(names, len(notes))}: {note}" for note, names in found.items()]


def _rows(names: Sequence[str], rows: int) -> str:
    return "each row" if len(names) == rows > 1 else "; ".join(names)
