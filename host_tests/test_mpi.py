# SPDX-License-Identifier: BSD-3-Clause
"""The windows of MPI processes, and the example that trains on several of them with the same bits."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mpi4py import MPI

import fastdrop
import fastdrop.mpi
import processes
from example_runs import EXAMPLES, PNG_SIGNATURE, run_example
from refusal import refuse

PACKAGE = str(Path(fastdrop.__file__).parents[1])

sys.path.insert(0, str(EXAMPLES))
try:
    import train_mpi as example
finally:
    sys.path.remove(str(EXAMPLES))


def member(rank, size):
    """A communicator as far as fastdrop asks one."""
    return SimpleNamespace(Get_rank=lambda: rank, Get_size=lambda: size)


def members(size):
    return [member(rank, size) for rank in range(size)]


def mpiexec(count, *command, code=0):
    """What that many processes printed, and their errors. The mpiexec beside this Python comes first."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    paths = os.pathsep.join(filter(None, [PACKAGE, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": paths}
    for name in ("MPLBACKEND", "DISPLAY"):
        environment.pop(name, None)
    done = subprocess.run(
        [launcher, "-n", str(count), sys.executable, *map(str, command)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("length", [0, 1, 5, 8, 1000])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_an_axis_is_divided_as_numpy_divides_it(length, size):
    parts = [np.arange(length)[fastdrop.mpi.rank_slice(length, comm)] for comm in members(size)]
    for part, expected in zip(parts, np.array_split(np.arange(length), size), strict=True):
        assert part.tolist() == expected.tolist()


def test_the_longest_axis_is_divided_exactly():
    """Beyond the integers of a float."""
    slices = [fastdrop.mpi.rank_slice(2**63 - 1, comm) for comm in members(1024)]
    assert slices[0].start == 0
    assert slices[-1].stop == 2**63 - 1
    assert all(left.stop == right.start for left, right in itertools.pairwise(slices))
    assert {part.stop - part.start for part in slices} == {2**53 - 1, 2**53}


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_windows_have_the_bits_of_the_whole(size):
    x = np.random.default_rng(0).standard_normal((13, 4, 9), dtype=np.float32)
    mask = fastdrop.Mask(x.shape, 0.3, seed=1, stream=5)
    judge = fastdrop.reference.Mask(x.shape, 0.3, seed=1, stream=5).apply(x)
    rows, columns = [], []
    for comm in members(size):
        own, part = fastdrop.mpi.rank_slice(13, comm), fastdrop.mpi.rank_slice(9, comm)
        rows.append(fastdrop.mpi.row_window(mask, comm).apply(x[own]))
        columns.append(fastdrop.mpi.column_window(mask, comm).apply(x[..., part]))
    assert np.concatenate(rows).tobytes() == judge.tobytes()
    assert np.concatenate(columns, axis=-1).tobytes() == judge.tobytes()


def test_a_real_communicator():
    mask = fastdrop.Mask((6, 5), 0.5, seed=1)
    assert fastdrop.mpi.row_window(mask, MPI.COMM_SELF) == mask[0:6]
    assert fastdrop.mpi.column_window(mask, MPI.COMM_WORLD) == mask[:, 0:5]


def test_the_windows_of_four_processes():
    code = """
import numpy as np, fastdrop, fastdrop.mpi
from mpi4py import MPI
comm = MPI.COMM_WORLD
mask = fastdrop.Mask((10, 7), 0.5, seed=1)
rows = comm.gather(fastdrop.mpi.row_window(mask, comm).to_numpy())
columns = comm.gather(fastdrop.mpi.column_window(mask, comm).to_numpy())
if comm.rank == 0:
    whole = mask.to_numpy()
    print(len(rows), [len(part) for part in rows], [part.shape[1] for part in columns])
    print((np.concatenate(rows) == whole).all() and (np.concatenate(columns, axis=1) == whole).all())
"""
    assert mpiexec(4, "-W", "error", "-c", code) == ("4 [3, 3, 2, 2] [2, 2, 2, 1]\nTrue\n", "")


def test_the_import_does_not_initialise_mpi():
    assert processes.run("import sys, fastdrop.mpi; print('mpi4py' in sys.modules)") == "False"


def test_what_is_refused():
    mask, scalar, comm = fastdrop.Mask((4, 6), seed=1), fastdrop.Mask((), seed=1), member(0, 2)
    wanted = "comm must be an MPI communicator, with Get_rank and Get_size, not 3 of type int"
    refuse(lambda: fastdrop.mpi.rank_slice(4, 3), TypeError, wanted)
    refuse(lambda: fastdrop.mpi.rank_slice(4.0, comm), TypeError, "length must be an integer, not 4.0")
    refuse(lambda: fastdrop.mpi.rank_slice(-1, comm), ValueError, "length must be at least 0")
    for window in (fastdrop.mpi.row_window, fastdrop.mpi.column_window):
        refuse(lambda window=window: window(mask, 3), TypeError, wanted)
        refuse(lambda window=window: window(comm, mask), TypeError, "mask must be a fastdrop.Mask, not")
        refuse(lambda window=window: window(scalar, comm), TypeError, "mask must have an axis to divide")


def digests(output):
    return re.findall(r"^Digest of .*: +([0-9a-f]{16})$", output, re.MULTILINE)


def test_the_loss_has_the_same_bits_on_1_2_3_and_4_processes(tmp_path):
    """3 does not divide the 8 micro-batches: its processes have 3, 3 and 2 of them."""
    plot = tmp_path / "picture.png"
    outputs = {}
    for count in (1, 2, 3, 4):
        command = "-m", "mpi4py", EXAMPLES / "train_mpi.py", "--epochs", "1", "--plot", plot
        output, errors = mpiexec(count, *command)
        assert errors == ""
        outputs[count] = output
        assert plot.read_bytes().startswith(PNG_SIGNATURE)
        plot.unlink()
    assert "shared out to 4 processes" in outputs[4]
    tables = {re.sub(r"shared out to .*|Time: .*", "", output) for output in outputs.values()}
    (table,) = tables  # the bits of the losses, accuracies and both digests are equal
    assert len(digests(table)) == 2
    alone = run_example(tmp_path, "train_mpi.py", "--epochs", "1")  # without mpiexec
    assert digests(alone) == digests(table)
    other = run_example(tmp_path, "train_mpi.py", "--epochs", "1", "--seed", "1")
    assert not {*digests(other)} & {*digests(table)}


def serial_training(epochs, seed=0):
    """The loss of the example's training, written out: whole masks, no windows, no processes."""
    data_seed, weight_seed, order_seed, mask_seed = np.random.SeedSequence(seed).spawn(4)
    part, _, _ = example.make_parts(example.TASK, data_seed)
    widths = 64, example.TASK.hidden_size, example.TASK.hidden_size
    layers = [example.WindowDropout() for _ in widths]
    model = example.MLP((*widths, 10), layers, np.random.default_rng(weight_seed))
    optimizer = example.Adam(model.parameters, model.gradients)
    keys = [generator.key for generator in fastdrop.MaskGenerator(mask_seed).spawn(3)]
    rng, losses = np.random.default_rng(order_seed), []
    step = 0
    for _ in range(epochs):
        steps = []
        for batch in rng.permutation(1024).reshape(16, 64):
            whole = [
                fastdrop.Mask((64, width), p, key=key, stream=step)
                for width, p, key in zip(widths, example.RATES, keys, strict=True)
            ]
            nodes = []
            for first in range(0, 64, 8):
                rows = batch[first : first + 8]
                for layer, mask in zip(layers, whole, strict=True):
                    layer.mask = mask[first : first + 8]
                loss, gradient = example.softmax_cross_entropy(model.forward(part.x[rows]), part.labels[rows])
                model.backward(gradient)
                nodes.append((model.gradients.copy(), np.float32(loss)))
            while len(nodes) > 1:
                nodes = [(a + c, b + d) for (a, b), (c, d) in zip(nodes[::2], nodes[1::2], strict=True)]
            ((gradients, loss),) = nodes
            model.gradients[:] = gradients / np.float32(8)
            optimizer.step()
            steps.append(loss / np.float32(8))
            step += 1
        losses.append(float(np.mean(steps)))
    return losses, model.parameters


def test_the_loss_is_that_of_a_program_without_processes(tmp_path):
    """An independent program: it finds windows by rows of the whole batch, and adds the tree by levels."""
    with example.threadpool_limits(1):
        losses, parameters = serial_training(2)
    output, _ = mpiexec(2, EXAMPLES / "train_mpi.py", "--epochs", "2", "--plot", tmp_path / "picture.png")
    assert [loss.hex() for loss in losses] == re.findall(r"0x1\.[0-9a-f]+p[+-]\d+", output)
    assert digests(output) == [example.digest(np.array(losses)), example.digest(parameters)]


@pytest.mark.parametrize("owners", [[0] * 8, [0] * 7, [0]])
def test_the_tree_adds_in_a_fixed_order(owners):
    """Numbers whose sum depends on the order, against the nested sums written out."""
    values = np.float32([1e8, 1, -1e8, 1, 3, 1e-8, 7, -3])[: len(owners)]
    total = example.tree_sum(lambda i: values[i], owners, MPI.COMM_SELF)

    def nested(part):
        half = len(part) // 2
        return part[0] if len(part) == 1 else nested(part[:half]) + nested(part[half:])

    assert total == nested(values)
    if len(owners) == 8:
        a, b, c, d, e, f, g, h = values
        assert total == ((a + b) + (c + d)) + ((e + f) + (g + h)) != sum(values, np.float32(0))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--epochs=0", "must be a whole number of at least 1, not '0'"),
        ("--seed=-1", "must be a whole number of at least 0, not '-1'"),
        ("--plot=/nowhere/out.png", "must be a file that can be written, not '/nowhere/out.png'"),
        ("--plot=out.txt", "must be a file that ends in .png, .pdf, .svg or .jpg, not 'out.txt'"),
    ],
)
def test_a_wrong_option_is_one_line_before_the_work(option, words):
    output, errors = mpiexec(3, EXAMPLES / "train_mpi.py", option, code=2)
    assert output == ""
    (line,) = errors.splitlines()
    assert words in line


def test_an_error_in_one_process_ends_all(tmp_path):
    """As the page starts it: the other process waits for a message at that time."""
    program = tmp_path / "program.py"
    program.write_text(f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import train_mpi as example
def step(trainer, batch, right=example.Trainer.step):
    if trainer.comm.rank == 1:
        raise ValueError("on purpose")
    return right(trainer, batch)
example.Trainer.step = step
example.main()
""")
    _, errors = mpiexec(2, "-m", "mpi4py", program, "--plot", tmp_path / "picture.png", code=1)
    assert "ValueError: on purpose" in errors


def test_help_is_shown_once():
    output, errors = mpiexec(2, EXAMPLES / "train_mpi.py", "--help")
    assert output.count("--epochs") == 1
    assert errors == ""
