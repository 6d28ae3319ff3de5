# adjoint program of newton
# varies: a
# useful: x
# recorded: x_tape
def newton_value_and_grad(a):
    x_tape = np.zeros(8)                                          # golden_programs.py:69
    k = 0
    x = a
    while abs(x * x - a) > 1e-12:
        x_2 = 0.5 * (x + a / x)                                   # golden_programs.py:70
        t1 = k + 1
        x_tape = grow(x_tape, t1)
        x_tape[k] = x
        k, x = t1, x_2
    t2 = k - 1                                                    # golden_programs.py:69
    x_bar = 1.0
    a_bar = 0.0
    for k in range(t2, -1, -1):
        x_2 = x_tape[k]
        x_bar = 0.5 * x_bar                                       # golden_programs.py:70
        t3 = x_bar / x_2
        a_bar = a_bar + t3
        x_bar = x_bar - a / x_2 * t3
    a_bar = a_bar + x_bar                                         # golden_programs.py:69
    return x, a_bar
