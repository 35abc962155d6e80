# SPDX-License-Identifier: BSD-3-Clause
"""A multilayer perceptron in NumPy: linear layers, batch norm, ReLU, dropout, softmax loss and Adam.

The dropout layers are handed in: ``fastdrop.Dropout``, or one of the two stand-ins at the end of this
file that share its interface. With ``fused=True`` fastdrop does bias, ReLU and dropout in one pass.
"""

import math
from itertools import pairwise

import numpy as np

import fastdrop


class Linear:
    """``y = x @ weight + bias``; parameters and gradients are views of the model's two flat arrays."""

    def __init__(self, parameters, gradients):
        """Take two arrays of shape (inputs + 1, outputs): the weight, and below it the bias."""
        self.weight, self.bias = parameters[:-1], parameters[-1]
        self.weight_gradient, self.bias_gradient = gradients[:-1], gradients[-1]

    def multiply(self, x):
        """Return the product, a new array, and remember x: the gradient of the weight needs it."""
        self.x = x
        return x @ self.weight

    def forward(self, x):
        """Return y, a new array."""
        y = self.multiply(x)
        y += self.bias
        return y

    def backward_weight(self, dy):
        """Write the gradient of the weight."""
        np.matmul(self.x.T, dy, out=self.weight_gradient)

    def backward_parameters(self, dy):
        """Write the gradients of weight and bias."""
        self.backward_weight(dy)
        np.sum(dy, axis=0, out=self.bias_gradient)

    def backward_input(self, dy):
        """Return the gradient with respect to x, a new array."""
        return dy @ self.weight.T


