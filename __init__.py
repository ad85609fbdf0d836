"""Speech and text emotion recognition: frozen encoders, a feature cache, fusion heads.

A corpus (`mer.corpus`) goes through frozen encoders (`mer.extract`) into a cache (`mer.cache`), on which heads are trained
(`mer.heads`); `mer.finetune` trains encoders and head in one. Both write run directories (`mer.results`), of which
`mer.report` makes tables and `mer.predict` makes answers. CONTRIBUTING.md lists every room and what it may import.
"""

__version__ = "0.1.0"
