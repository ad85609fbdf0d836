"""How heads are judged: classes, leave-one-session-out folds, seeds, UA and WA.

Knows labels, sessions and speakers only. Nothing here lets a test utterance choose anything.
"""

from mer.protocol.classes import AS_IS as AS_IS
from mer.protocol.classes import CLASS_MAPS as CLASS_MAPS
from mer.protocol.classes import ClassMap as ClassMap
from mer.protocol.classes import class_map as class_map
from mer.protocol.errors import ProtocolError as ProtocolError
from mer.protocol.folds import Fold as Fold
from mer.protocol.folds import Validation as Validation
from mer.protocol.folds import make_fold as make_fold
from mer.protocol.folds import session_names as session_names
from mer.protocol.metrics import confusion as confusion
from mer.protocol.metrics import recalls as recalls
from mer.protocol.metrics import unweighted_accuracy as unweighted_accuracy
from mer.protocol.metrics import weighted_accuracy as weighted_accuracy
from mer.protocol.seeds import integer_seed as integer_seed
from mer.protocol.seeds import numpy_generator as numpy_generator
from mer.protocol.summary import RunPredictions as RunPredictions
from mer.protocol.summary import Score as Score
from mer.protocol.summary import Scores as Scores
from mer.protocol.summary import Summary as Summary
from mer.protocol.summary import summarise as summarise
