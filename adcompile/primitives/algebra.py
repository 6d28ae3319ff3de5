"""The algebra that derivative rules and expansions are written in: `Emitter` (``op``) and `Handle` (``x``).

``op.sin(x) * y + 1.0`` appends equations to a builder, infers their types, folds constants and drops multiplications
by one on the way. A rule never tests for zero: an absent tangent or cotangent is None.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from adcompile.errors import MissingRule, ShapeMismatch, UnsupportedDtype
from adcompile.ir import ANY, NOT_ONE, Array, Atom, Const, Eqn, Scalar, Type, Value
from adcompile.ir.builder import Builder
from adcompile.ir.types import DTYPES, INDEX, PYTHON_BOOL, PYTHON_FLOAT, PYTHON_INT, Dim
from adcompile.primitives.assembly import assemble
from adcompile.primitives.evaluate import evaluate_constant
from adcompile.primitives.registry import PRIMITIVES
from adcompile.primitives.shapes import branch_sizes, call_size, loop_shape


def _operator(name: str, reflected: bool = False) -> Callable[[Handle, Any], Handle]:
    """A method of `Handle` that emits a primitive."""
    if reflected:
        return lambda self, other: self.op(name, other, self)
    return lambda self, other: self.op(name, self, other)


class Handle:
    """An atom with its emitter, so that rules can write arithmetic."""

    __slots__ = ("atom", "op")
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]  # a handle stands for a number, not for itself

    def __init__(self, op: Emitter, atom: Atom):
        self.op, self.atom = op, atom

    @property
    def type(self) -> Type:
        """The type of the atom."""
        return self.atom.type

    @property
    def rank(self) -> int:
        """Its number of dimensions."""
        return self.atom.type.rank

    def __repr__(self) -> str:
        return f"Handle({self.atom!r})"

    def __bool__(self) -> bool:
        raise TypeError("a handle has no truth value while tracing")

    def __neg__(self):
        return self.op("neg", self)

    __eq__, __ne__ = _operator("eq"), _operator("ne")  # type: ignore[assignment]
    __lt__, __le__, __gt__, __ge__ = _operator("lt"), _operator("le"), _operator("gt"), _operator("ge")
    __add__, __radd__ = _operator("add"), _operator("add", reflected=True)
    __sub__, __rsub__ = _operator("sub"), _operator("sub", reflected=True)
    __mul__, __rmul__ = _operator("mul"), _operator("mul", reflected=True)
    __truediv__, __rtruediv__ = _operator("div"), _operator("div", reflected=True)
    __floordiv__, __rfloordiv__ = _operator("floordiv"), _operator("floordiv", reflected=True)
    __mod__, __rmod__ = _operator("mod"), _operator("mod", reflected=True)
    __pow__, __rpow__ = _operator("pow"), _operator("pow", reflected=True)
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("matmul", reflected=True)


def const_type(value: Any) -> Type:
    """The type of a number known while tracing; NumPy scalars keep their dtype, Python's are weak."""
    if isinstance(value, np.generic):
        if value.dtype.name not in DTYPES:
            raise UnsupportedDtype(f"dtype {value.dtype} is not supported", remedy="Use float32 or float64.")
        return Scalar(value.dtype.name)
    for python, type in ((bool, PYTHON_BOOL), (int, PYTHON_INT), (float, PYTHON_FLOAT)):
        if isinstance(value, python):
            return type
    raise UnsupportedDtype(f"a {type_name(value)} cannot enter a computation", remedy="Use a number or an array.")


def type_name(value: Any) -> str:
    """The name of a value's class, for messages."""
    return type(value).__name__


