"""How fast a training goes, how long it will take, and how much memory it holds."""

import time

import psutil
import torch


class Pace:
    """Clock of one command's part of a run."""

    def __init__(self, device: torch.device) -> None:
        """Everything starts at zero.

        Args:
            device: whose memory is looked at.
        """
        self._device = device
        self._process = psutil.Process()
        self._begun = self._last = time.perf_counter()
        self._steps = 0
        self._seconds = self._audio = 0.0
        self._evaluation_seconds = self._evaluated_audio = 0.0
        self._memory = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def elapsed(self) -> float:
        """Seconds since the beginning of this command's part."""
        return time.perf_counter() - self._begun

    def start(self) -> None:
        """What is noted next begins now."""
        self._last = time.perf_counter()

    def trained(self, audio_seconds: float, steps: int) -> float:
        """So many steps of so much audio in all are over; the seconds that they took."""
        lap = self._lap()
        self._seconds += lap
        self._steps += steps
        self._audio += audio_seconds
        return lap

    def evaluated(self, audio_seconds: float) -> float:
        """So much audio was evaluated; the seconds that it took."""
        lap = self._lap()
        self._evaluation_seconds += lap
        self._evaluated_audio += audio_seconds
        return lap

    @property
    def audio_per_second(self) -> float:
        """Seconds of audio that are trained on in a second."""
        return self._audio / self._seconds if self._seconds else 0.0

    def left(self, steps: int, evaluation_audio: float) -> float | None:
        """Seconds that so many steps, and so much audio to be evaluated, will take; None before the second step."""
        if self._steps < 2:
            return None
        if self._evaluated_audio:
            rate = self._evaluation_seconds / self._evaluated_audio
        else:  # a forward pass is about a third of a step
            rate = self._seconds / self._audio / 3
        return self._seconds / self._steps * steps + rate * evaluation_audio

    def memory(self) -> int:
        """Most bytes in use so far: allocated on a GPU by this process, or resident where training is on the CPU."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        self._memory = max(self._memory, int(self._process.memory_info().rss))
        return self._memory

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self._last = now - self._last, now
        return lap
