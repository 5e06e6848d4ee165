import copy
import doctest
import pickle
import re

import numpy as np
import pytest
import torch

import aigc_fast.gan.content
from aigc_fast.gan import ContentGAN

from .small import draw_pairs, small_gan


def test_the_example_in_the_docstring_runs():
    result = doctest.testmod(aigc_fast.gan.content)
    assert (result.failed, result.attempted > 0) == (0, True)


def test_generate_gives_unit_rows_in_the_asked_shape(fitted, pairs):
    vectors = fitted.generate(pairs[1][:5], n_vectors=3)
    assert vectors.shape == (5, 3, 6)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=1e-6)
    assert fitted.generate(pairs[1][:5]).shape == (5, 8, 6)
    assert fitted.generate(pairs[1][:0]).shape == (0, 8, 6)


def test_generate_repeats_for_a_seed_and_differs_between_seeds_rows_and_draws(fitted, pairs):
    same = np.repeat(pairs[1][:1], 3, axis=0)
    vectors = fitted.generate(same, 4, seed=3)
    assert np.array_equal(vectors, fitted.generate(same, 4, seed=3))
    assert not np.allclose(vectors, fitted.generate(same, 4, seed=4), atol=1e-3)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)
    assert not np.allclose(vectors[:, 0], vectors[:, 1], atol=1e-3)


def test_a_seed_for_each_row_generates_it_as_if_alone(fitted, pairs):
    seeds = np.array([5, 0, 5, 12])
    vectors = fitted.generate(pairs[1][:4], 8, seed=seeds)
    for row, seed in enumerate(seeds):
        alone = fitted.generate(pairs[1][row : row + 1], 8, seed=int(seed))[0]
        np.testing.assert_allclose(vectors[row], alone, atol=1e-6)
    reordered = fitted.generate(pairs[1][:4][::-1], 8, seed=seeds[::-1].tolist())
    np.testing.assert_allclose(reordered[::-1], vectors, atol=1e-6)


def test_the_averaged_generator_is_the_one_that_generates(fitted, pairs):
    with torch.no_grad():
        fitted._state.generator.output.bias.fill_(100.0)
    before = fitted.generate(pairs[1][:3])
    with torch.no_grad():
        fitted.generator_.output.bias.fill_(100.0)
    assert not np.allclose(before, fitted.generate(pairs[1][:3]), atol=1e-2)


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: rows.astype(np.float64),
        lambda rows: rows.tolist(),
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: rows.astype(">f4"),
        lambda rows: torch.from_numpy(rows),
        lambda rows: np.lib.stride_tricks.as_strided(rows, writeable=False),
    ],
    ids=["float64", "list", "fortran", "strided", "big-endian", "tensor", "read-only"],
)
def test_every_form_of_the_same_numbers_gives_the_same_bits(form, pairs, fitted):
    inputs = [form(rows.copy()) for rows in pairs]
    other = small_gan().fit(*inputs, progress=False)
    assert np.array_equal(other.generate(form(pairs[1])), fitted.generate(pairs[1]))


def test_inputs_are_not_modified(pairs, fitted):
    before = [rows.copy() for rows in pairs]
    small_gan(epochs=1).fit(*pairs, validation=pairs, progress=False).partial_fit(*pairs).generate(pairs[1])
    assert all(np.array_equal(rows, copied) for rows, copied in zip(pairs, before, strict=True))


def test_vectors_are_taken_by_direction(pairs, fitted):
    scaled = pairs[0].astype(np.float64) * np.logspace(-20, 20, len(pairs[0]))[:, None]
    other = small_gan().fit(scaled, pairs[1], progress=False)
    np.testing.assert_allclose(other.history_["generator_loss"], fitted.history_["generator_loss"], rtol=1e-3)


def test_the_unit_of_the_conditions_does_not_matter(pairs, fitted):
    # A power of two scales floats exactly, so the standardized conditions are the same bits.
    other = small_gan().fit(pairs[0], pairs[1] * 1024, progress=False)
    assert np.array_equal(other.generate(pairs[1] * 1024), fitted.generate(pairs[1]))


