# adjoint program of perceptron
# varies: layers_0_0, layers_0_1, layers_1_0, layers_1_1
# useful: the result
# recorded: nothing
def perceptron_value_and_grad(layers_0_0, layers_0_1, layers_1_0, layers_1_1, x, y):
    t1 = x.shape[0]                                               # golden_programs.py:15
    h = np.tanh(x @ layers_0_0 + layers_0_1)
    h_2 = np.tanh(h @ layers_1_0 + layers_1_1)
    v5 = h_2 - y                                                  # golden_programs.py:16
    v7_bar = 1.0 / t1
    v5_bar = 2 * v5 * v7_bar
    v4_bar = (1.0 - h_2 * h_2) * v5_bar                           # golden_programs.py:15
    layers_1_1_bar = np.sum(v4_bar, axis=0)
    h_bar = v4_bar @ layers_1_0.T
    layers_1_0_bar = h.T @ v4_bar
    v2_bar = (1.0 - h * h) * h_bar
    layers_0_1_bar = np.sum(v2_bar, axis=0)
    layers_0_0_bar = x.T @ v2_bar
    return (
        np.sum(v5 ** 2) / t1,
        layers_0_0_bar,
        layers_0_1_bar,
        layers_1_0_bar,
        layers_1_1_bar,
    )
