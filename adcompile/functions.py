"""The public transforms: each is a thin wrapper of `adcompile.api.Transform` with a mode."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adcompile.api import Options, Transform
from adcompile.errors import InvalidArgument, ShapeMismatch
from adcompile.frontend.calls import STATIC
from adcompile.frontend.trace import Inner, Known
from adcompile.frontend.tracer import Tracer
from adcompile.ir import is_float
from adcompile.mapping import AxesTree, Mapped
from adcompile.modes import Argnums, Batched, Gradient, HessianVector, Jacobian, Mode, Primal, Pullback, Tangent
from adcompile.primitives import EXPANSIONS
from adcompile.primitives.registry import own_tables
from adcompile.tree import flatten, map_leaves


def _decorator(make: Callable[[Any], Mode]) -> Callable[[Any, dict[str, Any]], Any]:
    """A transform that works as a call, as ``@transform`` and as ``@transform(argnums=…)``."""

    def build(function: Any, options: dict[str, Any]) -> Any:
        if function is None:
            return lambda real: Transform(real, make(real), Options.of(options))
        return Transform(function, make(function), Options.of(options))

    return build


def grad(f: Any = None, argnums: Argnums = 0, *, has_aux: bool = False, **options: Any) -> Transform:
    """Gradient of a scalar function, by reverse mode.

    Parameters
    ----------
    f : callable
        A Python function of scalars, NumPy arrays and nested containers of them, returning one float.
    argnums : int, str, or a tuple of them
        The arguments to differentiate with respect to; every number in them must be a float.
    has_aux : bool
        ``f`` returns ``(value, aux)``; the gradient function then returns ``(gradient, aux)``.
    **options
        ``backend`` ("llvm", "numba", "python", "cuda"), ``parallel``, ``fastmath``, ``cache``; see
        `adcompile.api.Options`.

    Returns
    -------
    Transform
        A function of the same arguments. The gradient has the structure, shapes and dtypes of the argument; a tuple
        of gradients where ``argnums`` is a tuple. It never modifies its arguments, and its results are fresh arrays.

    Raises
    ------
    NotDifferentiable
        If ``f`` does not return one float, or an argument holds an int.
    UnsupportedSyntax, MissingRule, UnsupportedDtype
        If the function uses what adcompile does not handle; with file, line, column and a remedy.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> adcompile.grad(np.sin)(0.0)
    1.0
    """
    return _decorator(lambda _: Gradient(argnums, has_aux=has_aux))(f, options)


def value_and_grad(f: Any = None, argnums: Argnums = 0, *, has_aux: bool = False, **options: Any) -> Transform:
    """The value and the gradient of a scalar function, in one program; see `grad`.

    Returns
    -------
    Transform
        A function returning ``(value, gradient)``, or ``((value, aux), gradient)`` where ``has_aux``.
    """
    return _decorator(lambda _: Gradient(argnums, value=True, has_aux=has_aux, name="value_and_grad"))(f, options)


def jit(f: Any = None, **options: Any) -> Transform:
    """The function itself, compiled; same results as the Python function to the rounding of the backend."""
    return _decorator(lambda _: Primal())(f, options)


def jacfwd(f: Any = None, argnums: Argnums = 0, **options: Any) -> Transform:
    """Jacobian by columns (forward mode): shape of the result × shape of the argument.

    Nested containers give a Jacobian for each pair of leaves. Best where the argument has few elements.
    """
    return _decorator(lambda _: Jacobian(argnums, "forward", "jacfwd"))(f, options)


def jacrev(f: Any = None, argnums: Argnums = 0, **options: Any) -> Transform:
    """Jacobian by rows (reverse mode): shape of the result × shape of the argument.

    Nested containers give a Jacobian for each pair of leaves. Best where the result has few elements.
    """
    return _decorator(lambda _: Jacobian(argnums, "reverse", "jacrev"))(f, options)


def hessian(f: Any = None, argnums: Argnums = 0, **options: Any) -> Transform:
    """Hessian of a scalar function, forward over reverse: shape of the argument twice."""
    if f is None:
        return lambda real: hessian(real, argnums, **options)  # type: ignore[return-value]
    return jacfwd(grad(f, argnums, **options), argnums, **options)


def vmap(f: Any = None, in_axes: AxesTree = 0, out_axes: AxesTree = 0, **options: Any) -> Transform:
    """A function over a batch: one program that computes all calls at once.

    Parameters
    ----------
    f : callable
        A function of one element; what `adcompile.grad` takes, another transform included.
    in_axes : int, None, or a container of them
        The axis of each argument that runs over the batch; None for an argument that is the same in every call. A tuple
        has one entry per positional argument; containers of axes follow those of the arguments, and an int or None
        stands for all leaves below it. Keyword arguments are mapped over their first axis.
    out_axes : int, None, or a container of them
        The axis of each result that gets the batch; None for a result that is the same in every call.
    **options
        As for `grad`.

    Returns
    -------
    Transform
        A function of the arguments with the batch axes in their places. All of these have one size, which may be
        different in every call without compiling again.

    Raises
    ------
    ShapeMismatch
        If the mapped axes have different sizes.
    InvalidArgument
        If an axis does not exist, nothing is mapped, or a result with ``out_axes=None`` differs between calls.
    MissingRule
        If an array would have another size in every call.

    References
    ----------
    Bradbury et al., JAX (2018): `jax.vmap`.

    Examples
    --------
    >>> import numpy as np, adcompile
    >>> adcompile.vmap(lambda w, x: np.dot(w, x), in_axes=(None, 0))(np.ones(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 7.])
    """
    if f is None:
        return lambda real: vmap(real, in_axes, out_axes, **options)  # type: ignore[return-value]
    return Transform(Mapped(f, in_axes, out_axes), Batched(in_axes, out_axes), Options.of(options))


# -- programs with seeds ----------------------------------------------------------------------------------------


class HessianVectorProduct:
    """``hvp(f)(*args, v) = H v``, forward over reverse; ``v`` has the structure of the chosen argument."""

    def __init__(self, f: Any, argnums: Argnums, options: dict[str, Any]):
        self.transform = Transform(f, HessianVector(argnums), Options.of(options))

    def __adcompile_state__(self) -> tuple[Any, ...]:
        return (self.transform,)

    def __call__(self, *args: Any) -> Any:
        """The product at ``args[:-1]`` with ``args[-1]``."""
        if len(args) < 2:
            raise InvalidArgument("hvp takes the arguments of the function and then a vector", remedy="Pass both.")
        *primals, vector = args
        return self.transform.apply(primals, {}, _seeds(self._chosen(primals), vector))

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Emit the product into a trace in progress."""
        *primals, vector = args
        return self.transform.inline(t, primals, keywords, lambda inner: _atoms(t, vector))

    def __getattr__(self, name: str) -> Any:
        """The inspection methods of the transform, given the arguments without the vector."""
        if name not in ("trace", "source", "stages", "graph"):
            raise AttributeError(name)
        return getattr(self.transform, name)

    def _chosen(self, primals: Sequence[Any]) -> Any:
        argnums = self.transform.mode.argnums  # type: ignore[attr-defined]
        if isinstance(argnums, int):
            return primals[argnums]
        if isinstance(argnums, str):
            raise InvalidArgument("hvp takes argnums by position", remedy="Use an int or a tuple of ints.")
        return tuple(primals[a] for a in argnums)


