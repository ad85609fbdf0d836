"""Whether a result was made as a paper made its own, so that the paper's figure may stand beside it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer.protocol.classes import CLASS_MAPS
from mer.protocol.errors import ProtocolError

UNSET: Any = object()
MULTI_LEVEL = "multi-level"
"""The fusion of a row that averages the logits of a coattention and a late head (Zhao 2022, section 2.4)."""
MULTI_LEVEL_PARTS = ("coattention", "late")
"""Its two heads: keys of its settings, and options of its row in a grid, which say their granularities."""
ONLY_IN_SETUP: Mapping[str, type] = {
    "corpus": str,
    "speech_model": str,
    "text_model": str,
    "utterances": int,
    "folds": int,
    "layers": str,
}
"""What a paper's set-up says beyond the options of its rows, and of which kind it is."""
NOT_COMPARED = frozenset(
    "device ram_gib device_memory_gib stack seeds folds keep checkpoint_minutes workers track checkpointing batch_seconds "
    "granularity granularities modality fusion fusion_layers aux coattention late name published_ua published_wa".split()
)
"""Options that change no number, that make the row what it is, or (seeds) whose part is played by the noise."""
SHOWN = {
    "speech_model": "speech model",
    "text_model": "text model",
    "utterances": "n",
    "normalize": "normalisation",
    "validation_share": "validation",
    "epoch_selection": "choice of the epoch",
    "text_disjoint": "text-disjoint training",
}
ALWAYS_KEPT = frozenset({"normalize", "validation", "text_disjoint", "classes"})
"""Options that every head uses: where a result has none of that name, it is of an earlier version and not known."""
NO_PAPER_HAS = ("class_weights", "loss", "targets", "predict")
"""Options that a result holds only where they were asked for; no paper's set-up is meant with them unless it names them."""
STREAMS = {"speech_model": "speech", "text_model": "text"}


@dataclass(frozen=True, kw_only=True)
class SetupCheck:
    """What of a result is not as in the paper."""

    differs: tuple[str, ...] = ()
    """What differs, in words."""
    unknown: tuple[str, ...] = ()
    """What the result, or the grid, does not say."""

    @property
    def fits(self) -> bool:
        """Whether the paper's figure may stand beside the result."""
        return not self.differs and not self.unknown

    @property
    def text(self) -> str:
        """`differs in: speech model, validation`, `set-up unknown: n`, or both; empty where all is as in the paper."""
        parts = [f"differs in: {', '.join(self.differs)}"] if self.differs else []
        parts += [f"set-up unknown: {', '.join(self.unknown)}"] if self.unknown else []
        return "; ".join(parts)


UNDECLARED = SetupCheck(unknown=("the grid does not declare the paper's ([setup])",))
"""What is said of figures in a grid without `[setup]`."""


