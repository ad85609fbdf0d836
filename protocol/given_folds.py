"""The partition that a corpus brings: its own train, dev and test parts, or several folds of them."""

from collections.abc import Mapping

from mer.protocol.grouped import Grouped, group_names
from mer.protocol.part_names import EXPECTED, TRAIN, is_test, part_names
from mer.protocol.splits_file import ONE_FOLD

Folds = Mapping[str, Mapping[str, str]]
"""Number of a fold, empty for the only one, to the part of each utterance by id; no part: not used in that fold."""
_SHOWN = 5


def given_folds(rows: Grouped) -> tuple[Folds | None, str | None]:
    """The folds that the corpus says, or None and why they are not used; no reason where nothing is said.

    They are the parts of `split`; where there is none, those of columns `fold_1`, `fold_2`, ...; and else sessions that are
    called train and test: nobody wants to test on what is called train.
    """
    said = [str(each.get("split", "")) for each in rows.more]
    if not any(said):
        several = _columns(rows)
        if several:
            return _of_columns(rows, several)
        said = list(rows.sessions)
        if not _are_parts(part_names(said)):
            return None, None
    names = part_names(said)
    if names is None:
        return None, f"the corpus' split says {', '.join(group_names(said)[:_SHOWN])}, which is not used: expected {EXPECTED}"
    if empty := said.count(""):
        return None, f"{empty:,} of {len(said):,} utterances have no part in the corpus' own split, so that it is not used"
    if not _are_parts(names):
        return None, f"the corpus' own split has no train and test part, only {', '.join(names)}, so that it is not used"
    return {"": {name: names[word] for name, word in zip(rows.ids, said, strict=True)}}, None


def _columns(rows: Grouped) -> dict[str, str]:
    """Number of each fold that has a column, in order, and what the column is called."""
    names = {name for each in rows.more for name in each.get("columns", {})}
    found = {match[1]: name for name in names if (match := ONE_FOLD.fullmatch(name.casefold()))}
    return dict(sorted(found.items(), key=lambda fold: int(fold[0])))


def _of_columns(rows: Grouped, columns: Mapping[str, str]) -> tuple[Folds | None, str | None]:
    folds = {}
    for fold, column in columns.items():
        said = [str(each.get("columns", {}).get(column, "")) for each in rows.more]
        names = part_names(said)
        if not _are_parts(names) or names is None:
            found = ", ".join(group_names(said)[:_SHOWN])
            return None, f"the corpus' column {column!r} says {found}; its folds are not used: expected {EXPECTED}"
        folds[fold] = {name: names[word] for name, word in zip(rows.ids, said, strict=True) if word in names}
    return folds, None


def _are_parts(names: Mapping[str, str] | None) -> bool:
    """Whether there is something to train on and something to test."""
    return names is not None and TRAIN in names.values() and any(map(is_test, names.values()))
