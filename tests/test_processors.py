# SPDX-License-Identifier: BSD-3-Clause
"""Which instruction sets a processor could run, from its registers: processors that are not here, too.

Bits of CPUID: Intel, Software Developer's Manual, volume 2A, "CPUID", tables 3-10 and 3-8 (leaves 1 and 7);
AMD, Architecture Programmer's Manual, volume 3, appendix E, has the same. XCR0: Intel's volume 1, section
13.3. What the processors have: Intel's and AMD's optimisation manuals, as GCC's -march lists them.
"""

import pytest

from fastdrop import _core

# Of leaf 1's ECX, and of leaf 7's EBX and ECX.
LEAF_1_ECX = {"fma": 12, "sse4_2": 20, "popcnt": 23, "aes": 25, "osxsave": 27, "avx": 28, "f16c": 29}
LEAF_7_EBX = {"avx2": 5, "avx512f": 16, "avx512dq": 17, "avx512bw": 30, "avx512vl": 31}
LEAF_7_ECX = {"vaes": 9}
# XCR0: the state of XMM, of the upper halves of YMM, of the mask registers, and of both parts of ZMM.
XMM, YMM, MASKS, UPPER_ZMM, MORE_ZMM = 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7
X87 = 1 << 0
ALL_OF_AVX = X87 | XMM | YMM
ALL_OF_AVX512 = ALL_OF_AVX | MASKS | UPPER_ZMM | MORE_ZMM

NEHALEM = {"sse4_2", "popcnt", "osxsave"}
SANDY_BRIDGE = NEHALEM | {"aes", "avx"}
HASWELL = SANDY_BRIDGE | {"f16c", "fma", "avx2"}
SKYLAKE_X = HASWELL | {"avx512f", "avx512dq", "avx512bw", "avx512vl"}
ICE_LAKE = SKYLAKE_X | {"vaes"}

SCALAR = ["scalar"]
UP_TO_AVX2 = ["avx2", "scalar"]
UP_TO_AVX2_VAES = ["avx2vaes", "avx2", "scalar"]
UP_TO_AVX512 = ["avx512", "avx2vaes", "avx2", "scalar"]

# Features, the registers that a system with a current kernel saves, and what runs.
PROCESSORS = {
    "Core 2 (Penryn)": (set(), X87 | XMM, SCALAR),
    "Nehalem": (NEHALEM, X87 | XMM, SCALAR),
    "Westmere": (NEHALEM | {"aes"}, X87 | XMM, SCALAR),
    "Sandy Bridge": (SANDY_BRIDGE, ALL_OF_AVX, SCALAR),
    "Ivy Bridge": (SANDY_BRIDGE | {"f16c"}, ALL_OF_AVX, SCALAR),
    "Haswell": (HASWELL, ALL_OF_AVX, UP_TO_AVX2),
    "Skylake": (HASWELL, ALL_OF_AVX, UP_TO_AVX2),
    "Knights Landing": (HASWELL | {"avx512f"}, ALL_OF_AVX512, UP_TO_AVX2),
    "Skylake-X, Cascade Lake": (SKYLAKE_X, ALL_OF_AVX512, UP_TO_AVX2),
    "Ice Lake, Sapphire Rapids": (ICE_LAKE, ALL_OF_AVX512, UP_TO_AVX512),
    "Alder Lake": (HASWELL | {"vaes"}, ALL_OF_AVX, UP_TO_AVX2_VAES),
    "Bulldozer": (SANDY_BRIDGE, ALL_OF_AVX, SCALAR),
    "Piledriver": (SANDY_BRIDGE | {"f16c", "fma"}, ALL_OF_AVX, SCALAR),
    "Zen, Zen 2": (HASWELL, ALL_OF_AVX, UP_TO_AVX2),
    "Zen 3": (HASWELL | {"vaes"}, ALL_OF_AVX, UP_TO_AVX2_VAES),
    "Zen 4, Zen 5": (ICE_LAKE, ALL_OF_AVX512, UP_TO_AVX512),
    # Systems that do not save what the processor has: hypervisors, and kernels started with noxsave.
    "Ice Lake without AVX-512 in the guest's XCR0": (ICE_LAKE, ALL_OF_AVX, UP_TO_AVX2_VAES),
    "Ice Lake without AVX in the guest's XCR0": (ICE_LAKE, X87 | XMM, SCALAR),
    "Ice Lake without OSXSAVE": (ICE_LAKE - {"osxsave"}, ALL_OF_AVX512, SCALAR),
    "Haswell without OSXSAVE": (HASWELL - {"osxsave"}, ALL_OF_AVX, SCALAR),
    "Haswell whose guest is told of no AES": (HASWELL - {"aes"}, ALL_OF_AVX, SCALAR),
    "XCR0 without the mask registers": (ICE_LAKE, ALL_OF_AVX512 & ~MASKS, UP_TO_AVX2_VAES),
    "XCR0 without the upper halves of ZMM": (ICE_LAKE, ALL_OF_AVX512 & ~UPPER_ZMM, UP_TO_AVX2_VAES),
    "XCR0 without ZMM16 to ZMM31": (ICE_LAKE, ALL_OF_AVX512 & ~MORE_ZMM, UP_TO_AVX2_VAES),
    "XCR0 without YMM": (ICE_LAKE, ALL_OF_AVX512 & ~YMM, SCALAR),
    "XCR0 without XMM": (ICE_LAKE, ALL_OF_AVX512 & ~XMM, SCALAR),
    "XCR0 with AMX's tiles": (ICE_LAKE, ALL_OF_AVX512 | 3 << 17, UP_TO_AVX512),
}


def register(bits, features, others=False):
    """The register whose bits these features have; `others`: all that the table does not name are set."""
    word = sum(1 << bit for name, bit in bits.items() if name in features)
    return word | (~sum(1 << bit for bit in bits.values()) & 0xFFFFFFFF if others else 0)


def isas_for(features, xcr0, others=False):
    leaves = [register(bits, features, others) for bits in (LEAF_1_ECX, LEAF_7_EBX, LEAF_7_ECX)]
    return _core.isas_for(*leaves, xcr0)


BUILT = [name for name, _, _ in _core.isas()]  # on another processor than x86-64 the portable one alone


def built(names):
    return [name for name in names if name in BUILT]


@pytest.mark.parametrize("others", [False, True], ids=["alone", "with every other bit"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processor_runs_what_it_has_and_its_system_saves(name, others):
    features, xcr0, runs = PROCESSORS[name]
    assert isas_for(features, xcr0, others) == built(runs)


NEEDED_BY = {
    "avx2": HASWELL,
    "avx2vaes": HASWELL | {"vaes"},
    "avx512": ICE_LAKE,
}


@pytest.mark.parametrize("isa", NEEDED_BY)
@pytest.mark.parametrize("missing", sorted(ICE_LAKE))
def test_an_instruction_set_needs_every_feature_of_its_own(isa, missing):
    runs = isas_for(ICE_LAKE - {missing}, ALL_OF_AVX512)
    assert (isa in runs) == (isa in BUILT and missing not in NEEDED_BY[isa])


def test_without_leaf_7_there_is_no_avx2():
    assert _core.isas_for(register(LEAF_1_ECX, ICE_LAKE), 0, 0, ALL_OF_AVX512) == SCALAR
