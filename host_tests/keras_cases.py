# SPDX-License-Identifier: BSD-3-Clause
"""What holds for fastdrop.keras on every backend: test_keras.py runs this file once on each.

NumPy's masks and `fastdrop.reference` judge.
"""

import os
import sys

import keras
import ml_dtypes
import numpy as np
import pytest

import fastdrop
from fastdrop import reference
from fastdrop.keras import Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D

BACKEND = keras.backend.backend()
TRAINS = pytest.mark.skipif(BACKEND == "numpy", reason="Keras cannot train on its backend numpy")
DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
}
if BACKEND != "jax":  # where it is float32 unless x64 is enabled
    DTYPES["float64"] = np.dtype(np.float64)
X = np.random.default_rng(0).standard_normal((4, 6, 5)).astype(np.float32)


def to_numpy(tensor):
    if BACKEND == "torch" and str(tensor.dtype) == "torch.bfloat16":  # which Keras makes float32: exact
        return tensor.detach().float().numpy().astype(ml_dtypes.bfloat16)
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def key(seed):
    return (seed % 2**32, 0, 0, 0)


def same_bits(given, expected):
    return given.dtype == expected.dtype and given.tobytes() == expected.tobytes()


def test_the_backend_is_the_one_asked_for_and_no_other_is_loaded():
    assert os.environ["KERAS_BACKEND"] == BACKEND
    loaded = [name for name in ("numpy", "torch", "jax") if f"fastdrop.keras._{name}" in sys.modules]
    assert loaded == [BACKEND]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("noise_shape", [None, (None, 1, None), (4, 6, 1)])
@pytest.mark.parametrize("seed", [7, 2**31 - 1])
def test_call_n_has_the_mask_of_stream_n(name, noise_shape, seed):
    layer, x = Dropout(0.4, noise_shape=noise_shape, seed=seed, dtype=name), X.astype(DTYPES[name])
    for call in range(3):
        y = to_numpy(layer(keras.ops.convert_to_tensor(x, name), training=True))
        settings = {"noise_shape": noise_shape, "key": key(seed), "stream": call}
        assert same_bits(y, fastdrop.Mask(x.shape, 0.4, **settings).apply(x))
        assert same_bits(y, reference.Mask(x.shape, 0.4, **settings).apply(x))


def test_the_masks_of_a_layer_are_those_of_a_mask_generator():
    layer, masks = Dropout(0.4, seed=7), fastdrop.MaskGenerator(key=(7, 0, 0, 0))
    for _ in range(3):
        assert same_bits(to_numpy(layer(X, training=True)), masks.mask(X.shape, 0.4).apply(X))


@pytest.mark.parametrize("state", [(2**32 - 1, 0), (2**31, 2**31 + 5), (3, 2**32 - 1)])
def test_states_above_the_signed_numbers(state):
    """torch holds the same 32 bits as a signed number."""
    layer = Dropout(0.5, seed=1)
    dtype = keras.backend.standardize_dtype(layer.seed_generator.state.dtype)
    layer.seed_generator.state.assign(np.array(state, np.uint32).astype(dtype))
    y = to_numpy(layer(X, training=True))
    assert same_bits(y, fastdrop.Mask(X.shape, 0.5, key=key(state[0]), stream=state[1]).apply(X))


def test_the_counter_advances_as_in_keras():
    ours, theirs = Dropout(0.4, seed=7), keras.layers.Dropout(0.4, seed=7)
    for training in (True, False, True, None, True):
        ours(X, training=training)
        theirs(X, training=training)
        assert (to_numpy(ours.seed_generator.state) == to_numpy(theirs.seed_generator.state)).all()
    assert to_numpy(ours.seed_generator.state)[1] == 3


@pytest.mark.parametrize(("rate", "training"), [(0.4, False), (0.4, None), (0, True), (0.0, True)])
def test_without_dropout_the_result_is_the_input(rate, training):
    layer = Dropout(rate, seed=7)
    x = keras.ops.convert_to_tensor(X)
    assert same_bits(to_numpy(layer(x, training=training)), X)


def test_rate_1_gives_zeros_and_nothing_dropped_survives():
    assert to_numpy(Dropout(1.0, seed=7)(X, training=True)).tobytes() == bytes(X.nbytes)
    mask = fastdrop.Mask(1000, 0.5, key=key(7))
    x = np.where(mask.to_numpy(), 1.0, np.nan).astype(np.float32)
    assert not np.isnan(to_numpy(Dropout(0.5, seed=7)(x, training=True))).any()


