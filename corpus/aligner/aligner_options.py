"""What the aligners take from the command line; each looks at its own options and refuses those of others."""

from dataclasses import dataclass

from mer.settings.option import WHERE, option


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignerOptions:
    """Options of all aligners."""

    ctc_model: str | None = option(
        None,
        "Folder or Hugging Face hub id of a CTC speech recogniser for the text's language, for the aligner ctc.",
        panel=WHERE,
    )
    ctc_revision: str | None = option(None, "Branch, tag or commit of --ctc-model on the hub.", panel=WHERE)
