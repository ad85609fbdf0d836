"""A corpus with the alignments of a folder of TextGrids, by `mer align` or the Montreal Forced Aligner."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mer.corpus.alignment import AlignmentSource
from mer.corpus.part import PartAlignment
from mer.corpus.praat_alignment import TextGridAlignment
from mer.corpus.textgrid_file import SUFFIX, textgrid_name
from mer.corpus.utterance import Corpus, CorpusError, Utterance


def with_textgrids(corpus: Corpus, folder: Path, *, kind: str = "textgrid") -> Corpus:
    """The same corpus, its alignments replaced; utterances without a TextGrid have none and are one segment.

    Files may lie in sub-folders (one per speaker, as MFA writes them). They are found by the utterance's id, or by the
    name of its wav file.

    Args:
        corpus: its own alignments are not used.
        folder: of the TextGrids.
        kind: recorded per utterance: `textgrid`, or `pocketsphinx` for those of `mer align`.

    Raises:
        CorpusError: no folder, no TextGrid for any utterance, or two files for one.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder of TextGrids; `mer align` makes one")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        if not path.name.startswith("._"):  # macOS leaves these behind
            files.setdefault(path.name, []).append(path)
    utterances = tuple(replace(u, alignment=_source(u, files, folder, kind)) for u in corpus)
    if corpus.utterances and not any(u.alignment for u in utterances):
        raise CorpusError(
            f"{folder}: {sum(map(len, files.values()))} TextGrids, none named after an utterance of {corpus.name!r} (such as "
            f"{textgrid_name(corpus.utterances[0].id)}); give the folder that `mer align` or MFA wrote for this corpus"
        )
    return replace(corpus, utterances=utterances)


def _source(utterance: Utterance, files: Mapping[str, list[Path]], folder: Path, kind: str) -> AlignmentSource | None:
    for name in (textgrid_name(utterance.id), utterance.wav.with_suffix(SUFFIX).name):
        found = files.get(name, [])
        if len(found) > 1:
            raise CorpusError(f"{folder}: two files for {utterance.id!r}, {found[0]} and {found[1]}; keep one of them")
        if found:
            source = TextGridAlignment(path=found[0], speaker=utterance.speaker, kind=kind)
            return PartAlignment.of(source, utterance.part, utterance.wav, utterance.id)
    return None
