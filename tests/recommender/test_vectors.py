"""Item vectors: by hand, against the dense SVD, and what cold items get."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from aigc_fast.data import UNKNOWN, Items
from aigc_fast.recommender import collaborative_vectors, content_vectors, item_vectors, vectors

GENRES = ("Comedy", "Drama", "War")


def items(*rows) -> Items:
    """Rows of (title, year, genres)."""
    return Items(
        np.array([title for title, _, _ in rows], np.str_),
        np.array([[name in genres for name in GENRES] for _, _, genres in rows], bool).reshape(len(rows), 3),
        GENRES,
        np.array([year for _, year, _ in rows], np.int64),
    )


CATALOGUE = items(
    ("The Long War", 1968, ("Drama", "War")),
    ("The Long Tail", 1962, ("Comedy",)),
    ("Tail", 1995, ("Comedy", "Drama")),
    ("", UNKNOWN, ()),
    ("", UNKNOWN, ("War",)),
)


def random_history(seed=0, shape=(40, 25)):
    rng = np.random.default_rng(seed)
    return csr_matrix((rng.integers(1, 6, shape) * (rng.random(shape) < 0.3)).astype(np.float32))


def assert_unit_or_zero(array, zero_rows=()):
    norms = np.linalg.norm(array.astype(np.float64), axis=1)
    expected = np.ones(len(array))
    expected[list(zero_rows)] = 0
    assert norms == pytest.approx(expected, abs=1e-6)


def test_genres_and_decades_by_hand():
    array = content_vectors(CATALOGUE, title_weight=0, title_buckets=1)
    assert array.dtype == np.float32
    assert array.shape == (5, 3 + 14 + 1)
    # Document frequencies 2, 2, 2 of 5: all genres weigh the same, so two genres have 1/√2 each.
    genre = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]) / np.sqrt([[2], [1], [2], [1], [1]])
    decade = np.zeros((5, 14))
    decade[0, 6] = decade[1, 6] = decade[2, 9] = 1
    expected = np.hstack([genre, 0.5 * decade, np.zeros((5, 1))])
    expected[:3] /= np.sqrt(1.25)
    assert array == pytest.approx(expected, abs=1e-7)
    assert_unit_or_zero(array, zero_rows=[3])


def test_rare_genres_weigh_more():
    table = items(*[("", UNKNOWN, ("Drama",))] * 8, ("", UNKNOWN, ("Drama", "War")))
    array = content_vectors(table, title_weight=0)
    idf = np.log(10 / np.array([10, 2])) + 1  # (1 + n) / (1 + df) for Drama (9 of 9) and War (1 of 9)
    assert array[8, 1:3] == pytest.approx(idf / np.linalg.norm(idf), abs=1e-7)


def test_titles_that_share_words_are_closer():
    table = items(
        ("Star Trek", UNKNOWN, ()), ("Star Trek II", UNKNOWN, ()), ("star trek", UNKNOWN, ()), ("Mulan", UNKNOWN, ())
    )
    array = content_vectors(table, title_buckets=4096)
    cosine = array @ array.T
    assert cosine[0, 2] == pytest.approx(1, abs=1e-6)
    assert 0.5 < cosine[0, 1] < 1
    assert abs(cosine[0, 3]) < 1e-6


def test_years_outside_share_the_first_and_the_last_decade():
    years = (1650, 1899, 1900, 1909, 2030, 2039, 2040, 9999)
    decades = content_vectors(items(*[("", year, ()) for year in years]))[:, 3:17]
    assert decades.argmax(axis=1).tolist() == [0] * 4 + [13] * 4
    assert_unit_or_zero(decades)


def test_new_items_are_described_in_the_space_of_the_catalogue():
    new = Items(np.array(["The Long War"]), np.array([[True, True]]), ("Noir", "War"), np.array([1968]))
    array = content_vectors(new, reference=CATALOGUE)
    assert array.shape == (1, 3 + 14 + 256)
    known = content_vectors(CATALOGUE)
    same = content_vectors(CATALOGUE, reference=CATALOGUE)
    assert np.array_equal(known, same)
    assert array[0, 2] > 0  # War is the third column of the catalogue; Noir is not known there
    assert array[0, :2].tolist() == [0, 0]
    assert (known[:3] @ array[0]).argmax() == 0  # of the items with a title, the one with the same words


def test_the_hash_is_the_same_in_every_process():
    code = (
        "from aigc_fast.recommender.vectors import _title_columns; import numpy as np;"
        "print(np.flatnonzero(_title_columns(np.array(['the long war']), 256)).tolist())"
    )
    here = np.flatnonzero(vectors._title_columns(np.array(["the long war"]), 256)).tolist()
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert there.strip() == str(here)


def spectrum(history, dim):
    """The definition in dense float64: unit columns, V·S^½, unit rows."""
    dense = history.toarray().astype(np.float64)
    norms = np.linalg.norm(dense, axis=0)
    dense = dense / np.where(norms > 0, norms, 1)
    _, singular, right = np.linalg.svd(dense)
    rows = right[:dim].T * np.sqrt(singular[:dim])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(norms[:, None] > 0, rows / np.where(lengths > 0, lengths, 1), 0)


@pytest.mark.parametrize("dim", [1, 5, 24])
@given(seed=st.integers(0, 30))
@settings(max_examples=10, deadline=None)
def test_collaborative_vectors_are_those_of_the_dense_svd(dim, seed):
    history = random_history(seed)
    ours, theirs = collaborative_vectors(history, dim), spectrum(history, dim)
    # The sign of each column is free; cosines are not.
    assert ours @ ours.T == pytest.approx(theirs @ theirs.T, abs=1e-5)


def test_all_dimensions_but_one_keep_the_cosines_of_a_matrix_of_lower_rank():
    """With S instead of S^½ the vectors would have the cosines of the columns; check by undoing the square root."""
    rng = np.random.default_rng(1)
    history = csr_matrix(rng.integers(0, 3, (20, 4)) @ rng.integers(0, 3, (4, 9)).astype(np.float64))
    array = collaborative_vectors(history, 8)
    assert array @ array.T == pytest.approx(spectrum(history, 4) @ spectrum(history, 4).T, abs=1e-6)
    assert not array[:, 4:].any()  # no direction beyond the rank


def test_the_same_at_every_call_with_a_fixed_sign():
    history = random_history(2)
    once = collaborative_vectors(history, 6)
    np.random.seed(99)  # noqa: NPY002  (ARPACK would start from this without a start vector)
    again = collaborative_vectors(history, 6)
    assert np.array_equal(once, again)
    matrix = history.astype(np.float64)
    for one, other in zip(vectors.truncated_svd(matrix, 6), vectors.truncated_svd(matrix, 6), strict=True):
        assert np.array_equal(one, other)  # to the last bit of float64
    flipped = collaborative_vectors(history[::-1], 6)  # users in another order: the same vectors
    assert flipped == pytest.approx(once, abs=1e-4)


def test_items_without_history_are_zero():
    history = random_history(3).tolil()
    history[:, [4, 9]] = 0
    array = collaborative_vectors(history.tocsr(), 6)
    assert not array[[4, 9]].any()
    assert_unit_or_zero(array, zero_rows=[4, 9])
    assert not collaborative_vectors(csr_matrix((6, 5)), 2).any()


def test_cold_items_have_their_content_alone():
    history = random_history(4, shape=(30, 5)).tolil()
    history[:, 0] = 0
    history[:, 3] = 0
    array = item_vectors(history.tocsr(), CATALOGUE, dim=3)
    content = content_vectors(CATALOGUE)
    width = content.shape[1]
    assert array.shape == (5, width + 3)
    assert_unit_or_zero(array, zero_rows=[3])  # no history, no content
    assert array[0, :width] == pytest.approx(content[0], abs=1e-6)
    assert not array[0, width:].any()
    share = 0.25**2 / (0.25**2 + 1)  # of the content part in the squared length of an item with both
    assert (array[[1, 2], :width] ** 2).sum(axis=1) == pytest.approx([share, share], abs=1e-6)
    collaborative = collaborative_vectors(history.tocsr(), 3)
    assert array[1, width:] == pytest.approx(collaborative[1] * np.sqrt(1 - share), abs=1e-6)


def test_bad_arguments():
    for dim, message in ((0, "dim is 0; at least 1"), (25, "dim is 25; less than 25 is taken")):
        with pytest.raises(ValueError, match=message):
            collaborative_vectors(random_history(), dim)
    with pytest.raises(ValueError, match="a weight is -1"):
        content_vectors(CATALOGUE, genre_weight=-1)
    with pytest.raises(ValueError, match="title_buckets is 0"):
        content_vectors(CATALOGUE, title_buckets=0)
    with pytest.raises(ValueError, match="user_items has shape"):
        item_vectors(random_history(), CATALOGUE)
