"""Which utterances of a cache take part, with which class."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.features.features import Features, UtteranceColumns
from mer.protocol import ClassMap, class_map, fewer_classes
from mer.protocol.dimensions import DIMENSIONS, ratings_of
from mer.protocol.vote_shares import Votes, is_tied, vote_shares


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The utterances of a cache that take part."""

    indices: tuple[int, ...]
    """Their positions in the cache; everything else counts rows of this selection."""
    targets: NDArray[np.int64]
    """Class number of each row; -1 where there is no majority: such rows are trained on only."""
    ids: tuple[str, ...]
    """Id of each row."""
    speakers: tuple[str, ...]
    """Speaker of each row."""
    sessions: tuple[str, ...]
    """Session of each row."""
    styles: tuple[str, ...]
    """Style of each row."""
    texts: tuple[str, ...]
    """Transcript of each row."""
    dialogues: tuple[str, ...]
    """Recording that each row was cut from; empty where unknown."""
    more: tuple[Mapping[str, Any], ...]
    """What else the corpus says of each row."""
    left_out: dict[str, int]
    """Label to number of utterances, for labels outside the class map."""
    shares: Float64[np.ndarray, "rows classes"] | None = None
    """Share of each class in the votes of each row, NaN where none counts; None where nobody knows of votes."""
    soft: bool = False
    """Whether `shares` are what is learned."""
    ratings: Float64[np.ndarray, "rows dimensions"] | None = None
    """What is learned instead of classes, in the corpus' unit; `targets` are all 0 then."""
    unrated: int = 0
    """Utterances that take no part because they are not rated."""
    notes: tuple[str, ...] = ()
    """What a reader of the result has to know of it."""

    @property
    def learned(self) -> Float64[np.ndarray, "rows columns"] | None:
        """What is learned of each row instead of its class number."""
        return self.ratings if self.ratings is not None else self.shares if self.soft else None

    @property
    def trainable(self) -> NDArray[np.bool_] | None:
        """Rows that can be trained on and validate; None for all. Others are tested only."""
        return np.asarray(np.isfinite(self.shares).all(1)) if self.soft and self.shares is not None else None

    def fingerprint(self, *, texts: bool = False) -> str:
        """SHA-256 of who takes part with which class: a cache that has grown gives another result.

        Args:
            texts: whether the transcripts decide anything, as they do for text-disjoint training.
        """
        columns = [self.ids, self.targets.tolist(), self.speakers, self.sessions, self.styles]
        if self.soft and self.shares is not None:
            columns.append(np.nan_to_num(self.shares, nan=-1).tolist())
        if self.ratings is not None:
            columns.append(self.ratings.tolist())
        rows = list(zip(*columns, *([self.texts] if texts else []), strict=True))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@runtime_checkable
class ClassSettings(Protocol):
    """What decides the classes of a result; `HeadConfig` has it."""

    @property
    def classes(self) -> str:
        """A class map of `mer.protocol`."""
        ...

    @property
    def drop_class(self) -> tuple[str, ...]:
        """Classes that are left out."""
        ...

    @property
    def min_per_class(self) -> int:
        """Classes with fewer utterances are left out, too."""
        ...


def chosen_classes(config: ClassSettings, labels: Sequence[str]) -> ClassMap:
    """The classes of a corpus with these labels; raises ProtocolError as `class_map` and `fewer_classes` do."""
    return fewer_classes(class_map(config.classes, labels), labels, config.drop_class, config.min_per_class)


