"""Types of arrays by the kind of their numbers; a docstring adds shape and unit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# Arrays of a file by name.
Arrays = Mapping[str, NDArray[Any]]
