"""Units in the last place and nanoseconds per value of the elementary functions: ``python -m benchmarks.accuracy``.

float32: every ``--step``-th of the 2³² numbers against NumPy's float64 functions (``--step 1``: all of them).
float64: ``--points`` numbers against NumPy's long double functions where these have 64 bits or more (erf: mpmath at a
hundredth of the points): random bits, and uniform ones of several magnitudes. Zeros, infinities, nan and their signs
must be the same. Times are of an array of 4096 numbers in the usual range, minimum of many.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

NAMES = ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sinh", "cosh", "erf", "expit", "power")
UNITS = {"float32": np.uint32, "float64": np.uint64}
CHUNK = 1 << 20


def compiled(name: str) -> Callable[..., np.ndarray]:
    """The function as adcompile's users get it, on arrays."""
    import scipy.special

    import adcompile

    function = getattr(np, name) if hasattr(np, name) else getattr(scipy.special, name)
    if name == "power":
        return adcompile.jit(lambda x, y: np.power(x, y))
    return adcompile.jit(lambda x: function(x))


def exact(name: str, wide: Any, *operands: np.ndarray) -> np.ndarray:
    """The function in a wider dtype."""
    wider = [x.astype(wide) for x in operands]
    if name == "expit":
        small = np.exp(-np.abs(wider[0]))
        return np.where(wider[0] < 0, small, 1) / (1 + small)
    if name == "erf":
        return _erf(wider[0])
    return getattr(np, name)(*wider)


def _erf(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.float64:
        import scipy.special

        return scipy.special.erf(x)
    import mpmath

    with mpmath.workprec(100):
        values = [mpmath.erf(mpmath.mpf(float(v))) if v and np.isfinite(v) else mpmath.mpf(0) for v in x]
        high = np.array([float(v) for v in values])
        low = np.array([float(v - float(v)) for v in values])
    plain = np.isfinite(x) & (x != 0)
    return np.where(plain, high.astype(x.dtype) + low, np.where(x == 0, x, np.sign(x)))


def ulps(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distances in units of the last place of the rounded reference; inf where a special value is another one."""
    rounded = reference.astype(found.dtype)
    unit = np.spacing(np.minimum(np.abs(rounded), np.finfo(found.dtype).max)).astype(reference.dtype)
    distance = np.abs(found.astype(reference.dtype) - reference) / unit
    special = ~np.isfinite(rounded) | ~np.isfinite(found) | (rounded == 0)
    same = (found == rounded) & (np.signbit(found) == np.signbit(rounded)) | np.isnan(found) & np.isnan(rounded)
    with np.errstate(over="ignore"):
        edge = np.nextafter(found, found.dtype.type(0)) == rounded  # the largest number, or inf, beside the other
    underflow = (rounded == 0) & (np.abs(found) <= np.finfo(found.dtype).smallest_subnormal)
    return np.where(special, np.where(same, 0.0, np.where(edge | underflow, distance, np.inf)), distance).astype(float)


def every(step: int) -> Iterator[np.ndarray]:
    """The float32 numbers, every ``step``-th of their bit patterns."""
    for start in range(0, 1 << 32, CHUNK * step):
        yield np.arange(start, min(start + CHUNK * step, 1 << 32), step, np.uint64).astype(np.uint32).view(np.float32)


def some(points: int) -> Iterator[np.ndarray]:
    """Float64 numbers: random bits, and uniform ones of several magnitudes."""
    rng = np.random.default_rng(0)
    for start in range(0, points, CHUNK):
        count = min(CHUNK, points - start) // 8 + 1
        bits = rng.integers(0, 1 << 64, 2 * count, np.uint64).view(np.float64)
        yield np.concatenate([bits, *(rng.uniform(-s, s, count) for s in (0.1, 1.0, 3.0, 30.0, 750.0, 1e5))])


def operands(name: str, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """A power gets exponents for its bases: half of them such that the power is an ordinary number, half any."""
    if name != "power":
        return (x,)
    rng = np.random.default_rng(len(x))
    x = np.where(rng.random(len(x)) < 0.9, np.abs(x), x)
    logarithm = np.abs(np.log(np.maximum(np.abs(x), np.finfo(x.dtype).tiny)))
    y = rng.uniform(-1, 1, len(x)) * (740.0 if x.dtype == np.float64 else 104.0) / np.maximum(logarithm, 1e-3)
    return x, np.where(rng.random(len(x)) < 0.5, y, np.roll(x, 1)).astype(x.dtype)


def worst(name: str, chunks: Iterator[np.ndarray], wide: Any) -> tuple[float, str]:
    """The largest error and where it is."""
    function, found = compiled(name), (0.0, "")
    with np.errstate(all="ignore"):
        for x in chunks:
            given = operands(name, x)
            errors = ulps(function(*given), exact(name, wide, *given))
            place = int(np.argmax(errors))
            if errors[place] > found[0]:
                found = float(errors[place]), ", ".join(repr(float(g[place])) for g in given)
    return found


def nanoseconds(name: str, dtype: str) -> float:
    """The time per value; what the call itself takes is subtracted."""
    function = compiled(name)
    x, one = np.random.default_rng(0).uniform(0.1, 3.0, 4096).astype(dtype), np.full(2, 0.5, dtype)

    def shortest(*given: np.ndarray) -> float:
        function(*given)
        times = []
        for _ in range(400):
            start = time.perf_counter()
            function(*given)
            times.append(time.perf_counter() - start)
        return min(times)

    pairs = 2 if name == "power" else 1
    return 1e9 * (shortest(*[x] * pairs) - shortest(*[one] * pairs)) / (len(x) - len(one))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--step", type=int, default=1, metavar="N", help="take every N-th float32 number (default 1)")
    parser.add_argument("--points", type=int, default=10**7, metavar="N", help="float64 numbers (default 10 million)")
    options = parser.parse_args()
    print("| function | float32: ulp | at | ns | float64: ulp | at | ns |\n|" + " --- |" * 7, flush=True)
    for name in NAMES:
        points = options.points // 100 if name == "erf" else options.points
        single = worst(name, every(options.step), np.float64)
        double = worst(name, some(points), np.longdouble)
        cells = [name]
        for (error, place), dtype in ((single, "float32"), (double, "float64")):
            cells += [f"{error:.2f}", place, f"{nanoseconds(name, dtype):.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
