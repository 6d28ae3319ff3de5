# adjoint program of first_above
# varies: x
# useful: the result
# recorded: total_tape, i_tape
def first_above_value_and_grad(x, limit):
    t1 = x.shape[0]                                               # golden_programs.py:86
    total_tape = np.zeros(8)
    i_tape = np.zeros(8, dtype=np.int64)
    k = 0
    i = 0
    total = 0.0
    leave = False
    returned = False
    value = 0.0
    while (not leave) and i < t1:
        t2 = x[i]                                                 # golden_programs.py:87
        total = total + t2 ** 2
        t3 = total > limit                                        # golden_programs.py:88
        value_2 = total * t2                                      # golden_programs.py:89
        leave = t3 or leave                                       # golden_programs.py:88
        returned = t3 or returned
        value = value_2 if t3 else value
        t4 = i + 1
        t5 = k + 1
        total_tape = grow(total_tape, t5)
        total_tape[k] = total
        i_tape = grow(i_tape, t5)
        i_tape[k] = i
        k, i = t5, t4
    v1 = value if returned else total                             # golden_programs.py:86
    value_bar = 1.0 if returned else 0.0
    total_bar = 0.0 if returned else 1.0
    x_bar = np.zeros(t1)
    t6 = k - 1
    for k in range(t6, -1, -1):
        total_2 = total_tape[k]
        i_2 = i_tape[k]
        t7 = x[i_2]
        t8 = total_2 > limit
        value_bar_2 = 0.0 if t8 else value_bar                    # golden_programs.py:88
        total_bar = total_bar + (t7 * value_bar if t8 else 0.0)   # golden_programs.py:89
        t9 = (total_2 * value_bar if t8 else 0.0) + 2 * t7 * total_bar  # golden_programs.py:87
        x_bar[i_2] += t9
        value_bar = value_bar_2
    return v1, x_bar
