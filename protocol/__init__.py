"""How heads are judged: classes, folds, seeds, UA and WA, and which differences mean anything.

Knows labels, transcripts, sessions and speakers only. Nothing here lets a test utterance choose anything.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.protocol.bootstrap import RunAnswers as RunAnswers
    from mer.protocol.bootstrap import answers_from_table as answers_from_table
    from mer.protocol.bootstrap import bootstrap_difference as bootstrap_difference
    from mer.protocol.bootstrap import bootstrap_ua as bootstrap_ua
    from mer.protocol.classes import ClassMap as ClassMap
    from mer.protocol.classes import class_map as class_map
    from mer.protocol.classes import fewer_classes as fewer_classes
    from mer.protocol.comparison import against_published as against_published
    from mer.protocol.comparison import compare as compare
    from mer.protocol.comparison import compare_rows as compare_rows
    from mer.protocol.comparison import holm as holm
    from mer.protocol.errors import ProtocolError as ProtocolError
    from mer.protocol.folds import Fold as Fold
    from mer.protocol.folds import make_fold as make_fold
    from mer.protocol.folds import missing_classes as missing_classes
    from mer.protocol.folds import missing_note as missing_note
    from mer.protocol.grouped import group_names as group_names
    from mer.protocol.held_out import HeldOut as HeldOut
    from mer.protocol.held_out import Validation as Validation
    from mer.protocol.metrics import METRICS as METRICS
    from mer.protocol.metrics import STATISTICS as STATISTICS
    from mer.protocol.metrics import Metric as Metric
    from mer.protocol.metrics import confusion as confusion
    from mer.protocol.metrics import recalls as recalls
    from mer.protocol.metrics import unweighted_accuracy as unweighted_accuracy
    from mer.protocol.metrics import weighted_accuracy as weighted_accuracy
    from mer.protocol.paper_setup import MULTI_LEVEL as MULTI_LEVEL
    from mer.protocol.paper_setup import MULTI_LEVEL_PARTS as MULTI_LEVEL_PARTS
    from mer.protocol.paper_setup import asked_settings as asked_settings
    from mer.protocol.paper_setup import check_setup as check_setup
    from mer.protocol.paper_setup import paper_setup as paper_setup
    from mer.protocol.partition import Cut as Cut
    from mer.protocol.partition import Partition as Partition
    from mer.protocol.partition import make_partition as make_partition
    from mer.protocol.seeds import integer_seed as integer_seed
    from mer.protocol.seeds import numpy_generator as numpy_generator
    from mer.protocol.summary import RunPredictions as RunPredictions
    from mer.protocol.summary import summarise as summarise
    from mer.protocol.text_overlap import TextOverlap as TextOverlap
    from mer.protocol.text_overlap import normalised_text as normalised_text
    from mer.protocol.text_overlap import shared_texts as shared_texts
    from mer.protocol.text_overlap import text_overlap as text_overlap
else:
    __getattr__ = lazy(__name__)
