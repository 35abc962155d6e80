# SPDX-License-Identifier: BSD-3-Clause
"""Monte Carlo dropout: the formulas over all samples at once, and every sample alone."""

import numpy as np
import pytest

import fastdrop as fd

X = np.random.default_rng(0).standard_normal((5, 40))
WEIGHT = np.random.default_rng(1).standard_normal((40, 3))


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def network(x, rng):
    h = fd.dropout(x, 0.5, rng=rng)[0]
    return softmax(fd.drop_path(h, 0.1, rng=rng)[0] @ WEIGHT / 4)


def entropy(y):
    return -(y * np.log(y)).sum(axis=-1)


def test_moments_and_entropies_are_those_of_the_stack_of_samples():
    """Answers are in [0, 1].

    Each of the 50 steps rounds the mean, which is at most 1, and the sum of squares, which is at most 50 and
    then divided by 50, three times by 2**-53 at most: 150 * 2**-53 = 1.7e-14, and as much again for NumPy's
    own sums and for the square root. An entropy moves by |ln y| + 1 times as much; here y > 1e-6.
    """
    result = fd.mc_dropout(network, X, 50, rng=3, class_axis=-1)
    answers = np.stack([network(X, result.generator(k)) for k in range(50)])
    assert np.abs(result.mean - answers.mean(axis=0)).max() < 1e-13
    assert np.abs(result.std**2 - answers.var(axis=0)).max() < 1e-13
    assert np.abs(result.entropy - entropy(answers.mean(axis=0))).max() < 1e-12
    information = entropy(answers.mean(axis=0)) - entropy(answers).mean(axis=0)
    assert np.abs(result.mutual_information - information).max() < 1e-12
    assert answers.min() > 1e-6
    assert result.mutual_information.min() > 0
    assert len({answer.tobytes() for answer in answers}) == 50
    assert (result.mean.shape, result.std.shape, result.entropy.shape) == ((5, 3), (5, 3), (5,))


def test_moments_are_exact_where_the_arithmetic_is():
    """0 and 2 with a scale of 2: all sums are of small integers, and the mean of a power of two is exact."""

    def answers(x, rng):
        return fd.dropout(np.ones(8, np.float32), 0.5, rng=rng)[0]

    result = fd.mc_dropout(answers, None, 1, rng=0)
    assert (result.mean == answers(None, result.generator(0))).all()
    assert (result.std == 0).all()
    assert result.mean.dtype == np.float64
    two = fd.mc_dropout(answers, None, 2, rng=0)
    first, second = (answers(None, two.generator(k)).astype(np.float64) for k in (0, 1))
    assert (two.mean == (first + second) / 2).all()
    assert (two.std == np.abs(first - second) / 2).all()
    assert (two.entropy, two.mutual_information) == (None, None)


def test_agreement_has_no_information_and_disagreement_all_of_it():
    """All samples agree: none. Each is sure of another class: ln 2."""
    with pytest.warns(UserWarning, match="all answers are equal"):
        agree = fd.mc_dropout(lambda x, rng: [0.5, 0.5], None, 10, class_axis=0)
    assert (agree.entropy, agree.mutual_information) == (np.log(2), 0.0)
    turn = iter([[0.0, 1.0], [1.0, 0.0]] * 5)
    disagree = fd.mc_dropout(lambda x, rng: rng.mask(2, 0.0).apply(next(turn)), None, 10, class_axis=0)
    assert disagree.entropy == disagree.mutual_information
    assert abs(disagree.entropy - np.log(2)) < 1e-15
    with pytest.warns(UserWarning, match="all answers are equal"):
        sure = fd.mc_dropout(lambda x, rng: [1.0, 0.0], None, 10, class_axis=0)
    assert (sure.entropy, sure.mutual_information) == (0.0, 0.0)


@pytest.mark.parametrize("generator", ["ars4x32-7", "philox4x32-10"])
def test_a_sample_depends_on_the_key_and_its_number_only(generator):
    """It is the root's child of that number, however many samples there are."""
    seen = []

    def record(x, rng):
        seen.append((rng.key, rng.generator, rng.mask(3).stream))
        return len(seen)

    result = fd.mc_dropout(record, None, 6, rng=fd.MaskGenerator(5, generator=generator))
    root = fd.MaskGenerator(5, generator=generator).spawn(1)[0]
    assert result.root.key == root.key
    assert seen == [(child.key, generator, 0) for child in root.spawn(6)]
    assert [result.generator(k).key for k in (5, 0)] == [seen[5][0], seen[0][0]]
    few, many = (fd.mc_dropout(network, X, count, rng=5) for count in (3, 9))
    assert few.root.key == many.root.key == fd.MaskGenerator(5).key
    assert (network(X, few.generator(8)) == network(X, many.generator(8))).all()


def test_a_seed_repeats_its_samples_and_a_generator_does_not():
    """As everywhere: an int repeats itself, a MaskGenerator does not, None is fresh."""

    def mean(rng):
        return fd.mc_dropout(network, X, 2, rng=rng).mean.tobytes()

    masks = fd.MaskGenerator(5)
    assert mean(5) == mean(5) == mean(np.random.SeedSequence(5))
    assert len({mean(masks), mean(masks), mean(5), mean(None), mean(None)}) == 5
    assert masks.state["stream"] == 0, "the caller's masks are not used up"


