"""Bracketed remarks in a transcript, such as `[LAUGHTER]`: what a listener hears and no word says."""


def remove_tags(text: str) -> str:
    """Drop every bracketed remark, nested ones whole, and collapse white space.

    Args:
        text: a transcript as written. A bracket without its partner stays: it may be a typing error before
            real words.
    """
    kept: list[str] = []
    openings: list[int] = []
    for character in text:
        if character == "[":
            openings.append(len(kept))
        elif character == "]" and openings:
            del kept[openings.pop() :]
            character = " "
        kept.append(character)
    return " ".join("".join(kept).split())


def is_only_tags(text: str) -> bool:
    """Whether a transcript says something, but no word: only remarks, as in `[LAUGHTER]`."""
    return bool(text.strip()) and not remove_tags(text)
