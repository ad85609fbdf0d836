"""The CTM files of a folder, and what of them is of an utterance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.alignment import AlignmentError, AlignmentSource
from mer.corpus.ctm_alignment import ENDING, CtmAlignment, read_ctm, tier_of
from mer.corpus.likeness import shared_folders
from mer.corpus.part import PartAlignment
from mer.corpus.utterance import Corpus, CorpusError, Utterance


@dataclass(frozen=True)
class CtmFolder:
    """CTM files by recording and tier."""

    folder: Path
    """Where they are."""
    files: Mapping[str, Mapping[str, Sequence[Path]]]
    """Recording to tier to the files that have lines of it."""
    wavs: Mapping[str, set[Path]]
    """Name without ending to the corpus' recordings that are called so."""

    @classmethod
    def of(cls, folder: Path, corpus: Corpus) -> "CtmFolder":
        """Every CTM file in a folder or below it.

        Raises:
            CorpusError: one that cannot be read.
        """
        found: dict[str, dict[str, list[Path]]] = {}
        for path in sorted(folder.rglob("*")):
            tier = tier_of(path) if path.suffix.lower() == ENDING and not path.name.startswith("._") else None
            if tier is not None:
                try:
                    recordings = read_ctm(path)
                except AlignmentError as error:
                    raise CorpusError(str(error)) from error
                for name in recordings:
                    found.setdefault(name, {}).setdefault(tier, []).append(path)
        wavs: dict[str, set[Path]] = {}
        for each in corpus if found else ():
            wavs.setdefault(each.wav.stem, set()).add(each.wav)
        return cls(folder, found, wavs)

    @property
    def said(self) -> str:
        """How many recordings they are of, in words; empty for none."""
        return f", and CTM files of {len(self.files):,} recordings, the first {min(self.files)!r}" if self.files else ""

    def source(self, utterance: Utterance, kind: str) -> AlignmentSource | None:
        """The lines of an utterance, or of the recording that it is a part of; None where there are none.

        Raises:
            CorpusError: the lines of one tier are in several files, or several recordings could be meant.
        """
        wav = utterance.wav
        names = (utterance.id, f"{wav.parent.name}/{wav.stem}", wav.stem)
        name = next((name for name in names if name in self.files), None)
        if name is None:
            return None
        chosen = {tier: self._nearest(paths, utterance) for tier, paths in self.files[name].items()}
        others = self.wavs[wav.stem] - {wav} if name == wav.stem != utterance.id else set()
        if others and not all(self._shared(path, wav) for path in chosen.values()):
            raise CorpusError(
                f"{self.folder}: {name!r} in {next(iter(chosen.values()))} could be {wav} or {min(others)}; call them by the ids "
                f"of utterances ({utterance.id}) or by folder and name ({names[1]})"
            )
        source = CtmAlignment(files=tuple(sorted(chosen.items())), recording=name, channel=utterance.channel, kind=kind)
        if (utterance.start, utterance.end) == (0.0, None):
            return source
        return PartAlignment(source=source, part=utterance.part, of_recording=name != utterance.id)

    def _nearest(self, paths: Sequence[Path], utterance: Utterance) -> Path:
        likeness = [self._shared(path, utterance.wav) for path in paths]
        found = [path for path, shared in zip(paths, likeness, strict=True) if shared == max(likeness)]
        if len(found) > 1:
            raise CorpusError(f"{self.folder}: two files for {utterance.id!r}, {found[0]} and {found[1]}; keep one of them")
        return found[0]

    def _shared(self, path: Path, wav: Path) -> int:
        return shared_folders(path.parent.relative_to(self.folder).parts, wav.parent.parts)