def hvp(f: Any, argnums: Argnums = 0, **options: Any) -> HessianVectorProduct:
    """Hessian-vector product of a scalar function: ``hvp(f)(*args, v)``, at the cost of a few gradients."""
    return HessianVectorProduct(f, argnums, options)


def jvp(f: Any, primals: Sequence[Any], tangents: Sequence[Any], **options: Any) -> tuple[Any, Any]:
    """Value and directional derivative, by forward mode.

    Parameters
    ----------
    f : callable
    primals, tangents : tuples
        The arguments, and a direction of the same structure; the tangents of ints and None are ignored.

    Returns
    -------
    (out, out_dot)
        In the structure of what ``f`` returns; ``out_dot`` holds None in the place of ints.
    """
    return _cached(Tangent(), f, options).apply(tuple(primals), {}, _seeds(tuple(primals), tuple(tangents)))


def vjp(f: Any, *primals: Any, **options: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Value and pullback, by reverse mode.

    Returns
    -------
    (out, pullback)
        ``pullback(out_bar)`` takes a cotangent of the structure of ``out`` and gives a tuple with the cotangent of each
        argument (None in the place of ints). Each call of it runs the forward sweep again.
    """
    out = _cached(Primal("value"), f, options)(*primals)
    back = _cached(Pullback(), f, options)
    primals = map_leaves(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, primals)

    def pullback(out_bar: Any) -> tuple[Any, ...]:
        return back.apply(primals, {}, _seeds(out, out_bar))[1]

    return out, pullback


_TRANSFORMS: OrderedDict[tuple, Transform] = OrderedDict()
"""The transforms behind jvp and vjp, by mode, options and the identity of the function; each holds its programs."""
_MOST_TRANSFORMS = 512


def _cached(mode: Mode, f: Any, options: dict[str, Any]) -> Transform:
    """The transform of a function, the same object for the same function."""
    key = (mode, id(f), tuple(sorted(options.items())))
    if key not in _TRANSFORMS:
        _TRANSFORMS[key] = Transform(f, mode, Options.of(options))
        while len(_TRANSFORMS) > _MOST_TRANSFORMS:
            _TRANSFORMS.popitem(last=False)
    return _TRANSFORMS[key]


def _seeds(like: Any, given: Any) -> list[Any]:
    """The flat tangents or cotangents of the float leaves of ``like``, in its dtypes and shapes."""
    leaves, structure = flatten(like)
    seeds, found = flatten(given)
    if structure != found:
        raise InvalidArgument("a seed must have the structure of what it belongs to", remedy="Use the same containers.")
    return [_seed(leaf, seed) for leaf, seed in zip(leaves, seeds, strict=True) if _is_float_leaf(leaf)]


def _is_float_leaf(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind == "f"
    return isinstance(leaf, float)


def _seed(leaf: Any, seed: Any) -> Any:
    if np.shape(seed) != np.shape(leaf):
        raise ShapeMismatch(f"a seed has shape {np.shape(seed)}, what it belongs to has {np.shape(leaf)}")
    if isinstance(leaf, np.ndarray):
        return np.asarray(seed, dtype=leaf.dtype)
    return leaf.dtype.type(seed) if isinstance(leaf, np.generic) else float(seed)


def _atoms(t: Tracer, tree: Any) -> list[Any]:
    return [t.op.atom(t.read(leaf)) for leaf in flatten(tree)[0] if leaf is not None]


def _inline_jvp(t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
    f, primals, tangents = args

    def seeds(inner: Inner) -> list[Any]:
        flat = flatten(tuple(tangents))[0]
        types = inner.signature.leaves
        if len(flat) != len(types):
            raise InvalidArgument("tangents must have the structure of the primals", t.loc)
        return [
            t.op.atom(t.read(d))
            for d, leaf in zip(flat, types, strict=True)
            if not isinstance(leaf, Known) and is_float(leaf)
        ]

    return Transform(f, Tangent(), Options.of(keywords)).inline(t, tuple(primals), {}, seeds)


def _inline_vjp(t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
    f, *primals = args
    out = Transform(f, Primal(), Options()).inline(t, primals, {}, lambda inner: ())
    back = Transform(f, Pullback(), Options())
    return out, _TracedPullback(back, tuple(primals))


class _TracedPullback:
    """The pullback of a `vjp` called inside a traced function."""

    def __init__(self, back: Transform, primals: tuple[Any, ...]):
        self.back, self.primals = back, primals

    def __adcompile_inline__(self, t: Tracer, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Emit the reverse sweep."""
        return self.back.inline(t, self.primals, {}, lambda inner: _atoms(t, args[0]))[1]


def stop_gradient(x: Any) -> Any:
    """``x``, but no derivative flows through it; containers are taken leaf by leaf."""
    return x


EXPANSIONS[stop_gradient] = lambda op, x: map_leaves(op.stop_gradient, x)
own_tables()
for _static in (grad, value_and_grad, jit, jacfwd, jacrev, hessian, hvp, vmap):
    setattr(_static, STATIC, True)
jvp.__adcompile_inline__ = _inline_jvp  # type: ignore[attr-defined]
vjp.__adcompile_inline__ = _inline_vjp  # type: ignore[attr-defined]
