# adjoint program of heat
# varies: u0
# useful: the result
# recorded: tape
def heat_value_and_grad(u0, nu, steps):
    u = u0.copy()                                                 # golden_programs.py:27
    tape = np.zeros((max(steps, 0), max(u0.shape[0] - 2, 0)))     # golden_programs.py:28
    for step in range(steps):
        t1 = u[1:-1]                                              # golden_programs.py:29
        t2 = u[2:] - 2 * t1 + u[:-2]
        u[1:-1] = t1 + nu * t2 ** 2
        tape[step] = t2
    v2 = np.sum(u ** 2)                                           # golden_programs.py:30
    u_bar = 2 * u
    t3 = steps - 1                                                # golden_programs.py:28
    for step in range(t3, -1, -1):
        t4 = tape[step]
        t5 = u_bar[1:-1].copy()                                   # golden_programs.py:29
        u_bar[1:-1] = 0.0
        t6 = 2 * t4 * (nu * t5)
        u_bar[:-2] += t6
        u_bar[2:] += t6
        u_bar[1:-1] += t5 - 2 * t6
    return v2, u_bar
