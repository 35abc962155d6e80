# SPDX-License-Identifier: BSD-3-Clause
"""What a refusal is: exactly one exception class, and a message that says what is wrong."""

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
