"""The generated sections of the documentation, each from what the compiler itself goes by.

`SECTIONS`: name → the Markdown that stands between ``<!-- generated: name -->`` and ``<!-- end -->`` in a page.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import math
import re
import types
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

import adcompile
from adcompile import errors
from adcompile.frontend import calls, expressions, statements
from adcompile.inspect.stages import STAGES
from adcompile.primitives import ATTRIBUTES, METHODS, PRIMITIVES, find
from adcompile.primitives.registry import LAZY
from adcompile.symbolic import proof_table

ROOT = Path(adcompile.__file__).parent

# -- the language -----------------------------------------------------------------------------------------------

STATEMENT_WORDS: dict[type[ast.stmt], tuple[str, str]] = {
    ast.Assign: ("`a = b = …`, `x, *rest = …`, `a[i] = …`", "binds names, unpacks, or updates an array in place"),
    ast.AnnAssign: ("`x: float = …`", "the annotation is ignored"),
    ast.AugAssign: ("`x += …`, `a[i] *= …`", "in place on arrays, a new value for numbers"),
    ast.Expr: ("`helper(a)`, docstrings", "for what the call writes into its arguments"),
    ast.Return: ("`return …`", "anywhere: in branches and in loops too"),
    ast.Pass: ("`pass`", ""),
    ast.FunctionDef: ("`def inner(…): …`", "closures read the variables around them; decorators are called"),
    ast.Import: ("`import …`", "inside the function"),
    ast.ImportFrom: ("`from … import …`", "inside the function"),
    ast.If: ("`if` / `elif` / `else`", "decided while tracing where the condition is known then, else at run time"),
    ast.Match: ("`match` / `case`", "on numbers, strings, alternatives and `_`, with guards: read as `if` / `elif`"),
    ast.For: ("`for` / `else`", "over `range`, arrays, `zip`, `enumerate`: a loop; over containers: unrolled"),
    ast.While: ("`while` / `else`", "a loop whose iterations are counted for the reverse sweep"),
    ast.Break: ("`break`", ""),
    ast.Continue: ("`continue`", ""),
    ast.Assert: ("`assert …, …`", "checked at run time where it depends on run-time values"),
    ast.Raise: ("`raise ValueError(…)`", "built-in exceptions; under a condition, a check at run time"),
}
REFUSED_STATEMENTS: dict[type[ast.stmt], str] = {
    ast.AsyncFunctionDef: "`async def`", ast.ClassDef: "`class`", ast.Delete: "`del`", ast.AsyncFor: "`async for`",
    ast.With: "`with`", ast.AsyncWith: "`async with`", ast.Try: "`try`",
    ast.TryStar: "`try` / `except*`", ast.Global: "`global`", ast.Nonlocal: "`nonlocal`",
}  # fmt: skip
EXPRESSION_WORDS: dict[type[ast.expr], tuple[str, str]] = {
    ast.Constant: ('`1.5`, `3`, `True`, `None`, `"text"`', "no complex numbers"),
    ast.Name: ("`x`", "a local, a variable of an enclosing function, a global, a builtin"),
    ast.BinOp: ("`x + y`, `A @ B`, …", "the operators of the table below"),
    ast.UnaryOp: ("`-x`, `not x`, …", ""),
    ast.BoolOp: ("`p and q`, `p or q`", "with short circuit: what the left side decides is not run"),
    ast.Compare: ("`a < b <= c`, `is`, `in`", "chains too; `in` only on values known while tracing"),
    ast.IfExp: ("`x if p else y`", "only the chosen side is run"),
    ast.Call: ("`f(x, *args, key=…)`", "supported functions, your own functions, adcompile's transforms"),
    ast.Attribute: ("`a.shape`, `params.w`, `np.pi`", "of arrays, containers, modules"),
    ast.Subscript: ('`a[i, 1:-1]`, `params["w"]`', "integers, slices, `...`, `None`, integer arrays, masks"),
    ast.Slice: ("`i:j:k`", "the step known while tracing"),
    ast.Tuple: ("`(x, y, *rest)`", ""),
    ast.List: ("`[x, y, *rest]`", ""),
    ast.Dict: ('`{"w": w, **more}`', ""),
    ast.ListComp: ("`[f(x) for x in xs if …]`", "over what has a length known while tracing"),
    ast.GeneratorExp: ("`sum(f(x) for x in xs)`", "the same"),
    ast.DictComp: ("`{k: f(v) for k, v in d.items()}`", "the same"),
    ast.Lambda: ("`lambda x: …`", ""),
    ast.NamedExpr: ("`(y := …)`", ""),
    ast.JoinedStr: ('`f"… {n}"`', "what is known only at run time shows as its source text"),
}
REFUSED_EXPRESSIONS: dict[type[ast.expr], str] = {
    ast.Set: "`{x, y}`", ast.SetComp: "`{x for …}`", ast.Await: "`await`", ast.Yield: "`yield`",
    ast.YieldFrom: "`yield from`",
}  # fmt: skip
_PARTS = {ast.FormattedValue, ast.Starred}
"""Expressions that only stand inside others, whose rules handle them."""
_SYMBOLS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
    ast.UAdd: "+x", ast.USub: "-x", ast.Invert: "~x", ast.Not: "not x", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<",
    ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip


def _require_same(described: Iterable[type], found: Iterable[type], where: str) -> None:
    """Fail where the descriptions above and the compiler's own tables have come apart."""
    apart = sorted(c.__name__ for c in set(described) ^ set(found))
    if apart:
        raise ValueError(f"docs/tables.py and {where} differ in {', '.join(apart)}")


