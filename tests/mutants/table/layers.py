# SPDX-License-Identifier: BSD-3-Clause
"""Faults of layers and functions in Python: modes, backward passes, kinds, schedules, Monte Carlo dropout."""

from ..mutant import mutant

LAYER, MONTE_CARLO = "python/fastdrop/_layer.py", "python/fastdrop/training/monte_carlo.py"
SCHEDULES, KINDS = "python/fastdrop/training/schedules.py", "tests/test_kinds.py"

MUTANTS = (
    mutant(
        "evaluation-scales",
        "python/fastdrop/mask.py",
        "scale = 1.0 if inverted else keep_probability(window.p)",
        "scale = keep_probability(window.p)",
        f"{KINDS}::test_evaluation_returns_x_or_scales_it",
    ),
    mutant(
        "evaluation-does-not-scale",
        "python/fastdrop/mask.py",
        "scale = 1.0 if inverted else keep_probability(window.p)",
        "scale = 1.0",
        f"{KINDS}::test_evaluation_returns_x_or_scales_it",
    ),
    mutant(
        "a-backward-pass-draws-a-new-mask",
        LAYER,
        'return self._answer(dropout_backward, dy, "mask", mask, out)',
        "mask = mask or self._rng.mask(np.shape(dy), self._p)\n"
        '        return self._answer(dropout_backward, dy, "mask", mask, out)',
        "tests/test_layers.py",
    ),
    mutant(
        "a-backward-pass-ignores-its-mask",
        LAYER,
        "if drawn is None:\n            drawn = self._drawn",
        "if True:\n            drawn = self._drawn",
        "tests/test_time_steps.py",
    ),
    mutant(
        "a-training-layer-evaluates",
        LAYER,
        'self._training = _checks.boolean(training, "training")',
        'self._training = not _checks.boolean(training, "training")',
        KINDS,
    ),
    mutant(
        "alpha-dropout-goes-back-with-the-scale-of-dropout",
        "python/fastdrop/kinds/alpha.py",
        "return y, new_mask(state, a)",
        "return y, new_mask(state, 1 / (1 - p) if p < 1 else 0.0)",
        "tests/test_alpha.py",
    ),
    mutant(
        "gaussian-noise-goes-back-as-itself",
        "python/fastdrop/kinds/gaussian.py",
        'return noise._apply(dy, out, "dy")',
        'return noise._apply(noise._apply(dy, out, "dy"), out, "dy")',
        "tests/test_gaussian.py",
    ),
    mutant(
        "channels-share-instead-of-their-elements",
        "python/fastdrop/kinds/_noise_shapes.py",
        "return tuple(length if axis in independent else 1 for axis, length in enumerate(shape))",
        "return tuple(1 if axis in independent else length for axis, length in enumerate(shape))",
        KINDS,
    ),
    mutant(
        "locked-dropout-shares-all-but-time",
        "python/fastdrop/kinds/_noise_shapes.py",
        "return tuple(1 if axis in shared else length for axis, length in enumerate(shape))",
        "return tuple(length if axis in shared else 1 for axis, length in enumerate(shape))",
        KINDS,
    ),
    mutant(
        "drop-block-scales-by-1-minus-p",
        "python/fastdrop/kinds/drop_block.py",
        "(size - kept) / size if kept else 0.0)",
        "p if kept else 0.0)",
        "tests/test_kinds.py",
        "tests/test_kind_statistics.py",
    ),
    mutant(
        "a-straight-line-runs-backwards",
        SCHEDULES,
        "self.start * (1.0 - done) + self.end * done)",
        "self.start * done + self.end * (1.0 - done))",
        "tests/test_schedules.py",
    ),
    mutant(
        "a-curriculum-begins-at-its-end",
        SCHEDULES,
        "self.p * -math.expm1(",
        "self.p * math.exp(",
        "tests/test_schedules.py",
    ),
    mutant(
        "a-step-is-not-counted",
        SCHEDULES,
        "self._set(self.step_number + 1)",
        "self._set(self.step_number)",
        "tests/test_schedules.py",
    ),
    mutant(
        "a-deviation-of-fewer-samples",
        MONTE_CARLO,
        "np.asarray(np.sqrt(squares / count))",
        "np.asarray(np.sqrt(squares / max(count - 1, 1)))",
        "tests/test_montecarlo.py",
    ),
    mutant(
        "squares-of-the-change",
        MONTE_CARLO,
        "squares += change * (answer - mean)",
        "squares += change * change",
        "tests/test_montecarlo.py",
    ),
    mutant(
        "information-of-the-last-sample",
        MONTE_CARLO,
        "entropy += _entropy(_checked(answer, axis), axis)",
        "entropy = _entropy(_checked(answer, axis), axis) * count",
        "tests/test_montecarlo.py",
    ),
    mutant(
        "a-sample-has-the-generator-of-the-next",
        MONTE_CARLO,
        "rng = child_generator(root, sample)",
        "rng = child_generator(root, sample + 1)",
        "tests/test_montecarlo.py",
    ),
)
