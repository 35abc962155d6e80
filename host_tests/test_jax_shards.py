# SPDX-License-Identifier: BSD-3-Clause
"""fastdrop.jax on four devices: the bits do not depend on how an array is split."""

import pytest

from processes import run

FOUR = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
BEGIN = """
import fastdrop, functools, jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from fastdrop.jax import dropout, key_words

def equal(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()

def mesh(kind):
    return jax.make_mesh((2, 2), ("a", "b"), axis_types=(kind, kind))

assert jax.device_count() == 4
KEY = jax.random.key(7)
X = np.random.default_rng(0).standard_normal((8, 12, 20), np.float32)
MASK = fastdrop.Mask(X.shape, 0.3, key=np.asarray(key_words(KEY)))
SPECS = [P("a"), P(None, "b"), P("a", "b"), P("b", None, "a"), P(("a", "b")), P(None, ("b", "a"), None), P()]

def loss(f):
    return lambda x: (f(x, KEY) ** 2).sum()

def drop(x, key, **options):
    return dropout(x, 0.3, key, **options)
"""


def four(code):
    assert run(BEGIN + code + "\nprint('done')", **FOUR) == "done"


@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_with_the_spec_has_the_bits_of_the_whole(check_vma):
    four(f"""
for spec in SPECS:
    f = jax.shard_map(functools.partial(drop, spec=spec), mesh=mesh(AxisType.Auto),
                      in_specs=(spec, P()), out_specs=spec, check_vma={check_vma})
    equal(f(X, KEY), MASK.apply(X))
    equal(jax.jit(f)(X, KEY), MASK.apply(X))
    dy = MASK.apply(X) * 2
    equal(jax.jit(jax.grad(loss(f)))(X), MASK.apply(dy))
""")


def test_noise_shape_stream_and_p_in_shards():
    four("""
for spec in SPECS:
    for shared in [(None, 1, None), (1, 12, 1), (8, 12, 20), (1, 1, 20)]:
        f = jax.shard_map(lambda x, key, p: dropout(x, p, key, spec=spec, stream=9, noise_shape=shared),
                          mesh=mesh(AxisType.Auto), in_specs=(spec, P(), P()), out_specs=spec)
        mask = fastdrop.Mask(X.shape, 0.25, key=MASK.key, stream=9, noise_shape=shared)
        equal(f(X, KEY, jnp.float32(0.25)), mask.apply(X))
""")


def test_vmap_inside_and_outside_of_shard_map():
    four("""
keys = jax.random.split(KEY, 5)
for spec in [P("a"), P(None, "b"), P("b", "a")]:
    split = functools.partial(jax.shard_map, mesh=mesh(AxisType.Auto), in_specs=(spec, P()), out_specs=spec)
    outside = jax.vmap(split(functools.partial(drop, spec=spec)), (None, 0))
    equal(outside(X, keys), [drop(X, key) for key in keys])
    one_key = jax.vmap(split(functools.partial(drop, spec=spec)), (2, None), 2)
    equal(one_key(X, KEY), np.stack([drop(X[..., i], KEY) for i in range(20)], 2))
    inside = split(jax.vmap(functools.partial(drop, spec=spec), (2, None), 2))
    equal(inside(X, KEY), np.stack([drop(X[..., i], KEY) for i in range(20)], 2))
""")


def test_without_the_spec_each_shard_is_an_array_of_its_own():
    four("""
f = jax.shard_map(drop, mesh=mesh(AxisType.Auto), in_specs=(P("a"), P()), out_specs=P("a"))
equal(f(X, KEY), np.concatenate([drop(half, KEY) for half in np.split(X, 2)]))
keys = jax.random.split(KEY, 2)  # or has a key of its own
f = jax.shard_map(lambda x, key: drop(x, key[0]), mesh=mesh(AxisType.Auto), in_specs=(P("a"), P("a")),
                  out_specs=P("a"))
equal(f(X, keys), np.concatenate([drop(half, key) for half, key in zip(np.split(X, 2), keys)]))
""")


def test_one_array_and_a_key_for_each_shard():
    """The gradient of x is the sum over the shards, which differ by their keys only."""
    four("""
keys = jax.random.split(KEY, 2)
f = jax.shard_map(lambda x, key: jax.lax.psum(drop(x, key[0]), "a"), mesh=mesh(AxisType.Auto),
                  in_specs=(P(), P("a")), out_specs=P())
equal(f(X, keys), drop(X, keys[0]) + drop(X, keys[1]))
ones = np.ones_like(X)
equal(jax.grad(lambda x: f(x, keys).sum())(X), drop(ones, keys[0]) + drop(ones, keys[1]))
""")


def test_an_array_split_over_explicit_axes_is_worked_on_where_it_lies():
    four("""
explicit = mesh(AxisType.Explicit)
with jax.set_mesh(explicit):
    for spec in SPECS:
        x = jax.device_put(X, NamedSharding(explicit, spec))
        for f in (drop, functools.partial(drop, noise_shape=(None, 1, 1))):
            jitted = jax.jit(f)
            y = jitted(x, KEY)
            equal(y, f(X, KEY))
            assert y.sharding.is_equivalent_to(x.sharding, 3)
            text = jitted.lower(x, KEY).compile().as_text()
            assert "custom-call" in text and "all-gather" not in text and "all-reduce" not in text
            equal(jax.grad(loss(f))(x), jax.grad(loss(f))(X))
        equal(drop(x, KEY), MASK.apply(X))
    x = jax.device_put(X, NamedSharding(explicit, P("a", "b")))
    keys = jax.random.split(KEY, 8)
    equal(jax.jit(jax.vmap(drop, (0, None)))(x, KEY), jax.vmap(drop, (0, None))(X, KEY))
    split = jax.device_put(keys, NamedSharding(explicit, P("a")))
    equal(jax.jit(jax.vmap(drop))(x, split), jax.vmap(drop)(X, keys))
""")


def test_an_array_that_xla_splits_is_gathered_and_has_the_same_bits():
    four("""
for spec in SPECS:
    x = jax.device_put(X, NamedSharding(mesh(AxisType.Auto), spec))
    equal(jax.jit(drop)(x, KEY), MASK.apply(X))
    equal(jax.jit(jax.grad(loss(drop)))(x), jax.grad(loss(drop))(X))
""")


def test_a_wrong_spec():
    four("""
def refused(spec, *fragments):
    try:
        jax.shard_map(functools.partial(drop, spec=spec), mesh=mesh(AxisType.Auto), in_specs=(P("a"), P()),
                      out_specs=P("a"))(X, KEY)
    except (TypeError, ValueError, NameError) as error:
        assert all(fragment in str(error) for fragment in fragments), error
    else:
        raise AssertionError(spec)

refused("a", "spec must be a jax.sharding.PartitionSpec, not 'a' of type str")
refused(P(None, None, None, "a"), "spec must have at most an entry for each axis of x, 3, not 4")
refused(P("c"), "c")
try:
    drop(X, KEY, spec=P("a"))
except NameError as error:
    assert "a" in str(error)
""")
