import math

import numpy as np
from numba import cuda

from adcompile.backend.cuda.host import blocks, box, empty_array

THREADS = 128


@cuda.jit(device=True, inline="always")
def add_in_block_float32(result, part):
    """Add the parts of the block's threads to the result, in one step."""
    parts = cuda.shared.array(THREADS, np.float32)
    here = cuda.threadIdx.x
    parts[here] = part
    cuda.syncthreads()
    width = THREADS // 2
    while width > 0:
        if here < width:
            parts[here] = parts[here] + parts[here + width]
        cuda.syncthreads()
        width //= 2
    if here == 0:
        cuda.atomic.add(result, 0, parts[0])
    cuda.syncthreads()


@cuda.jit
def scaled_value_and_grad_1(t1, x_bar, x, a, v4_out):
    t2 = np.float32(0.0)
    for i in range(cuda.grid(1), t1, cuda.gridsize(1)):           # test_cuda.py:27
        t3 = math.tanh(a * x[i])
        t4 = t3 * t3
        t5 = t2 + t4
        t6 = (np.float32(1.0) - t4) * (np.float32(2.0) * t3)
        x_bar[i] = a * t6
        t2 = t5
    add_in_block_float32(v4_out, t2)


# adjoint program of scaled
# varies: x
# useful: the result
# recorded: nothing
def scaled_value_and_grad(x, a):
    t1 = x.shape[0]
    x_bar = empty_array((t1,), np.float32)                        # test_cuda.py:27
    v4_out = box(0, np.float32)
    scaled_value_and_grad_1[blocks(t1, THREADS), THREADS](t1, x_bar, x, a, v4_out)
    v4 = v4_out[0]
    return v4, x_bar
