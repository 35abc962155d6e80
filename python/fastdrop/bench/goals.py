# SPDX-License-Identifier: BSD-3-Clause
"""The figures that fastdrop wants to reach, as data, and whether a measurement reaches them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .cases import CALL_SIZE, KI, MI, Case
from .fused import CALL, FUSED
from .measure import ratio

FLOOR = "memcpy"
COPY = "np.copyto"
COPY_TRANSPOSED = "np.copyto(y, x.T)"
COPY_TRANSPOSED_ALIKE = "np.copyto(y.T, x.T)"
STORED, REPLAY = " stored", " replay"  # what follows the ISA in a contender's name
NO_DROPOUT = "no dropout"  # the floor of a training step
PRODUCTS = "matrix products"  # the floor of attention and of a transformer's step
FASTDROP_TORCH, TORCH = "fastdrop.torch", "torch"
FASTDROP_JAX, JAX = "fastdrop.jax", "jax"


@dataclass(frozen=True)
class Goal:
    """What one contender's time should be: divided by that of `versus`, or in nanoseconds without one.

    Or its peak of memory, divided by that of `versus`.

    A `limit` of None means: not slower, that is, the band must not lie above 1.
    """

    kind: str
    direction: str | None
    contender: str
    versus: str | None
    limit: float | None
    sizes: tuple[int, ...] = ()  # none: all
    ps: tuple[float, ...] = ()
    dtype: str = "float32"
    threads: int = 1
    at_most: bool = True
    of_peak: bool = False  # of the peak of memory, not of the time

    def concerns(self, case: Case) -> bool:
        return (
            (case.kind, case.direction) == (self.kind, self.direction)
            and (case.dtype, case.threads) == (self.dtype, self.threads)
            and (not self.sizes or case.size in self.sizes)
            and (not self.ps or case.p in self.ps)
        )


@dataclass(frozen=True)
class Mark:
    """A goal held against a measurement."""

    text: str
    met: bool
    resolved: bool  # False: the band holds the limit, another run may say otherwise

    def __str__(self) -> str:
        return f"{self.text}: {'met' if self.met else 'missed'}{'' if self.resolved else '?'}"


def marks(
    case: Case,
    contender: str,
    times: Mapping[str, Sequence[float]],
    peaks: Mapping[str, int | None] = MappingProxyType({}),
) -> list[Mark]:
    """What became of the goals of that contender in that case; `times` are nanoseconds of every round."""
    own = [goal for goal in GOALS if goal.contender == contender and goal.concerns(case)]
    of_times = [goal for goal in own if not goal.of_peak and (goal.versus in times or not goal.versus)]
    of_peaks = [_peak_mark(goal, peaks) for goal in own if goal.of_peak]
    return [*(_mark(goal, times) for goal in of_times), *(mark for mark in of_peaks if mark is not None)]


def _peak_mark(goal: Goal, peaks: Mapping[str, int | None]) -> Mark | None:
    own, other = peaks.get(goal.contender), peaks.get(str(goal.versus))
    if own is None or other is None or goal.limit is None:
        return None
    return Mark(f"peak <= {goal.limit:.2f} x {goal.versus}", own <= goal.limit * other, True)


def _mark(goal: Goal, times: Mapping[str, Sequence[float]]) -> Mark:
    own = times[goal.contender]
    measured = ratio(own, times[goal.versus] if goal.versus else [1.0] * len(own))
    if goal.limit is None:
        return Mark(f"not slower than {goal.versus}", not (measured.resolved and measured.low > 1), True)
    met = measured.value <= goal.limit if goal.at_most else measured.value >= goal.limit
    figure = f"{goal.limit:.2f}" if goal.versus else f"{goal.limit / 1000:.1f} us"
    sign = "<=" if goal.at_most else ">="
    beside = "" if goal.versus in (None, FLOOR, NO_DROPOUT, PRODUCTS) else f" x {goal.versus}"
    return Mark(f"{sign} {figure}{beside}", met, not measured.low <= goal.limit <= measured.high)


def _floor_goals() -> list[Goal]:
    """The table of the performance goals: ratios to memcpy, for avx512 and for avx2."""
    rows = [
        # directions, sizes, avx512, avx2, what follows the ISA in the contender's name, dtype
        (("forward", "backward"), (64 * KI,), 1.20, 2.30, "", "float32"),
        (("forward", "backward"), (MI, 16 * MI), 1.10, 1.20, "", "float32"),
        (("forward",), (MI, 16 * MI), 0.75, 0.85, " in place", "float32"),
        (("forward", "backward"), (4 * KI,), 5.00, 10.00, "", "float32"),
        (("forward", "backward"), (64 * KI,), 1.15, 1.50, "", "float64"),
        (("forward", "backward"), (MI,), 1.10, 1.20, "", "float64"),
    ]
    return [
        Goal("dropout", direction, f"fastdrop {isa}{suffix}", FLOOR, limit, sizes, (0.1, 0.5), dtype)
        for directions, sizes, avx512, avx2, suffix, dtype in rows
        for isa, limit in (("avx512", avx512), ("avx2", avx2))
        for direction in directions
    ]


def _fused_goals() -> list[Goal]:
    """The goals of fused operations: ratios to a copy of one array; avx2 may take twice as long."""
    gelus, sizes = ("bias_gelu", "bias_gelu_tanh"), (64 * KI, MI, 16 * MI)
    rows = [
        # kinds, direction, limits for the sizes, what follows the ISA in the contender's name
        (("bias_relu",), "forward", (1.5, 1.6, 1.0), ("", " in place")),
        (("bias_residual",), "forward", (2.0, 2.2, 1.6), ("",)),
        ((*gelus, "bias_silu"), "forward", (6, 6, 2), ("",)),
        (("bias_relu",), "backward", (2.8, 2.6, 2), ("",)),
        (gelus, "backward", (9, 8.5, 3), ("",)),
        (("add_layer_norm",), "forward", (5, 5, 3), ("",)),
        (("add_layer_norm",), "backward", (8, 8, 4), ("",)),
    ]
    ratios = [
        Goal(kind, direction, f"fastdrop {isa}{suffix}", COPY, factor * limit, (size,), (0.1, 0.5))
        for kinds, direction, limits, suffixes in rows
        for kind in kinds
        for size, limit in zip(sizes, limits, strict=True)
        for isa, factor in (("avx512", 1), ("avx2", 2))
        for suffix in suffixes
    ]
    others = [
        Goal(kind, "forward", rival, _BEST, limit, (MI,), at_most=False)
        for kind, of_numpy in (("bias_relu", 18), *((gelu, 6) for gelu in gelus), ("add_layer_norm", 8))
        for rival, limit in (("numpy best", of_numpy), (TORCH, 8))
    ]
    everywhere = [(kind, direction) for kind in FUSED for direction in ("forward", "backward")]
    for where in everywhere:
        others += [
            Goal(*where, _ONE_THREAD, _BEST, 1.6, (MI, 16 * MI), threads=2, at_most=False),
            Goal(*where, _BEST, _ONE_THREAD, None, threads=2),
            Goal(*where, _BEST, None, 2000, (CALL,), (0.1,)),
        ]
    return [*ratios, *others]


def _network_goals() -> list[Goal]:
    """The goals of softmax, attention and a transformer's step."""
    softmax, attention, step = "softmax_dropout", ("attention", "both"), ("transformer_step", None)
    large = (2 * MI,)  # (16, 4, 512, 64)
    return [
        *(
            Goal(softmax, direction, _BEST, COPY, limit, (size,), (0.1,))
            for direction, limits in (("forward", (7, 2.3)), ("backward", (4, 2)))
            for size, limit in zip((MI, 16 * MI), limits, strict=True)
        ),
        Goal(softmax, "forward", "numpy best", _BEST, 6, (MI,), (0.1,), at_most=False),
        Goal(softmax, "forward", TORCH, _BEST, 10, (MI,), (0.1,), at_most=False),
        *(
            goal
            for threads in (1, 2)
            for goal in (
                Goal(*attention, _BEST, PRODUCTS, 1.4, large, threads=threads),
                Goal(*attention, TORCH, _BEST, 2, large, threads=threads, at_most=False),
                Goal(*attention, _BEST, TORCH, 0.1, large, threads=threads, of_peak=True),
                # All that is no product takes at most a fifth of the step.
                Goal(*step, _BEST, PRODUCTS, 1.25, ps=(0.1,), threads=threads),
                Goal(*step, "numpy textbook", _BEST, 1.4, ps=(0.1,), threads=threads, at_most=False),
            )
        ),
        Goal(*step, TORCH, _BEST, 1.2, ps=(0.1,), threads=2, at_most=False),
        Goal(*step, TORCH, _BEST, 1.5, ps=(0.5,), threads=2, at_most=False),
    ]