def test_scalars_and_empty_arrays():
    assert to_numpy(Dropout(0.5, seed=7)(np.ones((0, 3), np.float32), training=True)).shape == (0, 3)
    y = Dropout(0.5, seed=7)(keras.ops.ones(()), training=True)
    assert to_numpy(y) == fastdrop.Mask((), 0.5, key=key(7)).apply(1.0)


@pytest.mark.parametrize(
    ("kind", "options", "shape", "noise_shape"),
    [
        (SpatialDropout1D, {}, (3, 4, 5), (None, 1, None)),
        (SpatialDropout2D, {"data_format": "channels_last"}, (2, 3, 4, 5), (None, 1, 1, None)),
        (SpatialDropout2D, {"data_format": "channels_first"}, (2, 3, 4, 5), (None, None, 1, 1)),
        (SpatialDropout3D, {"data_format": "channels_last"}, (2, 3, 4, 2, 5), (None, 1, 1, 1, None)),
        (SpatialDropout3D, {"data_format": "channels_first"}, (2, 3, 4, 2, 5), (None, None, 1, 1, 1)),
    ],
)
def test_spatial_dropout_drops_whole_channels(kind, options, shape, noise_shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    layer = kind(0.4, seed=7, **options)
    again = kind.from_config(layer.get_config())
    mask = fastdrop.Mask(shape, 0.4, noise_shape=noise_shape, key=key(7))
    assert same_bits(to_numpy(layer(x, training=True)), mask.apply(x))
    assert same_bits(to_numpy(again(x, training=True)), mask.apply(x))
    assert layer(keras.KerasTensor((None, *shape[1:])), training=True).shape == (None, *shape[1:])
    theirs = getattr(keras.layers, kind.__name__)(0.4, seed=7, **options)
    noise = getattr(theirs, "_get_noise_shape", lambda x: None)(x)
    assert noise is None or tuple(noise) == mask.noise_shape
    with pytest.raises(ValueError, match="ndim"):
        layer(x[0], training=True)


class Block(keras.Layer):
    """Keras learns the shape of its result by calling it, with what stands for a tensor on the backend."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x, training=False):
        return self.inner(x, training=training) + 1


def test_symbols_have_shapes_and_draw_nothing():
    layer = Dropout(0.4, seed=7)
    symbol = keras.KerasTensor((None, 3))
    assert layer(symbol, training=True).shape == layer.compute_output_shape((None, 3)) == (None, 3)
    assert Block(layer)(symbol, training=True).shape == (None, 3)
    assert to_numpy(layer.seed_generator.state).tolist() == [7, 0]


def test_a_stateless_call_returns_the_next_state():
    layer = Dropout(0.4, seed=7)
    states = [variable.value for variable in layer.non_trainable_variables]
    y, following = layer.stateless_call([], states, keras.ops.convert_to_tensor(X), training=True)
    assert same_bits(to_numpy(y), fastdrop.Mask(X.shape, 0.4, key=key(7)).apply(X))
    assert to_numpy(layer.seed_generator.state).tolist() == [7, 0]
    assert [to_numpy(state).tolist() for state in following] == [[7, 1]]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    dtype = DTYPES[policy.removeprefix("mixed_")]
    y = to_numpy(Dropout(0.4, seed=7, dtype=policy)(keras.ops.convert_to_tensor(X), training=True))
    assert same_bits(y, fastdrop.Mask(X.shape, 0.4, key=key(7)).apply(X.astype(dtype)))


def model():
    """A small model; with the same weights and the same seed at every call."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(Dropout(0.4, seed=7, name="drop")(hidden)))


def test_configs_and_saved_models(tmp_path):
    layer = Dropout(0.4, noise_shape=(None, 1, None), seed=7, name="drop")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is Dropout
    assert again.get_config() == layer.get_config()
    assert keras.saving.get_registered_name(Dropout) == "fastdrop>Dropout"
    saved = model()
    saved.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("drop")) is Dropout
    x = X[0]
    assert same_bits(to_numpy(loaded(x)), to_numpy(saved(x)))
    assert same_bits(to_numpy(loaded(x, training=True)), to_numpy(saved(x, training=True)))


