"""The shape of the code base: layers import downwards only, files stay small, heavy packages stay where they belong."""

import ast
import functools
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import adcompile
from adcompile import api

PACKAGE = Path(adcompile.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 500
LEVELS = (
    {"source"},
    {"errors"},
    {"tree", "threads", "disk"},
    {"ir"},
    {"primitives"},
    {"frontend", "analysis", "transform", "lower"},
    {"codegen"},
    {"backend"},
    {"modes"},
    {"positions", "dispatch", "durable"},
    {"recall"},
    {"api"},
    {"functions", "custom", "mapping", "checkpointing", "fixed_points", "inspect", "symbolic", "testing"},
    {"__init__"},
    {"__main__"},
)
"""The folders and modules from the bottom to the top; each may import its own level and those below."""
SHOWN = {("api", "inspect")}
"""Imports upwards on purpose: the methods of a Transform that show its program."""
HOMES = {
    "llvmlite": ("backend",),
    "numba": ("backend",),
    "sympy": ("symbolic",),
    "scipy": ("backend/llvm", "primitives/runtime.py", "primitives/scipy_names.py"),
}
"""Where a package may be imported."""


def module_of(path):
    """The first part of a module's name below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def folder_of(name):
    """A module or folder of the package; anything else is a name that the package itself exports."""
    return name if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists() else "__init__"


def level_of(name):
    return next(k for k, names in enumerate(LEVELS) if name in names)


def is_for_typing(node, parents):
    """Whether an import stands under ``if TYPE_CHECKING``."""
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return True
    return False


@functools.cache
def imports_of(path):
    """The dotted names that a file imports anywhere, with their lines."""
    return tuple(_imports_of(path))


def _imports_of(path):
    tree = ast.parse(path.read_text())
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [node.module] if node.module != "adcompile" else [f"adcompile.{a.name}" for a in node.names]
        else:
            continue
        if not is_for_typing(node, parents):
            yield from ((name, node.lineno) for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    own = module_of(path)
    wrong = [
        f"line {line}: {name}"
        for name, line in imports_of(path)
        if name.startswith("adcompile.")
        and (other := folder_of(name.split(".")[1])) != "__init__"
        and level_of(other) > level_of(own)
        and (own, other) not in SHOWN
    ]
    assert not wrong, f"{path.relative_to(PACKAGE)} imports from above: {'; '.join(wrong)}"


@pytest.mark.parametrize("package", HOMES)
def test_packages_stay_home(package):
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in FILES
        for name, line in imports_of(path)
        if name.split(".")[0] == package and not str(path.relative_to(PACKAGE)).startswith(HOMES[package])
    ]
    assert not wrong, f"{package} is imported in {', '.join(wrong)}"


def test_files_are_small():
    long = {str(p.relative_to(PACKAGE)): n for p in FILES if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines: {long}"


def loaded_after(statements):
    """The heavy packages that a fresh process has loaded after some statements."""
    code = f"{statements}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}} & {set(HOMES)}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_is_light():
    assert loaded_after("import adcompile") == []


def test_scalar_gradient_loads_llvmlite_only(tmp_path):
    (tmp_path / "light.py").write_text("import math\n\n\ndef f(x):\n    return math.sin(x) * x\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport adcompile, light\nadcompile.grad(light.f)(1.0)"
    assert loaded_after(code) == ["llvmlite"]
    assert loaded_after(code.replace("light.f)", "light.f, backend='python')")) == []


def test_every_module_has_a_level():
    found = {module_of(path) for path in FILES}
    assert found == set().union(*LEVELS), "say in LEVELS where a new folder belongs"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_has_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("name", adcompile.__all__)
def test_public_names_have_docstrings(name):
    found = getattr(adcompile, name)
    words = inspect.getdoc(found) if not isinstance(found, type) else vars(found).get("__doc__")
    assert words, f"{name} has no docstring of its own"


@pytest.mark.parametrize("name", [n for n in adcompile.__all__ if isinstance(getattr(adcompile, n), type)])
def test_public_classes_have_documented_methods(name):
    kind = getattr(adcompile, name)
    methods = {k: m for k, m in vars(kind).items() if inspect.isfunction(m) and not k.startswith("_")}
    assert not [k for k, m in methods.items() if not m.__doc__]


def test_methods_of_a_transform_have_docstrings():
    methods = {k: m for k, m in vars(api.Transform).items() if inspect.isfunction(m) and not k.startswith("_")}
    assert "trace" in methods
    assert not [k for k, m in methods.items() if not m.__doc__]


def test_all_is_sorted_and_complete():
    assert list(adcompile.__all__) == sorted(adcompile.__all__)
    public = {
        name
        for name, value in vars(adcompile).items()
        if not name.startswith("_") and not inspect.ismodule(value) and getattr(value, "__module__", "") != "__future__"
    }
    assert public - {"Any", "TYPE_CHECKING", "annotations"} <= set(adcompile.__all__)
