"""Where compile time goes: ``python -m benchmarks.compile [--only NAME]``.

One row per workload: CPU time of each stage of the gradient's compilation, nothing from the disk cache, minimum of a
few; what is compiled, counted in equations of the loop dialect and lines of LLVM IR; and the time per equation.
The Burgers network is taken with 8, 16 and 32 layers: what repeats is optimised and generated once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import adcompile
from adcompile.api import Transform, argument_names, leaf_positions
from adcompile.backend import llvm
from adcompile.backend.llvm import engine
from adcompile.frontend.trace import signature_of, trace
from adcompile.ir.core import walk
from adcompile.lower import executable
from adcompile.transform.simplify import simplify
from benchmarks import kernels, mlp, pinn

STAGES = ("trace", "differentiate", "simplify", "lower", "write", "parse", "optimise", "generate")
COLUMNS = ("workload", *STAGES, "together", "equations", "LLVM lines", "µs per equation")


@dataclass
class Compilation:
    """Seconds of CPU time by stage, and the size of what was compiled."""

    seconds: dict[str, float] = field(default_factory=dict)
    equations: int = 0
    lines: int = 0

    def lap(self, stage: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run a stage and note its time."""
        start = time.process_time()
        result = function(*args, **options)
        self.seconds[stage] = time.process_time() - start
        return result


def compile(transform: Transform, args: tuple[Any, ...]) -> Compilation:
    """Compile a transform of a function for some arguments, stage by stage, as `adcompile.api` does."""
    done = Compilation()
    signature, _ = signature_of(args, {})
    names = argument_names(transform.function, args, {})
    traced = done.lap("trace", trace, transform.function, signature, names)
    places = leaf_positions(signature, names, len(traced.captures))
    program = done.lap("differentiate", transform.mode.program, traced.trace, traced.results, places)
    final = done.lap("simplify", simplify, program.trace, final=True)
    loops = done.lap("lower", executable, final)
    text = done.lap("write", llvm.emit, loops)
    module = done.lap("parse", engine.parse, text)
    done.lap("optimise", engine.optimise, module)
    done.lap("generate", engine.generate, module)
    done.equations, done.lines = sum(1 for _ in walk(loops.block)), text.count("\n")
    return done


def workloads() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """Names, functions and arguments."""
    for name, function in kernels.FUNCTIONS.items():
        yield f"kernel-{name}", function, kernels.arguments(name)
    yield "mlp-small", mlp.loss, mlp.data((1, 64, 64, 1), 256, "float64")
    yield "mlp-large", mlp.loss, mlp.data((784, 512, 512, 10), 128, "float64")
    for count in (8, 16, 32):
        yield f"pinn-{count}-layers", pinn.loss, pinn.data("float64", (2, *[20] * count, 1))


def row(name: str, compilations: list[Compilation]) -> str:
    """A line of the table, in milliseconds."""
    least = {stage: min(c.seconds[stage] for c in compilations) for stage in STAGES}
    together, size = sum(least.values()), compilations[0]
    times = [f"{1e3 * seconds:.1f}" for seconds in (*least.values(), together)]
    counts = [str(size.equations), str(size.lines), f"{1e6 * together / size.equations:.0f}"]
    return "| " + " | ".join([name, *times, *counts]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="part of a workload's name")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="compilations of each (default 3)")
    options = parser.parse_args()
    print("Milliseconds of CPU time.\n\n| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS), flush=True)
    for name, function, args in workloads():
        if options.only in name:
            gradient = adcompile.value_and_grad(function)
            print(row(name, [compile(gradient, args) for _ in range(options.repeat)]), flush=True)


if __name__ == "__main__":
    main()
