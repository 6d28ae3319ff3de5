# adjoint program of newton
# varies: a
# useful: x
# recorded: x_tape, tape
def newton_value_and_grad(a):
    x_tape = np.zeros(8)                                          # golden_programs.py:69
    tape = np.zeros(8)
    k = 0
    x = a
    while abs(x * x - a) > 1e-12:
        t1 = a / x                                                # golden_programs.py:70
        x_2 = 0.5 * (x + t1)
        t2 = k + 1
        x_tape = grow(x_tape, t2)
        x_tape[k] = x
        tape = grow(tape, t2)
        tape[k] = t1
        k, x = t2, x_2
    t3 = k - 1                                                    # golden_programs.py:69
    x_bar = 1.0
    a_bar = 0.0
    for k in range(t3, -1, -1):
        x_2 = x_tape[k]
        x_bar = 0.5 * x_bar                                       # golden_programs.py:70
        t4 = x_bar / x_2
        a_bar = a_bar + t4
        x_bar = x_bar - tape[k] * t4
    a_bar = a_bar + x_bar                                         # golden_programs.py:69
    return x, a_bar
