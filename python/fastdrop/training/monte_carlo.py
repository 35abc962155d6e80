# SPDX-License-Identifier: BSD-3-Clause
"""Monte Carlo dropout: how sure a network is, from its answers under many masks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .._layer import Layer
from .._texts import complaint
from ..mask_generator import MaskGenerator, Rng, as_generator, child_generator
from ._layers import dropping_by, list_of_layers

_SAMPLES_LIMIT = 2**32  # samples of a microsecond, which is less than a call of any function, take an hour


@dataclass(frozen=True, eq=False, repr=False)
class MonteCarlo:
    """What `mc_dropout` returns.

    Attributes
    ----------
    mean : ndarray of float64
        Mean over the samples, of the shape of one answer.
    std : ndarray of float64
        Standard deviation over the samples (divided by their number), of the same shape.
    entropy : ndarray of float64 or None
        With `class_axis`: entropy of the mean, in nats; the shape of one answer without that axis.
        All of the uncertainty.
    mutual_information : ndarray of float64 or None
        With `class_axis`: the entropy less the mean entropy of the samples, in nats. The part of the
        uncertainty that is the network's: large where the samples are each sure of something else.
    samples : int
        How many there were.
    root : MaskGenerator
        Where the masks, or the noise, come from; see `generator`.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> def network(x, rng):
    ...     return fastdrop.dropout(x, 0.5, rng=rng)[0].mean()
    >>> result = fastdrop.mc_dropout(network, np.ones(1000), samples=20, rng=0)
    >>> abs(float(result.mean) - 1) < 0.1, float(result.std) < 0.1
    (True, True)
    >>> result.entropy is None  # no class_axis was given
    True
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    entropy: NDArray[np.float64] | None
    mutual_information: NDArray[np.float64] | None
    samples: int
    root: MaskGenerator

    def __repr__(self) -> str:
        names = ("mean", "std", "entropy", "mutual_information")
        arrays = {name: getattr(self, name) for name in names}
        parts = [f"{name}: shape {array.shape}" for name, array in arrays.items() if array is not None]
        return _checks.on_one_line("<MonteCarlo ", [f"samples={self.samples}", *parts], ">")

    def generator(self, sample: int) -> MaskGenerator:
        """The `MaskGenerator` of one sample, new: ``fn(x, result.generator(k))`` is sample k again.

        Its key depends on the key of `root` and on `sample` only: it is the key of `root`'s child of that
        index (``docs/stream.md``, section 5).

        Parameters
        ----------
        sample : int
            Number of the sample, from 0.

        Raises
        ------
        TypeError, ValueError
            If `sample` is not an integer of at least 0.
        """
        return child_generator(self.root, _checks.integer(sample, "sample", 0, _checks.INDEX_LIMIT))


