# SPDX-License-Identifier: BSD-3-Clause
"""One layer at several time steps: each backward pass names its mask, and a layer never guesses."""

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from copies import copies
from kind_definitions import KINDS, LAYERS, SEED, P
from refusal import refuse

STEPS, SAMPLES, INPUTS, UNITS = 5, 3, 4, 6


def name_of(layer):
    return "noise" if isinstance(layer, fastdrop.GaussianDropout) else "mask"


def called(kind, times):
    """A layer after so many training forward passes, the gradient for it, and what each pass drew."""
    layer, x = kind.make(P, SEED), np.ones(kind.shape)
    kept = []
    for _ in range(times):
        layer(x)
        kept.append(kind.drawn(layer))
    return layer, x, kept


def refuse_to_guess(layer, dy, times):
    name = name_of(layer)
    wanted = f"backward needs {name}=, because the layer was called {times} times"
    refuse(lambda: layer.backward(dy), ValueError, wanted, f"{name}=kept[t]", f"{name}=layer.{name}")


# --- A recurrent network ----------------------------------------------------------------------------


def forward(parameters, inputs, drop):
    """All states of ``h = tanh(x W + drop(h) U + b)``, and what the backward pass needs."""
    w, u, b = parameters
    states, dropped, masks = [np.zeros((SAMPLES, UNITS))], [], []
    for x in inputs:
        dropped.append(drop(states[-1]))
        masks.append(drop.mask)
        states.append(np.tanh(x @ w + dropped[-1] @ u + b))
    return states, dropped, masks


def loss(parameters, inputs, weights):
    """With the masks of a new `MaskGenerator`: the same at every call."""
    states, *_ = forward(parameters, inputs, fastdrop.Dropout(0.5, rng=fastdrop.MaskGenerator(5)))
    return sum((r * h).sum() for r, h in zip(weights, states[1:], strict=True))


def gradients(parameters, inputs, weights, mask_of_step):
    """Back through time. `mask_of_step` chooses among the masks of all steps."""
    w, u, b = parameters
    drop = fastdrop.Dropout(0.5, rng=fastdrop.MaskGenerator(5))
    states, dropped, masks = forward(parameters, inputs, drop)
    dw, du, db, dh = np.zeros_like(w), np.zeros_like(u), np.zeros_like(b), 0.0
    for t in reversed(range(STEPS)):
        da = (weights[t] + dh) * (1 - states[t + 1] ** 2)
        dw += inputs[t].T @ da
        du += dropped[t].T @ da
        db += da.sum(axis=0)
        dh = drop.backward(da @ u.T, mask=mask_of_step(masks, t))
    return dw, du, db


def central_differences(parameters, inputs, weights, step):
    found = [np.zeros_like(parameter) for parameter in parameters]
    for parameter, difference in zip(parameters, found, strict=True):
        for index in np.ndindex(parameter.shape):
            before = parameter[index]
            parameter[index] = before + step
            more = loss(parameters, inputs, weights)
            parameter[index] = before - step
            difference[index] = (more - loss(parameters, inputs, weights)) / (2 * step)
            parameter[index] = before
    return found


def test_gradients_through_time_are_finite_differences():
    """Every element of every parameter, against central differences D of the steps h = 2**-10 and 2 h.

    Truncation: D(h) errs by h^2 f'''/6, and D(2 h) by four times that, so their difference is three times the
    error of D(h), up to terms of h^4 = 1e-12.

    Rounding, with u = 2**-53: a state is tanh of a sum of INPUTS + UNITS + 1 = 11 products of size 2 at most.
    The products err by 11 * 2 u, the sums by 11 * 22 u and tanh by 4 u: less than 280 u. What the state
    before errs comes in times 1/2 at most: no column of 2 |U| adds up to more, where 2 is the scale of p. So
    a state errs by less than 560 u. The loss, a sum of 90 states times weights up to 4, errs by 90 * 4 * 560
    u, and its own additions by 90 * 360 u: together less than 2.4e5 u. D(h) errs by that over h, or 2.8e-8,
    and D(2 h) by half of it.
    """
    rng = np.random.default_rng(0)
    u = rng.uniform(-1, 1, (UNITS, UNITS))
    u /= 4 * np.abs(u).sum(axis=0)
    parameters = [rng.uniform(-1, 1, (INPUTS, UNITS)), u, rng.uniform(-1, 1, UNITS)]
    inputs = rng.uniform(-2, 2, (STEPS, SAMPLES, INPUTS))
    weights = rng.integers(1, 5, (STEPS, SAMPLES, UNITS)).astype(np.float64)
    near, far = (central_differences(parameters, inputs, weights, step) for step in (2.0**-10, 2.0**-9))
    right = gradients(parameters, inputs, weights, lambda masks, t: masks[t])
    for gradient, d, d_far in zip(right, near, far, strict=True):
        assert (np.abs(gradient - d) <= np.abs(d - d_far) + 5e-8).all()
    wrong = gradients(parameters, inputs, weights, lambda masks, t: masks[-1])
    assert max(np.abs(gradient - d).max() for gradient, d in zip(wrong, near, strict=True)) > 0.1
    with pytest.raises(ValueError, match="backward needs mask="):
        gradients(parameters, inputs, weights, lambda masks, t: None)


# --- The rule, for every kind -----------------------------------------------------------------------


