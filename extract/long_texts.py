"""Texts of more wordpieces than an encoder has positions for: windows of them, or their beginning."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What goes through the encoder at once, and which of its units are kept."""

    ids: list[int]
    """Wordpieces, with the special tokens around them."""
    start: int
    """First unit that is kept."""
    end: int
    """The one after the last."""


def pieces_of(ids: Sequence[int], limit: int, around: tuple[int, int], rule: str) -> list[Piece]:
    """What a text goes through the encoder as; one piece where it has positions for all of it.

    Windows follow each other without overlap, each as a text of its own with the special tokens around it, of which those in
    the middle are not kept: a text has as many units as wordpieces. Cut, it ends in its special tokens all the same.

    Args:
        ids: all wordpieces with their special tokens.
        limit: positions of the encoder.
        around: how many special tokens begin and end a text.
        rule: `windows` or `cut`.
    """
    if len(ids) <= limit:
        return [Piece(ids=list(ids), start=0, end=len(ids))]
    before, after = around
    begin, end = list(ids[:before]), list(ids[len(ids) - after :])
    body = list(ids[before : len(ids) - after])
    room = limit - before - after
    if rule == "cut":
        return [Piece(ids=[*begin, *body[:room], *end], start=0, end=limit)]
    windows = [body[place : place + room] for place in range(0, len(body), room)]
    found = []
    for number, window in enumerate(windows):
        last = number == len(windows) - 1
        stop = before + len(window) + (after if last else 0)
        found.append(Piece(ids=[*begin, *window, *end], start=before if number else 0, end=stop))
    return found


def special_tokens(empty: Sequence[int], text: Sequence[int]) -> tuple[int, int]:
    """How many special tokens begin and end a text.

    Args:
        empty: ids of no text at all.
        text: ids of some text.
    """
    before = 0
    while before < len(empty) and empty[before] == text[before]:
        before += 1
    return before, len(empty) - before
