"""Small speech recognisers of the real classes, with random weights, in Hugging Face format."""

import json
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForCTC,
    GenerationConfig,
    Wav2Vec2CTCTokenizer,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from mer.tests.extract.small_families import SPEECH, preprocessor, random_model

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "|")
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
TEMPLATES = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>")


def write_ctc(folder: Path, kind: str = "wav2vec2", *, letters: str = LETTERS, **values: Any) -> Path:
    """Write a CTC recogniser with the encoder `kind` of `SPEECH`, or with other values in its config; returns the folder."""
    model_type, shape = SPEECH[kind]
    write_letters(folder, letters)
    own = shape | {"vocab_size": len(SPECIAL) + len(letters), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | values
    random_model(AutoModelForCTC.from_config, AutoConfig.for_model(model_type, **own)).save_pretrained(folder)
    preprocessor(kind).save_pretrained(folder)
    return folder


def write_letters(folder: Path, letters: str) -> None:
    """The tokenizer of a CTC recogniser whose symbols are letters."""
    folder.mkdir(parents=True)
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *letters))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)


def write_whisper(folder: Path, *, languages: bool = True) -> Path:
    """Write a Whisper that hears 1 s at once, of two languages or of one; returns the folder."""
    from tokenizers.pre_tokenizers import ByteLevel

    symbols = [*sorted(ByteLevel.alphabet()), *TEMPLATES]
    numbers = {token: number for number, token in enumerate(symbols)}
    special = {
        "pad_token_id": numbers[TEMPLATES[0]],
        "bos_token_id": numbers[TEMPLATES[0]],
        "eos_token_id": numbers[TEMPLATES[0]],
    }
    values = SPEECH["whisper"][1] | special | {
        "vocab_size": len(symbols),
        "decoder_start_token_id": numbers["<|startoftranscript|>"],
        "max_target_positions": 24,
    }  # fmt: skip
    model: Any = random_model(WhisperForConditionalGeneration, AutoConfig.for_model("whisper", **values))
    spoken: dict[str, Any] = {
        "is_multilingual": True,
        "lang_to_id": {name: numbers[name] for name in ("<|en|>", "<|de|>")},
        "task_to_id": {name: numbers[f"<|{name}|>"] for name in ("transcribe", "translate")},
    }
    settings = {"decoder_start_token_id": values["decoder_start_token_id"], "max_length": 24} | special
    model.generation_config = GenerationConfig(
        **settings,
        no_timestamps_token_id=numbers["<|notimestamps|>"],
        **(spoken if languages else {"is_multilingual": False}),
    )
    model.save_pretrained(folder)
    preprocessor("whisper").save_pretrained(folder)
    tokenizer = WhisperTokenizer(vocab={token: number for token, number in numbers.items() if number < 256}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(TEMPLATES[1:])})
    tokenizer.save_pretrained(folder)
    return folder
