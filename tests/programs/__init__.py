"""Programs of one array and one int that return a float: small ones, each about one construct of the language.

Smooth near `POINT`, so that central differences are a reference. Every bug that was found in one goes in here.
"""

import numpy as np

from tests.programs import arrays, control, helpers

POINT = np.array([0.501, 0.612, 0.703, 0.811, 0.907, 1.013])
STEPS = 4
PROGRAMS = {
    f"{module.__name__.rsplit('.', 1)[-1]}.{name}": function
    for module in (control, arrays, helpers)
    for name, function in vars(module).items()
    if callable(function) and getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
}