class BatchNorm:
    """Ioffe and Szegedy, "Batch normalization" (2015): features of mean 0 and variance 1, then an affine.

    In training mean and (biased) variance are those of the batch, and the running statistics follow them.
    In evaluation they are the running ones, whose variance is unbiased.
    """

    def __init__(self, parameters, gradients, statistics, momentum=0.9, epsilon=1e-5):
        """Take three arrays of shape (2, features): scale and shift, their gradients, mean and variance."""
        self.scale, self.shift = parameters
        self.scale_gradient, self.shift_gradient = gradients
        self.mean, self.variance = statistics
        self.momentum, self.epsilon = momentum, epsilon
        self.scale[:], self.shift[:] = 1, 0
        self.mean[:], self.variance[:] = 0, 1
        self.training = True

    def train(self, mode=True):
        """Use the statistics of the batch, or with ``mode=False`` the running ones."""
        self.training = mode

    def forward(self, x):
        """Return the normalised batch, a new array, and remember what the backward pass needs."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = x.mean(axis=0), x.var(axis=0)
            unbiased = variance * (len(x) / max(len(x) - 1, 1))
            self.mean += (1 - self.momentum) * (mean - self.mean)
            self.variance += (1 - self.momentum) * (unbiased - self.variance)
        self.inverse = 1 / np.sqrt(variance + self.epsilon)
        self.normal = (x - mean) * self.inverse
        return self.normal * self.scale + self.shift

    def backward(self, dy):
        """Write the gradients of scale and shift; return that of x: mean and variance depend on x too."""
        self.scale_gradient[:] = (dy * self.normal).sum(axis=0)
        self.shift_gradient[:] = dy.sum(axis=0)
        means = self.shift_gradient + self.normal * self.scale_gradient
        return (dy - means / len(dy)) * (self.scale * self.inverse)


class MLP:
    """Dropout on the input, then hidden layers, then a linear layer to logits.

    A hidden layer is linear, batch norm if `batch_norm`, ReLU and dropout. The outputs of hidden layers
    belong to the model, so ReLU and dropout work in place, forward and backward. This is safe: the backward
    pass of dropout needs only its mask, and the backward pass of ReLU needs only the signs of its output.
    Where dropout has overwritten this output with zeros, the backward pass of dropout has already set the
    gradient to zero.

    If `fused`, one call of ``fastdrop.bias_dropout_add`` does what follows the product of a hidden layer,
    with the masks that its dropout layer would draw, and one call of its backward function gives the gradient
    of the bias as well. The results are equal, but for the order in which gradients of biases are added up.
    """

    def __init__(self, sizes, dropouts, rng, *, batch_norm=False, fused=False, dtype=np.float32):
        """Take the sizes of input, hidden layers and output, and one dropout layer for all but the last."""
        if fused and batch_norm:
            raise ValueError("fused must be False with batch_norm, which stands between bias and ReLU")
        self.dropouts, self.fused = dropouts, fused
        shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]
        norm_shapes = [(2, size) for size in sizes[1:-1]] if batch_norm else []
        self.parameters = np.zeros(sum(map(math.prod, shapes + norm_shapes)), dtype)
        self.gradients = np.zeros_like(self.parameters)
        self.statistics = np.zeros(sum(map(math.prod, norm_shapes)), dtype)  # of batch norm; not trained
        parameters = split_flat(self.parameters, shapes + norm_shapes)
        gradients = split_flat(self.gradients, shapes + norm_shapes)
        depth = len(shapes)
        self.linears = [Linear(*both) for both in zip(parameters[:depth], gradients[:depth], strict=True)]
        for linear in self.linears:
            # He et al., "Delving deep into rectifiers" (2015): keeps the variance through ReLU layers.
            linear.weight[:] = rng.normal(0, np.sqrt(2 / len(linear.weight)), linear.weight.shape)
        statistics = split_flat(self.statistics, norm_shapes)
        norms = zip(parameters[depth:], gradients[depth:], statistics, strict=True)
        self.norms = [BatchNorm(*arrays) for arrays in norms] or [None] * (depth - 1)

    def train(self, mode=True):
        """Switch dropout and the batch's own statistics on, or off with ``mode=False``."""
        for layer in (*self.dropouts, *self.norms):
            if layer is not None:
                layer.train(mode)

    def forward(self, x):
        """Return the logits; `x` does not change."""
        x = self.dropouts[0].forward(x)  # the one dropout that is not in place
        for linear, norm, dropout in zip(self.linears[:-1], self.norms, self.dropouts[1:], strict=True):
            if self.fused:
                x = self._bias_relu_dropout(linear, dropout, linear.multiply(x))
                continue
            y = linear.forward(x)
            if norm is not None:
                y = norm.forward(y)
            np.maximum(y, 0, out=y)
            x = dropout.forward(y, out=y)
        return self.linears[-1].forward(x)

    def backward(self, dy):
        """Fill ``self.gradients`` from the gradient with respect to the logits."""
        last = self.linears[-1]
        last.backward_parameters(dy)
        layers = zip(self.linears[:-1], self.norms, self.dropouts[1:], strict=True)
        for linear, norm, dropout in reversed(list(layers)):
            y = last.x  # what came out of ReLU and dropout
            dy = last.backward_input(dy)
            last = linear
            if self.fused:
                dy, linear.bias_gradient[:] = fastdrop.bias_dropout_add_backward(dy, linear.saved, out=dy)
                linear.backward_weight(dy)
                continue
            dy = dropout.backward(dy, out=dy)
            dy *= y > 0
            if norm is not None:
                dy = norm.backward(dy)
            linear.backward_parameters(dy)
        # Nothing asks for the gradient of the input, so the first layers' backward pass ends here.

    @staticmethod
    def _bias_relu_dropout(linear, dropout, product):
        """Add the bias, apply ReLU and drop, all in place; the linear layer remembers what was saved."""
        y, linear.saved = fastdrop.bias_dropout_add(
            product,
            linear.bias,
            p=dropout.p,
            activation="relu",
            rng=dropout.rng,
            training=dropout.training,
            out=product,
        )
        return y


def split_flat(flat, shapes):
    """Return consecutive parts of a flat array, as views of these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes], dtype=int)
    parts = np.split(flat, ends[:-1]) if shapes else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def softmax(logits):
    """Return the probabilities of the classes, a new array."""
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))  # the largest is 1: no overflow
    probability /= probability.sum(axis=1, keepdims=True)
    return probability


def softmax_cross_entropy(logits, labels):
    """Return the mean loss, and its gradient with respect to the logits."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)  # the largest is 0: exp cannot overflow
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
    """Returns its input: the network without dropout."""

    def train(self, mode=True):
        """Do nothing: there is nothing to switch."""

    def forward(self, x, *, out=None):
        """Return x itself."""
        return x

    def backward(self, dy, *, out=None):
        """Return dy itself."""
        return dy
