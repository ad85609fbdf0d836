"""Writes `docs/api.md`, what Python may import, from signatures and docstrings: `python -m mer.commands.api_docs docs`.

Files are read, not imported: the page is the same under every version of Python and of what is installed.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.settings.lazy import public_names

PACKAGE = Path(__file__).parent.parent
ROOMS = ("cache", "corpus", "extract", "heads", "finetune", "results", "predict", "protocol", "grids", "report", "demo")
"""Rooms whose public names are for users, in the order of the page."""
WIDTH = 110
INTRODUCTION = """\
# Python reference

What may be imported, room by room; [python.md](python.md) shows how it is used. Everything else may change without a word.
This page is written by `python -m mer.commands.api_docs docs` from signatures and docstrings, and a test holds it current.
"""

Function = ast.FunctionDef
Named = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Found:
    """A public name, where it is defined."""

    name: str
    """As it is imported."""
    node: Named
    """Its definition."""
    text: str
    """Its docstring; of a constant the text below it."""
    file: Path
    """The module."""


def public(room: str) -> list[Found]:
    """The public names of a room, sorted, with their definitions."""
    return [_definition(name, home) for name, home in sorted(public_names(PACKAGE / room / "__init__.py").items())]


def methods(node: ast.ClassDef, file: Path) -> list[Function]:
    """Public methods and properties of a class, its own and those of its bases in the package; the nearest of each name."""
    found = {each.name: each for each in reversed(node.body) if isinstance(each, Function) and not each.name.startswith("_")}
    own = dict(reversed(found.items()))
    for base in node.bases:
        home = _imports(file).get(base.id) if isinstance(base, ast.Name) else None
        if home is not None:
            parent = _definition(ast.unparse(base), home)
            if isinstance(parent.node, ast.ClassDef):
                own |= {each.name: each for each in methods(parent.node, parent.file) if each.name not in own}
    return list(own.values())


def api_page() -> str:
    """`docs/api.md`."""
    rooms = [_room(room) for room in ROOMS]
    contents = "\n".join(f"* [`mer.{room}`](#mer{room})" for room in ROOMS)
    return "\n".join([INTRODUCTION, contents, "", *rooms])


def _room(room: str) -> str:
    text = ast.get_docstring(_parsed(PACKAGE / room / "__init__.py")) or ""
    parts = [f"## `mer.{room}`\n\n{text}\n"]
    for each in public(room):
        parts.append(f"### `mer.{room}.{each.name}`\n")
        parts.append(_entry(each))
    return "\n".join(parts)


def _entry(found: Found) -> str:
    node = found.node
    if isinstance(node, Function):
        return _code(f"{found.name}{signature(node)}") + _shown(found.text)
    if not isinstance(node, ast.ClassDef):
        return _shown(found.text)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    parts = [_code(f"class {found.name}" + (f"({bases})" if bases else "")) + _shown(found.text)]
    parts += [f"* `{name}: {kind}`: {' '.join(text.split())}" for name, kind, text in _fields(node)]
    own = methods(node, found.file)
    parts += [
        f"* `{each.name}: {_annotation(each.returns)}`: {' '.join((ast.get_docstring(each) or '').split())}"
        for each in own
        if _is_property(each) and ast.get_docstring(each)
    ]
    lines = ["\n".join(parts) + "\n"]
    for each in (each for each in own if not _is_property(each) and ast.get_docstring(each)):
        lines.append(_code(f"{found.name}.{each.name}{signature(each, bound=True)}") + _shown(ast.get_docstring(each) or ""))
    return "\n".join(lines)


def signature(node: Function, *, bound: bool = False) -> str:
    """Arguments and result as they are written.

    Args:
        node: the function.
        bound: whether it is a method whose first argument, `self` or `cls`, is not given.
    """
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    static = any(ast.unparse(each) == "staticmethod" for each in node.decorator_list)
    pieces = [_argument(*each) for each in zip(plain, defaults, strict=True)][int(bound and not static) :]
    if given.vararg is not None:
        pieces.append("*" + _argument(given.vararg, None))
    elif given.kwonlyargs:
        pieces.append("*")
    pieces += [_argument(*each) for each in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg is not None:
        pieces.append("**" + _argument(given.kwarg, None))
    result = f" -> {_annotation(node.returns)}" if node.returns is not None else ""
    line = f"({', '.join(pieces)}){result}"
    return line if len(line) <= WIDTH else "(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){result}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = "" if argument.annotation is None else f": {_annotation(argument.annotation)}"
    if default is None:
        return argument.arg + kind
    shown = ast.unparse(default)
    return f"{argument.arg}{kind} = {shown if len(shown) < 40 else '...'}"


def _annotation(node: ast.expr | None) -> str:
    """As it is written, without the quotes of names that are defined later."""
    if node is None:
        return "None"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """Name, type and text of what a class declares, each as it says in a text below."""
    for each, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and not each.target.id.startswith("_"):
            text = _text(after) or _help(each.value)
            if text:
                yield each.target.id, _annotation(each.annotation), text


def _help(value: ast.expr | None) -> str:
    """The help of a field that is an option."""
    if isinstance(value, ast.Call) and len(value.args) > 1 and ast.unparse(value.func) == "option":
        return _text(ast.Expr(value.args[1]))
    return ""


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return ""


def _is_property(node: Function) -> bool:
    return any(ast.unparse(each) in ("property", "cached_property") for each in node.decorator_list)


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n\n"


def _shown(text: str) -> str:
    """A docstring as Markdown: its sections as lists."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if line in ("Args:", "Raises:", "Returns:"):
            lines += [{"Args:": "Arguments:", "Raises:": "Raises:", "Returns:": "Returns:"}[line], ""]
        elif line.startswith("    ") and not line.startswith("     ") and ":" in line and lines:
            name, _, about = line.strip().partition(": ")
            lines.append(f"* `{name}`: {about}" if about else f"* {name}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith("    ") else line)
    return "\n".join(lines) + "\n"


def _definition(name: str, home: str) -> Found:
    """Where a name is defined, through modules that only hand it on."""
    path = PACKAGE.joinpath(*home.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = _parsed(file).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return Found(name, node, ast.get_docstring(node) or "", file)
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in map(ast.unparse, _targets(node)):
            return Found(name, node, _text(after), file)
    return _definition(name, _imports(file)[name])


def _targets(node: ast.Assign | ast.AnnAssign) -> Sequence[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _imports(file: Path) -> dict[str, str]:
    """Names that a module imports from the package, and where from."""
    found = (node for node in ast.walk(_parsed(file)) if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mer."))
    return {each.asname or each.name: str(node.module) for node in found for each in node.names}


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    (Path(sys.argv[1]) / "api.md").write_text(api_page(), encoding="utf-8")
