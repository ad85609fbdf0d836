"""Grid files: a table in TOML, read with every fault and its line. `docs/grids.md` describes the format."""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Generic

from mer.files.regular_file import read_text_file
from mer.grids.grid import Config, Grid, GridError, GridRow
from mer.grids.grid_kind import HEAD_GRIDS, HEADS, GridKind
from mer.grids.grid_options import shown
from mer.grids.toml_lines import TomlLines
from mer.heads.config import HeadConfig
from mer.protocol import MULTI_LEVEL, MULTI_LEVEL_PARTS, ProtocolError, paper_setup
from mer.protocol.paper_setup import ONLY_IN_SETUP, checked_setup_value
from mer.settings.kinds import parse_granularity
from mer.settings.option import nearest

MOST_ROWS = 10_000
"""Rows that one `[[rows]]` may make: each is trained for all folds and seeds."""
TABLES = ("grid", "setup", "defaults", "rows", "axes")
ABOUT = ("title", "paper", "paper_seeds", "kind")
PUBLISHED = {"published_ua": "UA", "published_wa": "WA"}
ROW_ONLY = ("name", *PUBLISHED)


def preset_names(kind: str | None = None) -> tuple[str, ...]:
    """The grids that come with mer; those of one kind, where it is given."""
    folder = files("mer.grids") / "presets"
    presets = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    if kind is None:
        return tuple(sorted(presets))
    kinds = {name: tomllib.loads(file.read_text("utf-8"))["grid"].get("kind", HEADS) for name, file in presets.items()}
    return tuple(sorted(name for name in presets if kinds[name] == kind))


def kind_of_grid(name_or_file: str, kinds: Sequence[str]) -> str:
    """What the rows of a grid are: its `kind`, heads if it names none.

    Args:
        name_or_file: one of `preset_names()`, or the path of a TOML file.
        kinds: names of the kinds that there are.

    Raises:
        GridError: there is no such grid, or its kind is none of these.
    """
    source, _, text = _source(name_or_file)
    about = _parsed(source, text).get("grid", {})
    kind = about.get("kind", HEADS) if isinstance(about, dict) else HEADS
    if kind not in kinds:
        line = TomlLines(text).line("grid", "kind")
        raise GridError(f"the grid cannot be run:\n{source}:{line}: kind must be {' or '.join(map(repr, kinds))}, got {kind!r}")
    return str(kind)


