"""Rows are called by what differs among those that are shown: `late F+S+T, text-disjoint`, `late F+S+T, hidden 256`."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mer.protocol.paper_setup import MULTI_LEVEL, MULTI_LEVEL_PARTS
from mer.results.artefact import read_object
from mer.results.names import CONFIG, RESULT
from mer.results.shape import misfit

NUMBER_FREE = frozenset("device ram_gib device_memory_gib stack keep checkpoint_minutes workers track batch_seconds".split())
"""Settings that change no number: rows are not told apart by them."""
IN_THE_NAME = frozenset("branches granularities modality fusion fusion_layers aux coattention late".split())
"""Settings that the head's own name tells already."""
OF_ENCODERS = frozenset("speech_model text_model speech_revision text_revision".split())
CHOSEN = ("text tags",)
"""Facts of an encoder that are chosen, not part of its checkpoint."""
ADDED_LATER: Mapping[str, Any] = {
    "leave_out": "auto",
    "fold_count": None,
    "splits": None,
    "drop_class": [],
    "min_per_class": 0,
    "class_weights": "none",
    "loss": "cross-entropy",
    "targets": "hard",
    "no_majority": "leave-out",
    "predict": "emotion",
    "rating_loss": "ccc",
}
"""Settings that results hold only where they are not left alone."""
DEFAULTS: Mapping[str, Any] = {
    "hidden": 128,
    "attention_heads": None,
    "attention_layers": 3,
    "feed_forward_ratio": 4,
    "layer_weights": "plain",
    "batch": 32,
    "max_epochs": 100,
    "patience": 4,
    "validation": "random",
    "validation_share": 0.1,
    "text_disjoint": False,
    "classes": "4",
    "folds": None,
    **ADDED_LATER,
}
"""What a row has without asking: not told where another row was asked for something else."""


