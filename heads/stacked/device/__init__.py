"""What a stack computes on a GPU: few launches and few bytes, by kernels in Triton where it is installed, by PyTorch where not.

A path is a value that is passed, `DevicePath`: a test takes it on a CPU, where Triton's interpreter runs the kernels.
Reads of features -> `layer_average` -> `linear`, with rows of a run beside each other (`run_rows`) and draws that need no state
(`draws`). Between attention layers units are `normed`, and their gradients may share exponents (`shared`). What a layer does
before its feed-forward part is one function of autograd (`by_few`, `plainly`), so that nothing within it is float32 for
autograd's sake. `launch` is the one place that starts a kernel, and where launches are counted.
"""
