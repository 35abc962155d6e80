# SPDX-License-Identifier: BSD-3-Clause
"""The script that old processors run: it calls everything, and its digest is the same on every ISA."""

import functools

import fastdrop
from every_call import digest_of_all, every_call


@functools.cache
def of_scalar():
    with fastdrop.use_isa("scalar"):
        return digest_of_all()


def test_every_public_name_is_called():
    assert {name for name, _ in every_call()} == set(fastdrop.__all__)


def test_the_digest_is_the_same_on_every_isa(isa):
    assert digest_of_all() == of_scalar()
