"""How much the adjoint of nested loops and branches records: counted in equations."""

import numpy as np

import adcompile


def nested(tmp_path, depth):
    """A function of loops and branches, in turn, to some depth; each changes an element and a number."""
    lines, indent = ["import numpy as np", "def f(x, n):", "    a = x.copy()", "    p = 0.5"], "    "
    for level in range(depth):
        lines.append(indent + (f"if a[{level}] > 0.1:" if level % 2 else f"for i{level} in range(n):"))
        indent += "    "
        lines.append(f"{indent}a[{level}] = np.sin(a[{level}] * p + a[{level + 1}])")
        lines.append(f"{indent}p = np.tanh(p + a[{level}])")
    lines.append("    return p + np.sum(a)")
    path = tmp_path / f"nested_{depth}.py"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    space = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    return space["f"]


def test_code_grows_slowly_with_depth(tmp_path):
    """Guards against exponential growth: tapes of each loop or branch that are recorded again by all around it.

    Every level adds values that all levels around it record, so the source grows with the square of the depth: 36, 128
    and 288 lines when this was written. Growth by the same factor for every two levels would give 455, and fails.
    """
    sizes = {}
    for depth in (1, 3, 5):
        f, x = nested(tmp_path, depth), np.full(8, 0.3)
        gradient = adcompile.grad(f, backend="python")
        for k, unit in enumerate(np.eye(8)):
            expected = (f(x + 1e-5 * unit, 3) - f(x - 1e-5 * unit, 3)) / 2e-5
            np.testing.assert_allclose(gradient(x, 3)[k], expected, rtol=1e-7, atol=1e-8)
        sizes[depth] = len(gradient.source(x, 3).splitlines())
    assert sizes[5] < 3 * sizes[3] < 15 * sizes[1], sizes


def gathered(density, shift, steps):
    density = density.copy()
    moved = np.empty_like(density)
    n, m = density.shape
    for _ in range(steps):
        for i in range(n):
            for j in range(m):
                k = int(shift[i, j])
                moved[i, j] = density[k, j] * density[i, j] + density[i, k]
        density[:] = moved
    return np.sum(density)


def exchanged(density, shift, steps):
    moved = np.zeros_like(density)
    density = density.copy()
    for _ in range(steps):
        for i in range(2):
            moved[i, i] = density[int(shift[i, 0]), i] ** 2
        density, moved = moved, density
    return np.sum(density)


def test_an_array_made_anew_is_recorded_once_and_whole():
    density, shift = np.random.default_rng(0).uniform(0.5, 1.5, (3, 3)), np.array([[0.0, 1, 2], [2, 1, 0], [1, 1, 1]])
    gradient = adcompile.grad(gathered)
    found = gradient(density, shift, 3)
    step, h = np.random.default_rng(1).standard_normal((3, 3)), 1e-6
    expected = (gathered(density + h * step, shift, 3) - gathered(density - h * step, shift, 3)) / (2 * h)
    np.testing.assert_allclose(np.sum(found * step), expected, rtol=1e-7)
    assert "# recorded: density_tape\n" in gradient.source(density, shift, 3)


def test_an_array_that_is_handed_on_is_not_recorded_whole():
    density, shift = np.random.default_rng(0).uniform(0.5, 1.5, (3, 3)), np.array([[0.0], [2.0]])
    gradient = adcompile.grad(exchanged)
    gradient(density, shift, 3)
    assert "density_tape" not in gradient.source(density, shift, 3)