def accepted_statements() -> str:
    """The statements of the fence."""
    _require_same(STATEMENT_WORDS, statements.STATEMENTS, "STATEMENTS")
    return _table(("statement", "remarks"), STATEMENT_WORDS.values())


def refused_statements() -> str:
    """Every other statement of Python, with the remedy that its error gives."""
    _require_same((*STATEMENT_WORDS, *REFUSED_STATEMENTS), ast.stmt.__subclasses__(), "ast.stmt")
    return _table(
        ("statement", "remedy"), ((w, statements._REMEDIES.get(c, "")) for c, w in REFUSED_STATEMENTS.items())
    )


def accepted_expressions() -> str:
    """The expressions of the fence."""
    _require_same(EXPRESSION_WORDS, expressions.EXPRESSIONS, "EXPRESSIONS")
    return _table(("expression", "remarks"), EXPRESSION_WORDS.values())


def refused_expressions() -> str:
    """Every other expression of Python, with the remedy that its error gives."""
    found = set(ast.expr.__subclasses__()) - _PARTS
    found = {c for c in found if c.__module__ == "ast" and c.__name__ not in ("TemplateStr", "Interpolation")}
    _require_same((*EXPRESSION_WORDS, *REFUSED_EXPRESSIONS), found, "ast.expr")
    return _table(
        ("expression", "remedy"), ((w, expressions._REMEDIES.get(c, "")) for c, w in REFUSED_EXPRESSIONS.items())
    )


def operators() -> str:
    """The operators of the fence."""
    _require_same(_SYMBOLS, expressions.OPERATORS, "OPERATORS")
    return " ".join(f"`{symbol}`" for symbol in _SYMBOLS.values())


def _names(values: Iterable[str]) -> str:
    return ", ".join(f"`{v}`" for v in sorted(values)) + "."


def _supported(module: types.ModuleType) -> list[str]:
    public = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
    return [n for n in public if find(getattr(module, n)) is not None]


def python_builtins() -> str:
    """Builtins with a meaning on traced values."""
    special = [n for n, thing in vars(builtins).items() if any(thing is f for f in calls._SPECIAL)]
    return _names({*special, *_supported(builtins)})


def numpy_functions() -> str:
    """NumPy's functions, types and constants by module, the aliases of dtypes left out."""
    kinds = {n for n in _supported(np) if isinstance(getattr(np, n), type)}
    plain = {getattr(np, n).__name__ for n in kinds}
    functions = [n for n in _supported(np) if n not in kinds]
    linear = [f"linalg.{n}" for n in _supported(np.linalg)]
    return f"Functions of `np`: {_names([*functions, *linear])}\n\nConversions: {_names(plain)}"


def math_functions() -> str:
    """Functions of ``math``."""
    return _names(_supported(math))


def scipy_functions() -> str:
    """Functions of SciPy."""
    return _names(name.replace(":", ".") for name in LAZY)


def methods() -> str:
    """Methods and attributes of arrays."""
    return f"Methods: {_names(METHODS)}\n\nAttributes: {_names(ATTRIBUTES)}"


def stages() -> str:
    """The names of the stages."""
    return " → ".join(f"`{name}`" for name in STAGES)


# -- rules ------------------------------------------------------------------------------------------------------


def array_primitives() -> str:
    """The primitives that look at whole arrays, and how each is differentiated."""
    return _table(
        ("primitive", "what it is", "derivative"),
        ((f"`{p.name}`", p.doc, _how(p)) for p in PRIMITIVES.values() if not p.elementwise),
    )


def _how(primitive: adcompile.primitives.Primitive) -> str:  # type: ignore[name-defined]
    if not primitive.differentiable:
        return "none"
    linear = f"linear in {', '.join(map(str, primitive.linear))}" if primitive.linear else ""
    rules = [name for name in ("jvp", "vjp") if getattr(primitive, name) is not None]
    return "; ".join(w for w in (linear, " and ".join(rules)) if w)


# -- errors, modules, the public interface ----------------------------------------------------------------------


