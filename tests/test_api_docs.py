"""What Python may import is in one reference, has a docstring, and takes paths as people have them."""

import ast
from pathlib import Path

import pytest

from mer.commands.api_docs import ROOMS, api_page, methods, public, signature

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
REPORT_READS_PATHS = "report"
"""Its functions are what `mer report` calls, with the paths that it has."""
SUBCLASSED = ("CorpusKind", "SpeechCheckpoint", "TextCheckpoint")
"""Their methods are written by users and called by mer, which has a Path."""


def test_the_reference_is_what_the_docstrings_say() -> None:
    """Made by: python -m mer.commands.api_docs docs."""
    assert PAGE.read_text(encoding="utf-8") == api_page()


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_says_what_it_is(room: str) -> None:
    assert [each.name for each in public(room) if not each.text] == []


@pytest.mark.parametrize("room", [room for room in ROOMS if room != REPORT_READS_PATHS])
def test_every_path_may_be_a_string(room: str) -> None:
    wrong = []
    for found in public(room):
        if isinstance(found.node, ast.FunctionDef):
            functions = [found.node]
        else:
            functions = methods(found.node, found.file) if isinstance(found.node, ast.ClassDef) else []
        for function in functions:
            given = function.args
            for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs]:
                kind = {each.id for each in ast.walk(argument.annotation or argument) if isinstance(each, ast.Name)}
                if "Path" in kind and "str" not in kind:
                    wrong.append(f"{found.name}: {function.name}({argument.arg})")
    assert [each for each in wrong if each.partition(":")[0] not in SUBCLASSED] == []


def test_signatures_are_shown_as_they_are_written() -> None:
    node = ast.parse('def f(self, a, /, b: "X" = 1, *c: int, d: str | None = None, **e: Any) -> "Y": ...').body[0]
    assert isinstance(node, ast.FunctionDef)
    assert signature(node) == "(self, a, b: X = 1, *c: int, d: str | None = None, **e: Any) -> Y"
    assert signature(node, bound=True) == "(a, b: X = 1, *c: int, d: str | None = None, **e: Any) -> Y"
