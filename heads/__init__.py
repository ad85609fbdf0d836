"""Fusion heads on cached features (Zhao 2022): layer average, every head, and their training.

`train_head` trains one head over all folds and seeds and writes a run directory. The modules beneath it hold
plain parameters, take explicit generators, and read float16 units without padding or copying them.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.heads.config import HeadConfig as HeadConfig
    from mer.heads.dataset_of import SplitSettings as SplitSettings
    from mer.heads.dataset_of import dataset_of as dataset_of
    from mer.heads.dataset_of import folds_of as folds_of
    from mer.heads.errors import DivergedError as DivergedError
    from mer.heads.errors import HeadError as HeadError
    from mer.heads.features.feature_source import FeatureSource as FeatureSource
    from mer.heads.features.feature_store import FeatureStore as FeatureStore
    from mer.heads.features.statistics import Statistics as Statistics
    from mer.heads.features.statistics import training_statistics as training_statistics
    from mer.heads.fusion.coattention_head import CoattentionHead as CoattentionHead
    from mer.heads.fusion.concatenation import Concatenation as Concatenation
    from mer.heads.fusion.head import Head as Head
    from mer.heads.fusion.head import StackedUnits as StackedUnits
    from mer.heads.fusion.late_fusion import LateFusion as LateFusion
    from mer.heads.fusion.own_head import OwnHead as OwnHead
    from mer.heads.fusion.own_head import Units as Units
    from mer.heads.fusion.transformer_head import TransformerHead as TransformerHead
    from mer.heads.kinds import HEADS as HEADS
    from mer.heads.kinds import HeadKind as HeadKind
    from mer.heads.kinds import Needs as Needs
    from mer.heads.own_kind import head_of as head_of
    from mer.heads.progress import EpochDone as EpochDone
    from mer.heads.progress import Event as Event
    from mer.heads.progress import StackHalved as StackHalved
    from mer.heads.progress import StatisticsProgress as StatisticsProgress
    from mer.heads.progress import TrainingStarted as TrainingStarted
    from mer.heads.stacked.layer_average import LayerAverage as LayerAverage
    from mer.heads.training.multi_level import train_multi_level as train_multi_level
    from mer.heads.training.train_head import open_store as open_store
    from mer.heads.training.train_head import train_head as train_head
    from mer.heads.training.trained_run import Epoch as Epoch
    from mer.heads.training.trained_run import TrainedRun as TrainedRun
    from mer.heads.training.trainer import Job as Job
    from mer.heads.training.trainer import StackListener as StackListener
    from mer.heads.training.trainer import StackTrainer as StackTrainer
    from mer.heads.utterance_dataset import Batch as Batch
    from mer.heads.utterance_dataset import Item as Item
    from mer.heads.utterance_dataset import UtteranceDataset as UtteranceDataset
    from mer.heads.utterance_dataset import collate as collate
    from mer.results import Result as Result
    from mer.results import RunDone as RunDone
else:
    __getattr__ = lazy(__name__)