class Emitter:
    """Emits primitives into a builder: ``op.name(*args, **attrs)`` or ``op("name", …)``."""

    def __init__(self, builder: Builder):
        self.builder = builder

    def __getattr__(self, name: str):
        if name in PRIMITIVES:
            return functools.partial(self, name)
        raise AttributeError(name)

    def __call__(self, name: str, *args: Any, types: Sequence[Type] | None = None, **attrs: Any) -> Any:
        """Emit one equation; a handle, or a tuple of handles where the primitive has several results."""
        primitive = PRIMITIVES[name]
        atoms = tuple(map(self.atom, args))
        if types is None:
            types = primitive.infer(tuple(a.type for a in atoms), attrs)
        if primitive.elementwise:
            folded = self._fold(name, atoms, types[0], attrs)
            if folded is not None:
                return folded
            if len(atoms) > 1:
                self._check_broadcast(atoms)
        elif name == "matmul":
            self._check_inner(*atoms)
        outs = self.builder.emit(name, atoms, types, attrs, pure=primitive.pure)
        handles = tuple(Handle(self, o) for o in outs)
        return handles[0] if len(handles) == 1 else handles

    def strong(self, name: str, *args: Any) -> Any:
        """Emit as a NumPy function does: its result is a NumPy scalar even where every operand is Python's."""
        args = tuple(map(self.handle, map(self.atom, args)))
        if all(a.type == PYTHON_BOOL for a in args):
            args = tuple(self.cast(a, dtype="bool") for a in args)  # np.add(True, True) is no 2
        inferred = PRIMITIVES[name].infer(tuple(a.type for a in args), {})
        firm = tuple(Scalar(t.dtype) if isinstance(t, Scalar) else t for t in inferred)
        return self(name, *args, types=firm)

    def loop(self, count: Any, carried: Sequence[Any], body: Callable[..., Sequence[Any]]) -> tuple[Handle, ...]:
        """Emit a counted loop; ``body(op, index, *carried)`` emits through its own ``op``."""
        inner = Emitter(self.builder.child())
        inits = tuple(map(self.atom, carried))
        params = (Value(INDEX), *(Value(a.type) for a in inits))
        results = tuple(map(inner.atom, body(inner, *map(inner.handle, params))))
        block = inner.builder.block(params, results)
        types = [a.type for a in inits]
        outs = self.builder.emit("loop", (self.atom(0), self.atom(count), self.atom(1), *inits), types, regions=[block])
        return tuple(map(self.handle, outs))

    # -- atoms ------------------------------------------------------------------------------------------------

    def handle(self, atom: Atom) -> Handle:
        """Wrap an atom."""
        return Handle(self, atom)

    def atom(self, value: Any) -> Atom:
        """The atom of a handle, an atom or a number."""
        if isinstance(value, Handle):
            return value.atom
        if isinstance(value, Value | Const):
            return value
        return Const(value.item() if isinstance(value, np.generic) else value, const_type(value))

    def lift(self, value: Any) -> Handle:
        """The handle of a number, of a constant array, or of the array that a nested sequence stands for."""
        if isinstance(value, (tuple, list, range, np.ndarray)):
            return assemble(self, value)
        return Handle(self, self.atom(value))

    def constant(self, value: Any, type: Type) -> Handle:
        """A number of a given scalar type."""
        return Handle(self, Const(value, type))

    # -- shapes -----------------------------------------------------------------------------------------------

    def shape(self, x: Any) -> tuple[Any, ...]:
        """The sizes of ``x`` as ints or index handles, expressed through the sizes of what it was computed from."""
        atom = self.atom(x)
        return tuple(self.size(atom, axis) for axis in range(atom.type.rank))

    def size(self, x: Any, axis: int) -> Any:
        """One size of ``x``."""
        atom = self.atom(x)
        known = atom.type.dims[axis]
        if isinstance(known, int):
            return known
        found = self.builder.known_size(atom, axis)
        if found is None:
            found = self.builder.sizes[atom, axis] = self.atom(self._size(atom, axis))
        size = self.builder.canonical(found)
        return size.value if isinstance(size, Const) else Handle(self, size)

    def _size(self, atom: Any, axis: int) -> Any:
        source = self.builder.shape_source(atom)
        if source is not None:
            return self.size(source, axis)
        eqn = self.builder.definition(atom)
        if eqn is not None and eqn.regions:
            return self._region_size(eqn, atom, axis)
        rule = PRIMITIVES[eqn.op].shape if eqn is not None and eqn.op in PRIMITIVES else None
        if eqn is not None and rule is not None:
            return rule(self, tuple(Handle(self, a) for a in eqn.args), eqn.attrs)[axis]
        return Handle(self, self.builder.emit("dim", (atom,), (INDEX,), {"axis": axis})[0])

    def _region_size(self, eqn: Eqn, out: Any, axis: int) -> Any:
        """One size of a result of a loop or branch: that of what goes in, where it stays the same."""
        if eqn.op in ("loop", "while"):
            source = loop_shape(self.builder, eqn, out)
            if source is not None:
                self.builder.shapes[out] = source
                return self.size(source, axis)
        elif eqn.op == "if":
            sizes = branch_sizes(self.builder, eqn, out)
            if sizes is not None:
                size = sizes[axis]
                return size.value if isinstance(size, Const) else Handle(self, size)
        else:
            known = call_size(self.builder, eqn, out, axis)
            if known is not None:
                return known.value if isinstance(known, Const) else self.size(*known)
        return Handle(self, self.builder.emit("dim", (out,), (INDEX,), {"axis": axis})[0])

    def dims_of(self, sizes: Sequence[Any]) -> tuple:
        """What is known of a shape given as ints and handles."""
        return tuple(map(self._dim_of, sizes))

    def _dim_of(self, size: Any) -> Dim:
        atom = self.atom(size)
        if isinstance(atom, Const):
            return atom.value
        eqn = self.builder.definition(atom)
        if eqn is not None and eqn.op == "dim":
            return eqn.args[0].type.dims[eqn.attrs["axis"]]
        if eqn is not None and eqn.op == "mul" and any(self._dim_of(a) not in (1, ANY) for a in eqn.args):
            return NOT_ONE  # a product of sizes is one only where both are
        return ANY

    def _check_broadcast(self, atoms: Sequence[Atom]) -> None:
        """Let the program check sizes that meet and are not known to be equal.

        NumPy would check them too, but the equation may go where only its derivative is wanted, and NumPy would stretch
        a computed size of 1 that the derivative does not know of.
        """
        rank = max(a.type.rank for a in atoms)
        for back in range(1, rank + 1):
            axes = [(a, a.type.rank - back) for a in atoms if a.type.rank >= back]
            axes = [(a, axis) for a, axis in axes if a.type.dims[axis] != 1]
            if len(axes) < 2:
                continue
            sizes = [self.size(a, axis) for a, axis in axes]
            for size in sizes[1:]:
                self.check_same(sizes[0], size)

    def check_same(self, a: Any, b: Any, message: str = "operands could not be broadcast together") -> None:
        """Emit a run-time check that two sizes are equal, unless that is known."""
        one, two = (self.builder.canonical(self.atom(x)) for x in (a, b))
        if one == two:
            return
        if isinstance(one, Const) and isinstance(two, Const):
            raise ShapeMismatch(f"{message}: sizes {one.value} and {two.value}", self.builder.loc)
        self.builder.emit("check_same", (one, two), (), {"message": message})
        first, second = (two, one) if isinstance(two, Const) else (one, two)
        self.builder.equal[second] = first

    def _check_inner(self, a: Atom, b: Atom) -> None:
        inner = self.size(a, a.type.rank - 1), self.size(b, max(b.type.rank - 2, 0))
        self.check_same(*inner, "matmul: inner sizes differ")

    # -- simplification ---------------------------------------------------------------------------------------

    def _fold(self, name: str, atoms: Sequence[Atom], type: Type, attrs: Mapping[str, Any]) -> Handle | None:
        """Constant folding and the identities that are exact in floating point."""
        if all(isinstance(a, Const) for a in atoms):
            value = evaluate_constant(name, atoms, type, attrs)
            return None if value is None else Handle(self, Const(value, type))
        keep = _IDENTITIES.get(name)
        kept = keep(*atoms) if keep else None
        if kept is None and name in ("add", "sub") and type == INDEX:
            return self._fold_offset(name, atoms)
        if kept is None and name == "where" and isinstance(type, Scalar):
            kept = self._fold_condition(*atoms, type=type)
        if kept is None and name in _SIGNED:
            moved = self._join_masks(name, atoms, type)
            moved = self._move_sign(name, atoms, type) if moved is None else moved
            if moved is not None:
                return moved
        if kept is None and name in _SPREADING and len(atoms) == 2:
            narrowed = self._narrow(atoms)
            if narrowed is not None:
                return self(name, *narrowed, types=(type,), **attrs)
        if kept is None:
            return self._fold_minus(name, atoms, type)
        return Handle(self, kept) if _same_kind(kept.type, type) else None

    def _fold_minus(self, name: str, atoms: Sequence[Atom], type: Type) -> Handle | None:
        """``-(-x)`` is ``x``; a factor or divisor of minus one is a sign."""
        if name == "neg":
            inner = self.builder.definition(atoms[0])
            kept = inner.args[0] if inner is not None and inner.op == "neg" else None
            return Handle(self, kept) if kept is not None and _same_kind(kept.type, type) else None
        factor = {"mul": (1, 0), "div": (1,)}.get(name, ())
        position = next((i for i in factor if _is(atoms[i], -1.0)), None)
        if position is None or not _same_kind(atoms[1 - position].type, type):
            return None
        return -Handle(self, atoms[1 - position])

    def _fold_condition(self, condition: Atom, a: Atom, b: Atom, *, type: Scalar) -> Atom | None:
        """``True if c else b`` is ``c or b``, ``a if c else False`` is ``c and a``; one constant is asked for once."""
        if type == PYTHON_BOOL and isinstance(a, Const) and a.value:
            return self("logical_or", condition, b, types=(PYTHON_BOOL,)).atom
        if type == PYTHON_BOOL and isinstance(b, Const) and not b.value:
            return self("logical_and", condition, a, types=(PYTHON_BOOL,)).atom
        inner = self.builder.definition(b)
        if isinstance(a, Const) and inner is not None and inner.op == "where" and inner.args[1] == a:
            either = self("logical_or", condition, inner.args[0], types=(PYTHON_BOOL,))
            return self("where", either, a, inner.args[2], types=(type,)).atom
        return None

    def _join_masks(self, name: str, atoms: Sequence[Atom], type: Type) -> Handle | None:
        """Two selections against zero by one condition are one: the sum is selected, not summed from selections."""
        (one, minus), (two, minus_two) = map(self._selection, atoms)
        if name == "mul" or one is None or two is None or one.args[0] != two.args[0]:
            return None
        for side in (1, 2):
            if all(_is(eqn.args[side], 0.0) for eqn in (one, two)):
                first, second = (Handle(self, eqn.args[3 - side]) for eqn in (one, two))
                total = self(name, -first if minus else first, -second if minus_two else second).atom
                ways = (total, one.args[2]) if side == 2 else (one.args[1], total)
                return self("where", one.args[0], *ways, types=(type,))
        return None

    def _selection(self, atom: Atom) -> tuple[Eqn | None, bool]:
        """The ``where`` that an atom is, and whether it is negated."""
        eqn = self.builder.definition(atom)
        if eqn is not None and eqn.op == "neg":
            inner, negative = self._selection(eqn.args[0])
            return inner, not negative
        return (eqn if eqn is not None and eqn.op == "where" else None), False

    def _move_sign(self, name: str, atoms: Sequence[Atom], type: Type) -> Handle | None:
        """``x + -y`` is ``x - y`` and ``c * -y`` is ``-(c * y)``, exactly."""
        eqn = self.builder.definition(atoms[1])
        if eqn is None or eqn.op != "neg" or not type.dtype.startswith("float"):
            return None
        positive = eqn.args[0]
        if name == "mul":
            return -self("mul", atoms[0], positive, types=(type,))
        return self("sub" if name == "add" else "add", atoms[0], positive, types=(type,))

    def _narrow(self, atoms: Sequence[Atom]) -> tuple[Atom, Atom] | None:
        """An operand that repeats one number gives way to the number, where the other has the full shape already."""
        for k, (one, other) in enumerate(((atoms[0], atoms[1]), (atoms[1], atoms[0]))):
            eqn = self.builder.definition(one)
            if (
                eqn is None
                or eqn.op != "full"
                or one.type.dims != other.type.dims
                or one.type.dtype != other.type.dtype
            ):
                continue
            if all(self.atom(a) == self.atom(b) for a, b in zip(eqn.args[1:], self.shape(other), strict=True)):
                return (eqn.args[0], other) if k == 0 else (other, eqn.args[0])
        return None

    def _fold_offset(self, name: str, atoms: Sequence[Atom]) -> Handle | None:
        """``(i - 1) + 1`` is ``i``: sums of an index and constants keep one constant."""
        base, offset = atoms
        if not isinstance(offset, Const):
            return None
        total = offset.value if name == "add" else -offset.value
        eqn = self.builder.definition(base)
        merged = False
        if (
            eqn is not None
            and eqn.op in ("add", "sub")
            and isinstance(eqn.args[1], Const)
            and eqn.outs[0].type == INDEX
        ):
            total += eqn.args[1].value if eqn.op == "add" else -eqn.args[1].value
            base, merged = eqn.args[0], True
        if total == 0:
            return Handle(self, base) if base.type == INDEX else None
        if not merged and (name == "add") == (total > 0):
            return None
        kind = "add" if total > 0 else "sub"
        return Handle(self, self.builder.emit(kind, (base, self.atom(abs(total))), (INDEX,))[0])

    # -- shared pieces of rules -------------------------------------------------------------------------------

    pi = math.pi

    def like(self, x: Any, value: Any) -> Handle:
        """``value`` in the dtype of ``x``: for numbers that ``where`` would otherwise give as float64."""
        type = self.atom(x).type
        return self.cast(value, dtype=type.dtype, weak=_weakness(type))

    def zeros_like(self, x: Any) -> Handle:
        """A zero of the type and shape of ``x``."""
        type = self.atom(x).type
        if isinstance(type, Scalar):
            return self.constant(_zero_of(type.dtype), type)
        return self("full", self.zero(type.dtype), *self.shape(x), dims=type.dims)

    def zero(self, dtype: str) -> Handle:
        """A scalar zero."""
        return self.constant(_zero_of(dtype), Scalar(dtype))

    def unsqueeze(self, x: Any, axes: Sequence[int]) -> Handle:
        """New axes of size 1 at the given positions of the result."""
        if isinstance(self.atom(x).type, Scalar):
            return self("full", x, *(1,) * len(axes), dims=(1,) * len(axes))
        rank = self.atom(x).type.rank + len(axes)
        spec = tuple(("new",) if i in axes else ("slice", False, False, 1) for i in range(rank))
        return self("index", x, spec=spec)

    def squeeze_axis(self, x: Any, axis: int) -> Handle:
        """Drop an axis of size 1."""
        rank = self.atom(x).type.rank
        spec = tuple(("int",) if i == axis else ("slice", False, False, 1) for i in range(rank))
        return self("index", x, 0, spec=spec)

    def swap_last(self, x: Handle) -> Handle:
        """Transpose the last two dimensions; of what is transposed like that already, take it as it was."""
        perm = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
        eqn = self.builder.definition(x.atom)
        if eqn is not None and eqn.op == "transpose" and eqn.attrs["perm"] == perm:
            return Handle(self, eqn.args[0])
        return self("transpose", x, perm=perm)

    def reshape_to(self, x: Any, sizes: Sequence[Any], like: Type) -> Handle:
        """The elements of ``x`` in the shape of a type whose sizes are given."""
        if not sizes:
            return self("index", self("reshape", x, 1, dims=(1,)), 0, spec=(("int",),))
        return self("reshape", x, *sizes, dims=like.dims)

    def broadcast(self, x: Any, sizes: Sequence[Any], dims: tuple) -> Handle:
        """``x`` repeated along its dimensions of size 1 and new leading ones."""
        type = self.atom(x).type
        if type.dims == tuple(dims) and not any(d == ANY for d in dims):
            return Handle(self, self.atom(x))
        if isinstance(type, Scalar):
            return self("full", x, *sizes, dims=tuple(dims))
        return self("broadcast_to", x, *sizes, dims=tuple(dims))

    def match(self, cotangent: Handle, type: Type, like: Any) -> Handle:
        """Sum and cast a cotangent back to the shape and dtype that broadcasting started from."""
        rank = type.rank
        lead = tuple(range(cotangent.rank - rank))
        ones = tuple(
            axis + len(lead)
            for axis, dim in enumerate(type.dims)
            if dim == 1 and cotangent.type.dims[axis + len(lead)] != 1
        )
        if ones:
            cotangent = self.sum(cotangent, axis=ones, keepdims=True)
        if lead:
            cotangent = self.sum(cotangent, axis=lead, keepdims=False)
        if cotangent.type.dtype != type.dtype:
            cotangent = self.cast(cotangent, dtype=type.dtype, weak=_weakness(type))
        return cotangent

    def add_up(self, a: Handle | None, b: Handle | None) -> Handle | None:
        """The sum of two (co)tangents, either of which may be an absent zero."""
        if a is None or b is None:
            return b if a is None else a
        return a + b


