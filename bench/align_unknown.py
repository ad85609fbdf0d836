"""Forced alignment of texts with unknown words and numbers: error against the times of two synthesisers.

espeak-ng is also asked how the aligner's unknown words are said, so that its row flatters. flite has rules of its own; its row
is there where the command `flite` is.

python bench/align_unknown.py
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from mer.corpus import Alignment, Segment
from mer.corpus.aligner import Aligner, AlignError, compare_alignments
from mer.corpus.synthetic.espeak import Delivery, open_synthesizer
from mer.corpus.synthetic.phones import spoken_phones
from mer.corpus.synthetic.voices import VOICES

TEXTS = {
    "unknown words": [
        "I gave the plindren to Waldemara yesterday.",
        "Brannigo's sister never liked the quorbish soup.",
        "They were glimming and florbing all night.",
        "Tell Yevanka that the snarvel is broken again.",
        "My unfriended neighbours drove to Kestleworth.",
        "He unboxed a fidgety drome under the stairs.",
        "Please ask Thornquil about the wifi in Dunmarrow.",
        "The vlogger retweeted it, and nobody cared.",
        "What a bumfuzzled, crankish old shmendrick.",
        "We crowdfunded the podcaster from Oxbridgeton.",
    ],
    "numbers": [
        "My number is 5551234, call me at 10:30.",
        "There were 2,345 people and 3.14 percent left.",
        "She was born in 1984 and died in 2026.",
        "It cost 2,000,000 dollars in the end.",
        "He came 22nd of 105 on the 31st.",
        "Room 1407 is 12.75 metres wide.",
    ],
}
SPOKEN_SO = {"10:30": "10 30"}
"""What is given to the synthesiser in place of a text's own spelling."""

Made = tuple[NDArray[np.float32], list[Segment]]


def by_espeak(text: str) -> Iterator[Made]:
    """A text by the voices of the synthetic corpus: 16 kHz, and the phones' exact times."""
    with open_synthesizer() as synthesizer:
        for voice in VOICES.values():
            speech = synthesizer.speak(text, voice.name, Delivery(rate=165, pitch=50 + voice.pitch))
            wave = soxr.resample(speech.samples.astype(np.float32) / 32768, speech.sample_rate, 16_000)
            phones = spoken_phones(speech.phonemes, speech.sample_rate)
            yield wave, [Segment(p.symbol, round(p.start * 1000), round(p.end * 1000)) for p in phones]


def by_flite(text: str) -> Iterator[Made]:
    """A text by two voices of flite; its phones' durations are printed as `name end`."""
    with tempfile.TemporaryDirectory() as folder:
        for voice in ("slt", "rms"):
            path = Path(folder) / f"{voice}.wav"
            command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(path)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            samples, rate = soundfile.read(path, dtype="float32")
            wave = samples if rate == 16_000 else soxr.resample(samples, rate, 16_000)
            yield np.asarray(wave, np.float32), list(_timed(re.findall(r"([a-z]+)[ :]+([0-9.]+)", printed)))


def _timed(ends: list[tuple[str, str]]) -> Iterator[Segment]:
    start = 0
    for name, end in ends:
        stop = round(float(end) * 1000)
        if name != "pau" and stop > start:
            yield Segment(name.upper(), start, stop)
        start = stop


def main() -> None:
    """Speak, align, compare."""
    aligner = Aligner()
    print(
        "| synthesiser | texts | phones | matched | median | 95 % | bias | <= 20 ms | <= 50 ms | not aligned |\n|" + "---|" * 10
    )
    for name, speak in [("espeak-ng", by_espeak), *([("flite", by_flite)] if shutil.which("flite") else [])]:
        for kind, texts in TEXTS.items():
            pairs, refused = [], 0
            for text in texts:
                spoken = text
                for written, said in SPOKEN_SO.items():
                    spoken = spoken.replace(written, said)
                for wave, exact in speak(spoken):
                    try:
                        pairs.append(
                            (aligner.align(wave, text).alignment, Alignment(phones=tuple(exact), syllables=(), words=()))
                        )
                    except AlignError:
                        refused += 1
            found = next(each for each in compare_alignments(pairs) if each.tier == "phones")
            cells = [name, kind, f"{found.units:,}", f"{found.matched / found.units:.1%}", f"{found.median:.0f} ms"]
            cells += [f"{found.p95:.0f} ms", f"{found.bias:+.0f} ms", f"{found.within_20:.1%}", f"{found.within_50:.1%}"]
            print(f"| {' | '.join([*cells, str(refused)])} |")


if __name__ == "__main__":
    main()
