"""Numbers as they are said: a pronouncing dictionary has words only."""

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_CARDINALS_BELOW = 1_000_000


def number_words(digits: str) -> list[str]:
    """A whole number in words.

    Four digits from 1100 to 1999 are said as a year is (nineteen eighty four); leading zeros and more than six
    digits one by one, as telephone numbers are.

    Args:
        digits: decimal digits only.

    Raises:
        ValueError: anything else.
    """
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"{digits!r}: expected decimal digits")
    number = int(digits)
    if number >= _CARDINALS_BELOW or (len(digits) > 1 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    if 1100 <= number <= 1999:
        low = number % 100
        tail = ["hundred"] if low == 0 else ["oh", _ONES[low]] if low < 10 else _below_hundred(low)
        return [*_below_hundred(number // 100), *tail]
    return _cardinal(number)


def ordinal_words(digits: str) -> list[str]:
    """A rank in words: `22` -> twenty second.

    Raises:
        ValueError: not decimal digits.
    """
    *head, last = number_words(digits)
    if last in _ORDINALS:
        return [*head, _ORDINALS[last]]
    return [*head, last[:-1] + "ieth" if last.endswith("y") else last + "th"]


def _cardinal(number: int) -> list[str]:
    thousands, rest = divmod(number, 1000)
    words = [*_below_thousand(thousands), "thousand"] if thousands else []
    return words + (_below_thousand(rest) if rest or not words else [])


def _below_thousand(number: int) -> list[str]:
    hundreds, rest = divmod(number, 100)
    words = [_ONES[hundreds], "hundred"] if hundreds else []
    return words + (_below_hundred(rest) if rest or not words else [])


def _below_hundred(number: int) -> list[str]:
    if number < len(_ONES):
        return [_ONES[number]]
    tens, ones = divmod(number, 10)
    return [_TENS[tens], *([_ONES[ones]] if ones else [])]
