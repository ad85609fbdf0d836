"""From espeak-ng's American English phonemes to the phone symbols of the CMU Sphinx aligners."""

from collections.abc import Sequence
from dataclasses import dataclass

from mer.corpus.espeak_phones import SPHINX
from mer.corpus.synthetic.espeak import Phoneme
from mer.corpus.utterance import CorpusError

_RHOTIC = {"R", "ER", "AXR"}
_STOPS = {"B", "D", "G", "K", "P", "T"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenPhone:
    """One phone, [start, end) in seconds."""

    symbol: str
    """One of the 50-phone Sphinx set, or a filler such as `+LAUGHTER+`."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""


def spoken_phones(phonemes: Sequence[Phoneme], sample_rate: int) -> tuple[SpokenPhone, ...]:
    """The phones of one word; pauses inside or after it are left out.

    Args:
        phonemes: of one word, in time order.
        sample_rate: of the phonemes' times, Hz.

    Raises:
        CorpusError: a phoneme that the table does not know.
    """
    phones: list[SpokenPhone] = []
    for phoneme in phonemes:
        if phoneme.name.startswith("_"):
            continue
        if phoneme.name not in SPHINX:
            raise CorpusError(
                f"espeak-ng phoneme {phoneme.name!r} has no Sphinx phone; add it to mer.corpus.espeak_phones.SPHINX"
            )
        symbols = SPHINX[phoneme.name]
        # "there is" is spoken D e@ r: the second r is the one already in EH R
        if phones and (not symbols or (symbols == ("R",) and phones[-1].symbol in _RHOTIC)):
            last = phones.pop()
            phones.append(SpokenPhone(symbol=last.symbol, start=last.start, end=phoneme.end / sample_rate))
            continue
        step = (phoneme.end - phoneme.start) / sample_rate / max(len(symbols), 1)
        start = phoneme.start / sample_rate
        phones.extend(
            SpokenPhone(symbol=symbol, start=start + index * step, end=start + (index + 1) * step)
            for index, symbol in enumerate(symbols)
        )
    if len(phones) > 1 and phones[-1].symbol in _STOPS:
        last = phones.pop()
        phones.append(SpokenPhone(symbol=last.symbol + "D", start=last.start, end=last.end))
    return tuple(phones)
