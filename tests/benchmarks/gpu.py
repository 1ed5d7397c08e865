"""All that depends on a GPU, in one run of less than ten minutes.

    python tests/benchmarks/gpu.py [--minutes 9]
    python tests/benchmarks/gpu.py --quick [--only fcn dgan]

First the device and its limit: products of large matrices in whole float32, as the library computes them, and
in shorter formats: bfloat16 is that of detectors with `precision: bfloat16`, and no training has
TensorFloat-32. Then one line per case: steps of each network, not private and private, and models side by
side in one program. The most important come first; what no longer fits into the minutes is skipped. Without
a GPU a second device of the CPU takes its place, which tests this program and says nothing about GPUs;
--quick has sizes for that.

`ms`          of a model's step on the device (of DGAN a pass over 1,083 windows), by the clock, after the
              first steps, with results fetched
`core`        the same on one core of the CPU, for single models
`times`       `core` / `ms`
`rows/s`      windows of all models per second on the device
`limit`       share of the device's float32 limit: three times the forward products with weights, which is
              what a step needs. A program that computes more has a smaller share. Only for networks whose
              layers note these products; products inside attention are left out.
`MB`          largest memory of the device
`first`       seconds of the first three steps on the device, with compilation
`difference`  between device and CPU after the first three steps

Equality: device and CPU take the first steps from one start with the same random numbers. Compared are Adam's
averages of the gradients: Adam divides a gradient by its own size, and makes a whole step of one that is
nothing but rounding. The norm of a tensor's difference is divided by the tensor's norm, but at least by a
hundredth of the norm of all tensors together; the largest quotient counts. NOT EQUAL is more than TOLERANCE.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import turns
from tests.benchmarks import cgan, dgan, private, timegan

from pulseveil.core import tensorflow
from pulseveil.generators.dgan import DGANSettings
from pulseveil.generators.dgan.training import Examples, private_adversaries
from pulseveil.generators.timegan.private import SequenceAdversaries, Sizes
from pulseveil.networks import layers
from pulseveil.networks.adam import AdamState
from pulseveil.networks.adversaries import Adversaries, Real
from pulseveil.networks.per_example import Product, Use
from pulseveil.privacy import dpgan

FIRST_STEPS = 3
# Measured on a CPU with three such steps: another order of summation (plain instead of compiled programs)
# changes the averages by 3e-5 at most, factors rounded to 10 bits as in TensorFloat-32 by 1e-3 at least. With
# five steps the two meet: the order alone changes cnn_lstm by 2e-3.
TOLERANCE = 3e-4
# Steps whose random numbers are drawn before a timing; those of 150 models fill gigabytes.
STEPS, STEPS_OF_MANY = 100, 10
ROUNDS = 3
DISCRIMINATORS = ("lstm", "fcn", "transformer")
# Of a private GAN: defaults of its settings.
PRIVATE_BATCH, FAKES = 256, 64
CPU = "CPU:0"
NAME, WIDTHS = 40, (10, 10, 8, 12, 8, 8, 8)


class Work(NamedTuple):
    """Sizes of all cases: bins of spectra, numbers of models, rows of large matrices, seconds of a timing."""

    bins: tuple[int, ...] = (210, 31)
    models: tuple[int, ...] = (1, 15, 150)
    product: int = 8192
    product_of_core: int = 2048
    seconds: float = 0.4


QUICK = Work(bins=(16,), models=(1, 2), product=512, product_of_core=512, seconds=0.02)


class Case(NamedTuple):
    """A line of the table.

    make: to the function that takes so many steps of all models, at most `most` in a call, and gives the
    state after them. rows, flops: windows and operations of a model's step. compared: whether device and CPU
    must agree.
    """

    name: str
    make: Callable[[], private.Run]
    rows: int
    models: int = 1
    most: int = STEPS
    flops: Callable[[], float] | None = None
    compared: bool = False


class Measured(NamedTuple):
    """Seconds of the first steps and of a later one, largest memory (0: unknown), averaged gradients."""

    first: float
    step: float
    memory_mb: float
    gradients: list[NDArray[np.float32]]


def cases(work: Work) -> list[Case]:
    """All cases, the most important first."""
    widest, *others = work.bins
    networks = [*DISCRIMINATORS, *private.DETECTORS]
    return [
        *(case for name in networks for case in network_cases(name, widest)),
        # Kind by kind: an axis is worth more as a whole.
        *(case for of_kind in zip(*map(model_cases, work.models), strict=True) for case in of_kind),
        Case("dgan, private", private_dgan, PRIVATE_BATCH),
        Case("timegan, private", private_timegan, PRIVATE_BATCH),
        *(case for bins in others for name in private.DETECTORS for case in network_cases(name, bins)),
    ]


def network_cases(network: str, bins: int) -> list[Case]:
    """Steps of a discriminator of the cGAN or of a detector of spectra with `bins` bins."""
    is_discriminator = network in DISCRIMINATORS

    def problem() -> private.Problem:
        return private.discriminator(network) if is_discriminator else private.detector(network, bins)

    def not_private() -> private.Run:
        return private.not_private(problem(), private.BATCH).run

    def noised() -> private.Run:
        own = problem()
        if is_discriminator:
            return private.private_discriminator(own).run
        return private.private_detector(network, own).run

    def rounded() -> private.Run:
        own = problem()

        def losses(parameters: private.Parameters, *others: Any) -> tf.Tensor:
            return own.losses(layers.rounded(parameters, tf.bfloat16), *others)

        return private.not_private(own._replace(losses=losses), private.BATCH).run

    name = network if is_discriminator else f"{network}, {bins} bins"
    plain = Case(name, not_private, private.BATCH, flops=lambda: step_flops(problem()), compared=True)
    of_detectors = [] if is_discriminator else [(f"{name}, bfloat16", rounded)]
    others = [(f"{name}, private", noised), *of_detectors]
    return [plain, *(plain._replace(name=other, make=make, compared=False) for other, make in others)]


def model_cases(models: int) -> list[Case]:
    """Whole steps (a DGAN's pass) of so many models side by side, not private."""
    axis, most = ("1 model", STEPS) if models == 1 else (f"{models} models", STEPS_OF_MANY)
    makes: dict[str, tuple[Callable[[int, int], private.Run], int]] = {
        "dgan": (dgan.ours, dgan.ROWS),
        "cgan fcn": (partial(cgan.ours, "fcn"), cgan.BATCH),
        "cgan lstm": (partial(cgan.ours, "lstm"), cgan.BATCH),
        "timegan": (partial(timegan.ours, "joint"), timegan.DRAWS["joint"] * timegan.BATCH),
    }
    return [
        Case(f"{name}, {axis}", partial(make, most, models), rows, models, most, compared=models == 1)
        for name, (make, rows) in makes.items()
    ]


def private_dgan() -> private.Run:
    """Private steps of DGAN with its default settings, discriminator and generator in turns."""
    window = np.zeros((1, 1, dgan.SHAPE.values), np.float32)
    adversaries = private_adversaries(DGANSettings(), Examples(window, np.zeros((1, 0), np.float32)))
    return private_gan(adversaries, (dgan.SHAPE.values,))


def private_timegan() -> private.Run:
    """Private steps of TimeGAN's discriminator and its generator, which learn hidden sequences."""
    sizes = Sizes(timegan.TIME, classes=2, **timegan.SIZES)
    supervisor = sizes.start(np.random.default_rng(0), "supervisor")
    adversaries = SequenceAdversaries(sizes, 1e-3, 1.0, tuple(supervisor))
    return private_gan(adversaries, (sizes.time, sizes.hidden))


def private_gan(adversaries: Adversaries, shape: Sequence[int]) -> private.Run:
    """Private steps of a GAN by `dpgan`, all windows (*shape) drawn in each."""
    random = np.random.default_rng(0)

    def normal(*size: int) -> tf.Tensor:
        return tf.constant(random.normal(size=size).astype(np.float32))

    def codes(*size: int) -> tf.Tensor:
        return tf.constant(random.integers(0, 2, size).astype(np.int32))

    order = random.permuted(np.tile(np.arange(PRIVATE_BATCH, dtype=np.int32), (STEPS, 1)), axis=1)
    data = Real(tf.sigmoid(normal(PRIVATE_BATCH, *shape)), codes(PRIVATE_BATCH))
    batches = dpgan.Batches(
        rows=tf.constant(order[:, :, np.newaxis]),
        noise_seeds=tf.constant(random.integers(2**31, size=(STEPS, 2)).astype(np.int32)),
        codes=codes(STEPS, 2, FAKES),
        latent=normal(STEPS, 2, FAKES, *adversaries.noise_shape),
        interpolation=tf.constant(random.uniform(size=(STEPS, FAKES)).astype(np.float32)),
    )
    scales = dpgan.Scales(*map(tf.constant, (1.0, 1.0, float(PRIVATE_BATCH))))
    program = dpgan.program(adversaries, 1)
    state = dpgan.State(adversaries.start(random), tf.constant(0))

    def run(steps: int) -> dpgan.State:
        nonlocal state
        state = program(state, data, batches, scales, tf.constant(0), tf.constant(steps))
        state.noised.numpy()
        return state

    return run


def step_flops(problem: private.Problem) -> float:
    """Operations of a step: three times those of the forward products with weights."""
    forward = 0.0

    def note(z: tf.Tensor, use: Use) -> tf.Tensor:
        nonlocal forward
        if isinstance(use, Product):
            # All inputs of one value of z: a kernel has a column of weights for each of the last axis.
            inputs = sum(np.prod(kernel.shape) for kernel in use.kernels) / z.shape[-1]
            forward += 2 * np.prod(z.shape) * inputs
        return z

    problem.losses(problem.start, problem.rows, tf.constant([1, 2]), note)
    return 3 * forward


def measured(case: Case, device: str, seconds: float) -> Measured:
    """Times of a case, whose later steps are timed for about so many seconds per round.

    Raises:
        RuntimeError: the steps ran on another device.
    """
    is_gpu = device.startswith("GPU")
    if is_gpu:
        # Compiled programs of earlier cases hold their tensors in cycles of references.
        gc.collect()
        tf.config.experimental.reset_memory_stats(device)
    with tf.device(device):
        run = case.make()
        started = time.monotonic()
        averages = averaged_gradients(run(FIRST_STEPS))
        first = time.monotonic() - started
        require_device(averages, device)
        gradients = [value.numpy() for value in averages]
        count = int(np.clip(seconds / turns.seconds(run, 1).wall, 1, case.most))
        step = float(np.median([turns.seconds(run, count).wall / count for _ in range(ROUNDS)]))
    memory = tf.config.experimental.get_memory_info(device)["peak"] / 1e6 if is_gpu else 0.0
    return Measured(first, step, memory, gradients)


def require_device(values: Sequence[tf.Tensor], device: str) -> None:
    """Refuse results of another device, whose time would pass for that of `device`.

    Raises:
        RuntimeError: a value lies on another device.
    """
    for value in values:
        if not value.device.endswith(device):
            raise RuntimeError(f"a result lies on {value.device}, and not on {device}")


def averaged_gradients(state: Any) -> list[tf.Tensor]:
    """Adam's averages of the gradients in a nested state of a training."""
    if isinstance(state, AdamState):
        return state.first
    if isinstance(state, tuple | list):
        return [value for part in state for value in averaged_gradients(part)]
    return []


def difference(found: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]) -> float:
    """Largest relative difference of two lists of tensors, see the usage.

    Examples:
        >>> round(difference([np.array([3.0, 4.2]), np.zeros(1)], [np.array([3.0, 4.0]), np.zeros(1)]), 3)
        0.04
    """
    norms = [np.linalg.norm(value) for value in expected]
    least = np.linalg.norm(norms) / 100
    apart = [np.linalg.norm(a - b) for a, b in zip(found, expected, strict=True)]
    # NumPy's maximum, which is not a number where a value is not.
    return float(np.max(np.array(apart) / np.maximum(norms, least)))