def mc_dropout(
    fn: Callable[[Any, MaskGenerator], ArrayLike],
    x: Any,
    samples: int,
    *,
    rng: Rng = None,
    class_axis: int | None = None,
    layers: Iterable[Layer] = (),
) -> MonteCarlo:
    r"""Call a network many times with dropout on, and say what its answers have in common.

    With the answers :math:`y_k` of K masks ([1]_, [2]_):

    .. math::
        \text{mean} = \frac1K \sum_k y_k, \qquad \text{std}^2 = \frac1K \sum_k (y_k - \text{mean})^2

        H(y) = -\sum_c y_c \ln y_c, \qquad \text{entropy} = H(\text{mean}), \qquad
        \text{mutual information} = H(\text{mean}) - \frac1K \sum_k H(y_k)

    Computed in float64, one sample after another; no more than one answer is held at a time.

    Parameters
    ----------
    fn : callable
        ``fn(x, rng)`` returns the network's answer, an array of the same shape each time. Its masks and noise
        are to come from `rng`, a `MaskGenerator` for this sample alone, as in ``dropout(h, 0.5, rng=rng)``.
    x : object
        Handed to `fn` as it is.
    samples : int
        How many answers, at least 1 and less than 2**32.
    rng : optional
        None, a seed or a numpy generator, as in `dropout`; or a `MaskGenerator`, of which one child is used.
        An int gives the same samples at every call.
    class_axis : int, optional
        The axis of the answer along which class probabilities add up to 1. Given: entropies are computed.
    layers : iterable of Layer
        Layers that `fn` uses: each takes its masks, or its noise, from the sample's `rng`, and drops.
        Afterwards they are as they were. While they are in use, no other thread may use them.

    Returns
    -------
    MonteCarlo
        `mean`, `std`, `entropy`, `mutual_information`, and the generator of every sample.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range, or an answer has another shape than
        the first, or is no class probability where `class_axis` says so.

    Warns
    -----
    UserWarning
        If there are several answers and all are equal; or if no sample took a mask or noise from its `rng`,
        so that `MonteCarlo.generator` does not repeat the answers. Most likely `layers` or ``rng=rng`` was
        forgotten.

    References
    ----------
    .. [1] Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep
       Learning", ICML 2016.
    .. [2] Houlsby, Huszar, Ghahramani and Lengyel, "Bayesian Active Learning for Classification and
       Preference Learning", arXiv:1112.5745 (2011), for the mutual information.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> weight = np.ones((100, 2))
    >>> def network(x, rng):
    ...     return fastdrop.dropout(x, 0.5, rng=rng)[0] @ weight
    >>> x = np.ones((3, 100))
    >>> result = fastdrop.mc_dropout(network, x, samples=50, rng=0)
    >>> result.mean.shape, bool((abs(result.mean - 100) < 10).all())
    ((3, 2), True)
    >>> again = network(x, result.generator(7))  # sample 7 alone
    """
    if not callable(fn):
        raise TypeError(f"fn must be a function of x and a MaskGenerator, not {_checks.describe(fn)}")
    count = _checks.integer(samples, "samples", 1, _SAMPLES_LIMIT)
    root = rng.spawn(1)[0] if isinstance(rng, MaskGenerator) else as_generator(rng)
    answers = _answers(fn, x, root, count, list_of_layers(layers))
    first, used = next(answers)
    axis = None if class_axis is None else _checks.axis(class_axis, "class_axis", first.ndim)
    # Welford, "Note on a method for calculating corrected sums of squares" (1962): no cancellation.
    mean, squares = first, np.zeros_like(first)
    entropy = None if axis is None else _entropy(_checked(first, axis), axis)
    equal = first.size > 0
    for seen, (answer, uses) in enumerate(answers, start=2):
        if answer.shape != mean.shape:
            raise ValueError(f"fn must return the same shape each time, {mean.shape}, not {answer.shape}")
        used = used or uses
        equal = equal and np.array_equal(answer, first, equal_nan=True)
        change = answer - mean
        mean = mean + change / seen
        squares += change * (answer - mean)
        if entropy is not None and axis is not None:
            entropy += _entropy(_checked(answer, axis), axis)
    if count > 1 and (equal or not used):
        effect = "all answers are equal" if equal else "result.generator(k) does not repeat sample k"
        changed_nothing = "what fn drew, maybe with p = 0, changed nothing"
        cause = changed_nothing if used else "fn took no mask from the rng it was given"
        remedy = "name all layers that fn uses, layers=[...], and hand rng on to functions, rng=rng"
        warnings.warn(f"{effect}, because {cause}: {remedy}", stacklevel=2)
    mean, std = np.asarray(mean), np.asarray(np.sqrt(squares / count))
    if entropy is None or axis is None:
        return MonteCarlo(mean, std, None, None, count, root)
    total = _entropy(mean, axis)
    # Not negative but for rounding: the entropy is concave.
    information = np.asarray(np.maximum(total - entropy / count, 0.0))
    return MonteCarlo(mean, std, total, information, count, root)


def _answers(
    fn: Callable[[Any, MaskGenerator], ArrayLike],
    x: Any,
    root: MaskGenerator,
    count: int,
    layers: list[Layer],
) -> Iterator[tuple[NDArray[np.float64], bool]]:
    """Every answer, and whether its masks or noise came from its generator."""
    for sample in range(count):
        rng = child_generator(root, sample)
        with dropping_by(rng, layers):
            answer = fn(x, rng)
        state = rng.state
        yield _answer(answer), state["stream"] + state["children"] > 0


def _answer(value: Any) -> NDArray[np.float64]:
    """A copy, since `fn` may return the same array each time, overwritten."""
    is_tuple = isinstance(value, tuple)
    if not is_tuple:
        _checks.refuse_masked(value, "fn(x, rng)")
    try:
        array = None if value is None or is_tuple else np.asarray(value)
    except Exception as error:  # of any kind: `__array__` is code of others
        raise complaint(value, "fn(x, rng)", "an array of real numbers", error) from error
    if array is None or not (array.dtype.kind in "fiub" or _checks.is_float_dtype(array.dtype)):
        remedy = "; of a function of fastdrop return y only: y, _ = dropout(...)" if is_tuple else ""
        raise TypeError(f"fn must return an array of real numbers, not {_checks.describe(value)}{remedy}")
    return np.array(array, np.float64)


def _checked(probability: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Refuse what is no class probability; a float16 softmax is still one."""
    total = probability.sum(axis=axis)
    if not (np.all(probability >= 0) and np.all(np.abs(total - 1) <= 0.01)):
        wanted = f"class probabilities, which are not negative and add up to 1 along axis {axis}"
        raise ValueError(f"fn must return {wanted}: apply softmax to logits first")
    return probability


def _entropy(probability: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """In nats; where a probability is 0, so is its term."""
    term = np.log(probability, where=probability > 0, out=np.zeros_like(probability))
    return np.asarray(-(probability * term).sum(axis=axis))
