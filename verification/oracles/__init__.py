# SPDX-License-Identifier: BSD-3-Clause
"""Words, masks, scales and results of the core, judged by what others wrote and by textbook formulas."""
