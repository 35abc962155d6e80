# SPDX-License-Identifier: BSD-3-Clause
"""The transformer of the examples: its gradients, its two forms in NumPy, its text, its report."""

import re
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import fastdrop
from example_runs import EXAMPLES, run_example

sys.path.insert(0, str(EXAMPLES))
try:
    import train_transformer as example
    from lib import step_split, transformer_compare
    from lib.mlp import softmax_cross_entropy
    from lib.text import all_windows, load_text, random_windows
    from lib.transformer import CHUNK, ChunkedAdam, Transformer
    from lib.transformer_numpy import TextbookTransformer
    from lib.transformer_sizes import Sizes
finally:
    sys.path.remove(str(EXAMPLES))

SIZES = Sizes(characters=7, layers=2, features=8, heads=2, length=6)
BATCH = 3


def parameters(dtype, scale=1.0):
    """First parameters, made larger so that every part of the network matters."""
    random = np.random.default_rng(0)
    flat = SIZES.first_parameters(random, dtype)
    return flat + (scale * 0.2 * random.standard_normal(flat.shape)).astype(dtype)


def batch(size=BATCH):
    return np.random.default_rng(1).integers(0, SIZES.characters, (2, size, SIZES.length))


def networks(dtype=np.float64, p=0.0):
    yield Transformer(SIZES, parameters(dtype), p, 5, BATCH)
    yield TextbookTransformer(SIZES, parameters(dtype), p, 5)


class SameMasks:
    """A generator whose draws are the same in every pass: those of the first one, again and again."""

    def __init__(self):
        self.draws, self.next = [], 0

    def random(self, shape):
        if self.next == len(self.draws):
            self.draws.append(np.random.default_rng(self.next).random(shape))
        self.next += 1
        return self.draws[self.next - 1]


def loss_and_gradients(network, flat, texts, targets):
    """The loss and the gradients at those parameters, with the same masks at every call."""
    network.parameters[:] = flat
    if isinstance(network, Transformer):
        network.dropout["rng"] = fastdrop.MaskGenerator(5)
    elif network.p:
        network.rng = getattr(network, "same_masks", None) or SameMasks()
        network.same_masks, network.rng.next = network.rng, 0
    return network.gradient_step(texts, targets), network.gradients.copy()


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("which", [0, 1], ids=["fastdrop", "textbook"])
def test_gradients_are_slopes(which, p):
    """By differences along random directions in float64.

    A central difference with the step h is off by h^2 / 6 times the third derivative along the direction,
    which is of the size of the loss here, and by 2^-52 times the loss over h. With h = 2^-17 both are below
    1e-9; the slopes are about 1.
    """
    network = list(networks(p=p))[which]
    texts, targets = batch()
    flat, random, step = parameters(np.float64), np.random.default_rng(2), 2.0**-17
    _, gradients = loss_and_gradients(network, flat, texts, targets)
    for _ in range(4):
        direction = random.standard_normal(flat.shape)
        direction /= np.linalg.norm(direction)
        after, _ = loss_and_gradients(network, flat + step * direction, texts, targets)
        before, _ = loss_and_gradients(network, flat - step * direction, texts, targets)
        assert abs((after - before) / (2 * step) - gradients @ direction) < 1e-8


def test_both_forms_are_one_network():
    """In float64, whose rounding errors stay far below 1e-12 in so small a network."""
    texts, targets = batch()
    (ours, textbook), flat = networks(), parameters(np.float64)
    results = [loss_and_gradients(network, flat, texts, targets) for network in (ours, textbook)]
    (loss, gradients), (wanted_loss, wanted) = results
    assert abs(loss - wanted_loss) < 1e-13
    assert abs(gradients - wanted).max() < 1e-13
    assert abs(gradients).min() > 0  # every parameter takes part


