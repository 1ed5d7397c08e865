"""Standard normal numbers with 96 random bits in compiled programs, against attacks on floating-point digits.

Noise of few bits has a coarse support. An adversary who knows all records but one then reads from the digits
of a noised sum whether that record is in it, whatever epsilon is (Mironov 2012, "On significance of the least
significant bits for differential privacy"). Here a number has 96 random bits, in double precision.
`clipping.add_noise` rounds the noised sum to a public grid of at least 1/128 of the noise's deviation, so
that nothing finer than the grid leaves.

The cost of finite bits, compared with the exact normal distribution: rounding the sum plus exact normal noise
is post-processing and costs nothing. Exact noise gives a point of the grid some probability p; the numbers of
this module give it p (1 + e). A number is off by at most 2^-44 deviations (a test compares with an
independent quantile function; adding a sum of up to 2^7 deviations in double precision is included), and the
95 bits of its size move at most 2^-94 of probability over each end of the point's interval. So |e| <= 2^-43 *
2^7 * 1.2 + 2^-93 / p < 2^-34 wherever p > 2^-57, which is up to 8.2 deviations; all beyond makes a difference
of at most 2^-82 per number. Over a whole training of N numbers, the log-ratio of the two distributions is a
martingale with steps below 2^-34. By Azuma's inequality it exceeds N 2^-68 + 2^-34 sqrt(2 N ln(1/b)) with
probability b at most. A training of N = 2^33 numbers (the largest published networks have fewer) therefore
spends at most 1e-4 of epsilon and, up to epsilon 10, 1e-10 of delta more than the accountant says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA

# Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37,
# PPND16: numerators and denominators of three rational functions, highest power first.
# fmt: off
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.3871328727963666080),
    (5226.4952788528545610, 28729.085735721942674, 39307.895800092710610, 21213.794301586595867,
     5394.1960214247511077, 687.18700749205790830, 42.313330701600911252, 1.0),
)
_FLANK = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
     3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
     1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187,
     1.0),
)
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
     2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990,
     6.65790464350110377720),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
     7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
     5.99832206555887937690e-1,
     1.0),
)
# Logarithm of (3 + u) / 2 for u from -1 to 1: Chebyshev interpolation of degree 22 as powers, highest first.
_LOG_MANTISSA = (
    -1.8120297919148984e-09, -8.149072527885437e-10, 9.546056389808655e-09, 4.184624666105146e-09,
    -2.1889243963295994e-08, -8.469847354875958e-09, 2.6419516159322754e-08, 1.5381384282195737e-08,
    -3.70435808018437e-08, 4.035799945442072e-08, -1.4558090895108133e-07, 5.168335680200865e-07,
    -1.6971532523296882e-06, 5.643975123626392e-06, -1.9051240132823658e-05, 6.53212354154768e-05,
    -0.00022862377091215075, 0.0008230452501868427, -0.003086419748039775, 0.01234567901309691,
    -0.05555555555566896, 0.3333333333333236, 0.40546510810816483,
)
# fmt: on
_CENTRE_HALF_WIDTH = 0.425
_FLANK_END = 5.0
_BITS_OF_1, _BITS_OF_2_52 = 0x3FF << 52, 0x433 << 52


def standard_normals(count: int, seed: tf.Tensor, first: int | tf.Tensor = 0) -> tf.Tensor:
    """Independent standard normals (count) float64 from `seed` (2) int32.

    A seed has one sequence of numbers, of which these begin at number `first`: parts of it can be computed
    apart. Each number is the quantile of a uniform number of 96 bits, one of which is the sign. Under XLA on
    a CPU a number takes some 4.5 ns; TensorFlow's own float32 normals take 18 ns, and 700 ns with XLA's
    default generator.

    Guarantee:
        On the grid of `clipping.add_noise`, a training of up to 2^33 numbers spends at most 1e-4 of epsilon
        and, up to epsilon 10, 1e-10 of delta more than with exact normals (see the module). This assumes that
        Threefry's words from secret seeds are uniform and independent; Threefry is not cryptographic.
    """
    key = tf.unstack(tf.bitcast(seed, tf.uint32))
    number = tf.bitcast(first + tf.range(count), tf.uint32)
    high, middle = threefry(key, (number, tf.zeros_like(number)))
    # The second word stays unused: using it would halve the calls, but breaks XLA's fusion and takes three
    # times as long.
    low, _ = threefry(key, (number, tf.ones_like(number)))
    size = tf.bitwise.bitwise_and(high, tf.constant(0x7FFFFFFF, tf.uint32))
    # The parts are added from the smallest one upwards: a number near 0 keeps all its lower bits.
    fine = (tf.cast(middle, tf.float64) + (tf.cast(low, tf.float64) + 0.5) * 2**-32) * 2**-32
    sign = tf.where(tf.equal(size, high), tf.constant(1.0, tf.float64), tf.constant(-1.0, tf.float64))
    return _upper_quantile((tf.cast(size, tf.float64) + fine) * 2**-32, sign)


def _upper_quantile(tail: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Normal quantile (float64) of an upper tail of probability `tail` in (0, 0.5], times `sign`.

    Source: Wichura 1988, PPND16.
    """
    centre = 0.5 - tail
    near = 0.425**2 - tf.square(centre)
    far = tf.sqrt(-_log(tail))

    def rational(part: int) -> tf.Tensor:
        flank, end = _polynomial(far - 1.6, _FLANK[part]), _polynomial(far - _FLANK_END, _TAIL[part])
        beyond = tf.where(far <= _FLANK_END, flank, end)
        return tf.where(centre <= _CENTRE_HALF_WIDTH, _polynomial(near, _CENTRE[part]), beyond)

    # The only division comes last and is used once: at a quotient that is used twice, XLA ends the loop and
    # computes all random words again in the next one. That took three times as long.
    return tf.where(centre <= _CENTRE_HALF_WIDTH, centre, 1.0) * sign * rational(0) / rational(1)


