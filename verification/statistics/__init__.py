# SPDX-License-Identifier: BSD-3-Clause
"""Masks, noise and raw words under many statistical tests."""