def test_weights_of_keras_layers_load(tmp_path):
    theirs = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.4)])
    ours = keras.Sequential([keras.layers.Dense(3), Dropout(0.4)])
    theirs.build((2, 5))
    ours.build((2, 5))
    theirs.save_weights(tmp_path / "model.weights.h5")
    ours.load_weights(tmp_path / "model.weights.h5")
    assert same_bits(to_numpy(ours(X[0])), to_numpy(theirs(X[0])))


def test_a_model_is_cloned_with_fastdrops_layers():
    """The recipe of the page."""

    def replace(layer):
        kind = Dropout if type(layer) is keras.layers.Dropout else type(layer)
        return kind.from_config(layer.get_config())

    theirs = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.4, seed=7)])
    theirs.build((2, 5))
    ours = keras.models.clone_model(theirs, clone_function=replace)
    ours.set_weights(theirs.get_weights())
    assert [type(layer) for layer in ours.layers] == [keras.layers.Dense, Dropout]
    expected = fastdrop.Mask((6, 3), 0.4, key=key(7)).apply(to_numpy(theirs(X[0])))
    assert same_bits(to_numpy(ours(X[0], training=True)), expected)


def test_a_layer_without_seed_follows_set_random_seed():
    keras.utils.set_random_seed(3)
    first = Dropout(0.4), Dropout(0.4)
    keras.utils.set_random_seed(3)
    again = Dropout(0.4)
    results = [to_numpy(layer(X, training=True)).tobytes() for layer in (*first, again)]
    assert results[0] == results[2] != results[1]


@pytest.mark.parametrize(
    ("rate", "options", "inputs", "kind", "message"),
    [
        (1.5, {}, X, ValueError, "rate"),
        (0.5, {"noise_shape": (5,)}, X, ValueError, r"noise_shape must have for every axis of \(4, 6, 5\)"),
        (0.5, {"noise_shape": (2, 1, 1)}, X, ValueError, "noise_shape must have"),
        (
            0.5,
            {},
            np.ones((2, 3), np.int32),
            TypeError,
            "inputs must be a tensor of float16, bfloat16, .* int32",
        ),
        (0.5, {}, [X, X], TypeError, "inputs must be one tensor, not .* of type list"),
    ],
)
def test_refusals(rate, options, inputs, kind, message):
    """A layer of Keras makes tensors of arrays, also of those in a list."""
    with pytest.raises(kind, match=message):
        Dropout(rate, **options)(inputs, training=True)


# --- Gradients and training: not on the backend numpy ------------------------------------------------


def gradient(loss, x):
    """Of a function of a tensor, at an array."""
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.grad(loss)(x))
    import torch

    tensor = torch.tensor(x, requires_grad=True)
    (result,) = torch.autograd.grad(loss(tensor), tensor)
    return to_numpy(result)


@TRAINS
def test_the_gradient_has_the_mask_of_its_own_call():
    """Also where another call comes between the passes; of a curved loss, so that the mask comes twice."""
    layer, other = Dropout(0.5, seed=7), Dropout(0.5, seed=7)

    def loss(x):
        y = layer(x, training=True)
        layer(x, training=True)
        return keras.ops.sum(y * y) / 2

    twice = fastdrop.Mask(X.shape, 0.5, key=key(7))
    assert same_bits(gradient(loss, X), twice.apply(twice.apply(X)))
    slope = gradient(lambda x: keras.ops.sum(other(x, training=True)), X)
    assert same_bits(slope, twice.apply(np.ones_like(X)))


@pytest.mark.skipif(BACKEND != "torch", reason="torch runs the same Python again")
def test_a_layer_that_runs_again_in_the_backward_pass():
    """Alone it is right. In a layer of the user's it would have the mask of the next call."""
    import torch

    class Squared(Block):
        def call(self, x, training=False):
            return self.inner(x, training=training) ** 2

    with keras.RematScope(mode="full"):
        alone, inside = Dropout(0.5, seed=7), Squared(Dropout(0.5, seed=7))
    mask = fastdrop.Mask(X.shape, 0.5, key=key(7))
    slope = gradient(lambda x: keras.ops.sum(alone(x, training=True) ** 2 / 2), X)
    assert same_bits(slope, mask.apply(mask.apply(X)))
    x = torch.tensor(X, requires_grad=True)
    y = inside(x, training=True)
    with pytest.raises(RuntimeError, match="dropout was called in a backward pass"):
        y.sum().backward()


