"""Numbers as Americans say them, in the words of num2words: a pronouncing dictionary has words only."""

import re

from mer.corpus.aligner.extra_package import extra_package

LONGEST, LONGEST_GROUPED = 6, 15
"""Digits of the longest numbers that are said as a whole, without and with commas; longer ones are telephone numbers or codes."""


def number_words(digits: str, *, ending: str = "", is_grouped: bool = False) -> list[str]:
    """A whole number in words, without the `and` of British English.

    Four digits from 1100 to 1999 are said as a year is (nineteen eighty four), unless it is a rank or had a comma; leading
    zeros, and more digits than `LONGEST` or `LONGEST_GROUPED`, are said one by one, as telephone numbers are.

    Args:
        digits: decimal digits only, at least one.
        ending: the letters that follow: `s` (`1990s`, nineteen nineties), one of `st nd rd th` (`22nd`, twenty second), or none.
        is_grouped: the number was written with commas between its thousands.

    Raises:
        AlignError: num2words is not installed.
    """
    say = extra_package("num2words").num2words
    is_rank = ending not in ("", "s")
    too_long = len(digits) > (LONGEST_GROUPED if is_grouped else LONGEST)
    *head, last = list(digits) if too_long or digits[0] == "0" else [digits]
    is_year = not (head or is_rank or is_grouped) and 1100 <= int(last) <= 1999
    said = [say(int(digit)) for digit in head]
    said.append(say(int(last), to="ordinal" if is_rank else "year" if is_year else "cardinal"))
    words = [word for word in re.findall("[a-z]+", " ".join(said)) if word != "and"]
    return [*words[:-1], re.sub("y$", "ie", words[-1]) + "s"] if ending == "s" else words