def paper_setup(declared: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The set-up of one row of a paper; None where the grid declares none.

    Args:
        declared: the grid's `[setup]`. A value may be a table by fusion: `learning_rate = { late = 1e-3 }`.
        options: what `[defaults]` and the row set, as in the file.
    """
    if declared is None:
        return None
    return {name: value for name, value in options.items() if name not in NOT_COMPARED} | dict(declared)


def check_setup(paper: Mapping[str, Any] | None, result: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> SetupCheck:
    """Compare a result with the set-up of a paper.

    Args:
        paper: of `paper_setup`.
        result: what `result.json` holds.
        settings: what was asked for, as in `config.json`: of a multi-level head the settings of both heads.
    """
    if paper is None:
        return UNDECLARED
    differs: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for name, wanted in paper.items():
        fits = _fits(name, wanted, result, settings)
        if fits is not True:
            (unknown if fits is None else differs)[SHOWN.get(name, name.replace("_", " "))] = None
    for name in NO_PAPER_HAS:
        if name not in paper and any(name in each for each in settings):
            differs[name.replace("_", " ")] = None
    return SetupCheck(differs=tuple(differs), unknown=tuple(name for name in unknown if name not in differs))


def asked_settings(asked: Mapping[str, Any], result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The settings of a run directory's head, or of both heads of a multi-level one.

    Args:
        asked: what `config.json` holds; empty where it is gone.
        result: what `result.json` holds.
    """
    config = asked.get("config") or result.get("config") or {}
    parts = [config[name] for name in MULTI_LEVEL_PARTS if isinstance(config.get(name), Mapping)]
    return parts or [config]


def layer_numbers(value: object) -> tuple[int, ...] | None:
    """`1-3,6` or a list as numbers; None where it says neither."""
    if isinstance(value, list | tuple):
        return tuple(sorted(int(each) for each in value))
    found: set[int] = set()
    for part in str(value).split(","):
        first, _, last = part.partition("-")
        if not first.strip().isdecimal() or not (last.strip() or first.strip()).isdecimal():
            return None
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def checked_setup_value(name: str, value: object) -> object:
    """A value of `[setup]` that is no option of a row.

    Raises:
        ProtocolError: it is of another kind than `ONLY_IN_SETUP` says.
    """
    kind = ONLY_IN_SETUP[name]
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ProtocolError(f"{name} must be {'a whole number' if kind is int else 'a text in quotes'}, got {value!r}")
    if name == "layers" and layer_numbers(value) is None:
        raise ProtocolError(f'layers must be numbers and ranges such as "1-12", got {value!r}')
    return value


def _fits(name: str, wanted: Any, result: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether one thing is as in the paper; None where the result does not say."""
    match name:
        case "corpus":
            return bool(result.get("corpus") == wanted and result.get("synthetic") is False)
        case "speech_model" | "text_model":
            return _model_fits(name, str(wanted), result, settings)
        case "utterances":
            return bool(result["summary"]["all"]["utterances"] == wanted)
        case "folds":
            return bool(len(result["summary"]["folds"]) == wanted)
        case "layers":
            found = [layer_numbers(numbers) for numbers in (result.get("layers") or {}).values()]
            return None if not found else all(numbers == layer_numbers(wanted) for numbers in found)
        case "classes" if wanted in CLASS_MAPS and set(result["summary"]["classes"]) != set(CLASS_MAPS[wanted].values()):
            return False
        case "normalize":
            return _all(_normalised(wanted, result) == _normalised(given, result) for given in _given(name, settings))
        case _:
            given = list(_given(name, settings))
            if not given and name in ALWAYS_KEPT:
                return None
            pairs = zip(given, (each for each in settings if name in each), strict=True)
            return all(_same(value, _of_fusion(wanted, each.get("fusion"))) for value, each in pairs)


def _given(name: str, settings: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    return (each[name] for each in settings if name in each)


def _all(fitting: Iterator[bool]) -> bool | None:
    found = list(fitting)
    return all(found) if found else None


def _of_fusion(wanted: Any, fusion: object) -> Any:
    return wanted.get(fusion, UNSET) if isinstance(wanted, Mapping) else wanted


def _same(given: Any, wanted: Any) -> bool:
    if wanted is UNSET:
        return True
    if isinstance(given, float) or isinstance(wanted, float):
        return isinstance(given, int | float) and math.isclose(given, wanted, rel_tol=1e-9)
    return bool(
        (list(given) if isinstance(given, list | tuple) else given)
        == (list(wanted) if isinstance(wanted, list | tuple) else wanted)
    )


def _normalised(value: object, result: Mapping[str, Any]) -> tuple[str, ...]:
    """What becomes of speech and of text, as far as the head has them: `speech` and `global` are one thing without text."""
    branches = [_unit(name) for name in result.get("branches") or ()]
    speech = {"speech": "global"}.get(str(value), str(value))
    text = "global" if value == "global" else "none"
    return tuple(["speech " + speech] * any(name != "T" for name in branches) + ["text " + text] * ("T" in branches))


def _model_fits(name: str, wanted: str, result: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether the encoder is the paper's; a result without that stream needs none."""
    stream = STREAMS[name]
    branches = {_unit(name) for name in result.get("branches") or ()}
    if branches and not branches & ({"T", "text"} if stream == "text" else {"F", "P", "S", "W", "speech"}):
        return True
    for place in (result.get("features"), result.get("encoders")):
        # Of several encoders of a kind, each has an entry: `speech@wavlm`.
        described = [each for name, each in (place or {}).items() if _unit(name) == stream and isinstance(each, Mapping)]
        if described and all(each.get("model") for each in described):
            return all(same_model(str(each["model"]), wanted) for each in described)
    given = [*_given(name, [*settings, result.get("config") or {}])]
    return same_model(str(given[0]), wanted) if given else None


def _unit(name: str) -> str:
    """A granularity or a kind of encoder without the encoder's name."""
    return name.partition("@")[0]


def same_model(given: str, wanted: str) -> bool:
    """Whether a model's name is that of a hub id, with or without its owner: `bert-base-uncased`, or a folder called so."""
    ours, theirs = ([part for part in each.replace("\\", "/").casefold().split("/") if part] for each in (given, wanted))
    return bool(ours) and ours[-1] == theirs[-1] and (len(ours) != 2 or given.startswith((".", "/")) or ours == theirs)
