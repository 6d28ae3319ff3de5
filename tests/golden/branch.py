# adjoint program of branch
# varies: x, y
# useful: the result
# recorded: nothing
def branch_value_and_grad(x, y):
    t1 = x > y                                                    # golden_programs.py:94
    if t1:
        z = np.sqrt(x - y)                                        # golden_programs.py:95
        v1, t2 = z * y, z
    else:
        v1, t2 = x * y, 0.0
    if t1:                                                        # golden_programs.py:94
        z_bar = y * 1.0                                           # golden_programs.py:96
        t3 = 0.5 / t2 * z_bar                                     # golden_programs.py:95
        y_bar_2 = t2 - t3
        x_bar, y_bar = t3, y_bar_2
    else:
        x_bar, y_bar = y * 1.0, x * 1.0
    return v1, x_bar, y_bar