def read_grid(
    name_or_file: str,
    *,
    fallbacks: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Grid[HeadConfig]:
    """Read a preset, or a grid file, of heads; see `read_grid_of`."""
    return read_grid_of(HEAD_GRIDS, name_or_file, fallbacks=fallbacks, overrides=overrides)


def read_grid_of(
    kind: GridKind[Config],
    name_or_file: str,
    *,
    fallbacks: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Grid[Config]:
    """Read a preset, or a grid file.

    Args:
        kind: what the rows are.
        name_or_file: one of `preset_names()`, or the path of a TOML file.
        fallbacks: fields of the rows' config for what the grid leaves open.
        overrides: fields that go before what the grid says; an axis of such a field is dropped.

    Raises:
        GridError: there is no such grid, or it has faults: all of them, each with its line.
        ValueError: of `kind.make`, for `overrides` that no row can have.
    """
    kind.make(**(overrides or {}))
    source, name, text = _source(name_or_file)
    document = _parsed(source, text)
    reader = _Reader(kind, document, TomlLines(text), {**(fallbacks or {})}, {**(overrides or {})})
    about, rows = reader.about(), reader.rows()
    if reader.faults:
        raise GridError(
            "\n".join(["the grid cannot be run:", *(f"{source}:{line}: {fault}" for line, fault in sorted(reader.faults))])
        )
    try:
        return Grid(name=name, rows=tuple(rows), **{"title": name, **about})
    except GridError as problem:
        raise GridError(f"{source}: {problem}") from None


def _source(name_or_file: str) -> tuple[str, str, str]:
    """What errors call a grid, its name, and its text."""
    if name_or_file in preset_names():
        source = f"{name_or_file}.toml"
        return source, name_or_file, (files("mer.grids") / "presets" / source).read_text(encoding="utf-8")
    return name_or_file, Path(name_or_file).stem, _text(Path(name_or_file))


def _parsed(source: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise GridError(f"{source}: no valid TOML: {problem}") from None


def _text(path: Path) -> str:
    if not path.is_file():
        known = preset_names()
        raise GridError(
            f"there is no grid {str(path)!r}{nearest(str(path), known)}: expected {', '.join(known)}, or a TOML file of your own "
            "(docs/grids.md)"
        )
    try:
        return read_text_file(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise GridError(f"{path}: no valid TOML: {problem}") from None


class _Reader(Generic[Config]):
    """One document; what is wrong with it is collected in `faults`, each with its line."""

    def __init__(
        self,
        kind: GridKind[Config],
        document: Mapping[str, Any],
        lines: TomlLines,
        fallbacks: Mapping[str, Any],
        overrides: Mapping[str, Any],
    ) -> None:
        self.faults: set[tuple[int, str]] = set()
        self._kind, self._names = kind, kind.options.names()
        self._document, self._lines = document, lines
        self._fallbacks, self._overrides = fallbacks, overrides
        for key in document:
            self._known(key, TABLES, "table", (key,))
        self._doubtful = False
        self._defaults = self._values(("defaults",), self._table("defaults"), self._names)
        self._axes = self._read_axes()
        self._common_doubtful = self._doubtful
        self._setup = self._recorded(self._read_setup()) if "setup" in document else None

    def about(self) -> dict[str, Any]:
        """Title, paper and the number of its seeds."""
        found: dict[str, Any] = {}
        for key, value in self._table("grid").items():
            if not self._known(key, ABOUT, "key", ("grid", key)):
                continue
            if key == "paper_seeds" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                self._fault(f"paper_seeds must be a whole number of 1 or more, got {value!r}", "grid", key)
            elif key != "paper_seeds" and not isinstance(value, str):
                self._fault(f"{key} must be a text in quotes, got {value!r}", "grid", key)
            else:
                found[key] = value
        kind = found.pop("kind", HEADS)
        if kind != self._kind.name:
            self._fault(f"kind {kind!r}: these are rows of kind {self._kind.name!r}", "grid", "kind")
        return found

    def _read_setup(self) -> dict[str, Any]:
        """How the paper made its figures, as the file says it."""
        found = {}
        for key, value in self._table("setup").items():
            option = key.replace("-", "_")
            if not self._known(option, (*ONLY_IN_SETUP, *self._names), "key", ("setup", key)):
                continue
            try:
                for each in value.values() if isinstance(value, dict) else (value,):
                    if option in ONLY_IN_SETUP:
                        checked_setup_value(option, each)
                    else:
                        self._kind.options.value(option, each)
            except (GridError, ProtocolError) as problem:
                self._fault(str(problem), "setup", key)
            found[option] = value
        return found

    def rows(self) -> list[GridRow[Config]]:
        """Every row that can be made; those that cannot are in `faults`."""
        tables = self._document.get("rows", [{}] if self._document.get("axes") else [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._fault("rows must be tables: write [[rows]] above each", "rows")
            return []
        made = [(position, row) for position, table in enumerate(tables) for row in self._rows_of(position, table)]
        self._refuse_twins(made)
        return [row for _, row in made]

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self._document.get(name, {})
        if isinstance(table, dict):
            return table
        self._fault(f"{name} must be a table: write [{name}]", name)
        return {}

    def _read_axes(self) -> dict[str, list[tuple[Any, str]]]:
        """Each axis as pairs of a value and how names show it."""
        axes = {}
        for key, values in self._table("axes").items():
            option = key.replace("-", "_")
            if not self._known(option, self._names, "option", ("axes", key)) or self._field(option) in self._overrides:
                continue
            if not isinstance(values, list) or not values:
                self._fault(f"axis {option} must be a list of values, got {values!r}", "axes", key)
                continue
            pairs = [self._values(("axes", key), {option: value}, self._names) for value in values]
            chosen = [(pair[option], shown(value)) for pair, value in zip(pairs, values, strict=True) if option in pair]
            axes[option] = list({repr(value): (value, text) for value, text in chosen}.values())
            if len(axes[option]) < len(chosen):
                self._fault(f"axis {option} has a value twice: {shown(values)}", "axes", key)
        return axes

    def _values(self, place: tuple[str | int, ...], table: Mapping[str, Any], valid: Sequence[str]) -> dict[str, Any]:
        """Options of one table as fields hold them; what is wrong with them goes to `faults`."""
        found = {}
        for key, value in table.items():
            option = key.replace("-", "_")
            if not self._known(option, valid, "option", (*place, key)):
                continue
            try:
                found[option] = self._value(option, value)
            except GridError as problem:
                self._fault(str(problem), *place, key)
                self._doubtful |= option in self._kind.shape
        return found

    def _value(self, option: str, value: object) -> Any:
        match option:
            case "name" if isinstance(value, str) and value.strip():
                return value.strip()
            case "name":
                raise GridError(f"name must be a text in quotes, got {value!r}")
            case "published_ua" | "published_wa":
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 100:
                    raise GridError(f"{option} must be a {PUBLISHED[option]} in percent, got {value!r}")
                return float(value)
            case each if each in MULTI_LEVEL_PARTS:
                if not isinstance(value, str):
                    raise GridError(f'{option} must be granularities such as "F+P", got {value!r}')
                return parse_granularity(value)
            case _:
                return self._kind.options.value(option, value)

    def _rows_of(self, position: int, table: Mapping[str, Any]) -> Iterator[GridRow[Config]]:
        """The rows that one `[[rows]]` makes: its granularities times all axes."""
        self._doubtful = self._common_doubtful
        lists = isinstance(table.get("granularity"), list) and "granularity" in self._names
        several = table["granularity"] if lists else None
        plain = {key: value for key, value in table.items() if key != "granularity" or several is None}
        own = self._values(("rows", position), plain, (*self._names, *ROW_ONLY, *self._kind.parts))
        for key in own.keys() & self._axes.keys() | ({"granularity"} & self._axes.keys() if several else set()):
            self._fault(f"{key} is in [axes] too: set it in one place", "rows", position, key)
            return
        for key in PUBLISHED.keys() & own.keys() if several is not None and len(several) > 1 else ():
            self._fault(f"{key} is one number, granularity several: write one [[rows]] each", "rows", position, key)
        axes = {"granularity": self._granularities(position, several)} if several is not None else {}
        axes |= self._axes
        if self._doubtful:
            return
        count = math.prod(len(values) for values in axes.values())
        if count > MOST_ROWS:
            times = " x ".join(f"{name} {len(values):,}" for name, values in axes.items())
            self._fault(
                f"makes {count:,} rows ({times}), and a table has {MOST_ROWS:,} at most: leave values out", "rows", position
            )
            return
        for chosen in product(*axes.values()):
            varied = dict(zip(axes, chosen, strict=True))
            row = self._row(position, table, own, varied)
            if row is not None:
                yield row

    def _granularities(self, position: int, values: Sequence[object]) -> list[tuple[Any, str]]:
        place: tuple[str | int, ...] = ("rows", position)
        found = [self._values(place, {"granularity": value}, ("granularity",)) for value in values]
        if not values:
            self._fault("granularity is an empty list", *place, "granularity")
        return [(each["granularity"], str(value)) for each, value in zip(found, values, strict=True) if each]

    def _row(
        self, position: int, table: Mapping[str, Any], own: Mapping[str, Any], varied: Mapping[str, tuple[Any, str]]
    ) -> GridRow[Config] | None:
        values = {option: value for option, (value, _) in varied.items()}
        merged = {option: value for option, value in {**self._defaults, **own, **values}.items() if option in self._names}
        if self._kind.parts and merged.get("fusion") == MULTI_LEVEL:
            configs = self._multi_level(position, own, values, merged)
        else:
            for key in own.keys() & set(MULTI_LEVEL_PARTS):
                self._fault(f"{key} belongs to fusion {MULTI_LEVEL!r} only", "rows", position, key)
            if merged.get("modality") == "text" and "granularity" in own:
                self._fault("a text row has no speech granularity: leave it out", "rows", position, "granularity")
            configs = [self._config(position, merged)]
        made = tuple(config for config in configs if config is not None)
        if len(made) < len(configs):
            return None
        name = self._name(made, table, own.get("name"), {option: text for option, (_, text) in varied.items()})
        # Not what the command line says: the paper's figure is of the row as the file has it.
        setup = paper_setup(self._setup, self._recorded({**self._defaults, **own}))
        return GridRow(name=name, configs=made, setup=setup, **{key: own.get(key) for key in PUBLISHED})

    def _multi_level(
        self, position: int, own: Mapping[str, Any], values: Mapping[str, Any], merged: Mapping[str, Any]
    ) -> list[Config | None]:
        missing = [part for part in MULTI_LEVEL_PARTS if part not in own]
        if missing:
            self._fault(
                f'fusion {MULTI_LEVEL!r} needs {" and ".join(missing)}, such as {missing[0]} = "F+P"', "rows", position, "fusion"
            )
        for key in {"granularity", "modality"} & (own.keys() | values.keys()):
            self._fault(f"fusion {MULTI_LEVEL!r} has no {key}, but coattention and late", "rows", position, key)
        if merged.get("modality", "both") != "both":
            self._fault(f"fusion {MULTI_LEVEL!r} needs modality 'both'", "rows", position)
            return [None]
        return [
            self._config(position, {**merged, "granularity": own[part], "fusion": part}, part) if part in own else None
            for part in MULTI_LEVEL_PARTS
        ]

    def _config(self, position: int, merged: Mapping[str, Any], part: str | None = None) -> Config | None:
        fields = {self._field(option): value for option, value in merged.items()}
        try:
            return self._kind.make(**{**self._fallbacks, **fields, **self._overrides})
        except ValueError as problem:
            for each in str(problem).split(self._kind.between_faults):
                self._fault(each, *self._place_of(each, position, part))
            return None

    def _recorded(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {self._kind.options.recorded(option): value for option, value in options.items()}

    def _field(self, option: str) -> str:
        return self._kind.options.field(option)

    def _place_of(self, problem: str, position: int, part: str | None) -> tuple[str | int, ...]:
        """The key that a message of a config is about."""
        words = re.findall(r"\w+", problem)
        if part is not None and "granularity" in words:
            return ("rows", position, part)
        tables: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [
            (("axes",), self._table("axes")),
            (("defaults",), self._table("defaults")),
        ]
        if self._document.get("rows"):
            tables.insert(0, (("rows", position), self._document["rows"][position]))
        for word in words:
            for place, table in tables:
                for key in (word, word.replace("_", "-")):
                    if key in table:
                        return (*place, key)
        return ("rows", position)

    def _refuse_twins(self, made: Sequence[tuple[int, GridRow[Config]]]) -> None:
        seen: dict[str, tuple[int, GridRow[Config]]] = {}
        for position, row in made:
            line = self._lines.line("rows", position)
            for key, same in ((json.dumps(row.identity(), sort_keys=True), "the same row as"), (row.name, "called as")):
                first, other = seen.setdefault(key, (line, row))
                if other is not row:
                    where = f" of line {first}" if first != line else ""
                    advice = "leave one out" if same == "the same row as" else "give one another name"
                    self._fault(f"{row.name!r} is {same} {other.name!r}{where}: {advice}", "rows", position)
                    break

    def _name(self, configs: tuple[Config, ...], table: Mapping[str, Any], given: str | None, varied: Mapping[str, str]) -> str:
        """The name that was given, or what the row is made of; then whatever else tells the row from its neighbours."""
        shape = self._kind.shape
        if given is not None:
            return " ".join([given, *(text if option in shape else f"{option}={text}" for option, text in varied.items())])
        own = {key.replace("-", "_"): shown(value) for key, value in table.items()}
        rest = {option: text for option, text in {**own, **varied}.items() if option not in shape and option not in ROW_ONLY}
        return " ".join([self._kind.name_of(configs), *(f"{option}={text}" for option, text in rest.items())])

    def _known(self, key: str, valid: Sequence[str], kind: str, place: tuple[str | int, ...]) -> bool:
        if key in valid:
            return True
        near = get_close_matches(key, valid, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(valid)}"
        self._fault(f"unknown {kind} {key!r} ({advice})", *place)
        return False

    def _fault(self, text: str, *place: str | int) -> None:
        self.faults.add((self._lines.line(*place), text))
