"""How the utterances of a corpus are shared between training and test, before a seed decides anything: one cut for each fold."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.protocol.errors import ProtocolError
from mer.protocol.given_folds import given_folds
from mer.protocol.grouped import Grouped, group_names
from mer.protocol.leave_out import AUTO, GIVEN, SESSION, SPEAKER, UTTERANCE
from mer.protocol.part_names import DEV, TRAIN, is_test
from mer.protocol.splits_file import read_splits

Rows = NDArray[np.int64]
BY = "leave the corpus' own split off with --leave-out session, or another group"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """One fold before its validation part is chosen; rows are sorted, and in one of the parts at most."""

    name: str
    """The session, speaker, test part or number that names the fold."""
    train: Rows
    """Rows that may be trained on."""
    dev: Rows
    """Rows of the corpus' own dev part: they choose the epoch for every seed, and nobody trains on them."""
    test: Rows
    """Rows that are tested."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """All folds of a corpus."""

    leave_out: str
    """What is left out: `given`, `session`, `speaker`, `dialogue`, `utterance` or a column."""
    cuts: Mapping[str, Cut]
    """Folds by name, in the order of reporting."""
    groups: tuple[str, ...]
    """Group of each row, which validation `group` keeps together."""
    notes: tuple[str, ...] = ()
    """What a reader of the result has to know of it."""
    shared: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Folds that are not speaker independent, each with the speakers of its test part who are in another one."""
    plain: bool = False
    """Whether it is one session left out at a time, which results do not have to say."""

    def identity(self, ids: Sequence[str]) -> dict[str, Any]:
        """What the identity of a run holds of it; nothing for sessions, which the data says already.

        Args:
            ids: of the rows.
        """
        if self.plain:
            return {}
        parts = {
            name: [[ids[row] for row in rows.tolist()] for rows in (c.train, c.dev, c.test)] for name, c in self.cuts.items()
        }
        told = json.dumps([parts, self.groups])
        digest = hashlib.sha256(told.encode()).hexdigest()
        return {"partition": {"leave_out": self.leave_out, "folds": list(self.cuts), "sha256": digest}}

    def chosen(self, folds: Sequence[str] | None) -> tuple[str, ...]:
        """The folds that are asked for, all by default.

        Raises:
            ProtocolError: one that is not there, or whose speakers are trained on, too.
        """
        unknown = [name for name in folds or () if name not in self.cuts]
        if unknown:
            what = {GIVEN: "test part"}.get(self.leave_out, "session" if self.plain else "fold")
            raise ProtocolError(
                f"there is no {what} {', '.join(unknown)} to test on, only {', '.join(self.cuts)}: extract it first "
                "(`mer extract --session ...`) or leave it out of --folds"
            )
        names = tuple(folds or self.cuts)
        for name in names:
            if name in self.shared and self.leave_out == SESSION:
                raise ProtocolError(
                    f"speaker {', '.join(self.shared[name])} speaks in session {name} and in another one, so that testing on it "
                    "is not speaker independent; give such sessions one name, leave speakers out with --leave-out speaker, or "
                    "give train, dev and test with --splits"
                )
        return names


def make_partition(
    rows: Grouped, targets: NDArray[np.int64], *, leave_out: str = AUTO, fold_count: int | None = None, splits: str | None = None
) -> Partition:
    """The folds of a corpus.

    Args:
        rows: the utterances that take part.
        targets: their classes, which `fold_count` balances; below 0 an utterance without one, which nobody tests or validates on.
        leave_out: `given` takes the corpus' own train, dev and test parts; `session`, `speaker`, `dialogue`, `utterance` or the
            name of a column leaves out one value of it at a time; `auto` is `given` where every utterance has a part, else
            `session`.
        fold_count: that many folds, each of which tests several whole groups.
        splits: a file with the parts, see `read_splits`.

    Raises:
        ProtocolError: what is asked for is not there, or leaves too little to train on.
    """
    if splits is not None:
        return _of_file(rows, targets, Path(splits))
    given, why_not = given_folds(rows)
    if leave_out == AUTO and (given is None or fold_count is not None):
        found = _of_groups(rows, targets, SESSION, fold_count)
        return found if why_not is None else _noting(found, why_not)
    if leave_out in (AUTO, GIVEN):
        if given is None:
            raise ProtocolError(why_not or f"the corpus has no split of its own: no utterance has a part; {BY}")
        found = _of_parts(rows, targets, given)
        if leave_out == GIVEN:
            return found
        other = f"the corpus' own split is used, {_sizes(found)}; --leave-out session ignores it"
        return _noting(found, other, first=True)
    return _of_groups(rows, targets, leave_out, fold_count)


def values_of(rows: Grouped, name: str) -> tuple[str, ...]:
    """The group of each row.

    Args:
        rows: the utterances.
        name: `session`, `speaker`, `dialogue`, `utterance` or a column of the corpus.

    Raises:
        ProtocolError: no such column, or utterances without a value in it.
    """
    known = {SESSION: rows.sessions, SPEAKER: rows.speakers, "dialogue": rows.dialogues, UTTERANCE: rows.ids}
    columns = {key for each in rows.more for key in each.get("columns", {})}
    if name not in known and name not in columns:
        offered = ", ".join([*known, *sorted(columns)])
        raise ProtocolError(f"there is no {name!r} to leave out; the corpus has {offered}, and given for its own split")
    found = known[name] if name in known else [str(each.get("columns", {}).get(name, "")) for each in rows.more]
    if missing := [utterance for utterance, value in zip(rows.ids, found, strict=True) if not value]:
        raise ProtocolError(
            f"{len(missing):,} of {len(found):,} utterances have no {name}, first {missing[0]!r}, and so belong to no fold: "
            "leave out something that each of them has"
        )
    return tuple(found)