@pytest.fixture(params=LAYERS)
def kind(request):
    return LAYERS[request.param]


def test_every_step_goes_back_by_its_own_mask(kind):
    layer, dy, kept = called(kind, 3)
    refuse_to_guess(layer, dy, 3)
    assert kind.drawn(layer) is kept[-1]
    for drawn in reversed(kept):
        alone = kind.make(P, SEED)
        setattr(alone, name_of(alone), drawn)
        assert same_bytes(layer.backward(dy, **{name_of(layer): drawn}), alone.backward(dy))
        refuse_to_guess(layer, dy, 3)  # until the next forward pass
    layer(dy)
    last = layer.backward(dy)
    assert same_bytes(last, layer.backward(dy))  # two losses, one mask
    assert same_bytes(last, layer.backward(dy, **{name_of(layer): kind.drawn(layer)}))


def test_the_backward_pass_takes_a_mask_before_any_forward_pass(kind):
    _, dy, kept = called(kind, 1)
    layer, name = kind.make(P, 99), name_of(kind.make(P, 99))
    layer.backward(dy, **{name: kept[0]})
    assert kind.drawn(layer) is None
    refuse(lambda: layer.backward(dy), ValueError, "backward needs a forward pass before it")
    refuse(lambda: layer.backward(dy, **{name: "mask"}), TypeError, f"{name} must be the fastdrop.")


def test_an_evaluation_pass_after_a_training_pass_is_a_second_one(kind):
    layer, dy, _ = called(kind, 1)
    layer.eval()(dy)
    refuse_to_guess(layer, dy, 2)
    layer.backward(dy, **{name_of(layer): kind.drawn(layer)})
    for _ in range(3):  # none of these needs an answer
        layer(dy)
        layer.backward(dy)
        layer(dy)
    layer.train()(dy)
    layer.backward(dy)


def test_what_sets_the_mask_by_hand_says_which_is_meant(kind):
    layer, dy, kept = called(kind, 2)
    setattr(layer, name_of(layer), kept[0])
    one = layer.backward(dy)
    assert same_bytes(one, layer.backward(dy, **{name_of(layer): kept[0]}))
    layer, dy, _ = called(kind, 2)
    layer.load_state_dict(layer.state_dict())
    refuse(lambda: layer.backward(dy), ValueError, "backward needs a forward pass before it")
    layer(dy)
    layer.backward(dy)


def test_what_is_refused_changes_nothing(kind):
    for times in (1, 2):
        layer, dy, kept = called(kind, times)
        with pytest.raises(TypeError):
            layer("x")
        with pytest.raises(ValueError, match="out must have the shape"):
            layer(dy, out=np.zeros(kind.shape[:1]))
        with pytest.raises(ValueError, match="shape"):
            layer.backward(np.ones(kind.shape[:-1]), **{name_of(layer): kept[-1]})
        assert kind.drawn(layer) is kept[-1]
        layer(dy)
        refuse_to_guess(layer, dy, times + 1)


def test_copies_and_mc_dropout_keep_the_number_of_passes(kind):
    for times in (1, 2):
        layer, dy, _ = called(kind, times)
        fastdrop.mc_dropout(lambda x, rng, layer=layer: layer(x), dy, samples=3, rng=0, layers=[layer])
        for other in [layer, *copies(layer)]:
            if times > 1:
                refuse_to_guess(other, dy, times)
            other(dy)
            refuse_to_guess(other, dy, times + 1)


def test_a_pickle_that_counts_no_passes_loads(kind):
    """As an older version wrote it."""
    layer, dy, kept = called(kind, 2)
    attributes, slots = layer.__getstate__()
    old = object.__new__(type(layer))
    old.__setstate__(
        (attributes, {name: slots[name] for name in slots if name not in ("_passes", "_unanswered")})
    )
    assert kind.drawn(old) == kept[-1]
    old.backward(dy)


# --- Layers of a user -------------------------------------------------------------------------------


class Halves(fastdrop.Dropout):
    """Calls the public methods only, twice for each pass."""

    def forward(self, x, *, out=None):
        first = super().forward(x[: len(x) // 2])
        self.first = self.mask
        return np.concatenate([first, super().forward(x[len(x) // 2 :])])

    def backward(self, dy, *, out=None):
        last = self.mask
        first = super().backward(dy[: len(dy) // 2], mask=self.first)
        return np.concatenate([first, super().backward(dy[len(dy) // 2 :], mask=last)])


class Careless(Halves):
    def backward(self, dy, *, out=None):
        return super(Halves, self).backward(dy[len(dy) // 2 :])


class Logged(fastdrop.Dropout):
    """An older signature: it hands on what it knows."""

    def backward(self, dy, *, out=None):
        return super().backward(dy, out=out)


def test_a_users_layer_follows_the_same_rule():
    x = np.ones(40)
    halves = Halves(0.5, rng=0)
    for _ in range(2):
        y = halves(x)
        assert same_bytes(halves.backward(x), y)
    careless = Careless(0.5, rng=0)
    careless(x)
    refuse_to_guess(careless, x, 2)
    logged = Logged(0.5, rng=0)
    assert same_bytes(logged(x), logged.backward(x))
    logged(x)
    logged(x)
    refuse_to_guess(logged, x, 2)


def test_every_kind_of_layer_is_here():
    assert set(KINDS) - set(LAYERS) == {"Mask.from_array"}  # which has no layer