def gflops(device: str, size: int, dtype: tf.DType = tf.float32, products: int = 5) -> float:
    """Billions of operations per second in products of square matrices with so many rows."""
    with tf.device(device):
        x = tf.cast(np.random.default_rng(0).normal(size=(size, size)), dtype)

        def run() -> None:
            y = x
            for _ in range(products):
                y = tf.linalg.matmul(x, x)
            y[0, 0].numpy()

        run()
        taken = min(turns.seconds(run).wall for _ in range(ROUNDS))
    return products * 2 * size**3 / taken / 1e9


def choose_device() -> str:
    """The first GPU, which grows its memory as needed, or else a second device of the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return "GPU:0"
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return "CPU:1"


def print_device(device: str, work: Work) -> float:
    """Print the device and its limits; operations per second of its float32 products."""
    is_gpu = device.startswith("GPU")
    size = work.product if is_gpu else work.product_of_core
    on_device, on_core = gflops(device, size), gflops(CPU, work.product_of_core)
    if is_gpu:
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        capability = ".".join(map(str, details.get("compute_capability", ())))
        print(f"GPU: {details.get('device_name', 'without a name')}, compute capability {capability}")
        if shutil.which("nvidia-smi"):
            query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
            print(subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip())
    else:
        print("no GPU: the CPU alone, whose second device stands in for one")
    shortened = tf.config.experimental.tensor_float_32_execution_enabled()
    print(f"TensorFlow {tf.__version__}; TensorFloat-32 in the library: {'on' if shortened else 'off'}")
    print(f"products of {size} rows, float32: {on_device:,.0f} GFLOP/s; one core {on_core:,.0f}")
    if is_gpu:
        half = gflops(device, size, tf.bfloat16)
        tf.config.experimental.enable_tensor_float_32_execution(True)
        short = gflops(device, size)
        tf.config.experimental.enable_tensor_float_32_execution(shortened)
        print(f"bfloat16 {half:,.0f} GFLOP/s; TensorFloat-32, which no training has, {short:,.0f}")
    return 1e9 * on_device


def print_case(case: Case, device: str, limit: float, seconds: float) -> bool:
    """Print the line of a case; whether device and CPU agree, if they are compared."""
    own = measured(case, device, seconds)
    core = measured(case, CPU, seconds) if case.models == 1 else None
    ms = 1000 * own.step / case.models
    cells = [
        f"{ms:.3f}",
        f"{1000 * core.step:.3f}" if core else "-",
        f"{core.step / own.step:.1f}" if core else "-",
        f"{case.models * case.rows / own.step:,.0f}",
        f"{case.models * case.flops() / own.step / limit:.1%}" if case.flops else "-",
        f"{own.memory_mb:,.0f}" if own.memory_mb else "-",
        f"{own.first:.1f}",
    ]
    words = ""
    is_equal = True
    if case.compared and core:
        found = difference(own.gradients, core.gradients)
        is_equal = found <= TOLERANCE
        words = f"  {found:.1e} {'equal' if is_equal else 'NOT EQUAL'}"
    print(_line(case.name, cells) + words, flush=True)
    return is_equal


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:{NAME}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))


def run(wanted: Sequence[Case], device: str, limit: float, seconds: float, end: float) -> bool:
    """Print the table, cases in order until `end` by the monotonic clock; whether all ran as they must."""
    print(_line("case", ("ms", "core", "times", "rows/s", "limit", "MB", "first")) + "  difference")
    good, longest = True, 0.0
    for case in wanted:
        started = time.monotonic()
        if started + longest > end:
            print(f"{case.name:{NAME}} skipped: no time left")
            continue
        try:
            good &= print_case(case, device, limit, seconds)
        except (tf.errors.OpError, RuntimeError) as error:
            good = False
            print(
                f"{case.name:{NAME}} FAILED: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True
            )
        longest = max(longest, time.monotonic() - started)
    return good


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9, help="after which no case begins")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", nargs="+", help="cases whose names begin so")
    options = parser.parse_args()
    work = QUICK if options.quick else Work()
    # As a job of a study: whole float32 products, deterministic operations.
    tensorflow.start(1)
    device = choose_device()
    limit = print_device(device, work)
    wanted = [case for case in cases(work) if not options.only or case.name.startswith(tuple(options.only))]
    good = run(wanted, device, limit, work.seconds, started + 60 * options.minutes)
    print(f"tolerance {TOLERANCE:g}; {time.monotonic() - started:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