def test_losses_of_a_training_agree_to_four_digits():
    """Of the whole size, in float32 and without dropout.

    A loss of 4.7 is a mean of sums of rounding errors of 2^-24; steps of Adam divide by a gradient's size, so
    that errors of tiny gradients count fully. Four digits is what the program promises of its first steps.
    """
    text = load_text(4000, 1000, np.random.default_rng(0))
    sizes = Sizes(len(text.characters), layers=2, features=64)
    flat = sizes.first_parameters(np.random.default_rng(1))
    made = [make(sizes, flat, 0.0, 3) for make in (example.make_fastdrop, example.make_numpy)]
    random = np.random.default_rng(2)
    for _ in range(3):
        texts, targets = random_windows(text.train, example.BATCH_SIZE, sizes.length, random)
        first, second = (
            softmax_cross_entropy(network.model.forward(texts), targets.ravel())[0] for network in made
        )
        assert abs(first - second) < 5e-4
        for network in made:
            network.step(texts, targets)


def test_masks_are_those_of_fastdrop_and_evaluation_draws_none():
    network, _ = networks(np.float32, 0.5)
    texts, _ = batch()
    first = network.forward(texts).copy()
    # Of the embedding; and in each layer of weights and hidden units, and of two sublayers' results.
    assert network.dropout["rng"].state["stream"] == 1 + 4 * SIZES.layers
    assert not np.array_equal(network.forward(texts), first)
    network.train(False)
    drawn = network.dropout["rng"].state["stream"]
    plain = network.forward(texts).copy()
    assert np.array_equal(network.forward(texts), plain)
    assert network.dropout["rng"].state["stream"] == drawn


def test_a_smaller_batch_has_the_first_rows_of_a_larger_one():
    network, _ = networks()
    texts, _ = batch()
    network.train(False)
    whole = network.forward(texts).copy()
    assert np.allclose(network.forward(texts[:1]), whole[: SIZES.length], atol=1e-13)
    assert np.allclose(network.forward(texts[:1, :4]), whole[:4], atol=1e-13)  # causal: no look ahead


def test_adam_by_chunks_is_adam():
    random = np.random.default_rng(0)
    first, gradients = random.standard_normal((2, CHUNK + 100), np.float32)
    second = first.copy()
    chunked, whole = ChunkedAdam(first, gradients), example.FlatAdam(second, gradients)
    for rate in (1e-3, 2e-3):
        chunked.step(rate)
        whole.step(rate)
        gradients[:] = random.standard_normal(gradients.shape)
    assert np.array_equal(first, second)


def test_text_is_split_and_comes_back():
    text = load_text(5000, 3000, np.random.default_rng(0))
    assert (len(text.train), len(text.validation)) == (5000, 3000)
    assert text.decode(text.encode("The ")) == "The "
    texts, targets = random_windows(text.train, 4, 10, np.random.default_rng(0))
    assert np.array_equal(texts[:, 1:], targets[:, :-1])
    pairs = list(all_windows(text.validation, 2, 100))
    assert np.array_equal(
        np.concatenate([texts.ravel() for texts, _ in pairs]), text.validation[: 2 * 100 * len(pairs)]
    )
    assert np.array_equal(
        np.concatenate([t.ravel() for _, t in pairs]), text.validation[1 : 2 * 100 * len(pairs) + 1]
    )
    with pytest.raises(ValueError, match="characters only"):
        load_text(10**7, 1, np.random.default_rng(0))


