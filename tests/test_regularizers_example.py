# SPDX-License-Identifier: BSD-3-Clause
"""The comparison of regularizers: its gradients, its fairness, and the table that it prints."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

import fastdrop
from example_runs import EXAMPLES, run_example

sys.path.insert(0, str(EXAMPLES))
try:
    import compare_regularizers as compare
    from lib import regularized
    from lib.mlp import BatchNorm
    from lib.regularized import Setting, Task
finally:
    sys.path.remove(str(EXAMPLES))

SMALL = Task("digits", train_count=50, validation_count=100, hidden_size=8, epochs=1)
SETTINGS = {
    "plain": Setting(),
    "dropout": Setting(input_p=0.2, hidden_p=0.5),
    "L2": Setting(l2=0.1),
    "batch norm": Setting(batch_norm=True),
    "all": Setting(input_p=0.2, hidden_p=0.5, l2=0.1, batch_norm=True),
}


def make_case(setting):
    """A network in float64 with parameters at random, 20 images and their labels."""
    rng = np.random.default_rng(1)
    model = regularized.make_model(SMALL, setting, weight_seed=0, mask_seed=0, dtype=np.float64)
    model.parameters += rng.normal(0, 0.1, model.parameters.size)  # biases, scales and shifts too
    part = regularized.make_parts(SMALL, 0)[0]
    return model, part.x[:20].astype(np.float64), part.labels[:20]


def loss_at(model, setting, x, labels, parameters):
    """The loss with the same masks at every call: each layer starts its generator anew."""
    model.parameters[:] = parameters
    for seed, dropout in enumerate(model.dropouts):
        dropout.rng = seed
    return regularized.loss_and_gradients(model, setting, x, labels)


def fraction_wrong(setting):
    """How many of the gradients are not the slopes of the loss, by central differences.

    Rounding: the losses are below 30 and right to some 1e-15 of that, so a difference over 2e-5 is right to
    some 1e-9. Truncation: the third derivative, of the order of 1 to 100 here, times step**2 / 6 = 2e-11.
    """
    model, x, labels = make_case(setting)
    start, step = model.parameters.copy(), 1e-5
    assert loss_at(model, setting, x, labels, start) < 30
    gradients = model.gradients.copy()
    assert np.count_nonzero(gradients) > gradients.size / 4
    errors = []
    for place in np.union1d(range(0, start.size, 5), range(start.size - 40, start.size)):
        move = step * np.eye(1, start.size, place)[0]
        above, below = (loss_at(model, setting, x, labels, start + sign * move) for sign in (1, -1))
        errors.append(abs((above - below) / (2 * step) - gradients[place]))
    return np.mean(np.array(errors) > 1e-7)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_the_loss(name):
    """Of every fifth parameter and of the last 40, with batch norm among them scales and shifts.

    A move of a parameter moves 20 or 40 inputs of ReLUs of the order of 1 by some 1e-5. That one of them
    changes its sign, which makes the slope another one, has a probability of some 4e-4 a parameter.
    """
    assert fraction_wrong(SETTINGS[name]) < 0.02


def test_the_gradient_check_can_fail(monkeypatch):
    """Batch norm as if mean and variance were constants; L2 in the loss only."""

    def backward(self, dy):
        self.scale_gradient[:] = (dy * self.normal).sum(axis=0)
        self.shift_gradient[:] = dy.sum(axis=0)
        return dy * self.scale * self.inverse

    with monkeypatch.context() as patch:
        patch.setattr(BatchNorm, "backward", backward)
        assert fraction_wrong(SETTINGS["batch norm"]) > 0.2

    true_loss = regularized.loss_and_gradients

    def without_l2(model, setting, x, labels):
        loss = true_loss(model, setting, x, labels)
        for linear in model.linears:
            linear.weight_gradient -= setting.l2 * linear.weight
        return loss

    monkeypatch.setattr(regularized, "loss_and_gradients", without_l2)
    assert fraction_wrong(SETTINGS["L2"]) > 0.2


def test_batch_norm_by_its_definition():
    rng = np.random.default_rng(0)
    x, scale, shift = rng.normal(3, 2, (40, 5)), rng.normal(size=5), rng.normal(size=5)
    norm = BatchNorm(np.empty((2, 5)), np.empty((2, 5)), np.empty((2, 5)), momentum=0.9, epsilon=1e-5)
    norm.scale[:], norm.shift[:] = scale, shift
    y = norm.forward(x)
    np.testing.assert_allclose(y.mean(axis=0), shift, atol=1e-12)
    variance = np.var(x, axis=0)
    np.testing.assert_allclose(y.var(axis=0), scale**2 * variance / (variance + 1e-5), rtol=1e-12)
    np.testing.assert_allclose(norm.mean, 0.1 * x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(norm.variance, 0.9 + 0.1 * np.diag(np.cov(x.T)), rtol=1e-12)  # unbiased
    norm.train(False)
    before = norm.mean.copy(), norm.variance.copy()
    one = norm.forward(x[:1])  # in evaluation an image alone is as good as a batch
    expected = (x[:1] - before[0]) / np.sqrt(before[1] + 1e-5) * scale + shift
    np.testing.assert_allclose(one, expected, rtol=1e-12)
    assert np.array_equal(before, (norm.mean, norm.variance))


def test_weight_decay_is_decoupled():
    """After one step the weights are those without decay, times the factor; everything else is equal."""
    plain = regularized.train(SMALL, Setting(), 0)["last"]
    decayed = regularized.train(SMALL, Setting(decay=10.0), 0)["last"]
    models = []
    for checkpoint in (plain, decayed):
        model = regularized.make_model(SMALL, Setting(), 0, 0)
        model.parameters[:] = checkpoint.parameters
        models.append(model)
    for before, after in zip(models[0].linears, models[1].linears, strict=True):
        assert np.array_equal(after.weight, before.weight * np.float32(1 - 1e-3 * 10))
        assert np.array_equal(after.bias, before.bias)


def test_settings_are_paired():
    """One split, one set of first weights and, for one rate, one sequence of masks."""
    models = [regularized.make_model(SMALL, setting, 5, 6) for setting in SETTINGS.values()]
    for linears in zip(*(model.linears for model in models), strict=True):
        assert all(np.array_equal(linear.weight, linears[0].weight) for linear in linears)
    x = np.ones((4, 64), np.float32)
    first, second = models[1].dropouts[1], models[4].dropouts[1]
    assert isinstance(first, fastdrop.Dropout)
    assert np.array_equal(first.forward(x), second.forward(x))


def test_training_and_choices_do_not_see_the_test_images(monkeypatch):
    """With other test images, and without their labels, the checkpoints and their scores stay the same."""
    setting = Setting(hidden_p=0.5, l2=1e-3, batch_norm=True)
    task = Task("digits", train_count=50, validation_count=100, hidden_size=8, epochs=3)
    expected = regularized.train(task, setting, 0)
    original = regularized.make_parts

    def poisoned(task, seed):
        *seen, test = original(task, seed)
        test.x[:], test.labels[:] = np.nan, -1
        return [*seen, test]

    monkeypatch.setattr(regularized, "make_parts", poisoned)
    found = regularized.train(task, setting, 0)
    for which in ("last", "best"):
        assert found[which].score == expected[which].score
        assert np.array_equal(found[which].parameters, expected[which].parameters)
        assert np.array_equal(found[which].statistics, expected[which].statistics)
    assert expected["best"].score >= expected["last"].score


def test_wrong_labels_are_wrong_and_the_test_labels_right():
    """About a fifth of 400 labels: 80, with a standard deviation of 8; the bounds are six of them away."""
    task = Task("digits", train_count=200, validation_count=200, hidden_size=8, epochs=1)
    clean = regularized.make_parts(task, 3)
    wrong = regularized.make_parts(replace(task, wrong_labels=0.2), 3)
    changed = sum(np.count_nonzero(a.labels != b.labels) for a, b in zip(clean[:2], wrong[:2], strict=True))
    assert 32 < changed < 128
    assert np.array_equal(clean[2].labels, wrong[2].labels)
    assert all(np.array_equal(a.x, b.x) for a, b in zip(clean, wrong, strict=True))


def test_the_choice_is_the_best_on_the_validation_images():
    combination = compare.Combination("L2", early_stopping=True, dropout=True)
    settings = combination.settings()
    assert len(settings) == len(set(settings)) == 9
    scores = [(0.5, -1.0)] * 9
    scores[4] = scores[7] = (0.5, -0.9)  # as accurate, less loss; the first of equals is taken
    worst = {"last": regularized.Checkpoint((0.9, 0.0))}  # not asked for
    runs = {
        setting: {**worst, "best": regularized.Checkpoint(score)}
        for setting, score in zip(settings, scores, strict=True)
    }
    assert compare.choose(combination, runs)[0] == settings[4]


def test_every_combination_is_there_once():
    assert len(set(compare.COMBINATIONS)) == 3 * 2 * 2 * 2
    assert len(compare.SETTINGS) == 4 * 7 * 2  # rates and none, penalties and none, batch norm or not
    for combination in compare.COMBINATIONS:
        for setting in combination.settings():
            assert (setting.hidden_p > 0) == combination.dropout
            assert (setting.l2 > 0) == (combination.penalty == "L2")
            assert (setting.decay > 0) == (combination.penalty == "weight decay")
            assert setting.batch_norm == combination.batch_norm


def rows_of(output):
    """The table: means, deviations, difference, its error, seeds that got better."""
    number = r"([+-]?\d+\.\d+)"
    row = rf"^(\S.*?\S) {{2,}}{number} +{number} +{number} +{number} +{number} ± {number} +(\d+) of (\d+)"
    found = re.findall(row, output, re.MULTILINE)
    return {name: [float(value) for value in values] for name, *values in found}


@pytest.mark.parametrize("count", [1, 2])
def test_the_picture_says_what_its_marks_are(monkeypatch, count):
    drawn = []
    monkeypatch.setattr(compare.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    results = {
        one: [compare.Result(90.0, Setting()), compare.Result(91.0, Setting())]
        for one in compare.COMBINATIONS
    }
    compare.draw([(SMALL, results)] * count, "out.png")
    (figure,) = drawn
    assert "Test accuracy" in figure.get_suptitle()
    assert "2 seeds" in figure.get_suptitle()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    for name in ("without dropout", "with dropout"):
        assert f"{name}: one seed" in labels
        assert f"{name}: mean, and a line of one standard deviation each way" in labels
    figure.canvas.draw()  # places everything
    width = figure.bbox.width
    for text in (figure._suptitle, figure.legends[0]):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width


@pytest.mark.slow
def test_prints_the_table_and_draws_the_picture(tmp_path):
    """In the quick form: ten epochs of four steps, so accuracies say little; chance is ten per cent."""
    output = run_example(tmp_path, "compare_regularizers.py", "--quick", "--data", "digits", "--jobs", "2")
    rows = rows_of(output)
    assert list(rows) == [one.label() for one in compare.COMBINATIONS if not one.dropout]
    for without, spread, with_, spread_with, gain, error, better, count in rows.values():
        assert 20 < without <= 100
        assert 20 < with_ <= 100
        assert min(spread, spread_with, error) >= 0
        assert abs(gain - (with_ - without)) < 0.016  # three roundings to 0.01
        assert 0 <= better <= count == 2
    assert rows["nothing else"][0] > 50
    for method in ("dropout", "L2", "weight decay", "batch norm", "early stopping"):
        assert re.search(rf"^  {method} +[+-]\d+\.\d\d ± \d+\.\d\d$", output, re.MULTILINE)
    assert "labels as they are" in output


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(tmp_path):
    outputs = []
    for jobs in ("1", "3"):
        folder = tmp_path / jobs
        folder.mkdir()
        options = "--quick", "--data", "digits", "--wrong-labels", "0.2", "--jobs", jobs
        outputs.append(run_example(folder, "compare_regularizers.py", *options))
    assert outputs[0].replace(str(tmp_path / "1"), "") == outputs[1].replace(str(tmp_path / "3"), "")
    assert "WRONG on purpose" in outputs[0]