@TRAINS
def test_second_derivatives():
    layer = Dropout(0.5, seed=7)
    factor = fastdrop.Mask(X.shape, 0.5, key=key(7)).apply(np.ones_like(X))
    if BACKEND == "jax":
        import jax

        inner = jax.grad(lambda x: keras.ops.sum(layer(x, training=True) ** 3))
        result = np.asarray(jax.grad(lambda x: keras.ops.sum(inner(x)))(X))
    else:
        import torch

        x = torch.tensor(X, requires_grad=True)
        (first,) = torch.autograd.grad((layer(x, training=True) ** 3).sum(), x, create_graph=True)
        result = to_numpy(torch.autograd.grad(first.sum(), x)[0])
    np.testing.assert_allclose(result, 6 * factor**3 * X, rtol=6 * 2.0**-24)  # at most six roundings


DATA = np.random.default_rng(1).standard_normal((64, 5)).astype(np.float32)


def fitted_by_hand(start, first_call):
    """Eight steps of 16 rows in NumPy, in float64."""
    w1, b1, w2, b2 = (weight.astype(np.float64) for weight in start)
    for step in range(8):
        x = DATA[step % 4 * 16 :][:16].astype(np.float64)
        mask = fastdrop.Mask((16, 8), 0.4, key=key(7), stream=first_call + step)
        before = x @ w1 + b1
        hidden = mask.apply(np.maximum(before, 0))
        error = 2 / 16 * (hidden @ w2 + b2 - x[:, :1])
        back = mask.apply(error @ w2.T) * (before > 0)
        w2, b2 = w2 - 0.01 * hidden.T @ error, b2 - 0.01 * error.sum(0)
        w1, b1 = w1 - 0.01 * x.T @ back, b1 - 0.01 * back.sum(0)
    return np.concatenate([weight.ravel() for weight in (w1, b1, w2, b2)])


@TRAINS
@pytest.mark.parametrize("jit_compile", [False, True] if BACKEND == "jax" else [False])
def test_fit_takes_a_step_with_each_mask(jit_compile):
    """The weights are those of steps by hand, and not those with the masks of one call later."""
    trained, start = model(), model().get_weights()
    trained.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
    trained.fit(DATA, DATA[:, :1], batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert to_numpy(trained.get_layer("drop").seed_generator.state).tolist() == [7, 8]
    weights = np.concatenate([weight.ravel() for weight in trained.get_weights()])
    off = [abs(weights - fitted_by_hand(start, first_call)).max() for first_call in (0, 1)]
    assert off[0] < off[1] / 1000


@pytest.mark.skipif(BACKEND != "jax", reason="jax compiles calls")
def test_one_compiled_program_serves_every_state():
    import jax

    layer, traces = Dropout(0.4, seed=7), []

    @jax.jit
    def step(x, state):
        traces.append(x)
        y, (following,) = layer.stateless_call([], [state], x, training=True)
        return y, following

    state = layer.seed_generator.state.value
    for call in range(3):
        y, state = step(X, state)
        assert same_bits(np.asarray(y), fastdrop.Mask(X.shape, 0.4, key=key(7), stream=call).apply(X))
    assert len(traces) == 1


@pytest.mark.skipif(BACKEND != "torch", reason="of torch's tensors")
def test_layouts_and_places_of_torch():
    import torch

    transposed = torch.tensor(X).permute(2, 0, 1)
    y = Dropout(0.4, seed=7)(transposed, training=True)
    assert same_bits(to_numpy(y), fastdrop.Mask((5, 4, 6), 0.4, key=key(7)).apply(X.transpose(2, 0, 1)))
    assert not y.requires_grad
    meta = torch.ones((2, 3), device="meta")
    from fastdrop.keras import _torch

    assert _torch.dropout(meta, 0.5, None, torch.tensor([7, 0], device="meta")).shape == (2, 3)

    class Elsewhere:
        device = torch.device("cuda:0")

    with pytest.raises(TypeError, match="inputs must be in CPU memory, not on cuda:0"):
        _torch.dropout(Elsewhere(), 0.5, None, [7, 0])
