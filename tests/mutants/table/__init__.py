# SPDX-License-Identifier: BSD-3-Clause
"""The faults, by what they are about."""

from . import arithmetic, environment, fused, hosts, layers, layouts, masks, softmax, states, threads

MUTANTS = tuple(
    mutant
    for about in (masks, arithmetic, fused, softmax, layouts, threads, states, layers, environment, hosts)
    for mutant in about.MUTANTS
)