@dataclass(frozen=True, kw_only=True)
class NamedRow:
    """What the name of a row is made of."""

    directory: Path
    """Run directory."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """`config.json`."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """`result.json`; empty while it is trained."""
    name: str | None = None
    """What a grid calls it."""

    @property
    def config(self) -> Mapping[str, Any]:
        """All settings."""
        found: Mapping[str, Any] = self.result.get("config") or self.asked.get("config") or {}
        return found


def row_names(rows: Sequence[NamedRow], tables: Sequence[str] | None = None) -> list[str]:
    """Names that differ within a table, and say nothing that all rows of one name have in common.

    A name that a grid has given stays. Rows of one head get the settings, encoders, layers and data that differ among them;
    what is a default, or what more than half of them have, is left out as long as the others say theirs. Rows that differ in
    nothing but their place get their folder.

    Args:
        rows: those that are shown.
        tables: the table of each; all are of one by default.
    """
    names = [row.name or head_name(row) for row in rows]
    places = list(tables or [""] * len(rows))
    for key in dict.fromkeys(zip(places, names, strict=True)):
        alike = [number for number in range(len(rows)) if (places[number], names[number]) == key]
        if len(alike) > 1:
            told = _told_apart([rows[number] for number in alike])
            for number, words in zip(alike, told, strict=True):
                names[number] = ", ".join([key[1], *words])
    for key in dict.fromkeys(zip(places, names, strict=True)):
        alike = [number for number in range(len(rows)) if (places[number], names[number]) == key]
        if len(alike) > 1:
            folders = _folders([rows[number].directory for number in alike])
            for number, folder in zip(alike, folders, strict=True):
                names[number] = f"{key[1]} ({folder})"
    return names


def head_name(row: NamedRow) -> str:
    """`late F+S+T`, `multi-level coattention F+P + late F+S`, `CA K=2 + aux 1+2`."""
    config = row.config
    if row.result.get("name"):
        return str(row.result["name"])
    if "aux" in config or (not config.get("branches") and config.get("modality") in ("speech", "text") and "epochs" in config):
        return _fine_tuned(config)
    parts = {name: _speech_of(row, name) for name in MULTI_LEVEL_PARTS}
    if config.get("fusion") == MULTI_LEVEL and all(parts.values()):
        return f"{MULTI_LEVEL} " + " + ".join(f"{name} {granularities}" for name, granularities in parts.items())
    branches = row.result.get("branches") or config.get("branches") or config.get("granularities") or []
    return " ".join(filter(None, [str(config.get("fusion", "")), "+".join(branches)])) or row.directory.name


def _fine_tuned(config: Mapping[str, Any]) -> str:
    if config.get("modality", "both") != "both":
        return str(config["modality"])
    fusion = "FC" if config.get("fusion") == "fc" else f"CA K={config.get('fusion_layers', 1)}"
    return fusion if config.get("aux", "none") == "none" else f"{fusion} + aux {config['aux']}"


def _speech_of(row: NamedRow, part: str) -> str:
    """Speech granularities of one head of a multi-level row; its text goes without saying."""
    for config in (row.asked.get("config") or {}, row.result.get("heads") or {}):
        if isinstance(config.get(part), Mapping):
            return "+".join(name for name in config[part].get("branches", ()) if name.partition("@")[0] != "T")
    return ""


def _told_apart(rows: Sequence[NamedRow]) -> list[list[str]]:
    """For each of some rows of one name the words that tell it from the others."""
    facts = [_facts(row) for row in rows]
    words: list[list[str]] = [[] for _ in rows]
    shown: set[str] = set()
    for name in dict.fromkeys(name for each in facts for name in each):
        told = [repr(each[name]) for each in facts if name in each]
        plain = name.partition(" ")[2]
        if len(set(told)) < 2 or (name.partition(" ")[0] in MULTI_LEVEL_PARTS and plain in shown):
            continue
        # What a checkpoint brings with it goes with its name; its weights go with its revision.
        stream = name.partition(" ")[0]
        if (f"{stream} model" in shown and name not in CHOSEN) or (plain == "weights_sha256" and f"{stream} revision" in shown):
            continue
        shown.add(name)
        usual = _usual(name, told)
        for each, own in zip(facts, words, strict=True):
            if name in each and repr(each[name]) != usual:
                own.append(_words(name, each[name]))
    return words


def _usual(name: str, told: Sequence[str]) -> str | None:
    """What goes without saying: the default where a row has it, else what more than half of the rows have."""
    if name in DEFAULTS and repr(DEFAULTS[name]) in told:
        return repr(DEFAULTS[name])
    value, count = Counter(told).most_common(1)[0]
    return value if 2 * count > len(told) else None


def _facts(row: NamedRow) -> dict[str, Any]:
    """Everything that can make two rows of one head different."""
    left_out = NUMBER_FREE | IN_THE_NAME | OF_ENCODERS | {"layers"}
    found = {name: value for name, value in {**row.config, **ADDED_LATER, **row.config}.items() if name not in left_out}
    for part in MULTI_LEVEL_PARTS:
        inner = (row.asked.get("config") or {}).get(part)
        if isinstance(inner, Mapping):
            found |= {f"{part} {name}": value for name, value in inner.items() if name not in left_out}
    return found | _layers(row) | _data(row)


def _layers(row: NamedRow) -> dict[str, Any]:
    layers = row.result.get("layers") or {}
    if not layers and not row.config.get("layers"):
        return {}
    if not layers:
        return {"layers": ranges(row.config["layers"])}
    each = {name: ranges(numbers) for name, numbers in layers.items()}
    return {"layers": " ".join(dict.fromkeys(each.values())) if len(set(each.values())) == 1 else _by_name(each)}


def _by_name(each: Mapping[str, str]) -> str:
    return " ".join(f"{name} {numbers}" for name, numbers in each.items())


def _data(row: NamedRow) -> dict[str, Any]:
    """Encoders and features, the utterances, and the cache where nothing else is known of it."""
    config, result = row.config, row.result
    found: dict[str, Any] = {}
    features = result.get("features") or {}
    of_sets = [name for name in features if name.startswith(("speech@", "text@"))]
    for stream in of_sets or ("speech", "text"):
        described = (
            features.get(stream) or (result.get("encoders") or {}).get(stream) or (row.asked.get("encoders") or {}).get(stream)
        )
        if isinstance(described, Mapping):
            order = sorted(described, key=lambda name: (name != "model", name != "revision"))
            found |= {f"{stream} {name}": described[name] for name in order if name not in ("layers", "dim", "dtype")}
        elif config.get(f"{stream}_model"):
            found[f"{stream} model"] = config[f"{stream}_model"]
    for part in ("segments", "compute", "storage"):
        found |= {f"{part} {name}": value for name, value in (features.get(part) or {}).items()}
    if result.get("utterances"):
        found["n"] = result["utterances"].get("used")
    key = result.get("cache_key") or row.asked.get("cache_key")
    if key and not features:
        found["cache"] = str(key)[:12]
    elif row.asked.get("data") and not result:
        found["data"] = str(row.asked["data"])[:8]
    return found


def _words(name: str, value: Any) -> str:
    """`text-disjoint`, `seeds 5`, `hidden 256`, `wavlm-large`."""
    plain = name.replace("_", " ")
    if isinstance(value, Mapping):
        digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
        return f"{plain} {digest[:8]}"
    if name.endswith(" model"):
        return str(value).replace("\\", "/").rstrip("/").rpartition("/")[2]
    if name.endswith("weights_sha256"):
        return f"{name.partition(' ')[0]} weights {str(value)[:8]}"
    if name == "text_disjoint":
        return "text-disjoint" if value else "not text-disjoint"
    if isinstance(value, bool):
        return plain if value else f"no {plain}"
    if name.endswith("seeds") and isinstance(value, list | tuple):
        return f"{plain} {len(value) if list(value) == list(range(len(value))) else '/'.join(map(str, value))}"
    if value is None:
        return f"{plain} {'all' if name in ('folds', 'layers') else 'default'}"
    if isinstance(value, list | tuple):
        return f"{plain} {ranges(value)}"
    return f"{plain} {value:g}" if isinstance(value, float) else f"{plain} {value}"


def ranges(numbers: Sequence[Any]) -> str:
    """`1-3,6` of whole numbers in order; other values with commas."""
    if not all(str(each).isdecimal() for each in numbers):
        return ",".join(map(str, numbers))
    spans: list[list[int]] = []
    for each in map(int, numbers):
        if spans and each == spans[-1][1] + 1:
            spans[-1][1] = each
        else:
            spans.append([each, each])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def _folders(directories: Sequence[Path]) -> list[str]:
    """The shortest ends of some paths that differ."""
    whole = [directory.absolute().parts for directory in directories]
    for length in range(1, max(map(len, whole)) + 1):
        ends = ["/".join(parts[-length:]) for parts in whole]
        if len(set(ends)) == len(ends):
            return ends
    return [str(directory) for directory in directories]


TOLD = {"config?": dict, "branches?": [str], "layers?": dict, "features?": dict, "encoders?": dict, "utterances?": dict}
"""What the files that a name is made of hold, as far as they hold it."""


def read_row(directory: Path) -> NamedRow:
    """What the name of a run directory is made of; a file that is gone, torn or foreign says nothing."""
    found = [read_object(directory / name) for name in (CONFIG, RESULT)]
    asked, result = (values if values is not None and misfit(values, TOLD) is None else {} for values in found)
    return NamedRow(directory=directory, asked=asked, result=result)


def name_beside(directory: Path) -> str:
    """The name of one run among those in the same folder."""
    own = directory.absolute()
    beside = [each for each in sorted(own.parent.iterdir()) if each == own or (each / CONFIG).exists()]
    return dict(zip(beside, row_names([read_row(each) for each in beside]), strict=True))[own]
