# SPDX-License-Identifier: BSD-3-Clause
"""Faults beside results: what a processor is taken for, signals, memory beside an array, what is refused."""

from ..mutant import mutant

FEATURES, STATE = "csrc/dispatch/cpu_features.cpp", "csrc/bindings/mask_state.cpp"

MUTANTS = (
    mutant(
        "registers-that-the-system-does-not-save",
        FEATURES,
        "if ((enabled & zmm_state) != zmm_state) return features;",
        "",
        "tests/test_processors.py",
    ),
    mutant(
        "avx-512-without-vaes",
        "csrc/dispatch/isa_registry.cpp",
        "kNeededByAvx2Vaes | kAvx512f",
        "kNeededByAvx2 | kAvx512f",
        "tests/test_processors.py",
    ),
    mutant(
        "workers-take-signals",
        "csrc/runtime/thread_pool.cpp",
        "sigfillset(&others);",
        "sigemptyset(&others);",
        "tests/test_workers.py",
    ),
    mutant(
        "a-partial-tile-is-read-whole",
        "csrc/kernels/operands.h",
        "__builtin_memcpy(to + first * bytes(input), from_[input], element_count * bytes(input));",
        "__builtin_memcpy(to + first * bytes(input), from_[input], (kTileElements - first) * bytes(input));",
        "tests/test_page_ends.py",
    ),
    mutant(
        "a-part-of-a-strip-is-written-whole",
        "csrc/kernels/rows/elements.h",
        "store_part(to, count, a);",
        "a.store(to);",
        "tests/test_page_ends.py",
    ),
    mutant(
        "the-fast-way-takes-any-p",
        "csrc/bindings/operations.cpp",
        "if (!(rate > 0 && rate <= 1)) return py::none();",
        "if (!(rate > 0)) return py::none();",
        "tests/test_fast_path.py",
    ),
    mutant(
        "a-saved-p-is-not-checked",
        STATE,
        "bool is_rate(double value) { return value > -1 && value <= 1; }",
        "bool is_rate(double value) { return !(value < -1); }",
        "tests/test_unpickling.py",
    ),
    mutant(
        "a-saved-window-is-not-checked",
        STATE,
        "if (items_reached(window).end > kIndices)",
        "if (false && items_reached(window).end > kIndices)",
        "tests/test_unpickling.py",
    ),
    mutant(
        "windows-that-begin-before-the-mask",
        STATE,
        "if (lowest < 0 || highest >= kIndices) return outside;",
        "if (highest >= kIndices) return outside;",
        "tests/test_unpickling.py",
        "tests/test_core.py",
    ),
    mutant(
        "registers-without-the-bit-that-says-they-are-saved",
        FEATURES,
        "has_xgetbv(registers.leaf_1_ecx) ? registers.xcr0 : 0",
        "registers.xcr0",
        "tests/test_processors.py",
    ),
    mutant(
        "of-a-saved-p-the-first-value-is-checked",
        STATE,
        "if (!is_right(each)) return false;",
        "return is_right(each);",
        "tests/test_unpickling.py",
    ),
    mutant(
        "a-saved-scale-is-not-checked",
        "python/fastdrop/mask.py",
        "    _core.check_mask(state, scale)\n",
        "",
        "tests/test_unpickling.py",
    ),
    mutant(
        "a-saved-layer-is-not-checked",
        "python/fastdrop/_layer.py",
        "options[name].restore(self, value)",
        "setattr(self, name, value)",
        "tests/test_unpickling.py",
    ),
    mutant(
        "a-number-is-what-it-says",
        "python/fastdrop/_checks.py",
        "    number = plain_number(p)\n",
        "    number = p\n",
        "tests/test_broken_arguments.py",
    ),
    mutant(
        "a-subnormal-p-is-flushed",
        "python/fastdrop/_values.py",
        "return _core.with_subnormals(_keep_probability, rate)",
        "return _keep_probability(rate)",
        "tests/test_subnormal_p.py",
    ),
)
