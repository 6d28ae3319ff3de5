"""What is run again in the reverse sweep instead of recorded: `checkpoint` for functions, `checkpointed` for loops.

Both are marks on the trace, an equation ``checkpoint`` and the attribute ``snapshots`` of a loop; they change nothing
but what reverse mode (`adcompile.transform.checkpoints`) does with them. Chen, Xu, Zhang & Guestrin, Training deep nets
with sublinear memory cost (2016); Griewank & Walther, Algorithm 799: revolve (2000).
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from adcompile.errors import InvalidArgument, StaticValueRequired
from adcompile.frontend.calls import INLINE, STATIC
from adcompile.frontend.loops import HEADER
from adcompile.frontend.trace import trace_inner
from adcompile.frontend.tracer import Tracer
from adcompile.frontend.values import is_dynamic
from adcompile.ir import Block, Value
from adcompile.ir.core import substitute


class checkpoint:
    """A function that reverse mode runs again instead of recording what it computes, as `jax.checkpoint`.

    Values and derivatives are those of the function itself; the reverse sweep needs less memory and more time: only the
    arguments of each call (and what the function reads from around it) are kept.

    Parameters
    ----------
    function : callable
        It returns its results; it does not write into its arguments.

    See Also
    --------
    checkpointed : the same for the iterations of a loop, with a bound on the memory of the whole loop.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> @adcompile.checkpoint
    ... def layer(x):
    ...     return np.sin(np.sin(np.sin(x)))
    >>> float(adcompile.grad(layer)(0.0))
    1.0
    """

    def __init__(self, function: Callable[..., Any]):
        if not callable(function):
            raise InvalidArgument(f"{function!r} is not a function")
        functools.update_wrapper(self, function, updated=())
        self.function = function

    def __repr__(self) -> str:
        return f"<adcompile.checkpoint of {getattr(self.function, '__name__', self.function)}>"

    def __adcompile_state__(self) -> tuple[Any, ...]:
        return (self.function,)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run the Python function."""
        return self.function(*args, **keywords)

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Emit the equation into a trace in progress."""
        inner = trace_inner(t, self.function, args, keywords)
        block = inner.trace.block
        given = dict(zip(block.params, (*inner.captured, *inner.arguments), strict=True))
        region = substitute(Block((), block.eqns, block.results), given)
        names = [r.name if isinstance(r, Value) else "" for r in region.results]
        outs = t.op.builder.emit("checkpoint", (), [r.type for r in region.results], {}, [region], names=names)
        return inner.results.rebuild([t.wrap(t.op.handle(o)) for o in outs])


def checkpointed(loop: Any, *, snapshots: int) -> Any:
    """Mark a loop whose reverse sweep keeps a few states and runs the rest again.

    It stands around the header of the loop, ``for step in checkpointed(range(n), snapshots=20)`` or ``while
    checkpointed(error > 1e-8, snapshots=20)``, and returns it: in plain Python it does nothing else. Values and
    derivatives are those of the loop without it. Nothing of an iteration is recorded but, at ``snapshots`` of them, the
    state that the loop carries, whose arrays must keep their shapes; each iteration backwards starts from the youngest
    snapshot before it.

    Parameters
    ----------
    loop : what ``for`` runs over (a ``range``, an array, a ``zip`` of them), or the condition of a ``while``.
    snapshots : int
        How many states are kept at most, that before the loop counted; known while tracing. With s of them and r
        repetitions, (s + r)! / (s! r!) iterations can be reversed: 20 are enough for 10 626 iterations of which each is
        run four times more.

    Returns
    -------
    ``loop`` itself.

    Raises
    ------
    InvalidArgument
        If ``snapshots`` is no positive int.

    References
    ----------
    Griewank, A., Walther, A. (2000). Algorithm 799: revolve. ACM Trans. Math. Softw. 26, 19–45.
    Wang, Q., Moin, P., Iaccarino, G. (2009). Minimal repetition dynamic checkpointing algorithm for unsteady adjoint
    calculation. SIAM J. Sci. Comput. 31, 2549–2567.

    Examples
    --------
    >>> import adcompile
    >>> def decayed(x, n):
    ...     for _ in adcompile.checkpointed(range(n), snapshots=3):
    ...         x = x - 0.1 * x * x
    ...     return x
    >>> bool(adcompile.grad(decayed)(1.0, 100) == adcompile.grad(lambda x: decayed(x, 100))(1.0))
    True
    """
    _positive(snapshots)
    return loop


def _positive(snapshots: Any) -> int:
    if is_dynamic(snapshots):
        raise StaticValueRequired(
            "snapshots must be known while tracing", None, "Use a literal, a default argument, or a global constant."
        )
    if not isinstance(snapshots, int) or isinstance(snapshots, bool) or snapshots < 1:
        raise InvalidArgument(f"snapshots is {snapshots!r}", None, "Give a positive int.")
    return snapshots


def _header(loop: ast.expr, *, snapshots: Any) -> tuple[ast.expr, dict[str, Any]]:
    """The loop's own header, and the attribute of its equation."""
    return loop, {"snapshots": _positive(snapshots)}


def _elsewhere(t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> NoReturn:
    raise InvalidArgument(
        "checkpointed() is not around the whole header of a loop", t.loc, "Write for i in checkpointed(range(n), …):"
    )


setattr(checkpoint, STATIC, True)
setattr(checkpointed, HEADER, _header)
setattr(checkpointed, INLINE, _elsewhere)
