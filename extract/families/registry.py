"""Every encoder family by the `model_type` of its checkpoints. Nothing here imports PyTorch."""

from typing import TYPE_CHECKING

from mer.settings import Registry

if TYPE_CHECKING:
    from mer.extract.families.speech_checkpoint import SpeechCheckpoint
    from mer.extract.families.text_checkpoint import TextCheckpoint

BERT_LIKE = "bert-like"
"""The text family that takes every type without an entry of its own, and refuses what is no such encoder."""

SPEECH_FAMILIES: "Registry[type[SpeechCheckpoint] | str]" = Registry("family of speech encoders")
"""A class, or `package.module:Class`; a class is made for each checkpoint."""
TEXT_FAMILIES: "Registry[type[TextCheckpoint] | str]" = Registry("family of text encoders")
"""Likewise."""

SPEECH_FAMILIES.add("wav2vec2", "mer.extract.families.wav2vec2:Wav2Vec2")
SPEECH_FAMILIES.add("hubert", "mer.extract.families.hubert:Hubert")
SPEECH_FAMILIES.add("wavlm", "mer.extract.families.wavlm:WavLM")
SPEECH_FAMILIES.add("data2vec-audio", "mer.extract.families.data2vec_audio:Data2VecAudio")
SPEECH_FAMILIES.add("unispeech", "mer.extract.families.wav2vec2:Wav2Vec2")
SPEECH_FAMILIES.add("unispeech-sat", "mer.extract.families.wav2vec2:Wav2Vec2")
SPEECH_FAMILIES.add("wav2vec2-conformer", "mer.extract.families.wav2vec2_conformer:Wav2Vec2Conformer")
SPEECH_FAMILIES.add("sew", "mer.extract.families.sew:SEW")
SPEECH_FAMILIES.add("wav2vec2-bert", "mer.extract.families.wav2vec2_bert:Wav2Vec2Bert")
SPEECH_FAMILIES.add("whisper", "mer.extract.families.whisper:Whisper")
TEXT_FAMILIES.add(BERT_LIKE, "mer.extract.families.masked_lm:MaskedLM")
