"""Options that mean the same in every command and config: the name says which, the call makes a field of it."""

from functools import partial
from pathlib import Path

from mer.settings.kinds import SESSIONS
from mer.settings.option import WHAT, WHERE, option

corpus_option = partial(
    option,
    default=None,
    help="Folder or file of a corpus: IEMOCAP_full_release, a .jsonl or .csv manifest, or KIND:PATH where several kinds are "
    "possible. Default: ./IEMOCAP_full_release.",
    env="MER_CORPUS",
    panel=WHERE,
)
texts_option = partial(
    option,
    default=None,
    help="Table with id and text: transcripts from elsewhere, such as a speech recogniser's, in place of the corpus' own.",
    panel=WHERE,
)
audio_root_option = partial(
    option,
    default=None,
    help="Folder that the paths of a table's recordings are relative to. Default: that of the table.",
    env="MER_AUDIO_ROOT",
    panel=WHERE,
)
encoding_option = partial(
    option,
    default=None,
    help="What a table is written in, such as cp1252. Default: UTF-8, or UTF-16 with its mark.",
    env="MER_ENCODING",
    panel=WHERE,
)
cache_option = partial(
    option, default=Path("features"), help="Folder of the feature caches, or one cache.", env="MER_CACHE", panel=WHERE
)
runs_option = partial(option, default=Path("runs"), help="Folder of the run directories.", env="MER_RUNS", panel=WHERE)
session_option = partial(
    option, default=None, help="Use these sessions only, such as 1-5 or 1,3. Default: all.", kind=SESSIONS, panel=WHAT
)
device_option = partial(
    option,
    default="auto",
    help="auto (CUDA if there is one), cpu, cuda, cuda:1; mps extracts and predicts.",
    env="MER_DEVICE",
    identity=False,
)
class_weights_option = partial(
    option,
    default="none",
    help="Weight of a class in the loss, from its training utterances: none (the paper), balanced N / (C n_c), or effective, of "
    "Cui et al. (2019).",
    choices=("none", "balanced", "effective"),
    later=True,
)
loss_option = partial(
    option,
    default="cross-entropy",
    help="cross-entropy (the paper), or focal, in which utterances that are right already count less.",
    choices=("cross-entropy", "focal"),
    later=True,
)
focal_gamma_option = partial(
    option, default=2.0, help="How much less, as (1 - p)^gamma. Used by focal only.", above=0, later=True
)
