"""What a fold leaves out for its test: words that need no arrays, and the options of every training that say it."""

from functools import partial

from mer.settings.kinds import NAMES
from mer.settings.option import option

AUTO, GIVEN, SESSION, SPEAKER, UTTERANCE = "auto", "given", "session", "speaker", "utterance"

leave_out_option = partial(
    option,
    default=AUTO,
    help="What each fold tests on: one session, speaker, dialogue, utterance (with --fold-count) or value of a column of the "
    "manifest; given: the corpus' own test parts, its dev part chooses the epoch. auto: given where there is one, else session.",
    metavar="<word>",
    later=True,
)
fold_count_option = partial(
    option,
    default=None,
    help="This many folds of several whole sessions, speakers ... each, with their classes balanced. Default: one a fold.",
    least=2,
    later=True,
)
splits_option = partial(
    option,
    default=None,
    help="CSV with id and split (train, dev, test, test1 ...), or one such column a fold (fold_1 ...), or fold (which tests it).",
    later=True,
)
drop_class_option = partial(
    option, default=(), help="Leave out utterances of these classes, such as disgust,fear.", kind=NAMES, later=True
)
min_per_class_option = partial(option, default=0, help="Leave out classes with fewer utterances than this.", least=0, later=True)
SPLIT_FIELDS = frozenset({"leave_out", "fold_count", "splits"})
"""Options that decide which folds there are: the identity of a run holds the folds themselves."""