def test_layers_drop_for_as_long_as_it_takes():
    first, second = fd.Dropout(0.5, rng=1).eval(), fd.DropConnect(0.25, rng=2)
    own = first.rng, second.rng
    second(WEIGHT)
    before = [layer.state_dict() for layer in (first, second)], second.mask

    def model(x, rng):
        assert first.training
        assert second.training
        return softmax(first(x) @ second(WEIGHT))

    result = fd.mc_dropout(model, X, 20, rng=0, layers=[first, second])
    assert ([layer.state_dict() for layer in (first, second)], second.mask) == before
    assert (first.rng, second.rng) == own
    assert (first.mask, first.training, second.training) == (None, False, True)
    assert result.std.min() > 0
    rng = result.generator(19)
    h, w = fd.dropout(X, 0.5, rng=rng)[0], fd.drop_connect(WEIGHT, 0.25, rng=rng)[0]
    seen = []
    fd.mc_dropout(lambda x, rng: seen.append(model(x, rng)) or seen[-1], X, 20, rng=0, layers=[first, second])
    assert (seen[19] == softmax(h @ w)).all()

    def broken(x, rng):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fd.mc_dropout(broken, X, 3, layers=[first, second])
    assert ([layer.state_dict() for layer in (first, second)], second.mask) == before


def test_an_answer_may_be_overwritten_by_the_next():
    """fn may hand out the same array each time."""
    buffer = np.zeros(4)

    def overwrite(x, rng):
        buffer[:] = fd.dropout(np.ones(4), 0.5, rng=rng)[0]
        return buffer

    result = fd.mc_dropout(overwrite, None, 2, rng=0)
    answers = [fd.dropout(np.ones(4), 0.5, rng=result.generator(k))[0] for k in range(2)]
    assert (answers[0] != answers[1]).any()
    assert (result.mean == (answers[0] + answers[1]) / 2).all()


# --- What goes wrong with nobody noticing -----------------------------------------------------------

REMEDY = ": name all layers that fn uses, layers="
FORGOTTEN = f"because fn took no mask from the rng it was given{REMEDY}"
UNCHANGED = f"all answers are equal, because what fn drew, maybe with p = 0, changed nothing{REMEDY}"


def asked(fn, text=FORGOTTEN, **options):
    """The result, and the one warning, which must point at this file."""
    with pytest.warns(UserWarning, match=text) as caught:
        result = fd.mc_dropout(fn, X, 5, rng=0, **options)
    (warning,) = caught
    assert warning.filename == __file__
    return result, str(warning.message)


@pytest.mark.parametrize("class_axis", [None, -1])
def test_layers_that_do_not_drop_are_noticed(class_axis):
    drop = fd.Dropout(0.5, rng=1).eval()

    def model(x, rng):
        return softmax(drop(x) @ WEIGHT)

    result, message = asked(model, class_axis=class_axis)
    assert message.startswith("all answers are equal, because fn took no mask")
    assert not result.std.any()
    assert fd.mc_dropout(model, X, 5, layers=[drop], class_axis=class_axis).std.all()


def test_layers_with_masks_of_their_own_are_noticed():
    drop = fd.Dropout(0.5, rng=1)
    result, message = asked(lambda x, rng: drop(x))
    assert message.startswith("result.generator(k) does not repeat sample k")
    assert result.std.any()
    fd.mc_dropout(lambda x, rng: drop(x), X, 5, layers=[drop])
    answers = iter(range(5))
    assert asked(lambda x, rng: next(answers))[1].startswith("result.generator(k)")


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, rng: fd.dropout(x, 0.0, rng=rng)[0],
        lambda x, rng: fd.drop_block(np.ones((1, 1, 8)), 0.0, block_size=2, rng=rng)[0],
        lambda x, rng: fd.gaussian_dropout(x, 0.0, rng=rng)[0],
        lambda x, rng: fd.dropout(x, 0.5, rng=rng)[0] * 0,
        lambda x, rng: fd.dropout(x, 0.5, rng=rng)[0] * np.nan,
    ],
)
def test_answers_that_are_all_equal_are_noticed_though_the_generators_were_used(fn):
    assert asked(fn, UNCHANGED)[1].startswith("all answers are equal")


def test_layers_that_were_forgotten_are_noticed_though_others_were_named():
    forgotten, named = fd.Dropout(0.5, rng=1).eval(), fd.Dropout(0.0, rng=1)
    asked(lambda x, rng: forgotten(named(x)), UNCHANGED, layers=[named])


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, rng: fd.dropout(x, 0.5, rng=rng.spawn(2)[1])[0],
        lambda x, rng: fd.Dropout(0.5, rng=rng)(x),
        lambda x, rng: fd.dropout(x[:0], 0.5, rng=rng)[0],
    ],
)
def test_answers_by_the_generators_are_no_reason_for_a_warning(fn):
    fd.mc_dropout(fn, X, 5)


def test_one_generator_that_was_used_is_enough():
    first = iter([True])
    fd.mc_dropout(lambda x, rng: rng.mask(3).size if next(first, False) else 0.0, X, 5)


def test_one_sample_is_no_reason_for_a_warning():
    fd.mc_dropout(lambda x, rng: 1.0, X, 1)


def test_a_result_is_shown_by_its_shapes():
    result = fd.mc_dropout(network, X, 2, rng=0, class_axis=-1)
    assert repr(result) == (
        "<MonteCarlo samples=2, mean: shape (5, 3), std: shape (5, 3), entropy: shape (5,), ...>"
    )
    assert repr(fd.mc_dropout(network, X, 2, rng=0)) == (
        "<MonteCarlo samples=2, mean: shape (5, 3), std: shape (5, 3)>"
    )