def _of_groups(rows: Grouped, targets: NDArray[np.int64], name: str, fold_count: int | None) -> Partition:
    """One group left out at a time, or `fold_count` sets of groups."""
    groups, classed = values_of(rows, name), targets >= 0
    names = group_names([group for group, has_class in zip(groups, classed, strict=True) if has_class])
    if len(names) < max(2, fold_count or 2):
        wanted = f"{fold_count} folds need at least {fold_count}" if fold_count else f"leaving one {name} out needs at least 2"
        raise ProtocolError(
            f"{wanted} {name}s, found {len(names)} ({', '.join(names[:5])}): leave out another group with --leave-out, or fewer "
            "folds with --fold-count"
        )
    if name == UTTERANCE and fold_count is None:
        raise ProtocolError(f"one fold for each of {len(names):,} utterances is hardly meant: give --fold-count, such as 5")
    every, none, own = np.arange(len(groups)), np.zeros(0, dtype=np.int64), np.array(groups)
    tested = _balanced(groups, targets, fold_count) if fold_count else {each: own == each for each in names}
    cuts = {each: Cut(name=each, train=every[~inside], dev=none, test=every[inside & classed]) for each, inside in tested.items()}
    found = Partition(leave_out=name, cuts=cuts, groups=groups, plain=name == SESSION and not fold_count)
    return _with_shared(found, rows)


def _balanced(groups: Sequence[str], targets: NDArray[np.int64], count: int) -> dict[str, NDArray[np.bool_]]:
    """Rows of each of `count` folds: groups stay whole, and classes are as balanced as that allows; no draw is made."""
    from sklearn.model_selection import StratifiedGroupKFold

    found = {}
    own, classed = np.array(groups), targets >= 0
    order = {name: number for number, name in enumerate(group_names(own[classed].tolist()))}
    numbers = [order[group] for group in own[classed].tolist()]
    for number, (_, test) in enumerate(StratifiedGroupKFold(count).split(numbers, targets[classed], numbers), start=1):
        found[str(number)] = np.isin(own, own[classed][test])
    return found


def _of_file(rows: Grouped, targets: Rows, path: Path) -> Partition:
    folds = read_splits(path).folds
    listed = set().union(*folds.values())
    if not listed & set(rows.ids):
        raise ProtocolError(f"{path}: none of its ids is in the corpus; the first there is {rows.ids[0]!r}, here {min(listed)!r}")
    return _noting(_of_parts(rows, targets, folds), f"parts are those of {path.name}", first=True)


def _of_parts(rows: Grouped, targets: Rows, folds: Mapping[str, Mapping[str, str]]) -> Partition:
    """A fold for each test part of each fold."""
    cuts: dict[str, Cut] = {}
    for fold, parts in folds.items():
        own = [parts.get(name, "") for name in rows.ids]
        own = [part if part == TRAIN or target >= 0 else "" for part, target in zip(own, targets.tolist(), strict=True)]
        train, dev = (np.flatnonzero([each == part for each in own]) for part in (TRAIN, DEV))
        tests = group_names([each for each in own if each and is_test(each)])
        if not len(train) or not tests:
            here = f"fold {fold}: " if fold else ""
            raise ProtocolError(
                f"{here}the given split leaves {len(train)} utterances to train on and {len(tests)} test parts; parts are "
                f"{', '.join(f'{part} {count}' for part, count in Counter(own).items() if part) or 'none'}"
            )
        for test in tests:
            name = test if not fold else fold if len(tests) == 1 else f"{fold}.{test}"
            cuts[name] = Cut(name=name, train=train, dev=dev, test=np.flatnonzero([each == test for each in own]))
    unused = sum(all(not parts.get(name) for parts in folds.values()) for name in rows.ids)
    groups = rows.speakers if all(rows.speakers) else rows.sessions
    found = Partition(leave_out=GIVEN, cuts=cuts, groups=tuple(groups))
    found = _noting(found, f"{unused:,} utterances have no part and are not used" if unused else None)
    return _with_shared(found, rows)


def _with_shared(partition: Partition, rows: Grouped) -> Partition:
    """The same with the speakers that are both in the test part of a fold and in another part of it."""
    names, numbers = np.unique(np.array(rows.speakers, dtype=np.str_), return_inverse=True)
    found = {}
    for fold, cut in partition.cuts.items():
        both = np.intersect1d(numbers[cut.test], numbers[np.concatenate([cut.train, cut.dev])])
        if shared := [str(name) for name in names[both] if name]:
            found[fold] = shared
    note = None if partition.leave_out == SESSION else _speaker_note(found)
    return _noting(replace(partition, shared=found), note)


def _speaker_note(shared: Mapping[str, Sequence[str]]) -> str | None:
    if not shared:
        return None
    speakers = group_names([name for each in shared.values() for name in each])
    more = ", ..." if len(speakers) > 5 else ""
    return (
        f"not speaker independent: {len(speakers)} speakers of test parts are trained on or choose the epoch, too "
        f"({', '.join(speakers[:5])}{more})"
    )


def _sizes(partition: Partition) -> str:
    cut = next(iter(partition.cuts.values()))
    if any(not np.array_equal(cut.train, each.train) for each in partition.cuts.values()):
        return f"{len(partition.cuts)} folds, each with training and test parts of its own"
    tests = ", ".join(f"{name} {len(each.test):,}" for name, each in partition.cuts.items())
    return f"train {len(cut.train):,}, dev {len(cut.dev):,}, {tests}"


def _noting(partition: Partition, note: str | None, *, first: bool = False) -> Partition:
    if note is None:
        return partition
    return replace(partition, notes=(note, *partition.notes) if first else (*partition.notes, note))