def _log(x: tf.Tensor) -> tf.Tensor:
    """Natural logarithm of normal float64 numbers above 0, without a division.

    XLA on a CPU would call the C library's logarithm number by number, and could vectorise nothing around
    it. For a division see `_upper_quantile`.
    """
    bits = tf.bitcast(x, tf.int64)
    # An integer below 2^52 in the low bits of 2^52, as float64, is 2^52 more than itself.
    shifted = tf.bitwise.right_shift(bits, tf.constant(52, tf.int64)) | tf.constant(_BITS_OF_2_52, tf.int64)
    exponent = tf.bitcast(shifted, tf.float64) - (2.0**52 + 1023)
    mantissa_bits = (bits & tf.constant(2**52 - 1, tf.int64)) | tf.constant(_BITS_OF_1, tf.int64)
    mantissa = tf.bitcast(mantissa_bits, tf.float64)
    return exponent * math.log(2) + _polynomial(2 * mantissa - 3, _LOG_MANTISSA)


def _polynomial(x: tf.Tensor, coefficients: Sequence[float]) -> tf.Tensor:
    """Value of a polynomial at x by Horner's rule; coefficients from the highest power down."""
    value = tf.zeros_like(x) + coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def threefry(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Threefry-2x32 with 20 rounds: two uint32 words, shaped as the counter's; not cryptographic.

    Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    keys = (*key, key[0] ^ key[1] ^ tf.constant(_PARITY, tf.uint32))
    first, second = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(1, 6):
        for rotation in _ROTATIONS[:4] if group % 2 else _ROTATIONS[4:]:
            first = first + second
            second = first ^ _left(second, rotation) ^ _right(second, 32 - rotation)
        first = first + keys[group % 3]
        second = second + keys[(group + 1) % 3] + tf.constant(group, tf.uint32)
    return first, second


def _left(bits: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.left_shift(bits, tf.constant(shift, tf.uint32))


def _right(bits: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32))
