"""What several runs compute at once: layer average, linear layers, dropout, sequences of many lengths.

A run that is computed among others gives what it gives alone. Kernels (`layer_kernel`, `dropout_kernel`) are compiled for CPUs;
`device/` has those for GPUs, and the stacked parameters that go with them.
"""
