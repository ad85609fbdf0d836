"""A corpus with the alignments of a folder, by `mer align`, the Montreal Forced Aligner or others."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mer.corpus.alignment import AlignmentSource
from mer.corpus.ctm_folder import CtmFolder
from mer.corpus.likeness import shared_folders
from mer.corpus.part import PartAlignment
from mer.corpus.praat_alignment import SUFFIXES, TextGridAlignment
from mer.corpus.textgrid_file import SUFFIX, textgrid_name
from mer.corpus.utterance import Corpus, CorpusError, Utterance


def with_textgrids(corpus: Corpus, folder: Path, *, kind: str = "textgrid") -> Corpus:
    """The same corpus, its alignments replaced; utterances without a file have none and are one segment.

    Files may lie in sub-folders (one per speaker, as MFA writes them), with endings in any case. They are found by the
    utterance's id, or by the name of its wav file; of several, TextGrids
    go before JSON, and then the one whose folders end most like the wav's. An utterance without a file of its own is looked
    for in the CTM files, each of many recordings.

    Args:
        corpus: its own alignments are not used.
        folder: of the alignments.
        kind: recorded per utterance: `textgrid`, or the aligner's name for those of `mer align`.

    Raises:
        CorpusError: no folder, no file for any utterance, or two for one that nothing tells apart.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder of TextGrids; `mer align` makes one")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("._"):  # macOS leaves these behind
            files.setdefault(path.stem, []).append(path)
    ctms = CtmFolder.of(folder, corpus)
    utterances = tuple(replace(u, alignment=_source(u, files, folder, kind) or ctms.source(u, kind)) for u in corpus)
    if corpus.utterances and not any(u.alignment for u in utterances):
        raise CorpusError(
            f"{folder}: {sum(map(len, files.values()))} TextGrids, none named after an utterance of {corpus.name!r} (such as "
            f"{textgrid_name(corpus.utterances[0].id)}){ctms.said}; give the folder that `mer align` or MFA wrote for this corpus"
        )
    return replace(corpus, utterances=utterances)


def _source(utterance: Utterance, files: Mapping[str, list[Path]], folder: Path, kind: str) -> AlignmentSource | None:
    for name in (textgrid_name(utterance.id).removesuffix(SUFFIX), utterance.wav.stem):
        named = files.get(name, [])
        found = [path for path in named if path.suffix.lower() == SUFFIX.lower()] or named
        if len(found) > 1:
            likeness = [shared_folders(path.parent.relative_to(folder).parts, utterance.wav.parent.parts) for path in found]
            found = [path for path, shared in zip(found, likeness, strict=True) if shared == max(likeness)]
        if len(found) > 1:
            raise CorpusError(f"{folder}: two files for {utterance.id!r}, {found[0]} and {found[1]}; keep one of them")
        if found:
            source = TextGridAlignment(path=found[0], speaker=utterance.speaker, kind=kind)
            return PartAlignment.of(source, utterance.part, utterance.wav, utterance.id)
    return None
