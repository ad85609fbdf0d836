import numpy as np
from numpy.typing import NDArray

from mer.corpus import Segment
from mer.corpus.aligner.fillers_in_pauses import fill_pauses

WORDS = [Segment("well", 100, 300), Segment("yes", 900, 1100)]


def sound(*loud_ms: tuple[int, int], seconds: float = 1.5) -> NDArray[np.float32]:
    """Quiet noise with loud stretches."""
    noise = np.random.default_rng(0).normal(size=int(16_000 * seconds))
    gain = np.full(len(noise), 0.001)
    for start, end in loud_ms:
        gain[16 * start : 16 * end] = 0.1
    return (gain * noise).astype(np.float32)


def test_a_filler_reaches_from_the_first_to_the_last_loud_frame_of_its_pause() -> None:
    wave = sound((100, 300), (400, 450), (600, 700), (900, 1100), (1200, 1300))
    assert fill_pauses(wave, WORDS, [[], ["[COUGH]"], []]) == [Segment("[COUGH]", 400, 700)]
    assert fill_pauses(wave, WORDS, [[], [], ["[SIGH]"]]) == [Segment("[SIGH]", 1200, 1300)]
    assert fill_pauses(wave, WORDS, [["[SNIFF]"], [], []]) == []  # nothing is heard before the first word


def test_fillers_in_one_pause_share_it() -> None:
    wave = sound((100, 300), (400, 700), (900, 1100))
    found = fill_pauses(wave, WORDS, [[], ["[A]", "[B]"], []])
    assert found == [Segment("[A]", 400, 550), Segment("[B]", 550, 700)]


def test_a_sound_too_short_to_be_one_is_none() -> None:
    assert fill_pauses(sound((100, 300), (400, 440), (900, 1100)), WORDS, [[], ["[A]"], []]) == []
    assert fill_pauses(sound((100, 300), (400, 450), (900, 1100)), WORDS, [[], ["[A]"], []]) == [Segment("[A]", 400, 450)]


def test_without_words_the_whole_recording_is_the_pause() -> None:
    assert fill_pauses(sound((200, 500)), [], [["[LAUGHTER]"]]) == [Segment("[LAUGHTER]", 200, 500)]
    assert fill_pauses(np.zeros(100, np.float32), [], [["[LAUGHTER]"]]) == []
