"""Small numerical methods that return one float: what the compiler is for."""

import numpy as np

import adcompile
from tests.corpus.program import scalar


def positive(*shapes, extra=()):
    """Arguments between 0.5 and 1.5, then inactive values."""
    return lambda r: (*(r.uniform(0.5, 1.5) if s == () else r.uniform(0.5, 1.5, size=s) for s in shapes), *extra)


@scalar(positive(8, (), extra=(4,)), (0, 1), "numba")
def heat_one_dimension(u0, c, steps):
    u = u0.copy()
    for _ in range(steps):
        u[1:-1] += 0.2 * c * (u[2:] - 2.0 * u[1:-1] + u[:-2])
    return np.sum(u * u)


@scalar(positive((5, 4), 5, extra=(3,)), (0, 1))
def heat_two_dimensions(u0, c, steps):
    u = u0.copy()
    for _ in range(steps):
        new = u.copy()
        lap = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * u[1:-1, 1:-1]
        new[1:-1, 1:-1] = u[1:-1, 1:-1] + 0.1 * c[1:-1, None] * lap
        u = new
    return np.sum(u**3)


@scalar(positive((4, 4, 4), extra=(2,)))
def heat_three_dimensions(u0, steps):
    u = u0.copy()
    v = u0.copy()
    n = u.shape[0]
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, n - 1):
                for k in range(1, n - 1):
                    lap = u[i - 1, j, k] + u[i + 1, j, k] + u[i, j - 1, k] + u[i, j + 1, k]
                    lap += u[i, j, k - 1] + u[i, j, k + 1] - 6.0 * u[i, j, k]
                    v[i, j, k] = u[i, j, k] + 0.1 * lap * u[i, j, k]
        u, v = v, u
    return np.sum(u * u)


@scalar(positive(8, 8, extra=(5,)), (0, 1))
def wave(u0, speed, steps):
    old, now = u0.copy(), u0.copy()
    new = np.zeros_like(u0)
    for _ in range(steps):
        for i in range(1, len(u0) - 1):
            new[i] = 2.0 * now[i] - old[i] + 0.1 * speed[i] ** 2 * (now[i + 1] - 2.0 * now[i] + now[i - 1])
        old, now, new = now, new, old
    return np.sum(now[2:-2] ** 2) + now[3] * old[2]


@scalar(positive(9, (), extra=(4,)), (0, 1))
def burgers_periodic(u0, nu, steps):
    u = u0.copy()
    n = len(u)
    for _ in range(steps):
        f = 0.5 * u**2
        flux = np.zeros(n + 1)
        flux[:-1] = 0.5 * (f + np.roll(f, 1)) - 0.1 * nu * (u - np.roll(u, 1))
        flux[-1] = flux[0]
        u = u - 0.1 * np.diff(flux)
    return np.sum(u * np.sin(np.arange(n)))


@scalar(positive(6, 6, extra=(5,)), (0, 1))
def burgers_upwind(u0, target, steps):
    u = u0.copy()
    for _ in range(steps):
        before = u.copy()
        for i in range(len(u)):
            if before[i] > 0.0:
                u[i] -= 0.1 * before[i] * (before[i] - before[i - 1])
            else:
                u[i] -= 0.1 * before[i] * (before[(i + 1) % len(u)] - before[i])
    return np.mean((u - target) ** 2)


@scalar(positive((4, 4), 4, extra=(6,)), (0, 1))
def jacobi(m, b, sweeps):
    a = m + 6.0 * np.eye(4)
    d = np.diag(a)
    x = np.zeros(4)
    for _ in range(sweeps):
        x = (b - (a @ x - d * x)) / d
    return np.sum(x * b)


@scalar(positive((4, 4), 4, extra=(4,)), (0, 1), "numba")
def gauss_seidel_dense(m, b, sweeps):
    n = len(b)
    x = np.zeros(n)
    for _ in range(sweeps):
        for i in range(n):
            s = b[i]
            for j in range(n):
                if j != i:
                    s -= m[i, j] * x[j]
            x[i] = s / (m[i, i] + 5.0)
    return x @ x


@scalar(positive((5, 5), extra=(3,)), 0)
def gauss_seidel_red_black(u0, sweeps):
    u = u0.copy()
    for sweep in range(2 * sweeps):
        for i in range(1, 4):
            for j in range(1 + (i + sweep) % 2, 4, 2):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]) + 0.05 * u[i, j] ** 2
    return np.sum(u[1:-1, 1:-1] ** 2)


