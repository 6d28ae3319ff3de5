# adjoint program of burgers
# varies: v0
# useful: the result
# recorded: v1_tape
def burgers_value_and_grad(v0, target, steps, nu, dt):
    n = v0.shape[0]                                               # golden_programs.py:44
    v3 = 2.0 / n                                                  # golden_programs.py:45
    a = nu * dt / v3 ** 2
    c = dt / v3                                                   # golden_programs.py:46
    v = v0.copy()                                                 # golden_programs.py:47
    v1 = np.zeros(n)                                              # golden_programs.py:48
    v1_tape = np.zeros((max(steps, 0), n))                        # golden_programs.py:49
    for step in range(steps):
        for i in range(n):                                        # golden_programs.py:50
            t1 = n - 1                                            # golden_programs.py:51
            left = v[(i - 1 if i > 0 else t1)]
            right = v[(i + 1 if i < t1 else 0)]                   # golden_programs.py:52
            t2 = v[i]                                             # golden_programs.py:53
            v1[i] = t2 + a * (left - 2 * t2 + right)
        for i in range(n):                                        # golden_programs.py:54
            position = i - v1[i] * c                              # golden_programs.py:55
            floor = int(np.floor(position))                       # golden_programs.py:56
            w = position - floor                                  # golden_programs.py:57
            j = floor % n                                         # golden_programs.py:58
            k = j + 1 if j < n - 1 else 0                         # golden_programs.py:59
            v[i] = (1 - w) * v1[j] + w * v1[k]                    # golden_programs.py:60
        v1_tape[step] = v1                                        # golden_programs.py:54
    loss = 0.0
    for i in range(n):                                            # golden_programs.py:62
        loss = loss + (v[i] - target[i]) ** 2                     # golden_programs.py:63
    v6 = loss * 2.0 / n                                           # golden_programs.py:64
    v5_bar = 1.0 / n
    loss_bar = 2.0 * v5_bar
    v_bar = np.zeros(n)                                           # golden_programs.py:62
    t3 = n - 1
    for i in range(t3, -1, -1):
        v_bar[i] += 2 * (v[i] - target[i]) * loss_bar             # golden_programs.py:63
    v1_bar = np.zeros(n)                                          # golden_programs.py:49
    t4 = steps - 1
    for step in range(t4, -1, -1):
        v1_2 = v1_tape[step]
        for i in range(t3, -1, -1):                               # golden_programs.py:54
            position = i - v1_2[i] * c
            floor = int(np.floor(position))
            w = position - floor
            j = floor % n
            k = j + 1 if j < t3 else 0
            t5 = v1_2[j]
            t6 = v1_2[k]
            t7 = v_bar[i]                                         # golden_programs.py:60
            v_bar[i] = 0.0
            w_bar = t6 * t7
            v1_bar[k] += w * t7
            v1_bar[j] += (1 - w) * t7
            w_bar = w_bar - t5 * t7
            v1_bar[i] -= c * w_bar                                # golden_programs.py:55
        for i in range(t3, -1, -1):                               # golden_programs.py:50
            t8 = v1_bar[i]                                        # golden_programs.py:53
            v1_bar[i] = 0.0
            right_bar = a * t8
            v_bar[i] += t8 - 2 * right_bar
            v_bar[(i + 1 if i < t3 else 0)] += right_bar          # golden_programs.py:52
            v_bar[(i - 1 if i > 0 else t3)] += right_bar          # golden_programs.py:51
    return v6, v_bar
