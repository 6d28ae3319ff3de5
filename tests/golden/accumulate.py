# adjoint program of accumulate
# varies: x
# useful: s
# recorded: s_tape
def accumulate_value_and_grad(x, n):
    s_tape = np.zeros(max(n, 0))                                  # golden_programs.py:21
    s = 1.0
    for i in range(n):
        s_2 = s + np.sin(s * x[i])                                # golden_programs.py:22
        s_tape[i] = s
        s = s_2
    x_bar = np.zeros(x.shape[0])                                  # golden_programs.py:21
    t1 = n - 1
    s_bar = 1.0
    for i in range(t1, -1, -1):
        s_2 = s_tape[i]
        t2 = x[i]
        t3 = np.cos(s_2 * t2) * s_bar                             # golden_programs.py:22
        s_bar = s_bar + t2 * t3
        x_bar[i] += s_2 * t3
    return s, x_bar