@scalar(positive((3, 2), (3, 2), 3, extra=(4,)), (0, 1, 2), "once")
def n_body(q0, v0, mass, steps):
    q, v = q0 * 4.0, v0.copy()
    n = q.shape[0]
    for _ in range(steps):
        for i in range(n):
            for j in range(n):
                if i == j:
                    continue
                d = q[j] - q[i]
                r2 = d @ d + 0.5
                v[i] += 0.05 * mass[j] * d / (r2 * np.sqrt(r2))
        q += 0.05 * v
    energy = 0.0
    for i in range(n):
        energy += 0.5 * mass[i] * np.sum(v[i] ** 2)
        for j in range(i):
            energy -= mass[i] * mass[j] / np.sqrt(np.sum((q[i] - q[j]) ** 2) + 0.5)
    return energy


@scalar(positive((4, 4), 4), (0, 1))
def lu_without_pivoting(m, b):
    a = m + 4.0 * np.eye(4)
    n = len(b)
    for k in range(n - 1):
        for i in range(k + 1, n):
            a[i, k] /= a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= a[i, k] * a[k, j]
    y = b.copy()
    for i in range(n):
        y[i] -= a[i, :i] @ y[:i]
    for i in range(n - 1, -1, -1):
        y[i] = (y[i] - a[i, i + 1 :] @ y[i + 1 :]) / a[i, i]
    return np.sum(y * y) + np.log(a[0, 0] * a[3, 3])


@scalar(positive((), ()), (0, 1))
def newton_while(a, b):
    x = 1.0 + a
    residual = 1.0
    count = 0
    while abs(residual) > 1e-13 and count < 50:
        residual = x**3 + a * x - 3.0 * b
        x -= residual / (3.0 * x**2 + a)
        count += 1
    return x * b


@scalar(positive((4, 4), 4), (0, 1))
def conjugate_gradients(m, b):
    a = m @ m.T + 2.0 * np.eye(4)
    x = np.zeros(4)
    r = b.copy()
    p = r.copy()
    rr = r @ r
    for _ in range(3):
        ap = a @ p
        alpha = rr / (p @ ap)
        x += alpha * p
        r -= alpha * ap
        new = r @ r
        p *= new / rr
        p += r
        rr = new
    return x @ b


@scalar(positive(3, 3, extra=(4, 0.05)), (0, 1))
def runge_kutta(y0, p, steps, dt):
    def slope(y):
        return np.array([p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]])

    y = y0
    for _ in range(steps):
        k1 = slope(y)
        k2 = slope(y + 0.5 * dt * k1)
        k3 = slope(y + 0.5 * dt * k2)
        k4 = slope(y + dt * k3)
        y = y + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return y @ p


@scalar(positive((3, 3), 3, extra=(6,)), (0, 1))
def eigenvalue(m, v0, n):
    a = m + m.T
    v = v0
    for _ in range(n):
        v = a @ v
        v /= np.sqrt(v @ v)
    return v @ a @ v


@scalar(positive(6, (), extra=(3,)), (0, 1))
def thomas(rhs, c, n):
    d = rhs.copy()
    for _ in range(n):
        low = np.full(6, -c)
        main = np.full(6, 2.0 + 2.0 * c)
        for i in range(1, 6):
            w = low[i] / main[i - 1]
            main[i] += w * c
            d[i] -= w * d[i - 1]
        d[5] /= main[5]
        for i in reversed(range(5)):
            d[i] = (d[i] + c * d[i + 1]) / main[i]
    return np.sum(d**2) * 10.0


@scalar(positive(5, 4, extra=(3,)), (0, 1))
def advected_particles(x0, field, steps):
    x = x0.copy()
    for _ in range(steps):
        for i in range(len(x)):
            s = x[i] * 1.3
            k = int(np.floor(s))
            w = s - k
            x[i] += 0.05 * ((1.0 - w) * field[k % 4] + w * field[(k + 1) % 4])
    return np.sum(x**2)


@scalar(positive((5, 5), (2, 2)), (0, 1), "numba")
def convolution_by_loops(image, kernel):
    out = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for p in range(2):
                for q in range(2):
                    out[i, j] += image[i + p, j + q] * kernel[p, q]
    return np.sum(np.tanh(out))


@scalar(positive(6, (), extra=(9,)), (0, 1), "once")
def heat_from_snapshots(u0, c, steps):
    u = u0.copy()
    total = 0.0
    for step in adcompile.checkpointed(range(steps), snapshots=3):
        u[1:-1] += 0.2 * c * (u[2:] - 2.0 * u[1:-1] + u[:-2]) * u[1:-1]
        total += step * np.sum(u**2)
    return total


@scalar(positive(5, (), extra=(2.0,)), (0, 1), "once")
def relaxation_from_snapshots(u0, c, goal):
    u, steps = u0, 0
    while adcompile.checkpointed(np.sum(u * u) > goal and steps < 30, snapshots=2):
        u = u - 0.1 * c * u**2
        steps += 1
    return np.sum(np.sin(u)) * steps


@adcompile.checkpoint
def rotated(u, angle):
    return np.cos(angle * u) * np.roll(u, 1) - np.sin(angle * u) * u


