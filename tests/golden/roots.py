# adjoint program of roots
# varies: a
# useful: total
# recorded: x_tape (2 of them), k_tape, x_tape_top_tape
def roots_value_and_grad(a):
    t1 = a.shape[0]                                               # golden_programs.py:76
    t2 = max(t1, 0)
    x_tape = np.zeros(t2)
    k_tape = np.zeros(t2, dtype=np.int64)
    x_tape_2 = np.zeros(8)
    x_tape_top_tape = np.zeros(t2, dtype=np.int64)
    total = 0.0
    x_tape_top = 0
    for i in range(t1):
        x = a[i]                                                  # golden_programs.py:77
        k = 0
        x_2 = x
        while np.absolute(x_2 * x_2 - x) > 1e-12:                 # golden_programs.py:78
            x_3 = 0.5 * (x_2 + x / x_2)                           # golden_programs.py:79
            t3 = k + 1
            x_tape_2 = grow(x_tape_2, x_tape_top + t3)
            x_tape_2[x_tape_top + k] = x_2
            k, x_2 = t3, x_3
        total = total + x_2 * x_2 * x_2                           # golden_programs.py:80
        x_tape[i] = x_2
        k_tape[i] = k
        t4 = x_tape_top + k
        x_tape_top_tape[i] = x_tape_top
        x_tape_top = t4
    a_bar = np.zeros(t1)                                          # golden_programs.py:76
    t5 = t1 - 1
    for i in range(t5, -1, -1):
        x = x_tape[i]
        k = k_tape[i]
        x_2 = a[i]
        x_bar = x * x
        x_tape_top_2 = x_tape_top_tape[i]
        x_bar_2 = x_bar + x_bar                                   # golden_programs.py:80
        x_bar = x_bar_2 + x_bar
        t6 = k - 1                                                # golden_programs.py:78
        x_bar_2 = 0.0
        for k in range(t6, -1, -1):
            x_3 = x_tape_2[x_tape_top_2 + k]
            x_bar = 0.5 * x_bar                                   # golden_programs.py:79
            t7 = x_bar / x_3
            x_bar_2 = x_bar_2 + t7
            x_bar = x_bar - x_2 / x_3 * t7
        x_bar = x_bar_2 + x_bar                                   # golden_programs.py:78
        a_bar[i] += x_bar                                         # golden_programs.py:77
    return total, a_bar
