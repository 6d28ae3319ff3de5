# adjoint program of lecture
# varies: x1, x2
# useful: the result
# recorded: nothing
def lecture_value_and_grad(x1, x2):
    v1 = x1 / x2                                                  # golden_programs.py:9
    v3 = np.exp(x2)
    v4 = v1 - v3
    v5 = np.sin(v1) + v4
    v4_bar = v5 + v4
    x2_bar = -(v3 * v4_bar)
    v1_bar = v4_bar + math.cos(v1) * v4
    x1_bar = v1_bar / x2
    x2_bar = x2_bar - v1 / x2 * v1_bar
    return v5 * v4, float(x1_bar), float(x2_bar)
