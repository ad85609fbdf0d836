"""The kinds of corpora that `mer` reads, one file each; `mer.corpus.corpora` has an entry for each."""
