# adjoint program of heat
# varies: u0
# useful: the result
# recorded: tape
def heat_value_and_grad(u0, nu, steps):
    u = u0.copy()                                                 # golden_programs.py:27
    t1 = max(u0.shape[0] - 2, 0)                                  # golden_programs.py:28
    tape = np.zeros((max(steps, 0), t1))
    for step in range(steps):
        t2 = u[1:-1]                                              # golden_programs.py:29
        t3 = u[2:] - 2 * t2 + u[:-2]
        u[1:-1] = t2 + nu * t3 ** 2
        tape[step] = t3
    v2 = np.sum(u ** 2)                                           # golden_programs.py:30
    u_bar = 2 * u
    t4 = steps - 1                                                # golden_programs.py:28
    for step in range(t4, -1, -1):
        t5 = tape[step]
        t6 = u_bar[1:-1]                                          # golden_programs.py:29
        u_bar_2 = u_bar.copy()
        u_bar_2[1:-1] = 0.0
        check_same(t1, max(u_bar.shape[0] - 2, 0), 'operands could not be broadcast together')
        t7 = 2 * t5 * (nu * t6)
        u_bar_2[:-2] += t7
        u_bar_2[2:] += t7
        u_bar_2[1:-1] += t6 - 2 * t7
        u_bar = u_bar_2
    return v2, u_bar
