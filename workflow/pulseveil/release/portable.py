"""Linear detectors in forms that need no PulseVeil: readable JSON, and ONNX.

The detector's probability of stress is sigmoid(weights . tanh((x - centre) / (2 scale)) + intercept), where x
are window statistics that `windows.features.window_statistics` defines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pulseveil.core.arrays import Arrays, Floats
from pulseveil.core.errors import InputError
from pulseveil.windows.features import STATISTICS

if TYPE_CHECKING:
    import onnx

# ONNX operators of this version: the oldest one with all operators in double precision.
_OPERATORS = 13
FORMULA = (
    "probability of stress = 1 / (1 + exp(-(intercept + sum of weight * tanh((x - centre) / (2 * scale)))))"
)


def linear(kind: str, arrays: Arrays) -> Arrays:
    """The arrays of a linear detector.

    Raises:
        InputError: the detector is not linear in squashed statistics.
    """
    if "names" not in arrays or "weights" not in arrays:
        raise InputError(
            f"{kind}: expected a linear detector (logistic with a budget, class_means, public_signs), found "
            "another one; use the file of the detector itself with scripts/score.py"
        )
    return arrays


def as_json(arrays: Arrays, preparation: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers of a linear detector, by statistic, for a reader.

    preparation: how recordings become windows.
    """
    columns = ("names", "centre", "scale", "weights")
    rows = zip(*(arrays[name].tolist() for name in columns), strict=True)
    return {
        "formula": FORMULA,
        "decision": "stress above a probability of 0.5",
        "intercept": float(arrays["intercept"]),
        "statistics": [
            {"name": name, "unit": _unit(name), "centre": centre, "scale": scale, "weight": weight}
            for name, centre, scale, weight in rows
        ],
        "windows": dict(preparation),
    }


def _unit(name: str) -> str:
    """Unit of a statistic, by its column."""
    return next(unit for statistic, unit in STATISTICS.items() if name.endswith(f"_{statistic}"))


def as_onnx(arrays: Arrays, claim: str) -> onnx.ModelProto:
    """ONNX model of a linear detector, from `statistics` (n, d) float32 to `probability` (n) float32.

    The columns of `statistics` are in the order of `names`, which the properties of the file list.
    claim: privacy claim in one line, for the properties of the file.

    Raises:
        InputError: the package onnx is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise InputError("ONNX needs the package onnx: pip install 'pulseveil[onnx]'") from None

    names = [str(name) for name in arrays["names"]]
    # Double precision inside: the study computes in double precision, too.
    constants: dict[str, Floats] = {
        "centre": arrays["centre"],
        "width": 2 * arrays["scale"],
        "weights": arrays["weights"],
        "intercept": np.asarray(arrays["intercept"], np.float64),
    }
    nodes = [
        helper.make_node("Cast", ["statistics"], ["x"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["x", "centre"], ["centred"]),
        helper.make_node("Div", ["centred", "width"], ["scaled"]),
        helper.make_node("Tanh", ["scaled"], ["squashed"]),
        helper.make_node("MatMul", ["squashed", "weights"], ["product"]),
        helper.make_node("Add", ["product", "intercept"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["in_double"]),
        helper.make_node("Cast", ["in_double"], ["probability"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("statistics", TensorProto.FLOAT, ["n", len(names)])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    operators = [helper.make_opsetid("", _OPERATORS)]
    model = helper.make_model(graph, producer_name="pulseveil", opset_imports=operators, ir_version=8)
    helper.set_model_props(model, {"statistics": " ".join(names), "formula": FORMULA, "claim": claim})
    checker.check_model(model)
    return model
