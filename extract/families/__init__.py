"""Kinds of encoders: one file and one entry of a registry for each family, which says all that is particular to it.

registry.py             the entries, by the `model_type` of a checkpoint's config.json; a look at them imports nothing heavy
open_checkpoint.py      from a hub id or folder to the family that reads it
speech_checkpoint.py    what a family of speech encoders has to say, text_checkpoint.py of text encoders
wav2vec2.py ...         the families
"""