VECTORS, CONDITIONS = draw_pairs(4, seed=0)
BAD_PAIRS = [
    (VECTORS[0], CONDITIONS, ValueError, r"vectors must be a 2-d array .* got shape \(6,\)"),
    (VECTORS[:, :0], CONDITIONS, ValueError, r"vectors .* at least one column, got shape \(4, 0\)"),
    (VECTORS[:3], CONDITIONS, ValueError, "same number of rows, at least one, got 3 and 4"),
    (VECTORS[:0], CONDITIONS[:0], ValueError, "same number of rows, at least one, got 0 and 0"),
    (np.where(np.arange(4)[:, None] == 2, np.nan, VECTORS), CONDITIONS, ValueError, "vectors .* infinity .* in row 2"),
    (VECTORS, np.full((4, 3), 1e300), ValueError, r"conditions .* infinity \(as float32\) in row 0"),
    (
        VECTORS * np.array([[1], [0], [1], [1]]),
        CONDITIONS,
        ValueError,
        "vectors must not contain zero rows .* at row 1",
    ),
    (VECTORS.astype(str), CONDITIONS, TypeError, "vectors must be .* got dtype <U"),
    (VECTORS, CONDITIONS.astype(complex), TypeError, "conditions must be .* got dtype complex"),
    (VECTORS, [[1, 2], [3]], TypeError, "conditions must be .* got list: "),
    (np.ma.array(VECTORS, mask=True), CONDITIONS, TypeError, "vectors must be .* got a masked array"),
    (torch.zeros(4, 6, requires_grad=True), CONDITIONS, TypeError, "vectors must be .* got Tensor: .*requires grad"),
]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("vectors", "conditions", "error", "message"), BAD_PAIRS)
def test_bad_pairs_are_refused_by_name(method, vectors, conditions, error, message):
    with pytest.raises(error, match=message):
        getattr(small_gan(), method)(vectors, conditions)


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        (VECTORS, TypeError, r"validation must be a pair \(vectors, conditions\), got ndarray"),
        ((VECTORS[:, :5], CONDITIONS), ValueError, r"validation vectors must have 6 columns, got shape \(4, 5\)"),
        ((VECTORS, VECTORS), ValueError, r"validation conditions must have 3 columns, got shape \(4, 6\)"),
        ((VECTORS, CONDITIONS[:2]), ValueError, "validation vectors and validation conditions .* got 4 and 2"),
    ],
)
def test_bad_validation_is_refused_by_name(validation, error, message):
    with pytest.raises(error, match=message):
        small_gan().fit(VECTORS, CONDITIONS, validation=validation)


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("noise_dim", -1, ValueError),
        ("pack", 0, ValueError),
        ("n_codes", -1, ValueError),
        ("kl", -0.5, ValueError),
        ("noise_dim", 2.0, TypeError),
        ("hidden", (), TypeError),
        ("hidden", 64, TypeError),
        ("loss", "wasserstein", ValueError),
        ("penalty", -0.1, ValueError),
        ("penalty", float("inf"), ValueError),
        ("epochs", True, TypeError),
        ("epochs", 0, ValueError),
        ("batch_size", -1, ValueError),
        ("learning_rate", 0, ValueError),
        ("learning_rate", "fast", TypeError),
        ("ema_decay", 1.0, ValueError),
        ("patience", 0, ValueError),
        ("seed", -1, ValueError),
        ("seed", 2**63, ValueError),
    ],
)
def test_bad_settings_are_refused_by_name(setting, value, error):
    with pytest.raises(error, match=f"^{setting} must be .*, got {re.escape(repr(value))}$"):
        small_gan(**{setting: value}).fit(VECTORS, CONDITIONS)


def test_a_bad_layer_width_is_named_by_its_place():
    with pytest.raises(ValueError, match=r"^hidden\[1\] must be at least 1, got 0$"):
        small_gan(hidden=(64, 0)).fit(VECTORS, CONDITIONS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"conditions": np.ones((2, 4))}, ValueError, r"conditions must have 3 columns, got shape \(2, 4\)"),
        ({"conditions": np.ones(3)}, ValueError, r"conditions must be a 2-d array .* got shape \(3,\)"),
        ({"n_vectors": 0}, ValueError, "n_vectors must be at least 1, got 0"),
        ({"n_vectors": 1.5}, TypeError, "n_vectors must be an integer, got 1.5"),
        ({"seed": -3}, ValueError, "seed must not be negative, got -3"),
        ({"seed": 0.5}, TypeError, "seed must be an integer or a 1-d array of integers, got 0.5"),
        ({"seed": [1, 2, 3]}, ValueError, "seed must be one integer or one for each of the 2 conditions, got 3"),
    ],
)
def test_generate_refuses_bad_arguments_by_name(arguments, error, message, fitted):
    with pytest.raises(error, match=message):
        fitted.generate(**{"conditions": np.ones((2, 3)), **arguments})


@pytest.mark.parametrize(
    "use", [lambda gan: gan.generate([[0.0]]), lambda gan: gan.history_, lambda gan: gan.save("x")]
)
def test_an_unfitted_model_says_so(use):
    with pytest.raises(AttributeError, match="not fitted yet"):
        use(ContentGAN())
    assert not hasattr(ContentGAN(), "history_")


def test_fitting_again_starts_anew(fitted, pairs):
    before = fitted.generate(pairs[1])
    assert np.array_equal(fitted.fit(*pairs, progress=False).generate(pairs[1]), before)
    assert len(fitted.history_["coverage"]) == 4


def test_partial_fit_goes_on_from_the_averaged_generator(fitted, pairs):
    average = {name: tensor.clone() for name, tensor in fitted.generator_.state_dict().items()}
    assert fitted.partial_fit(*pairs, epochs=3) is fitted
    assert {len(curve) for curve in fitted.history_.values()} == {7}
    # 18 steps of a tenth of the learning rate without momentum move each weight by little more than their sum.
    step = fitted.learning_rate / 10
    moved = max((tensor - average[name]).abs().max() for name, tensor in fitted.generator_.state_dict().items())
    assert step < moved < 18 * step * 10


def test_partial_fit_of_a_new_model_trains_it(pairs):
    gan = small_gan().partial_fit(*pairs, epochs=2)
    assert len(gan.history_["generator_loss"]) == 2
    assert gan.generate(pairs[1][:2]).shape == (2, 8, 6)


def test_partial_fit_refuses_other_widths(fitted, pairs):
    with pytest.raises(ValueError, match=r"vectors must have 6 columns, got shape \(200, 5\)"):
        fitted.partial_fit(pairs[0][:, :5], pairs[1])
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        fitted.partial_fit(*pairs, epochs=0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda gan: pickle.loads(pickle.dumps(gan))])
def test_copies_are_equal_and_independent(duplicate, fitted, pairs):
    before = fitted.generate(pairs[1])
    twin = duplicate(fitted)
    assert np.array_equal(twin.generate(pairs[1]), before)
    twin.partial_fit(*pairs)
    assert np.array_equal(fitted.generate(pairs[1]), before)
    assert np.array_equal(fitted.partial_fit(*pairs).generate(pairs[1]), twin.generate(pairs[1]))


def test_repr_gives_the_settings():
    gan = ContentGAN(noise_dim=3, loss="non_saturating")
    assert repr(eval(repr(gan))) == repr(gan)
    assert "noise_dim=3" in repr(gan)