def error_classes() -> str:
    """The error classes."""
    kinds = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.AdcompileError)]
    rows = []
    for kind in kinds:
        also = [b.__name__ for b in kind.__bases__ if b is not errors.AdcompileError]
        rows.append((f"`{kind.__name__}`", ", ".join(f"`{a}`" for a in also), _first_line(kind.__doc__)))
    return _table(("class", "also a", "when"), rows)


def modules() -> str:
    """Every module with the first line of its docstring."""
    rows = []
    for path in sorted(ROOT.rglob("*.py"), key=lambda p: (len(p.relative_to(ROOT).parts) > 1, str(p))):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        rows.append((f"`{path.relative_to(ROOT.parent).as_posix()}`", _first_line(text)))
    return _table(("module", "what it does"), rows)


def public_names() -> str:
    """The public functions: signature and docstring."""
    found = [(name, getattr(adcompile, name)) for name in adcompile.__all__]
    functions = [(n, o) for n, o in found if not (isinstance(o, type) and issubclass(o, Exception))]
    return "\n\n".join(_entry(f"adcompile.{name}", thing) for name, thing in functions)


def inspection() -> str:
    """The methods of what a transform returns."""
    kind = importlib.import_module("adcompile.api").Transform
    return "\n\n".join(_entry(f"g.{name}", getattr(kind, name)) for name in ("trace", "source", "stages", "graph"))


def options() -> str:
    """The options of every transform."""
    return _sections(inspect.getdoc(importlib.import_module("adcompile.api").Options) or "")


def command_line() -> str:
    """The words and options of the command line."""
    commands = next(a for a in importlib.import_module("adcompile.__main__")._parser()._actions if a.choices)
    rows = []
    for name, parser in commands.choices.items():
        for action in parser._actions:
            if action.dest != "help":
                word = action.option_strings[0] if action.option_strings else action.metavar or action.dest
                choices = f": {', '.join(f'`{c}`' for c in action.choices)}" if action.choices else ""
                rows.append((f"`{name}`", f"`{word}`", f"{action.help}{choices}"))
    return _table(("command", "argument", "meaning"), rows)


def _entry(name: str, thing: Callable) -> str:
    parts = [f"### `{name}`", f"```text\n{name}{_signature(thing)}\n```", _sections(inspect.getdoc(thing) or "")]
    if isinstance(thing, type):
        parts += [
            f"**`{method}{_signature(rule)}`**: {_sections(inspect.getdoc(rule) or '')}"
            for method, rule in vars(thing).items()
            if inspect.isfunction(rule) and not method.startswith("_")
        ]
    return "\n\n".join(parts)


def _signature(thing: Callable) -> str:
    """Names and defaults of the parameters."""
    signature = inspect.signature(thing)
    kept = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name != "self"]
    return str(signature.replace(parameters=kept, return_annotation=signature.empty))


def _sections(text: str) -> str:
    """A numpydoc docstring as Markdown."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.MULTILINE)
    lines = [_sentences(parts[0])]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        lines.append(f"*{title}*\n")
        lines.append(f"```pycon\n{body.strip()}\n```" if title == "Examples" else _items(body))
    return "\n\n".join(line.strip() for line in lines if line.strip())


def _items(body: str) -> str:
    items: list[list[str]] = []
    for line in filter(str.strip, body.splitlines()):
        if line.startswith(" "):
            items[-1].append(_code(line.strip()))
        else:
            items.append([_named(line) if " : " in line else f"- `{line.strip()}`"])
    return "\n".join(": ".join([head, " ".join(rest)] if rest else [head]) for head, *rest in items)


def _named(line: str) -> str:
    name, _, kind = line.partition(" : ")
    return f"- `{name.strip()}` ({_code(kind.strip())})"


def _sentences(text: str) -> str:
    """Paragraphs, one sentence per line."""
    paragraphs = [" ".join(p.split()) for p in text.strip().split("\n\n")]
    return "\n\n".join(re.sub(r"(?<=[a-z`)]\.) (?=[A-Z`])", "\n", _code(p)) for p in paragraphs)


def _code(text: str) -> str:
    return text.replace("``", "`")


def _first_line(text: str | None) -> str:
    return _code(" ".join((text or "").split("\n\n")[0].split()))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in row)} |" for row in rows)])


SECTIONS: dict[str, Callable[[], str]] = {
    "accepted-statements": accepted_statements,
    "refused-statements": refused_statements,
    "accepted-expressions": accepted_expressions,
    "refused-expressions": refused_expressions,
    "operators": operators,
    "builtins": python_builtins,
    "numpy": numpy_functions,
    "math": math_functions,
    "scipy": scipy_functions,
    "methods": methods,
    "stages": stages,
    "proofs": proof_table,
    "array-primitives": array_primitives,
    "errors": error_classes,
    "modules": modules,
    "public-names": public_names,
    "inspection": inspection,
    "options": options,
    "command-line": command_line,
}
"""What each generated section is written by."""
