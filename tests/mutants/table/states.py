# SPDX-License-Identifier: BSD-3-Clause
"""Faults of what is saved, copied, counted and spawned."""

from ..mutant import mutant

# Of the setter of `state`, and of copies and pickles.
SET = "self._source, self._children = _core.MaskSource(generator, key, stream), children"
SETTER, COPY = "\n\n    def __getstate__", "\n\n    def __repr__"
GENERATOR, LAYER, MASK = (f"python/fastdrop/{name}.py" for name in ("mask_generator", "_layer", "mask"))
CHECKPOINTS, STATE = "tests/test_checkpoints.py", "tests/test_state.py"

MUTANTS = (
    mutant(
        "a-stream-is-handed-out-twice",
        "csrc/bindings/mask_source.h",
        "next_.compare_exchange_weak(stream, stream + 1,",
        "next_.compare_exchange_weak(stream, stream + stream % 2,",
        STATE,
        CHECKPOINTS,
    ),
    mutant(
        "seed-of-32-bits",
        "python/fastdrop/_keys.py",
        "return _core.seed_key(seed & _HALF, seed >> 64)",
        "return _core.seed_key(seed & _HALF >> 32, seed >> 64)",
        "tests/test_seeds.py",
        STATE,
    ),
    mutant(
        "seed-of-64-bits",
        "python/fastdrop/_keys.py",
        "return _core.seed_key(seed & _HALF, seed >> 64)",
        "return _core.seed_key(seed & _HALF, 0)",
        "tests/test_seeds.py",
        STATE,
    ),
    mutant(
        "a-loaded-key-has-64-bits",
        GENERATOR,
        SET + SETTER,
        SET.replace("key,", "(key[0], 0),") + SETTER,
        CHECKPOINTS,
        "tests/test_saved_states.py",
    ),
    mutant(
        "a-loaded-generator-forgets-its-children",
        GENERATOR,
        SET + SETTER,
        "self._source = _core.MaskSource(generator, key, stream)" + SETTER,
        CHECKPOINTS,
        "tests/test_saved_states.py",
    ),
    mutant(
        "a-copied-generator-begins-anew",
        GENERATOR,
        SET + COPY,
        "self._children = children" + COPY,
        CHECKPOINTS,
        STATE,
    ),
    mutant(
        "children-are-counted-from-0-at-every-call",
        GENERATOR,
        "for index in range(first, first + count)]",
        "for index in range(count)]",
        CHECKPOINTS,
        STATE,
    ),
    mutant(
        "a-layer-loads-p-as-the-probability-of-keeping",
        LAYER,
        'setattr(self, f"_{name}", getattr(trial, f"_{name}"))',
        'setattr(self, f"_{name}", 1 - trial.p if name == "p" else getattr(trial, f"_{name}"))',
        CHECKPOINTS,
        "tests/test_layers.py",
    ),
    mutant(
        "a-layer-does-not-load-its-mode",
        LAYER,
        "self._training = training\n        self._draw_by_hand(None)",
        "self._draw_by_hand(None)",
        CHECKPOINTS,
        "tests/test_saved_states.py",
    ),
    mutant(
        "a-layer-keeps-its-mask-when-it-loads",
        LAYER,
        "self._training = training\n        self._draw_by_hand(None)",
        "self._training = training",
        CHECKPOINTS,
        "tests/test_layers.py",
    ),
    mutant(
        "a-pickled-mask-has-the-scale-of-its-p",
        MASK,
        "return new_mask, (self._state, self._scale)",
        "return new_mask, (self._state, scale_for(self._state.p, True))",
        STATE,
    ),
    mutant(
        "masks-of-other-scales-are-equal",
        MASK,
        "equal: bool = _core.with_subnormals(operator.eq, state_and_scale(self), state_and_scale(other))",
        "equal: bool = self._state == other._state",
        STATE,
    ),
    mutant(
        "a-scheduler-begins-anew",
        "python/fastdrop/training/schedules.py",
        'self._set(_checks.integer(state["step_number"], "state[\'step_number\']", 0, _checks.INDEX_LIMIT))',
        "self._set(0)",
        "tests/test_schedules.py",
    ),
)
