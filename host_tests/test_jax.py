# SPDX-License-Identifier: BSD-3-Clause
"""fastdrop.jax against NumPy's masks and the reference, under JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import fastdrop
from arrays import DTYPES, same_bytes, special_values, without_nans
from fastdrop.jax import dropout, key_words
from processes import run

KEY = jax.random.key(7)
X = np.random.default_rng(0).standard_normal((6, 5, 40), np.float32)


def mask_of(shape, p=0.3, key=KEY, **options):
    return fastdrop.Mask(shape, p, key=np.asarray(key_words(key)), **options)


def equal(result, wanted):
    return same_bytes(np.asarray(result), np.asarray(wanted))


def drop(x, key=KEY, **options):
    return dropout(x, 0.3, key, **options)


# --- The same bits as in NumPy ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0, 0.1, 0.5, 1 - 2**-30, 1])
def test_the_bits_are_those_of_numpy_and_of_the_reference(dtype, p):
    with jax.enable_x64(np.dtype(dtype) == np.float64):
        x = special_values((3, 700), dtype)
        result = jax.jit(lambda x, key: dropout(x, p, key))(x, KEY)
        assert equal(result, mask_of(x.shape, p).apply(x))
        words = np.asarray(key_words(KEY)).tolist()
        wanted = fastdrop.reference.Mask(x.shape, p, key=words).apply(x)
        with np.errstate(invalid="ignore"):  # NumPy does not promise a NaN's other bits
            assert equal(np.isnan(np.asarray(result)), np.isnan(wanted))
        assert equal(without_nans(np.asarray(result)), without_nans(wanted))


@pytest.mark.parametrize(
    "shape", [(), (0,), (3, 0, 2), (1,), (1, 1), (2, 3, 4, 5, 6), (1,) * 30, (3, 1, 700_000)]
)
def test_any_shape(shape):
    x = np.ones(shape, np.float32)
    assert equal(drop(x), mask_of(shape).apply(x))


@pytest.mark.parametrize("noise_shape", [(None, 1, 1), (6, 1, 40), (1, None, None), (1, 1, 1), None])
@pytest.mark.parametrize("generator", fastdrop._core.generators)
@pytest.mark.parametrize("stream", [0, 1, 2**32 + 5, 2**63 - 1])
def test_noise_shape_generator_and_stream(noise_shape, generator, stream):
    options = {"noise_shape": noise_shape, "generator": generator, "stream": stream}
    assert equal(drop(X, **options), mask_of(X.shape, **options).apply(X))


def test_a_key_is_four_words():
    with jax.enable_x64(True):  # whatever integers are
        assert key_words(jax.random.key(2**40 + 3)).tolist() == [2**8, 3, 0, 0]
    typed = jax.random.key(5)
    assert key_words(typed).tolist() == [0, 5, 0, 0] == key_words(jax.random.PRNGKey(5)).tolist()
    rbg = jax.random.split(jax.random.key(5, impl="rbg"))[0]
    assert key_words(rbg).tolist() == jax.random.key_data(rbg).tolist()
    words = [2**32 - 1, 2, 3, 4]
    for given in (words, tuple(words), np.array(words, np.uint32), jnp.array(words, jnp.uint32)):
        assert key_words(given).tolist() == words
        assert key_words(given).dtype == jnp.uint32
    assert key_words(jax.random.split(typed, (2, 3))).shape == (2, 3, 4)


def test_a_mask_generators_masks():
    masks = fastdrop.MaskGenerator(seed=3)
    for step in range(3):
        y, mask = fastdrop.dropout(X, 0.3, rng=masks)
        assert equal(drop(X, mask.key, stream=mask.stream), y)
        key = np.array(mask.key, np.uint32)
        assert equal(jax.jit(drop)(X, key, stream=jnp.uint32(step)), y)


def test_the_key_p_and_stream_are_operands():
    """One program for all of them."""
    count = 0

    @jax.jit
    def f(x, p, key, stream):
        nonlocal count
        count += 1
        return dropout(x, p, key, stream=stream)

    for p, seed, stream in [(0.0, 1, 2), (0.25, 2, 2), (0.3, 1, 7), (1.0, 1, 0)]:
        key = jax.random.key(seed)
        wanted = mask_of(X.shape, float(np.float32(p)), key, stream=stream).apply(X)
        assert equal(f(X, p, key, stream), wanted)
    assert count == 1


def test_p_as_an_array_is_as_exact_as_its_dtype():
    x = np.ones(1000, np.float32)
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.int32):
        p = jnp.asarray(0.1, dtype)
        assert equal(dropout(x, p, KEY), mask_of(x.shape, float(p)).apply(x))
    with jax.enable_x64(True):
        assert equal(dropout(x, jnp.float64(0.1), KEY), mask_of(x.shape, 0.1).apply(x))
        stream = jnp.int64(2**40 + 1)
        assert equal(drop(x, stream=stream), mask_of(x.shape, stream=2**40 + 1).apply(x))


def test_evaluation_gives_x_itself():
    x = jnp.asarray(X)
    assert drop(x, training=False) is x
    assert dropout(x, 0.3, None, training=False) is x


def test_keys_that_differ_by_a_bit_have_independent_masks():
    """Keys of two words end in zeros. Agreements of two masks are binomial: 6 standard deviations."""
    n, p = 4096, 0.5
    seeds = [0, 1, 2, 3, 4, 2**16, 2**31, 2**32 - 1]
    kept = [np.asarray(dropout(np.ones(n, np.float32), p, jax.random.key(seed))) > 0 for seed in seeds]
    for i, one in enumerate(kept):
        for other in kept[:i]:
            assert abs((one == other).sum() - n / 2) < 6 * (n / 4) ** 0.5


# --- Derivatives -----------------------------------------------------------------------------------


def test_the_derivatives_are_the_mask():
    mask, dy = mask_of(X.shape), X[::-1].copy()
    for f in (drop, jax.jit(drop), jax.checkpoint(drop), jax.jit(jax.checkpoint(drop))):
        y, dx = jax.vjp(f, X)
        assert equal(y, mask.apply(X))
        assert equal(dx(dy)[0], fastdrop.dropout_backward(dy, mask))
        y, tangent = jax.jvp(f, (X,), (dy,))
        assert equal(y, mask.apply(X))
        assert equal(tangent, mask.apply(dy))
        y, linear = jax.linearize(f, X)
        assert equal(linear(dy), mask.apply(dy))


def test_derivatives_of_derivatives():
    x, scale = X[0, 0], np.where(mask_of((40,)).to_numpy(), 1 / (1 - np.float64(0.3)), 0)

    def cubed(x):
        return (drop(x) ** 3).sum()

    second = jax.grad(lambda x: jax.grad(cubed)(x).sum())(x)
    assert np.allclose(second, 6 * scale**3 * x, rtol=1e-5, atol=0)  # some ten roundings of float32
    assert np.allclose(jax.hessian(cubed)(x), np.diag(6 * scale**3 * x), rtol=1e-5, atol=0)
    with jax.enable_x64(True):
        check_grads(drop, (X.astype(np.float64),), order=3)


@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_gradients_have_the_dtype(dtype):
    x = X.astype(dtype)
    dx = jax.vjp(drop, x)[1](x)[0]
    assert equal(dx, mask_of(x.shape).apply(x))


@pytest.mark.parametrize(("p", "slope"), [(0, 1), (1, 0)])
def test_gradients_where_all_or_nothing_is_kept(p, slope):
    """1 / (1 - p) is infinite for p = 1: no NaN comes of it."""
    x = special_values((500,), np.float32)
    for rate in (p, jnp.float32(p)):
        dx = jax.grad(lambda x, rate=rate: dropout(x, rate, KEY).sum())(x)
        assert equal(dx, np.full_like(x, slope))


def test_nothing_is_drawn_for_a_gradient_that_nobody_wants():
    text = str(jax.make_jaxpr(jax.grad(lambda x: (x + drop(jax.lax.stop_gradient(x))).sum()))(X))
    assert text.count("fastdrop_dropout") <= 1


# --- Batches ---------------------------------------------------------------------------------------

KEYS = jax.random.split(KEY, 6)


@pytest.mark.parametrize("jit", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_vmap_is_a_loop(jit):
    for axis in range(3):
        wanted = np.stack([drop(np.take(X, i, axis)) for i in range(X.shape[axis])], axis)
        assert equal(jit(jax.vmap(drop, axis, axis))(X), wanted)  # one key: the same mask for each
    wanted = np.stack([drop(x, key) for x, key in zip(X, KEYS, strict=True)])
    assert equal(jit(jax.vmap(drop))(X, KEYS), wanted)
    assert equal(jit(jax.vmap(drop, (2, 0)))(np.moveaxis(X, 0, 2), KEYS), wanted)
    assert equal(jit(jax.vmap(drop, (0, 1)))(X, jax.random.key_data(KEYS).T), wanted)
    samples = np.stack([drop(X, key) for key in KEYS])
    assert equal(jit(jax.vmap(drop, (None, 0)))(X, KEYS), samples)
    steps = np.stack([drop(X, stream=i) for i in range(4)])
    assert equal(jit(jax.vmap(lambda i: drop(X, stream=i)))(jnp.arange(4)), steps)
    rates = np.float32([0, 0.25, 1])
    wanted = np.stack([dropout(X, float(p), KEY) for p in rates])
    assert equal(jit(jax.vmap(lambda p: dropout(X, p, KEY)))(rates), wanted)


def test_vmap_in_vmap():
    keys = jax.random.split(KEY, (6, 5))
    wanted = np.stack([[drop(X[i, j], keys[i, j]) for j in range(5)] for i in range(6)])
    assert equal(jax.vmap(jax.vmap(drop))(X, keys), wanted)
    inner = jax.vmap(drop, (0, 0), 1)
    assert equal(jax.vmap(inner, (1, 0), 2)(np.moveaxis(X, 0, 1), keys), wanted.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("key_is_of", "x_has"),
    [
        ("outer", ("outer", "inner")),
        ("inner", ("outer", "inner")),
        ("outer", ("inner",)),
        ("inner", ("outer",)),
    ],
)
def test_vmap_over_keys_in_or_around_vmap_over_x(key_is_of, x_has):
    lengths = {"outer": 6, "inner": 5}
    x = X if len(x_has) == 2 else X[0] if x_has == ("inner",) else X[:, 0]
    keys = jax.random.split(KEY, lengths[key_is_of])

    def axes(level):
        return tuple(0 if held else None for held in (level in x_has, level == key_is_of))

    def loop(i, j):
        places = tuple(place for level, place in [("outer", i), ("inner", j)] if level in x_has)
        return drop(x[places], keys[i if key_is_of == "outer" else j])

    result = jax.vmap(jax.vmap(drop, axes("inner")), axes("outer"))(x, keys)
    assert equal(result, np.stack([[loop(i, j) for j in range(5)] for i in range(6)]))


def test_vmap_with_noise_shape():
    shared = (1, None)
    wanted = np.stack([drop(x, noise_shape=shared) for x in X])
    assert equal(jax.vmap(lambda x: drop(x, noise_shape=shared))(X), wanted)
    wanted = np.stack([drop(x, key, noise_shape=shared) for x, key in zip(X, KEYS, strict=True)])
    assert equal(jax.vmap(lambda x, key: drop(x, key, noise_shape=shared))(X, KEYS), wanted)


def test_gradients_of_batches_and_batches_of_gradients():
    def loss(x, key):
        return (drop(x, key) ** 2).sum()

    wanted = np.stack([jax.grad(loss)(x, key) for x, key in zip(X, KEYS, strict=True)])
    assert equal(jax.vmap(jax.grad(loss))(X, KEYS), wanted)
    assert equal(jax.grad(lambda x: jax.vmap(loss)(x, KEYS).sum())(X), wanted)
    total = sum(jax.grad(loss)(X, key) for key in KEYS)  # x goes to six masks
    result = jax.grad(lambda x: jax.vmap(loss, (None, 0))(x, KEYS).sum())(X)
    assert np.allclose(result, total, rtol=1e-5, atol=1e-5)


def test_control_flow():
    def step(x, key):
        x = drop(x, key)
        return x, x

    last, every = jax.jit(lambda x: jax.lax.scan(step, x, KEYS))(X)
    x = X
    for i, key in enumerate(KEYS):
        x = mask_of(X.shape, key=key).apply(x)
        assert equal(every[i], x)
    assert equal(last, x)
    both = jax.jit(lambda which: jax.lax.cond(which, lambda: drop(X), lambda: drop(X, KEYS[0])))
    assert equal(both(True), drop(X))
    assert equal(both(False), drop(X, KEYS[0]))
    dx = jax.grad(lambda x: jax.lax.scan(step, x, KEYS)[0].sum())(X)
    ones = np.ones_like(X)
    for key in KEYS:
        ones = mask_of(X.shape, key=key).apply(ones)
    assert equal(dx, ones)


# --- How it runs -----------------------------------------------------------------------------------


def test_a_layout_is_not_seen():
    """Layouts are XLA's: the index of an element decides."""
    f = jax.jit(lambda x, key: drop(jnp.transpose(x, (2, 0, 1)), key))
    assert equal(f(X, KEY), mask_of((40, 6, 5)).apply(X.transpose(2, 0, 1)))


