# adjoint program of swap
# varies: u0
# useful: the result
# recorded: u_tape
def swap_value_and_grad(u0, steps):
    u = u0.copy()                                                 # golden_programs.py:34
    t1 = u0.shape[0]                                              # golden_programs.py:35
    v = np.zeros(t1)
    u_tape = np.zeros((max(steps, 0), t1))                        # golden_programs.py:36
    for step in range(steps):
        t2 = t1 - 1                                               # golden_programs.py:37
        for i in range(1, t2):
            t3 = u[i]                                             # golden_programs.py:38
            t4 = t3 + 0.1 * (u[i + 1] - 2 * t3 + u[i - 1]) * t3
            v[i] = t4
        u_tape[step] = u                                          # golden_programs.py:37
        u, v = v, u
    v2 = np.sum(u ** 2)                                           # golden_programs.py:40
    u_bar = 2 * u
    v_bar = np.zeros(t1)                                          # golden_programs.py:36
    t5 = steps - 1
    for step in range(t5, -1, -1):
        u_2 = u_tape[step]
        t6 = t1 - 2                                               # golden_programs.py:37
        v_bar, u_bar = u_bar, v_bar
        for i in range(t6, 0, -1):
            t7 = u_2[i]
            t8 = i + 1
            t9 = i - 1
            t10 = 0.1 * (u_2[t8] - 2 * t7 + u_2[t9])
            t11 = v_bar[i]                                        # golden_programs.py:38
            v_bar[i] = 0.0
            t12 = 0.1 * (t7 * t11)
            u_bar[t9] += t12
            u_bar[t8] += t12
            u_bar[i] += t11 + t10 * t11 - 2 * t12
    return v2, u_bar
