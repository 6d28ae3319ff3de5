"""Products of a matrix with its own transpose: BLAS computes one triangle (``syrk``), the other is a mirror image.

That is half the work, and pays from a few dozen rows on; smaller products are a `adcompile.backend.llvm.blas` product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adcompile.backend.llvm import blas
from adcompile.backend.llvm.code import LLVM, Code, Module, literal, memory_type
from adcompile.backend.llvm.memory import Operand
from adcompile.ir import Eqn

if TYPE_CHECKING:
    from adcompile.backend.llvm.emit import Kernel

LEAST = 96
"""Rows of the result from which on one triangle is computed."""
ROUTINES = {"float64": "dsyrk", "float32": "ssyrk"}


def _gemm(kernel: Kernel, eqn: Eqn) -> list[Operand]:
    """Any product."""
    if not _is_gram(eqn):
        return blas.gemm(kernel, eqn)
    c, a = kernel.read(eqn.args[0]), kernel.read(eqn.args[1])
    turned = bool(eqn.attrs["trans_a"])
    name = _helper(kernel.module, eqn.args[0].type.dtype)
    inner = a.sizes[0] if turned else a.sizes[1]
    operands = f"ptr {c.pointer}, ptr {a.pointer}, i64 {c.sizes[0]}, i64 {inner}, i1 {str(turned).lower()}"
    kernel.code.do(f"call void @{name}({operands})")
    return [c]


def _is_gram(eqn: Eqn) -> bool:
    """Whether a ``gemm`` is the product of a matrix with its own transpose, into a new matrix."""
    attrs, (c, a, b) = eqn.attrs, eqn.args
    return a is b and attrs["trans_a"] != attrs["trans_b"] and not attrs["accumulate"] and c.type.dtype in ROUTINES


def _helper(module: Module, dtype: str) -> str:
    """``C = Aᵀ A`` where ``turned``, else ``A Aᵀ``, of ``n`` rows; ``k`` is the inner size."""
    name = f"adcompile_gram_{dtype}"
    if name not in module.functions:
        code = Code(module)
        _syrk(code, dtype)
        _mirror(code, dtype)
        pointers = "ptr noalias %c, ptr noalias readonly %a"
        head = f"define internal void @{name}({pointers}, i64 %n, i64 %k, i1 %turned) noinline nounwind {{"
        module.functions[name] = "\n".join([head, "entry:", *code.lines, "}"])
    return name


def _syrk(code: Code, dtype: str) -> None:
    """The part of C on and above its diagonal, which is the lower one of the columns that BLAS sees."""
    large, product = code.label("large"), code.label("product")
    widest = code.let("or i64 %n, %k")
    fits = code.let(f"icmp ult i64 {widest}, {2**31}")
    pays = code.let(f"icmp uge i64 %n, {LEAST}")
    code.do(f"br i1 {code.let(f'and i1 {fits}, {pays}')}, label %{large}, label %{product}")
    code.start(product)
    other, helper = code.let("xor i1 %turned, true"), blas.helper(code.module, dtype)
    sizes = f"i64 %n, i64 %n, i64 %k, i1 %turned, i1 {other}, i1 false"
    code.do(f"call void @{helper}(ptr %c, ptr %a, ptr %a, {sizes})")
    code.do("ret void")
    code.start(large)
    lead = code.let("select i1 %turned, i64 %n, i64 %k")
    n, k, width = (blas.variable(code, "i32", code.let(f"trunc i64 {w} to i32")) for w in ("%n", "%k", lead))
    letter = code.let(f"select i1 %turned, i8 {ord('N')}, i8 {ord('T')}")
    side, mode = blas.variable(code, "i8", str(ord("L"))), blas.variable(code, "i8", letter)
    type = LLVM[dtype]
    one, zero = (blas.variable(code, type, literal(x, dtype)) for x in (1.0, 0.0))
    operands = [side, mode, n, k, one, "%a", width, zero, "%c", n]
    routine = code.address(f"blas {ROUTINES[dtype]}")
    work = code.let(f"mul i64 {code.let('mul i64 %n, %n')}, %k")
    restore = blas.alone(code, work) if blas.thread_control() else ""
    code.do(f"call void {routine}({', '.join(f'ptr {o}' for o in operands)})")
    if restore:
        code.do(restore)


def _mirror(code: Code, dtype: str) -> None:
    """c[i, j] = c[j, i] for j < i; there are at least two rows."""
    before, rows, columns, next_row, done = code.here, *map(code.label, ("rows", "columns", "next", "done"))
    memory = memory_type(dtype)
    code.do(f"br label %{rows}")
    code.start(rows)
    code.do(f"%i = phi i64 [ 1, %{before} ], [ %i.next, %{next_row} ]")
    row = code.let("mul nuw nsw i64 %i, %n")
    code.do(f"br label %{columns}")
    code.start(columns)
    code.do(f"%j = phi i64 [ 0, %{rows} ], [ %j.next, %{columns} ]")
    above = code.let(f"add nuw nsw i64 {code.let('mul nuw nsw i64 %j, %n')}, %i")
    source = code.let(f"getelementptr inbounds {memory}, ptr %c, i64 {above}")
    target = code.let(f"getelementptr inbounds {memory}, ptr %c, i64 {code.let(f'add nuw nsw i64 {row}, %j')}")
    code.do(f"store {memory} {code.let(f'load {memory}, ptr {source}')}, ptr {target}")
    code.do("%j.next = add nuw nsw i64 %j, 1")
    code.do(f"br i1 {code.let('icmp ult i64 %j.next, %i')}, label %{columns}, label %{next_row}")
    code.start(next_row)
    code.do("%i.next = add nuw nsw i64 %i, 1")
    code.do(f"br i1 {code.let('icmp ult i64 %i.next, %n')}, label %{rows}, label %{done}")
    code.start(done)
    code.do("ret void")


HANDLERS = {"gemm": _gemm}
