# SPDX-License-Identifier: BSD-3-Clause
"""Dask arrays have NumPy's bits, whatever the chunks, scheduler and worker. So have joblib's windows."""

import itertools
import os
import pickle

import cloudpickle
import dask
import dask.array as da
import ml_dtypes
import numpy as np
import pytest
import xarray as xr
from dask.distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import Parallel
from joblib import delayed as job

import fastdrop
import fastdrop.dask
import processes
from refusal import refuse

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.dtype(">f4")]
WORDS = (1, 2, 3, 4)


def array_of(shape, dtype=np.float32):
    return np.random.default_rng(5).standard_normal(shape).astype(dtype)


def same(lazy, expected, **options):
    """The computed array has the bits of the expected one, and Dask had announced what came."""
    computed = lazy.compute(**{"scheduler": "synchronous", **options})
    computed = np.asarray(computed)  # Dask gives the scalar of an array without axes
    assert computed.dtype == lazy.dtype == expected.dtype
    assert computed.shape == lazy.shape == expected.shape
    return computed.tobytes() == expected.tobytes()


def chunks_of(length):
    """The chunk sizes of an axis, empty chunks among them."""
    cuts = st.lists(st.integers(0, length), max_size=4).map(sorted)
    return cuts.map(lambda ends: tuple(np.diff([0, *ends, length]).tolist()))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_chunks_change_a_bit(data):
    shape = tuple(data.draw(st.lists(st.integers(0, 9), max_size=4)))
    chunks = tuple(data.draw(chunks_of(length)) for length in shape)
    noise_shape = tuple(data.draw(st.sampled_from([None, 1])) for _ in shape)
    values = array_of(shape, data.draw(st.sampled_from(DTYPES)))
    x = da.from_array(values, chunks=chunks)
    y, mask = fastdrop.dask.dropout(x, 0.3, 7, noise_shape=noise_shape)
    assert mask == fastdrop.Mask(shape, 0.3, seed=7, noise_shape=noise_shape)
    assert y.chunks == x.chunks
    assert same(y, mask.apply(values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("generator", fastdrop.reference.GENERATORS)
def test_the_reference_judges(dtype, generator):
    values = array_of((40, 50), dtype)
    x = da.from_array(values, chunks=(7, (20, 1, 29)))
    y, _ = fastdrop.dask.dropout(x, 0.3, key=WORDS, stream=2**40, generator=generator)
    judge = fastdrop.reference.Mask((40, 50), 0.3, key=WORDS, stream=2**40, generator=generator)
    assert same(y, judge.apply(values))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
@pytest.mark.parametrize("p", [0.3, np.linspace(0, 1, 60)])
def test_every_scheduler_gives_the_same_bits(scheduler, p):
    values = array_of((50, 60))
    y, mask = fastdrop.dask.dropout(da.from_array(values, chunks=(11, 25)), p, 1)
    assert same(y, mask.apply(values), scheduler=scheduler, num_workers=2)


def test_threads_of_dask_share_one_pool_of_fastdrop():
    """Three threads of Dask call at once, with blocks that are large enough for three threads of fastdrop."""
    output = processes.run(
        """
        import os
        import dask.array as da
        import numpy as np
        import fastdrop
        import fastdrop.dask

        def threads():
            return len(os.listdir("/proc/self/task"))

        if __name__ == "__main__":
            fastdrop.set_num_threads(3)
            before = threads()
            y, mask = fastdrop.dask.dropout(da.ones((6, 2**21), chunks=(1, 2**21), dtype=np.float32), 0.1, 1)
            result = y.compute(scheduler="threads", num_workers=3)
            print(threads() - before <= 3 + 2, (result == mask.apply(np.ones((6, 2**21), np.float32))).all())
        """
    )
    assert output == "True True"


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_a_cluster_of_two_processes(client):
    values = array_of((300, 200))
    x = da.from_array(values, chunks=(40, 70))
    y, mask = fastdrop.dask.dropout(x, 0.3, 1)
    dx = fastdrop.dask.apply(mask, y)
    stored = fastdrop.Mask.from_array(values[0] > 0, p=0.5)
    results = client.compute([y, dx, fastdrop.dask.apply(stored, x)], optimize_graph=True)
    got = client.gather(results)
    expected = [mask.apply(values), mask.apply(mask.apply(values)), stored.apply(values)]
    assert [a.tobytes() for a in got] == [a.tobytes() for a in expected]
    assert len({os.getpid(), *client.run(os.getpid).values()}) == 3


def test_a_worker_of_a_cluster_has_one_thread_of_fastdrop(client):
    """Dask's default for the processes that it starts, OMP_NUM_THREADS=1, counts for fastdrop too."""
    assert set(client.run(fastdrop.get_num_threads).values()) == {1}


def test_nothing_is_computed_and_no_mask_is_in_the_graph(monkeypatch):
    monkeypatch.setattr(fastdrop.Mask, "apply", None)  # whoever computes now, fails
    x = da.zeros((10**9, 10**3), chunks=(10**6, 10**3), dtype=np.float32)
    y, mask = fastdrop.dask.dropout(x, 0.1, 42)
    assert mask.size == 10**12
    plain = x.map_blocks(np.negative, meta=x._meta)
    assert len(cloudpickle.dumps(y.dask)) - len(cloudpickle.dumps(plain.dask)) < 2000
    tasks = {key: task for key, task in y.dask.items() if key[0] == y.name}
    assert len(tasks) == 1000
    assert max(len(cloudpickle.dumps(task)) for task in itertools.islice(tasks.values(), 5)) < 2000


def test_a_few_rows_of_a_trillion_elements():
    x = da.ones((10**9, 10**3), chunks=((10**9 - 4, 4), 10**3), dtype=np.float32)
    y, mask = fastdrop.dask.dropout(x, 0.1, 42)
    rows = slice(999_999_998, 10**9)
    assert same(y[rows], mask[rows].apply(np.ones((2, 1000), np.float32)))


def test_equal_calls_have_one_name():
    """So Dask computes them once; whatever changes the bits, changes the name."""
    values = array_of((8, 8))

    def name(p=0.5, seed=1, chunks=4, **options):
        return fastdrop.dask.dropout(da.from_array(values, chunks=chunks), p, seed, **options)[0].name

    with dask.config.set({"tokenize.ensure-deterministic": True}):
        variants = [
            {}, {"p": 0.25}, {"seed": 2}, {"chunks": 2}, {"stream": 1}, {"inverted": False},
            {"noise_shape": (8, 1)}, {"generator": "philox4x32-10"}, {"p": np.linspace(0, 1, 8)},
        ]  # fmt: skip
        first = [name(**variant) for variant in variants]
        assert first == [name(**variant) for variant in variants]
    assert len(set(first)) == len(variants)


def test_a_random_seed_is_drawn_once():
    y, mask = fastdrop.dask.dropout(da.ones((100, 100), chunks=30))
    assert same(y, mask.apply(np.ones((100, 100))))
    assert same(y, y.compute())
    assert fastdrop.dask.dropout(y)[1].key != mask.key


@pytest.mark.parametrize("shape", [(6, 7), (7,), (6, 1), (1, 1), ()])
def test_a_mask_of_your_own_is_broadcast(shape):
    mask = fastdrop.Mask.from_array(np.asarray(array_of(shape) > 0), p=0.5)
    values = array_of((6, 7))
    y = fastdrop.dask.apply(mask, da.from_array(values, chunks=(4, 3)))
    assert same(y, mask.apply(values))


def test_the_bits_of_a_stored_mask_are_in_the_graph_once():
    mask = fastdrop.Mask.from_array(np.ones((800, 1000), bool), p=0.5)
    y = fastdrop.dask.apply(mask, da.ones((800, 1000), chunks=100))
    assert len(y.dask) == 80 + 1 + 80
    assert 100_000 <= sum(len(cloudpickle.dumps(task)) for task in y.dask.values()) < 1_000_000


def test_a_window_of_a_mask():
    mask = fastdrop.Mask((20, 30), 0.4, seed=3)[19::-2, 5:]
    values = array_of((10, 25))
    assert same(fastdrop.dask.apply(mask, da.from_array(values, chunks=(3, 7))), mask.apply(values))


def test_the_graph_goes_on_from_the_result():
    values = array_of((60, 40))
    y, mask = fastdrop.dask.dropout(da.from_array(values, chunks=(13, 40)), 0.5, 1)
    expected = mask.apply(values)
    assert same(y.rechunk((60, 7)), expected)
    assert same(y[5:40:3, ::-1], np.ascontiguousarray(expected[5:40:3, ::-1]))
    assert same(fastdrop.dask.apply(mask, y.rechunk((8, 9)) + 1), mask.apply(expected + 1))
    assert y.persist(scheduler="synchronous").name == y.name


def test_dask_says_before_what_comes():
    y, _ = fastdrop.dask.dropout(da.ones((4, 5), chunks=2, dtype=">f4"), 0.5, 1)
    assert type(y._meta) is np.ndarray
    assert y._meta.shape == (0, 0)
    assert y.dtype == np.float32
    assert y.dtype.isnative


def test_a_dropped_nan_vanishes_and_zeros_are_positive():
    x = da.full((1000,), np.nan, chunks=99)
    y, mask = fastdrop.dask.dropout(x, 0.5, 1)
    result = y.compute(scheduler="synchronous")
    assert (np.isnan(result) == mask.to_numpy()).all()
    assert not np.signbit(result[~mask.to_numpy()]).any()


@pytest.mark.parametrize("lazy", [True, False])
def test_xarray_keeps_its_coordinates(lazy):
    values = array_of((6, 8))
    blocks = da.from_array(values, chunks=(4, 3))
    data = xr.DataArray(blocks, dims=("time", "cell"), coords={"time": range(6)})
    mask = fastdrop.Mask(data.shape, 0.5, seed=1)
    if lazy:
        result = data.copy(data=fastdrop.dask.apply(mask, data.data))
        assert isinstance(result.data, da.Array)
    else:
        result = xr.apply_ufunc(lambda x: fastdrop.dask.apply(mask, x), data, dask="allowed")
    result = result.compute(scheduler="synchronous")
    assert result.equals(data.copy(data=mask.apply(values)))


def test_what_is_refused():
    x, mask = da.ones((4, 6), chunks=2), fastdrop.Mask((4, 6), 0.5, seed=1)
    array, one = np.ones((4, 6)), fastdrop.Mask((4, 1), 0.5, seed=1)
    own = fastdrop.Mask.from_array(np.ones((3, 1), bool), p=0.5)
    masked, unknown, frame = da.ma.masked_greater(x, 2), x[x > 0], xr.DataArray(x)
    several = xr.Dataset({"a": frame})
    for mask_, x_, error, *words in [
        (mask, array, TypeError, "x must be a dask.array.Array, not", "in memory use fastdrop.dropout"),
        (x, mask, TypeError, "mask must be a fastdrop.Mask, not dask.array"),
        (mask, 1.0, TypeError, "x must be a dask.array.Array, not 1.0 of type float"),
        (mask, x.astype(int), TypeError, "x must be an array of float16", "x.astype(numpy.float32)"),
        (mask, x.T, ValueError, "x must have the shape (4, 6), not (6, 4)"),
        (one, x, ValueError, "x must have the shape (4, 1), not (4, 6)", "noise_shape=(4, 1)"),
        (own, x, ValueError, "x must have the shape (3, 1), not (4, 6)"),
        (mask, unknown, ValueError, "x must have known chunk sizes, not ((nan", "compute_chunk_sizes()"),
        (mask, masked, TypeError, "x must have blocks of numpy.ndarray", "dask.array.ma.filled(x, 0)"),
        (mask, frame, TypeError, "x must be a dask.array.Array", "x.copy(data=fastdrop.dask.apply(mask"),
        (mask, several, TypeError, "x must be a dask.array.Array", "one variable at a time, as in x.map(f)"),
        (mask, frame.compute(), TypeError, "x must be a dask.array.Array", "in memory use fastdrop.dropout"),
    ]:
        refuse(lambda mask=mask_, x=x_: fastdrop.dask.apply(mask, x), error, *words)
    refuse(lambda: fastdrop.dask.dropout(unknown), ValueError, "x must have known chunk sizes")
    refuse(lambda: fastdrop.dask.dropout(x, 1.5), ValueError, "p must be from 0 to 1")
    refuse(lambda: fastdrop.dask.dropout(x, 0.5, "1"), TypeError, "seed must be", "write int(seed)")


@pytest.mark.parametrize("chunks", [(4, 4), (2, 6)])
def test_a_block_that_has_not_the_size_that_dask_was_told_is_refused(chunks):
    """`map_blocks` without `chunks=` takes the sizes for unchanged. No place of the block would be right."""
    halved = da.ones((8,), chunks=(chunks,)).map_blocks(lambda block: block[::2], dtype=float)
    y, _ = fastdrop.dask.dropout(halved, 0.5, 1)
    with pytest.raises(
        ValueError, match=r"x must have the shape \((4,\), not \(2|2,\), not \(1|6,\), not \(3),"
    ):
        y.compute(scheduler="synchronous")


def test_the_remedy_for_unknown_chunks_works():
    values = array_of((30,))
    x = da.from_array(values, chunks=7)
    known = x[x > 0].compute_chunk_sizes()
    y, mask = fastdrop.dask.dropout(known, 0.5, 1)
    assert same(y, mask.apply(values[values > 0]))


def worker(key, stream, p, first, last, columns):
    """What one worker of joblib does: five numbers say which decisions are its own."""
    mask = fastdrop.Mask((last, columns), p, key=key, stream=stream)[first:last]
    return mask.apply(np.ones((last - first, columns), np.float32))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_of_joblib_have_the_bits_of_the_whole(backend):
    whole = fastdrop.Mask((1000, 64), 0.3, seed=1, stream=9)
    ends = [0, 1, 300, 301, 1000]
    tasks = (job(worker)(whole.key, 9, 0.3, *part, 64) for part in itertools.pairwise(ends))
    parts = Parallel(n_jobs=2, backend=backend)(tasks)
    assert (np.concatenate(parts) == whole.apply(np.ones((1000, 64), np.float32))).all()
    windows = (
        job(apply_pickled)(pickle.dumps(whole[first:last])) for first, last in itertools.pairwise(ends)
    )
    again = Parallel(n_jobs=2, backend=backend)(windows)
    assert np.concatenate(again).tobytes() == np.concatenate(parts).tobytes()


def apply_pickled(window):
    mask = pickle.loads(window)
    return mask.apply(np.ones(mask.shape, np.float32))
