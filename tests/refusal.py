# SPDX-License-Identifier: BSD-3-Clause
"""What a refusal is: exactly one exception class, and a message that says what is wrong."""

import re

import pytest


def refuse(call, kind, *fragments):
    """The call raises exactly that class; the first fragment begins the message, the others are in it."""
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    message = str(caught.value)
    assert message.startswith(fragments[0])
    for fragment in fragments:
        assert fragment in message


def without_address(value):
    """The name of a test of that value: the same in every process, as those that share the tests need it."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
