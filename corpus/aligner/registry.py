"""Every aligner by its name. Nothing here imports one."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.settings import Registry

if TYPE_CHECKING:
    from mer.corpus.aligner.aligner_kind import AlignerKind

POCKETSPHINX = "pocketsphinx"
"""The aligner that is used where none is named."""

ALIGNERS: "Registry[type[AlignerKind] | str]" = Registry("aligner")
"""A class, or `package.module:Class`, of the protocol `AlignerKind`; it is made with `AlignerOptions`."""

ALIGNERS.add(POCKETSPHINX, "mer.corpus.aligner.pocketsphinx_aligner:Pocketsphinx")
ALIGNERS.add("ctc", "mer.recognise.ctc_aligner:Ctc")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignerChoice:
    """Which aligner, with its options; worker processes get it and make their own."""

    name: str = POCKETSPHINX
    """An entry of `ALIGNERS`."""
    options: AlignerOptions = field(default_factory=AlignerOptions)
    """Options of all aligners."""

    def kind(self) -> "AlignerKind":
        """The aligner, not opened yet.

        Raises:
            UnknownEntryError: no aligner has the name.
            AlignError: an option that it needs is missing, or one of another aligner is given.
        """
        entry: Any = ALIGNERS[self.name]
        if isinstance(entry, str):
            module, _, name = entry.partition(":")
            entry = getattr(import_module(module), name)
        made: AlignerKind = entry(self.options)
        return made