@scalar(positive(5, (), extra=(3,)), (0, 1), "once")
def rotations_run_again(u0, angle, steps):
    u = u0
    for _ in range(steps):
        u = rotated(u, angle)
    return np.sum(u * u)


@scalar(
    lambda r: (3.0 * np.eye(4) + 0.3 * r.normal(size=(4, 4)), r.normal(size=4), r.normal(size=(4, 2))),
    (0, 1, 2),
    "rounded",
)
def implicit_steps(a, u, forcing):
    """A linear system in every step, with the matrix changing."""
    for k in range(3):
        u = np.linalg.solve(a + 0.1 * k * np.diag(u * u), u + forcing[:, k % 2])
    return np.sum(u * u) + np.sum(np.linalg.solve(a.T, forcing) ** 2)


@scalar(lambda r: (np.eye(3) + 0.2 * r.normal(size=(3, 3)), r.normal(size=3)), (0, 1), "rounded")
def gaussian_likelihood(factor, x):
    covariance = factor @ factor.T
    sign, logarithm = np.linalg.slogdet(covariance)
    return 0.5 * (x @ np.linalg.inv(covariance) @ x + sign * logarithm) + np.linalg.det(factor)


def flow(*extra):
    """A density and a field that leaves the square here and there."""
    return lambda r: (r.uniform(-2.5, 2.5, size=(2, 5, 4)), r.uniform(0.5, 1.5, size=(5, 4)), *extra)


@scalar(flow(3), (0, 1), "numba")
def transport_in_place(velocity, start, steps):
    n, m = start.shape
    density, moved = start.copy(), np.empty_like(start)
    for _ in range(steps):
        for i in range(n):
            for j in range(m):
                x = min(max(i - velocity[0, i, j], 0.0), n - 1.001)
                y = min(max(j - velocity[1, i, j], 0.0), m - 1.001)
                k, l = int(x), int(y)
                a, b = x - k, y - l
                left = (1.0 - b) * density[k, l] + b * density[k, l + 1]
                right = (1.0 - b) * density[k + 1, l] + b * density[k + 1, l + 1]
                moved[i, j] = ((1.0 - a) * left + a * right) ** 2
        density[:] = moved
    return np.sum(density**2)


@scalar(flow(3), (0, 1))
def transport_between_two_buffers(velocity, start, steps):
    n, m = start.shape
    density, moved = start.copy(), np.zeros_like(start)
    for _ in range(steps):
        for i in range(n):
            for j in range(m):
                x = min(max(i - velocity[0, i, j], 0.0), n - 1.001)
                k = int(x)
                moved[i, j] = (k + 1.0 - x) * density[k, j] ** 2 + (x - k) * density[k + 1, j]
        density, moved = moved, density
    return np.sum(density * moved)


@scalar(flow(3), (0, 1))
def transport_by_its_own_density(velocity, start, steps):
    n, m = start.shape
    density, moved = start.copy(), np.empty_like(start)
    for _ in range(steps):
        for i in range(n):
            for j in range(m):
                x = min(max(i - velocity[0, i, j] * density[i, j], 0.0), n - 1.001)
                k = int(x)
                moved[i, j] = (k + 1.0 - x) * density[k, j] + (x - k) * density[k + 1, j]
        density[:] = moved
    return np.sum(density**2)


@scalar(flow(3), (0, 1))
def upwards_through_the_overwritten(velocity, start, steps):
    n, m = start.shape
    density = start.copy()
    for _ in range(steps):
        for i in range(n - 1, -1, -1):
            for j in range(m):
                k = int(max(i - 1.0 + 0.1 * velocity[0, i, j], -1.4))
                density[i, j] = 0.5 * density[k, j] * density[i, j] + np.exp(-(velocity[1, i, j] ** 2))
    return np.sum(density**2)


@scalar(positive(6, 4, extra=(3,)), (0, 1))
def weights_that_no_step_changes(x, y, steps):
    total = 0.0
    for step in range(steps):
        for i in range(4):
            row = y[i] * (step + 1.0)
            for j in range(6):
                total += np.exp(-x[j] * y[i]) * row
    return total


@scalar(positive(6, extra=(3,)), 0)
def diagonal_of_a_renewed_array(x, steps):
    a = np.outer(x, x)
    total = 0.0
    for _ in range(steps):
        for i in range(6):
            total += a[i, i] ** 2
        a = np.sin(a) + 0.1
    return total


@scalar(positive(6, extra=(np.array([0, 5, -6, 11, 2, -1]),)), 0)
def periodic_reads(x, places):
    n = x.size
    y = np.zeros(n)
    for i in range(n):
        j = places[i] % n
        k = j + 1 if j < n - 1 else 0
        left = j - 1 if j > 0 else n - 1
        y[i] = x[j] * x[k] - 0.5 * x[left] ** 2
    return np.sum(y**2)
