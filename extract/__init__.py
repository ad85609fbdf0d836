"""From a corpus to a feature cache: frozen encoders, exact padded batches, segment averages, resumable."""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.corpus.audio import AudioError as AudioError
    from mer.corpus.audio import AudioHeader as AudioHeader
    from mer.corpus.audio import Wave as Wave
    from mer.corpus.audio import read_header as read_header
    from mer.corpus.audio import read_wave as read_wave
    from mer.corpus.audio import seconds_of as seconds_of
    from mer.extract.config import ExtractConfig as ExtractConfig
    from mer.extract.config import ExtractError as ExtractError
    from mer.extract.config import Resources as Resources
    from mer.extract.extraction import Extraction as Extraction
    from mer.extract.families.open_checkpoint import open_speech as open_speech
    from mer.extract.families.open_checkpoint import open_text as open_text
    from mer.extract.families.registry import SPEECH_FAMILIES as SPEECH_FAMILIES
    from mer.extract.families.registry import TEXT_FAMILIES as TEXT_FAMILIES
    from mer.extract.families.speech_checkpoint import SpeechCheckpoint as SpeechCheckpoint
    from mer.extract.families.text_checkpoint import TextCheckpoint as TextCheckpoint
    from mer.extract.hidden_states import LayerTap as LayerTap
    from mer.extract.look_ahead import look_ahead as look_ahead
    from mer.extract.own_units import TierCount as TierCount
    from mer.extract.pretrained import EncoderError as EncoderError
    from mer.extract.progress import ExtractionProgress as ExtractionProgress
    from mer.extract.resegment import resegment as resegment
    from mer.extract.run import extract as extract
    from mer.extract.segments import frame_ranges as frame_ranges
    from mer.extract.segments import segment_means as segment_means
    from mer.extract.speech_encoder import SpeechEncoder as SpeechEncoder
    from mer.extract.text_encoder import TextEncoder as TextEncoder
else:
    __getattr__ = lazy(__name__)