def select(cache: Features, config: HeadConfig) -> tuple[Selection, ClassMap]:
    """The utterances whose label belongs to a class, and with `no_majority` those whose votes are tied; or those with ratings.

    Args:
        cache: the feature cache.
        config: which classes or ratings, and what is learned.

    Raises:
        ProtocolError: an unknown class map, one that knows no label of the cache, or fewer than two classes.
        HeadError: soft targets, and no votes; ratings that no utterance has.
    """
    table = cache.utterances
    if config.dimensions:
        return _rated(table, config.dimensions), ClassMap(name=config.predict, classes=config.dimensions, mapping={})
    classes = chosen_classes(config, table.labels)
    numbers = classes.indices(table.labels)
    votes = [each.get("votes") or {} for each in table.more]
    shares = vote_shares(votes, classes) if any(votes) else None
    taken = numbers >= 0
    if config.soft:
        usable = _usable(votes, shares, classes)
        if config.no_majority == "use":
            taken |= np.array([is_tied(each) for each in votes]) & usable
    chosen = np.flatnonzero(taken).tolist()
    left_out = Counter(label for label, takes_part in zip(table.labels, taken, strict=True) if not takes_part)
    found = _rows(
        table,
        chosen,
        targets=numbers[chosen],
        left_out=dict(sorted(left_out.items())),
        shares=None if shares is None else shares[chosen],
        soft=config.soft,
    )
    return replace(found, notes=_vote_notes(found, [votes[row] for row in chosen], classes)), classes


def _rows(table: UtteranceColumns, chosen: Sequence[int], **about: Any) -> Selection:
    """Some rows of a cache; `about` are the fields that it does not have."""
    names = ("ids", "speakers", "sessions", "styles", "texts", "dialogues", "more")
    columns: dict[str, Any] = {name: tuple(getattr(table, name)[row] for row in chosen) for name in names}
    return Selection(indices=tuple(chosen), **columns, **about)


def _rated(table: UtteranceColumns, dimensions: Sequence[str]) -> Selection:
    """The utterances that are rated in each of some dimensions."""
    ratings = np.array([ratings_of(each) for each in table.more], dtype=np.float64).reshape(-1, len(DIMENSIONS))
    wanted = ratings[:, [DIMENSIONS.index(name) for name in dimensions]]
    chosen = np.flatnonzero(np.isfinite(wanted).all(1)).tolist()
    names, unrated = ", ".join(dimensions), len(wanted) - len(chosen)
    if not chosen:
        raise HeadError(
            f"no utterance of the cache has {names}: IEMOCAP and MSP-Podcast bring ratings, and a manifest in the columns "
            "valence, arousal, dominance. Features of an earlier mer may lack them: `mer extract --cache` into a new folder"
        )
    notes = (f"{unrated:,} utterances are not rated ({names}) and take no part",) if unrated else ()
    none = np.zeros(len(chosen), dtype=np.int64)
    return _rows(table, chosen, targets=none, left_out={}, ratings=wanted[chosen], unrated=unrated, notes=notes)


def _usable(votes: Votes, shares: NDArray[np.float64] | None, classes: ClassMap) -> NDArray[np.bool_]:
    """Utterances with a vote for a class; raises HeadError where there is none."""
    if shares is None:
        raise HeadError(
            "targets 'soft' are shares of annotators' votes, and no utterance of the cache has any: IEMOCAP, MSP-Podcast and "
            "CREMA-D bring them, and a manifest in a column `votes` (ang:2;neu:1). Features that an earlier mer made may lack "
            "them: `mer extract --cache` into a new folder, or use --targets hard"
        )
    usable = np.asarray(np.isfinite(shares).all(1), dtype=np.bool_)
    if not usable.any():
        labels = ", ".join(sorted({label for each in votes for label in each})[:8])
        raise HeadError(
            f"no vote is for a class: votes say {labels}, and the classes are made of {', '.join(classes.mapping)}: write votes "
            "like labels, choose other --classes, or use --targets hard"
        )
    return usable


def _vote_notes(selection: Selection, votes: Votes, classes: ClassMap) -> tuple[str, ...]:
    """What training on votes does with those that do not fit."""
    if selection.trainable is None:
        return ()
    tied, unvoted = int((selection.targets < 0).sum()), int((~selection.trainable).sum())
    outside = sum(count for each in votes for label, count in each.items() if label not in classes.mapping)
    total = sum(count for each in votes for count in each.values())
    found = [f"{tied:,} utterances without a majority are trained on, never validated or tested"] if tied else []
    found += [f"{unvoted:,} utterances have no vote for a class: they are tested, and not trained on"] if unvoted else []
    return (*found, *([f"{outside:,} of {total:,} votes are for no class and do not count"] if outside else []))