class Small:
    """The program on a small network, as its user sees it."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch, tmp_path):
        self.threads = set()

        def first_parameters(sizes, rng, dtype=np.float32):
            self.threads |= {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
            return Sizes.first_parameters(sizes, rng, dtype)

        class SmallSizes(Sizes):
            def __init__(self, characters):
                super().__init__(characters, layers=1, features=16, heads=2, length=16)

        monkeypatch.setattr(example, "Sizes", SmallSizes)
        monkeypatch.setattr(SmallSizes, "first_parameters", first_parameters)
        monkeypatch.setattr(example, "has_torch", lambda: False)
        monkeypatch.setattr(example, "TRAIN_COUNT", 2000)
        monkeypatch.setattr(example, "VALIDATION_COUNT", 1000)
        monkeypatch.setattr(example, "SAMPLE_COUNT", 20)
        self.plot = tmp_path / "out.png"
        self.monkeypatch = monkeypatch

    def run(self, capsys, *options):
        arguments = ["train_transformer.py", "--plot", str(self.plot), *options]
        self.monkeypatch.setattr(sys, "argv", arguments)
        example.main()
        shown = capsys.readouterr()
        assert shown.err == ""  # no progress bar where there is no terminal
        return shown.out


class TestProgram(Small):
    @pytest.mark.parametrize("library", [[], ["--numpy"]])
    def test_it_trains_and_reports(self, capsys, library):
        output = self.run(capsys, "--steps", "12", *library)
        for name in ("no dropout", "p = 0.1"):
            (row,) = re.findall(rf"^{name}  +(.*)$", output, re.MULTILINE)
            train, validation, lowest = map(float, row.split())
            assert lowest <= validation
            assert 0 < train < np.log(200)
        assert f"in {'NumPy' if library else 'fastdrop'}; dropout p = 0.1 or none." in output
        sample = output.partition("writes after 'The ':\n\n")[2].rpartition("\n\nPicture: ")[0]
        assert len(sample) == len("The ") + 20
        assert self.plot.stat().st_size > 1000
        assert self.threads == {1}

    def test_it_compares(self, capsys):
        output = self.run(capsys, "--compare", "--steps", "2", "--p", "0.5")
        assert "fastdrop and in NumPy" in output
        assert re.search(r"^fastdrop +[\d.]+  1\.00 \(1\.00-1\.00\)$", output, re.MULTILINE)
        assert len(re.findall(r"^(?:fastdrop|NumPy) +(?:[\d.]+ +){6}\d+ %$", output, re.MULTILINE)) == 2
        assert not self.plot.exists()

    def test_pytorch_that_is_not_there_is_said_in_one_line(self, monkeypatch, capsys):
        with pytest.raises(SystemExit):
            self.run(capsys, "--torch")
        assert "PyTorch is not installed" in capsys.readouterr().err


@pytest.mark.slow
def test_the_program_of_full_size(tmp_path):
    output = run_example(tmp_path, "train_transformer.py", "--steps", "2")
    assert "3,241,984 parameters" in output
    assert "The network with dropout writes after 'The ':" in output


def test_the_split_is_exclusive_and_leaves_everything_as_it_was():
    """An attention's products count as products; the parts and the rest are the whole."""
    ours, textbook = networks(np.float32, 0.3)
    texts, targets = batch()
    before = np.matmul, fastdrop.attention
    clock = step_split.Clock()
    with clock.watching([(np, "matmul", "matmul"), (fastdrop, "attention", "attention")]):
        assert np.matmul is not before[0]
        ours.forward(texts)
    assert (np.matmul, fastdrop.attention) == before
    assert clock.seconds["matmul"] > 0 < clock.seconds["attention"]
    assert clock.inner[0] == pytest.approx(sum(clock.seconds.values()))  # nothing is counted twice
    for name, network in (("fastdrop", ours), ("NumPy", textbook)):
        parts = step_split.split_of_step(name, lambda network=network: network.gradient_step(texts, targets))
        assert list(parts) == list(step_split.PARTS)
        assert min(parts[part] for part in ("matmul", "attention", "dropout", "norms")) > 0


def test_networks_take_turns():
    order = []

    class Recorded:
        def __init__(self, name):
            self.name = name

        def step(self, number):
            order.append((number, self.name))

    rounds = transformer_compare.WARM_UP + 3
    names = {name: Recorded(name) for name in "abc"}
    seconds = transformer_compare.compare(names, [(number,) for number in range(rounds)])
    assert all(len(times) == 3 for times in seconds.values())
    for number in range(rounds):
        turn = number % 3
        assert [name for at, name in order if at == number] == list("abc"[turn:] + "abc"[:turn])
