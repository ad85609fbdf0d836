import numpy as np
import pytest

from mer.corpus import Alignment, Segment
from mer.corpus.aligner import compare_alignments


def words(*segments: Segment) -> Alignment:
    return Alignment(words=segments, phones=(), syllables=())


def test_differences_are_ours_minus_theirs_over_starts_and_ends() -> None:
    ours = words(Segment("well", 110, 200), Segment("yes", 230, 400))
    theirs = words(Segment("WELL(2)", 100, 205), Segment("YES", 205, 460))
    (found,) = compare_alignments([(ours, theirs)])
    differences = np.array([10, -5, 25, -60], dtype=np.float64)
    assert (found.tier, found.units, found.matched, found.boundaries) == ("words", 2, 2, 4)
    assert found.median == pytest.approx(17.5)
    assert found.bias == pytest.approx(differences.mean())
    assert found.p80 == pytest.approx(np.quantile(np.abs(differences), 0.8))
    assert found.p95 == pytest.approx(np.quantile(np.abs(differences), 0.95))
    assert (found.within_20, found.within_50) == (0.5, 0.75)


def test_another_word_costs_itself_only_and_fillers_do_not_count() -> None:
    ours = words(Segment("a", 0, 10), Segment("x", 10, 20), Segment("[COUGH]", 20, 25), Segment("c", 30, 40))
    theirs = words(Segment("a", 0, 10), Segment("b", 10, 30), Segment("c", 30, 40), Segment("++COUGH++", 40, 50))
    (found,) = compare_alignments([(ours, theirs)])
    assert (found.units, found.matched, found.median, found.within_20) == (3, 2, 0.0, 1.0)


def test_phones_of_sphinx_and_stress_are_folded() -> None:
    ours = Alignment(words=(), phones=(Segment("AH", 0, 10),), syllables=(Segment("AH_D", 0, 10),))
    theirs = Alignment(words=(), phones=(Segment("AH0", 0, 10),), syllables=(Segment("AX_DD", 0, 10),))
    assert [(found.tier, found.matched) for found in compare_alignments([(ours, theirs)])] == [("syllables", 1), ("phones", 1)]


def test_nothing_in_both_gives_nothing() -> None:
    assert compare_alignments([]) == []
    assert compare_alignments([(words(Segment("a", 0, 1)), words(Segment("b", 0, 1)))]) == []
