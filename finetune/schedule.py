"""The step size over a run: a linear rise, then a linear fall."""


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """What the rates of all parameters are multiplied with in one step.

    With W = round(warmup x steps) steps of warm-up: (step + 1) / (W + 1) before step W, which has the full rate, and
    (steps - step) / (steps - W) from there. No step has rate 0: neither the first nor the last would train anything.

    Args:
        step: from 0 over the whole run.
        steps: of the whole run.
        warmup: share of the steps, in [0, 1).
    """
    rising = min(round(warmup * steps), steps - 1)
    if step < rising:
        return (step + 1) / (rising + 1)
    return (steps - step) / (steps - rising)
