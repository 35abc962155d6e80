# SPDX-License-Identifier: BSD-3-Clause
"""Faults made on purpose, one after another, and the tests that see them: ``python -m tests.mutants``.

It runs from a clone, with what the `test` extra installs, a C++ compiler and pybind11, and works in copies in
a temporary folder.

A mutant is killed if tests fail on it because a value is wrong. A failure to build, to import or to collect
is an error of the table, and so is an exception that stands for a name which is not there. Tests that compare
the text of sources or documents are left out (`pytest_runs.LEFT_OUT`), so that no fault is killed by them.
"""
