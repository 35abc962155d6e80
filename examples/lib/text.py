# SPDX-License-Identifier: BSD-3-Clause
"""Text that comes with Python, in characters: the topics that ``help()`` explains. Nothing is fetched."""

from pydoc_data.topics import topics
from typing import NamedTuple

import numpy as np

PIECE = 1024  # characters that stay together when text is split


class Text(NamedTuple):
    """Text as numbers of characters, in two parts."""

    characters: str  # all that there are, in order: a number is an index into this
    train: np.ndarray
    validation: np.ndarray

    def encode(self, text):
        """Return the numbers of the characters of a text."""
        return np.array([self.characters.index(character) for character in text])

    def decode(self, numbers):
        """Return the text that these numbers stand for."""
        return "".join(self.characters[number] for number in numbers)


def load_text(train_count, validation_count, rng):
    """Load so many characters to train on and to validate on: pieces of the topics, in random order.

    Some topics repeat what others say. A paragraph counts the first time only, so that none of them is in
    both parts.
    """
    paragraphs = dict.fromkeys(
        paragraph for name in sorted(topics) for paragraph in topics[name].split("\n\n")
    )
    whole = "\n\n".join(paragraphs)
    characters = "".join(sorted(set(whole)))
    text = Text(characters, np.empty(0), np.empty(0))
    numbers = text.encode(whole[: len(whole) // PIECE * PIECE]).reshape(-1, PIECE)
    mixed = numbers[rng.permutation(len(numbers))].ravel()
    if train_count + validation_count > len(mixed):
        raise ValueError(f"there are {len(mixed):,} characters only")
    return text._replace(
        train=mixed[:train_count], validation=mixed[train_count : train_count + validation_count]
    )


def random_windows(numbers, batch_size, length, rng):
    """Return a batch of text to train on, and for each of its characters the next one."""
    starts = rng.integers(0, len(numbers) - length, batch_size)
    windows = numbers[starts[:, None] + np.arange(length + 1)]
    return windows[:, :-1], windows[:, 1:]


def all_windows(numbers, batch_size, length):
    """Give all of the text in batches, as far as it fills them, with the next characters as well."""
    count = (len(numbers) - 1) // (batch_size * length)
    shape = count, batch_size, length
    size = count * batch_size * length
    yield from zip(numbers[:size].reshape(shape), numbers[1 : size + 1].reshape(shape), strict=True)
