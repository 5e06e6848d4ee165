"""What the shared argument checks take, make of it, and refuse."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender import (
    EASE,
    ColdItemGenerator,
    FeedbackLoop,
    GenerativeRecommender,
    HeldOutFeedback,
    ItemKNN,
    MarketEnv,
    PureSVD,
    TopPop,
    bootstrap_interval,
    paired_test,
    random_split,
    rerank,
)
from aigc_fast.recommender.arguments import as_csr
from aigc_fast.recommender.market import Market
from aigc_fast.recommender.simulation import RandomItems, explore

ONES = csr_matrix(np.ones((4, 4)))
FITTED = TopPop().fit(ONES)
LISTS = TopK(np.ones((1, 3)), np.arange(3)[None], np.array([3]))


@pytest.mark.parametrize("form", [csr_matrix, coo_matrix])
def test_duplicates_add_up_in_the_type_asked_for(form):
    """In int8, 100 + 100 would be -56."""
    row, column, value = [0, 0, 1], [0, 0, 1], np.array([100, 100, 1], np.int8)
    given = coo_matrix((value, (row, column)), shape=(2, 2))
    if form is csr_matrix:
        given = csr_matrix((value, column, [0, 2, 3]), shape=(2, 2))
    assert as_csr("user_items", given, dtype=np.float32).toarray().tolist() == [[200, 0], [0, 1]]
    assert given.nnz == 3


@pytest.mark.parametrize(("index", "pointers"), [(7, [0, 1, 1]), (-2, [0, 1, 1]), (0, [0, 5, 1])])
def test_indices_out_of_range_are_refused(index, pointers):
    """SciPy does not look at them, and its products would read and write beyond the arrays."""
    broken = csr_matrix((2, 5))
    broken.data, broken.indices = np.ones(1, np.float32), np.array([index], np.int32)
    broken.indptr = np.array(pointers, np.int32)
    for kind in (TopPop, PureSVD):
        with pytest.raises(ValueError, match="user_items is no valid CSR matrix"):
            kind().fit(broken)


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="user_items has dtype complex128; real numbers are taken"):
        TopPop().fit(csr_matrix([[1j, 1]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PureSVD(True), TypeError, "factors is a bool; an int is taken"),
        (lambda: EASE(True), TypeError, "regularization is a bool; a finite number above 0"),
        (lambda: EASE("1"), TypeError, "regularization is a str; a finite number above 0"),
        (lambda: ItemKNN(shrink=None), TypeError, "shrink is a NoneType; a finite number of at least 0"),
        (lambda: random_split(ONES, None), TypeError, "test_fraction is a NoneType; a number between 0 and 1"),
        (lambda: rerank(LISTS, np.eye(4), 2, trade_off="all"), TypeError, "trade_off is a str; a number from 0 to 1"),
        (lambda: rerank((1, 2, 3), np.eye(4), 2), TypeError, "candidates is a tuple; a TopK is taken"),
        (lambda: rerank(LISTS, np.ma.array(np.eye(4), mask=True), 2), TypeError, "item_vectors is a masked array"),
        (
            lambda: rerank(LISTS, [[1], [2, 3]], 2),
            TypeError,
            "item_vectors must be 2-d .*, got list of unequal lengths",
        ),
        (lambda: FITTED.recommend(np.ma.array([0, 1], mask=[0, 1])), TypeError, "user_ids is a masked array"),
        (lambda: FITTED.recommend([[0], [1, 2]]), TypeError, "user_ids must be ids .*, got list of unequal lengths"),
        (lambda: FITTED.recommend(np.array([2**63 + 5], np.uint64)), ValueError, "user_ids holds 9223372036854775813"),
        (lambda: FITTED.recommend(0, allow=np.ma.array([1, 2], mask=[1, 0])), TypeError, "allow is a masked array"),
        (lambda: FITTED.recommend(0, allow={1, 2}), TypeError, "allow must be a mask, ids, .*, got set"),
        (lambda: bootstrap_interval([np.inf, 1]), ValueError, "values holds an infinity"),
        (lambda: paired_test([np.inf, 1], [1, 2]), ValueError, "first holds an infinity"),
    ],
)
def test_what_hides_something_or_is_no_number_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["n_users", "n_items", "dim", "n_groups"])
def test_markets_have_sizes(name):
    with pytest.raises(ValueError, match=f"{name} is 0; at least 1 is taken"):
        Market(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} is a float; an int is taken"):
        Market(**{name: 2.5})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Market(history=-1), ValueError, "history is -1; at least 0"),
        (lambda: Market(spread=-1), ValueError, "spread is -1; a finite number of at least 0"),
        (lambda: Market(difficulty=np.nan), ValueError, "difficulty is nan; a finite number is taken"),
        (lambda: explore(LISTS, ONES[:1], "half", 0), TypeError, "share is a str; a number from 0 to 1"),
        (lambda: explore(LISTS, ONES, 0.5, 0), ValueError, "lists.ids is int64 of shape .*; ints, 4 rows, are taken"),
        (lambda: RandomItems(-1), ValueError, "seed is -1; at least 0"),
        (lambda: random_split(ONES, seed=-1), ValueError, "seed is -1; at least 0"),
        (lambda: bootstrap_interval([1.0], seed=None), TypeError, "seed is a NoneType; an int is taken"),
        (lambda: FeedbackLoop(FITTED), TypeError, "recommender is a TopPop; a GenerativeRecommender is taken"),
        (lambda: HeldOutFeedback(ONES)([4], LISTS), ValueError, "user_ids holds 4; ids from 0 to 3 are taken"),
        (lambda: ColdItemGenerator(None), TypeError, "gan is a NoneType; a ContentGAN or another VectorGenerator"),
        (lambda: GenerativeRecommender(gan=3), TypeError, "gan is a int; a ContentGAN or another VectorGenerator"),
    ],
)
def test_wrong_settings_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_sharp_market_is_a_step():
    env = MarketEnv(Market(n_users=5, n_items=8, history=0, sharpness=1e6))
    env.reset(seed=0)
    assert set(np.unique(env.probability(np.tile(np.arange(8), (5, 1))))) == {0.0, 1.0}


def test_lists_are_what_their_ids_say():
    """Counts that a caller made up change nothing, and missing slots may be anywhere."""
    lists = TopK(np.array([[1.0, -np.inf, 0.5]]), np.array([[2, -1, 0]]), np.array([3]))
    assert HeldOutFeedback(ONES)([1], lists).toarray().tolist() == [[1, 0, 1, 0]]
    explored = explore(lists, csr_matrix((1, 4)), 1 / 3, seed=0)
    assert explored.ids[0, 0] == 2
    assert explored.ids[0, 1] in {0, 1, 3}
    assert explored.counts.tolist() == [2]