def _zero_of(dtype: str) -> bool | int | float:
    return False if dtype == "bool" else 0.0 if dtype.startswith("float") else 0


def _weakness(type: Type) -> bool:
    return isinstance(type, Scalar) and type.weak


def _same_kind(a: Type, b: Type) -> bool:
    return a.dtype == b.dtype and a.rank == b.rank and _weakness(a) == _weakness(b) and a.dims == b.dims


def _is(atom: Atom, number: float) -> bool:
    return isinstance(atom, Const) and not isinstance(atom.value, bool) and operator.eq(atom.value, number)


_SIGNED = ("add", "sub", "mul")
_SPREADING = ("add", "sub", "mul", "div")
_IDENTITIES = {
    "mul": lambda a, b: a if _is(b, 1.0) else b if _is(a, 1.0) else None,
    "div": lambda a, b: a if _is(b, 1.0) else None,
    "pow": lambda a, b: a if _is(b, 1.0) else None,
    "sub": lambda a, b: a if _is(b, 0.0) and str(b.value)[0] != "-" else None,
    "cast": lambda a: a,
    "where": lambda c, a, b: (a if c.value else b) if isinstance(c, Const) else None,
}


def require_array(x: Any, what: str) -> Array:
    """The array type of a handle, or a `MissingRule`."""
    if isinstance(x, Handle) and isinstance(x.type, Array):
        return x.type
    raise MissingRule(f"{what} needs an array")
