# SPDX-License-Identifier: BSD-3-Clause
"""A multilayer perceptron in NumPy: linear layers, ReLU, dropout, softmax loss and Adam, all in float32.

The dropout layers are handed in: ``fastdrop.Dropout``, or one of the two stand-ins at the end of this
file that share its interface.
"""

import math
from itertools import pairwise

import numpy as np


class Linear:
    """``y = x @ weight + bias``; parameters and gradients are views of the model's two flat arrays."""

    def __init__(self, parameters, gradients):
        """Take two arrays of shape (inputs + 1, outputs): the weight, and below it the bias."""
        self.weight, self.bias = parameters[:-1], parameters[-1]
        self.weight_gradient, self.bias_gradient = gradients[:-1], gradients[-1]

    def forward(self, x):
        """Return y, a new array, and remember x: the gradient of the weight needs it."""
        self.x = x
        y = x @ self.weight
        y += self.bias
        return y

    def backward_parameters(self, dy):
        """Write the gradients of weight and bias."""
        np.matmul(self.x.T, dy, out=self.weight_gradient)
        np.sum(dy, axis=0, out=self.bias_gradient)

    def backward_input(self, dy):
        """Return the gradient with respect to x, a new array."""
        return dy @ self.weight.T


class MLP:
    """Dropout on the input, then per hidden layer linear, ReLU and dropout, then a linear layer to logits.

    What the hidden layers hand on belongs to the model, so ReLU and dropout work in place, forward and
    backward. That is safe: the backward pass of dropout needs its mask only, and that of ReLU needs the
    signs of its output only. Where dropout has overwritten that output with zeros, ReLU lets nothing
    through, and there the gradient is zero already: dropout's backward pass has just made it so.
    """

    def __init__(self, sizes, dropouts, rng):
        """Take the sizes of input, hidden layers and output, and one dropout layer for all but the last."""
        self.dropouts = dropouts
        shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]
        self.parameters = np.zeros(sum(map(math.prod, shapes)), np.float32)
        self.gradients = np.zeros_like(self.parameters)
        self.linears = []
        start = 0
        for shape in shapes:
            part = slice(start, start + math.prod(shape))
            linear = Linear(self.parameters[part].reshape(shape), self.gradients[part].reshape(shape))
            # He et al., "Delving deep into rectifiers" (2015): keeps the variance through ReLU layers.
            linear.weight[:] = rng.normal(0, np.sqrt(2 / len(linear.weight)), linear.weight.shape)
            self.linears.append(linear)
            start = part.stop

    def train(self, mode=True):
        """Switch dropout on, or off with ``mode=False``."""
        for dropout in self.dropouts:
            dropout.train(mode)

    def forward(self, x):
        """Return the logits. `x` is the caller's and stays as it is."""
        x = self.dropouts[0].forward(x)  # the one dropout that is not in place
        for linear, dropout in zip(self.linears[:-1], self.dropouts[1:], strict=True):
            y = linear.forward(x)
            np.maximum(y, 0, out=y)
            x = dropout.forward(y, out=y)
        return self.linears[-1].forward(x)

    def backward(self, dy):
        """Fill ``self.gradients`` from the gradient with respect to the logits."""
        last = self.linears[-1]
        last.backward_parameters(dy)
        for linear, dropout in zip(self.linears[-2::-1], self.dropouts[:0:-1], strict=True):
            y = last.x  # what came out of ReLU and dropout
            dy = last.backward_input(dy)
            dy = dropout.backward(dy, out=dy)
            dy *= y > 0
            linear.backward_parameters(dy)
            last = linear
        # Nothing asks for the gradient of the input, so the first layers' backward pass ends here.


def softmax_cross_entropy(logits, labels):
    """Return the mean loss, and its gradient with respect to the logits."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)  # the greatest is 0: exp cannot overflow
    probability = np.exp(shifted)
    total = probability.sum(axis=1, keepdims=True)
    loss = np.mean(np.log(total[:, 0]) - shifted[rows, labels])
    probability /= total
    probability[rows, labels] -= 1
    probability /= len(labels)
    return float(loss), probability


class Adam:
    """Kingma and Ba, "Adam" (2015), with their constants, in the order given at the end of section 2."""

    def __init__(self, parameters, gradients, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8):
        """Take the flat arrays of a model; `parameters` is updated in place."""
        self.parameters, self.gradients = parameters, gradients
        self.learning_rate, self.beta1, self.beta2, self.epsilon = learning_rate, beta1, beta2, epsilon
        self.mean = np.zeros_like(parameters)
        self.square = np.zeros_like(parameters)
        self.scratch = np.empty_like(parameters)
        self.step_count = 0

    def step(self):
        """Update the parameters from the gradients, in place."""
        self.step_count += 1
        gradients, mean, square, scratch = self.gradients, self.mean, self.square, self.scratch
        np.subtract(gradients, mean, out=scratch)
        scratch *= 1 - self.beta1
        mean += scratch
        if self.step_count % 128 == 0:
            # Where gradients stay 0, as behind a dead ReLU, the mean decays into subnormal numbers, and
            # those are slow to divide: they would slow down the network that has more dead units. From
            # 1e-30 it takes more than 128 steps to get there: 1e-30 * 0.9**128 = 1.4e-36 > 1.2e-38.
            mean[np.abs(mean) < 1e-30] = 0
        np.multiply(gradients, gradients, out=scratch)
        scratch -= square
        scratch *= 1 - self.beta2
        square += scratch
        correction = (1 - self.beta2**self.step_count) ** 0.5 / (1 - self.beta1**self.step_count)
        np.sqrt(square, out=scratch)
        scratch += self.epsilon
        np.divide(mean, scratch, out=scratch)
        scratch *= self.learning_rate * correction
        self.parameters -= scratch


class TextbookDropout:
    """Dropout as most NumPy code writes it: a stored float mask that already holds the scale.

    The textbook line gives a float64 mask, which would turn every later product into float64 and make
    the whole network about twice as slow. Here the mask is cast once to the dtype of x, and
    the products may be in place, so that a comparison with this class shows the cost of dropout alone.
    """

    def __init__(self, p, rng):
        """Drop with probability `p`; `rng` is a ``numpy.random.Generator``."""
        self.p, self.rng = p, rng
        self.training = True

    def train(self, mode=True):
        """Switch dropout on, or off with ``mode=False``."""
        self.training = mode

    def forward(self, x, *, out=None):
        """Drop and scale."""
        if not self.training:
            return x
        mask = (self.rng.random(x.shape) >= self.p) / (1 - self.p)
        self.mask = mask.astype(x.dtype)
        return np.multiply(x, self.mask, out=out)

    def backward(self, dy, *, out=None):
        """Multiply the gradient by the stored mask."""
        return np.multiply(dy, self.mask, out=out)


class NoDropout:
    """Hands everything on: the network without dropout."""

    def train(self, mode=True):
        """Do nothing: there is nothing to switch."""

    def forward(self, x, *, out=None):
        """Return x itself."""
        return x

    def backward(self, dy, *, out=None):
        """Return dy itself."""
        return dy
