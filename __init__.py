"""Speech and text emotion recognition: frozen encoders, a feature cache, fusion heads.

Imports point one way, top to bottom:

- `mer.cli`: the commands; each parses, calls one function, prints.
- `mer.demo`: the main job on the synthetic corpus with small encoders, offline.
- `mer.doctor`: what is missing before a long run.
- `mer.report`: result files to tables.
- `mer.heads`: layer average, fusion heads, their trainer; reads the cache.
- `mer.extract`: corpus to frozen encoders to segments to cache.
- `mer.results`: the run directory, its one writer and its readers; loads no torch.
- `mer.protocol`: classes, folds, seeds, validation split, metrics; knows arrays only.
- `mer.cache`: the HDF5 feature format; knows no model and no corpus.
- `mer.corpus`: what is on disk before a model runs.
- `mer.files`: files and folders that are whole or not there.
"""

__version__ = "0.1.0"