_BEST = "fastdrop avx512"  # the goals are for processors that have it
_ONE_THREAD = f"{_BEST}, 1 thread"
GOALS = [
    *_floor_goals(),
    # The goals of the first version, which the table above has tightened since.
    Goal("dropout", "forward", _BEST, FLOOR, 1.40, (64 * KI,), (0.1,)),
    Goal("dropout", "forward", f"{_BEST} given mask", FLOOR, 1.40, (64 * KI,), (0.1,)),
    Goal("dropout", "forward", _BEST, FLOOR, 1.20, (MI, 16 * MI), (0.1,)),
    Goal("dropout", "forward", "numpy textbook", _BEST, 10, (64 * KI,), (0.1,), at_most=False),
    # 16 random bits for 16 bits of data: what drawing them takes shows longer.
    *(
        Goal("dropout", "forward", _BEST, FLOOR, limit, sizes, (0.1,), dtype)
        for dtype in ("float16", "bfloat16")
        for limit, sizes in ((3.20, (64 * KI,)), (1.25, (MI, 16 * MI)))
    ),
    # Against others, forward and backward.
    Goal("dropout", "both", "numpy best", _BEST, 15, (64 * KI,), (0.1,), at_most=False),
    Goal("dropout", "both", "numpy best", _BEST, 4, (16 * MI,), (0.1,), at_most=False),
    Goal("dropout", "both", "torch", _BEST, 40, (64 * KI,), (0.1,), at_most=False),
    Goal("dropout", "both", "torch", _BEST, 80, (64 * KI,), (0.5,), at_most=False),
    Goal("dropout", "both", "torch", _BEST, 12, (16 * MI,), (0.1,), at_most=False),
    # Calls.
    Goal("small_calls", None, "mask.apply(x, out=y)", None, 1000, (CALL_SIZE,)),
    Goal("small_calls", None, "dropout(x, p, rng=masks, out=y)", None, 2000, (CALL_SIZE,)),
    Goal("small_calls", None, "layer.forward(x, out=y)", None, 2500, (CALL_SIZE,)),
    # Threads, windows, a whole step.
    Goal("threads", "forward", _ONE_THREAD, _BEST, 1.7, (MI,), (0.1,), threads=2, at_most=False),
    Goal("threads", "forward", _BEST, _ONE_THREAD, None, threads=2),
    Goal("windows", None, "mask[2**32:]", "mask[:n]", None),
    # Layouts: at least half the speed of a copy.
    Goal("transposed", None, "mask.apply(x.T, out=y)", COPY_TRANSPOSED, 2.0),
    Goal("transposed", None, "mask.apply(x.T, out=y.T)", COPY_TRANSPOSED_ALIKE, 2.0),
    Goal("transposed", None, "mask.apply(x.T, out=x.T)", COPY_TRANSPOSED_ALIKE, 2.0),
    # Bits that were kept: the generator may be at most 10 % faster.
    *(
        Goal(
            "stored_masks",
            "backward",
            f"fastdrop {isa}{STORED}",
            f"fastdrop {isa}{REPLAY}",
            1.10,
            (64 * KI, MI),
        )
        for isa in ("avx512", "avx2")
    ),
    *(Goal("train_step", None, _BEST, NO_DROPOUT, 1.03, threads=threads) for threads in (1, 2)),
    Goal("train_step", None, _BEST, _ONE_THREAD, None, threads=2),
    # Arrays of other libraries.
    Goal("torch", "forward", FASTDROP_TORCH, TORCH, None, (CALL_SIZE,)),
    Goal("torch", "forward", TORCH, FASTDROP_TORCH, 40, (64 * KI,), at_most=False),
    Goal("torch", "both", TORCH, FASTDROP_TORCH, 20, (64 * KI,), at_most=False),
    *(Goal("torch_step", None, FASTDROP_TORCH, NO_DROPOUT, 1.04, threads=threads) for threads in (1, 2)),
    Goal("torch_step", None, TORCH, FASTDROP_TORCH, 1.3, ps=(0.1,), threads=2, at_most=False),
    Goal("torch_step", None, TORCH, FASTDROP_TORCH, 1.7, ps=(0.5,), threads=2, at_most=False),
    Goal("jax", "forward", JAX, FASTDROP_JAX, 5, (MI,), at_most=False),
    *_fused_goals(),
    *_network_goals(),
]
