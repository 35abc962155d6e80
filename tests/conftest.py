# SPDX-License-Identifier: BSD-3-Clause
"""The axes every test file shares: ISA, generator, number of threads, and how Hypothesis searches."""

import contextlib
import os

import hypothesis
import ml_dtypes  # noqa: F401 -- from then on NumPy knows the name bfloat16
import pytest
from threadpoolctl import ThreadpoolController

import fastdrop
from fastdrop import _core

GENERATORS = _core.generators  # a new one joins every test

# The same examples on every run: a failure is a fault of the code, never of the day. A deadline
# would be a timed assertion. A fixture that lives as long as the test function is what we want: it
# forces one ISA for all the examples of that function.
hypothesis.settings.register_profile(
    "fastdrop",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
# HYPOTHESIS_PROFILE=thorough: 10,000 examples of every property.
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("fastdrop"), max_examples=10_000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fastdrop"))

# After `import fastdrop`, so that the OpenMP runtime the core was given is among those found.
OPENMP = ThreadpoolController().select(user_api="openmp")


@pytest.fixture(params=fastdrop.isas())
def isa(request):
    """Run the test once on every ISA that this processor has; the value is its name."""
    with fastdrop.use_isa(request.param):
        assert fastdrop.isa() == request.param
        yield request.param


@pytest.fixture
def restore_isa():
    """For a test that changes the ISA itself."""
    previous = fastdrop.isa()
    yield
    fastdrop.use_isa(previous)


@pytest.fixture(params=GENERATORS)
def generator(request):
    return request.param


@pytest.fixture
def silence(capfd):
    """The test must print nothing: a refusal is an exception, and nothing else."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def threads():
    """``with threads(7): ...`` uses seven threads, also where there are fewer cores.

    The core takes the lesser of its own limit and of OpenMP's in the calling thread, and OpenMP's
    starts at the number of cores, so both are raised.
    """

    @contextlib.contextmanager
    def use(count):
        with fastdrop.set_num_threads(count), OPENMP.limit(limits=count):
            assert fastdrop.get_num_threads() == count
            yield

    return use
