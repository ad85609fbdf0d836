"""Compiled loops behind dropout on a CPU: one pass where PyTorch makes five (compare, convert, scale, multiply, ReLU).

What is drawn and every bit of what comes out are those of the plain form in `mer.heads.stacked.dropout`.
"""

from typing import no_type_check

import numba

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
@no_type_check
def drop(values, bits, least, scale, out):
    """Write values whose bits are `least` or more, times `scale`, and zero for the others; all arrays are flat."""
    for place in range(values.shape[0]):
        factor = scale if bits[place] >= least else values.dtype.type(0)
        out[place] = values[place] * factor


@_compiled
@no_type_check
def relu_and_drop(values, bits, least, scale):
    """ReLU and `drop`, in place."""
    zero = values.dtype.type(0)
    for place in range(values.shape[0]):
        value = values[place]
        # A NaN stays one, so that a run that diverges is found out.
        value = zero if value <= zero else value
        values[place] = value * (scale if bits[place] >= least else zero)


@_compiled
@no_type_check
def pass_back(gradient, out, scale, of_values):
    """The gradient of `relu_and_drop`: where something came out, `scale` times what comes back."""
    zero = gradient.dtype.type(0)
    for place in range(gradient.shape[0]):
        of_values[place] = zero if out[place] <= zero else gradient[place] * scale
