"""What a corpus or a feature cache says about utterances without listening to them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mer.cache import CacheError, open_features
from mer.corpus import Corpus, Utterance, open_corpus
from mer.corpus.audio import audio_seconds
from mer.report.page_sources import PageSources
from mer.report.utterance_facts import Facts, UtteranceFacts


def known_facts(wanted: Collection[str] | None, corpus: str, keys: Collection[str], sources: PageSources) -> Facts:
    """The facts of some utterances from the best source at hand; empty where there is none.

    Args:
        wanted: ids of the utterances; None for all.
        corpus: name of the corpus that they are of.
        keys: of the feature caches that hold them.
        sources: where corpus and caches are; a corpus that was named comes first, else a cache.

    Raises:
        CorpusError: a corpus that was named and cannot be read.
    """
    if not sources.named:
        for key in sorted(keys):
            if (found := cache_facts(sources.cache, key)) is not None:
                return {name: each for name, each in found.items() if wanted is None or name in wanted}
    chosen = (each for each in corpus_at_hand(corpus, sources) or () if wanted is None or each.id in wanted)
    return {each.id: plain_facts(each, audio_seconds(each) or None) for each in chosen}


def corpus_at_hand(corpus: str, sources: PageSources) -> Corpus | None:
    """The corpus that was named, or one of this name where it usually lies; None where there is neither.

    Raises:
        CorpusError: one that cannot be read.
    """
    if not sources.named and not sources.corpus.exists():
        return None
    found = open_corpus(sources.corpus, audio_root=sources.audio_root, encoding=sources.encoding)
    return found if sources.named or found.name == corpus else None


def plain_facts(utterance: Utterance, seconds: float | None) -> UtteranceFacts:
    """What the corpus says of an utterance, and how long it is."""
    more = {"split": utterance.split, "votes": utterance.votes, "columns": utterance.columns}
    return UtteranceFacts(
        id=utterance.id,
        session=utterance.session,
        speaker=utterance.speaker,
        style=utterance.style,
        text=utterance.text,
        seconds=seconds,
        columns=_columns(utterance.dialogue, more),
    )


def cache_facts(cache: Path, key: str) -> dict[str, UtteranceFacts] | None:
    """What the cache that runs were trained on says of its utterances; None where it is not there."""
    places: Iterable[Path] = [cache, *sorted(cache.glob(f"*/{key[:12]}"))] if cache.is_dir() else []
    for place in places:
        try:
            features = open_features(place)
        except CacheError:
            continue
        if features.key == key:
            table = features.utterances
            columns = zip(
                *(table.ids, table.sessions, table.speakers, table.styles, table.texts),
                *(table.seconds.tolist(), table.dialogues, table.more),
                strict=True,
            )
            return {
                name: UtteranceFacts(
                    id=name,
                    session=session,
                    speaker=speaker,
                    style=style,
                    text=text,
                    seconds=seconds,
                    columns=_columns(dialogue, more),
                )
                for name, session, speaker, style, text, seconds, dialogue, more in columns
            }
    return None


def _columns(dialogue: str, more: Mapping[str, Any]) -> dict[str, str]:
    """Everything by which utterances can be divided beside speaker, session, style and length."""
    votes = more.get("votes") or {}
    found = {**(more.get("columns") or {}), "dialogue": dialogue, "split": more.get("split") or ""}
    found["votes"] = str(sum(votes.values())) if votes else ""
    return {name: str(value) for name, value in found.items() if value != ""}


def styles_of(results: Sequence[Mapping[str, Any]], sources: PageSources) -> dict[str, str]:
    """Utterance to `improvised` or `scripted`, of all that the corpus or a cache of some results knows.

    Args:
        results: `result.json` of each, all of one corpus.
        sources: where corpus and caches are.
    """
    keys = {str(each["cache_key"]) for each in results if each.get("cache_key")}
    found = known_facts(None, str(results[0]["corpus"]), keys, sources)
    return {name: each.style for name, each in found.items() if each.style}
