"""Options that name encoders, in every command and config; which families there are comes from their registry."""

from functools import partial

from mer.extract.families.registry import SPEECH_FAMILIES
from mer.settings.option import WHAT, option

speech_model_option = partial(
    option,
    default="facebook/wav2vec2-base",
    help=f"Speech encoder, a hub id or folder of the type {', '.join(SPEECH_FAMILIES.added)}.",
    env="MER_SPEECH_MODEL",
    panel=WHAT,
)
text_model_option = partial(
    option,
    default="google-bert/bert-base-uncased",
    help="BERT-like encoder: hub id or folder.",
    env="MER_TEXT_MODEL",
    panel=WHAT,
)
speech_revision_option = partial(option, default=None, help="Branch, tag or commit of the speech encoder's hub id.", panel=WHAT)
text_revision_option = partial(option, default=None, help="Branch, tag or commit of the text encoder's hub id.", panel=WHAT)