def test_a_donated_array():
    wanted = drop(X)
    f = jax.jit(drop, donate_argnums=0)
    x = jnp.array(X)
    assert equal(f(x, KEY), wanted)


def test_no_jit():
    with jax.disable_jit():
        assert equal(drop(jnp.asarray(X)), mask_of(X.shape).apply(X))
        assert equal(jax.vmap(drop)(jnp.asarray(X), KEYS)[3], mask_of(X.shape[1:], key=KEYS[3]).apply(X[3]))


def test_many_calls_at_a_time():
    """Several programs at once, each large enough for several threads, also where there are fewer cores."""
    code = """
        from concurrent.futures import ThreadPoolExecutor
        import fastdrop, jax, numpy as np
        from fastdrop.jax import dropout, key_words

        assert fastdrop.get_num_threads() == 3
        x = np.ones((3, 1 << 20), np.float32)

        def wanted(key):
            return fastdrop.Mask(x.shape, 0.3, key=np.asarray(key_words(key))).apply(x)

        f = jax.jit(lambda x, key, other: dropout(x, 0.3, key) + dropout(x, 0.3, other))
        keys = jax.random.split(jax.random.key(7), (16, 2))
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda pair: np.asarray(f(x, *pair)), keys))
        print(sum(np.array_equal(y, wanted(a) + wanted(b)) for y, (a, b) in zip(results, keys)))
    """
    assert run(code, OMP_NUM_THREADS="3", FASTDROP_NUM_THREADS="3") == "16"


def test_calls_while_threads_and_isa_are_switched():
    code = """
        import itertools, threading
        from concurrent.futures import ThreadPoolExecutor
        import fastdrop, jax, numpy as np
        from fastdrop.jax import dropout, key_words

        xs = [np.ones(100, np.float32), np.ones((200, 400), np.float32), np.ones((3, 1 << 18), np.float32)]
        f = jax.jit(lambda x, key: dropout(x, 0.3, key))
        keys = jax.random.split(jax.random.key(7), 40)
        calls = [(x, key) for key in keys for x in xs]
        wanted = [fastdrop.Mask(x.shape, 0.3, key=np.asarray(key_words(key))).apply(x) for x, key in calls]
        done = threading.Event()

        def switch():
            for isa, threads in itertools.cycle(itertools.product(fastdrop.isas(), (1, 2, 3))):
                fastdrop.use_isa(isa)
                fastdrop.set_num_threads(threads)
                if done.wait(1e-4):
                    return

        switching = threading.Thread(target=switch)
        switching.start()
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda call: np.asarray(f(*call)), calls))
        done.set()
        switching.join()
        print(sum(np.array_equal(y, z) for y, z in zip(results, wanted)))
    """
    assert run(code, OMP_NUM_THREADS="3") == "120"


def test_subnormal_numbers_are_kept():
    """XLA's threads flush them to zero."""
    x = np.full(100_000, np.finfo(np.float32).smallest_subnormal * 8)
    result = np.asarray(jax.jit(drop)(x))
    assert result[result != 0].min() == np.float32(x[0] / 0.7)
    assert equal(result, mask_of(x.shape).apply(x))


def test_importing_fastdrop_does_not_import_jax():
    code = "import sys, fastdrop; print('jax' in sys.modules, 'fastdrop.jax' in sys.modules)"
    assert run(code) == "False False"
