"""Every adapter against the original library's own answer."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import random_array

rng = np.random.default_rng(0)
NO_RECTOOLS = "rectools is not installed: up to Python 3.12 it needs NumPy < 2, the other libraries here a later one"
USERS = rng.normal(size=(30, 12)).astype(np.float32)
ITEMS = rng.normal(size=(200, 12)).astype(np.float32)
SEEN = random_array((30, 200), density=0.1, format="csr", rng=0, dtype=np.float32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("distance", ["dot", "cosine"])
@pytest.mark.parametrize("white", [None, np.arange(0, 200, 3)])
def test_rectools(distance, white):
    rank = pytest.importorskip("rectools.models.rank", reason=NO_RECTOOLS)
    from scipy.sparse import csr_matrix

    from aigc_fast.adapters.rectools import AigcRanker

    subjects, filtered = np.array([3, 0, 17]), csr_matrix(SEEN[[3, 0, 17]])
    theirs = rank.ImplicitRanker(rank.Distance(distance), USERS, ITEMS).rank(subjects, 7, filtered, white)
    ours = AigcRanker(rank.Distance(distance), USERS, ITEMS).rank(subjects, 7, filtered, white)
    assert ours[0].tolist() == list(theirs[0])
    assert ours[1].tolist() == theirs[1].tolist()
    assert ours[2] == pytest.approx(np.asarray(theirs[2], np.float64), rel=1e-4, abs=1e-5)
    everything = AigcRanker(distance, USERS, ITEMS).rank([5])
    assert everything[1].tolist() == rank.ImplicitRanker(rank.Distance(distance), USERS, ITEMS).rank([5])[1].tolist()
    with pytest.raises(ValueError, match="distance is 'euclidean'"):
        AigcRanker("euclidean", USERS, ITEMS)
    with pytest.raises(ValueError, match="subject_ids must hold ids from 0 to 29, got -1"):
        AigcRanker(distance, USERS, ITEMS).rank([5, -1])


@pytest.mark.filterwarnings("ignore")
def test_implicit():
    als = pytest.importorskip("implicit.cpu.als", reason="implicit is not installed")
    from scipy.sparse import csr_matrix

    from aigc_fast.adapters.implicit import AigcFactors

    model = als.AlternatingLeastSquares(factors=12, num_threads=1)
    model.user_factors, model.item_factors = USERS, ITEMS
    users, seen = np.array([4, 9, 1]), csr_matrix(SEEN[[4, 9, 1]])
    ours = AigcFactors(model)
    for options in (
        {},
        {"filter_already_liked_items": False},
        {"filter_items": [3, 77]},
        {"items": np.arange(50, 90)},
        {"N": 3},
    ):
        ids, scores = model.recommend(users, seen, **options)
        got_ids, got_scores = ours.recommend(users, seen, **options)
        assert got_ids.tolist() == ids.tolist(), options
        assert got_scores == pytest.approx(scores, rel=1e-4, abs=1e-5)
    one = ours.recommend(4, seen[[0]])
    assert one[0].tolist() == model.recommend(4, seen[[0]])[0].tolist()
    assert one[1].shape == (10,)
    assert ours.similar_items(5)[0].tolist() == model.similar_items(5)[0].tolist()
    assert ours.similar_items([5, 8], 4)[0].tolist() == model.similar_items([5, 8], 4)[0].tolist()
    with pytest.raises(ValueError, match="must not both be given"):
        ours.recommend(0, seen[[0]], items=[1], filter_items=[2])
    for like_implicit in (model, ours):  # and what cannot be left out is not passed over
        with pytest.raises(ValueError, match="user_items"):
            like_implicit.recommend(0, None)


FACTORS = SimpleNamespace(user_factors=USERS, item_factors=ITEMS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"userid": -1}, ValueError, "userid must hold ids from 0 to 29, got -1"),  # implicit: the last user
        ({"userid": [0, 30]}, ValueError, "userid must hold ids from 0 to 29, got 30"),  # implicit: IndexError
        ({"userid": 1.5}, TypeError, "userid must hold integers, got dtype float64"),
        ({"userid": True}, TypeError, "userid must hold integers, got dtype bool"),
        ({"userid": [[0]]}, ValueError, "userid must be one-dimensional"),
        ({"filter_items": [-1]}, ValueError, "filter_items must hold ids from 0 to 199, got -1"),  # the last item
        ({"filter_items": [200]}, ValueError, "filter_items must hold ids from 0 to 199, got 200"),  # IndexError
        ({"filter_items": np.ones(200, np.bool_)}, TypeError, "filter_items must hold integers"),  # items 0 and 1
        ({"items": [-1]}, ValueError, "items must hold ids from 0 to 199, got -1"),  # IndexError
        ({"items": [3, 200]}, ValueError, "items must hold ids from 0 to 199, got 200"),  # IndexError
        ({"user_items": SEEN[[0, 1]]}, ValueError, r"user_items must have shape \(1, 200\), got \(2, 200\)"),
        ({"user_items": SEEN[[0], :100]}, ValueError, r"user_items must have shape \(1, 200\), got \(1, 100\)"),
    ],
)
def test_implicit_refuses_ids_out_of_range(options, error, message):
    from aigc_fast.adapters.implicit import AigcFactors

    arguments = {"userid": 0, "user_items": SEEN[[0]]} | options
    with pytest.raises(error, match=message):
        AigcFactors(FACTORS).recommend(**arguments)


@pytest.mark.parametrize(("itemid", "message"), [(-1, "got -1"), ([0, 200], "got 200")])
def test_implicit_refuses_similar_items_out_of_range(itemid, message):
    from aigc_fast.adapters.implicit import AigcFactors

    with pytest.raises(ValueError, match=f"itemid must hold ids from 0 to 199, {message}"):
        AigcFactors(FACTORS).similar_items(itemid)


def test_implicit_refuses_a_model_that_is_not_fitted():
    from aigc_fast.adapters.implicit import AigcFactors

    with pytest.raises(ValueError, match="model has no matrices of factors"):
        AigcFactors(SimpleNamespace(user_factors=None, item_factors=None))


def test_implicit_takes_no_users_and_no_items():
    from aigc_fast.adapters.implicit import AigcFactors

    ours = AigcFactors(FACTORS)
    assert ours.recommend([], SEEN[:0], N=3)[0].shape == (0, 3)
    assert ours.recommend(0, SEEN[[0]], N=3, items=[])[0].tolist() == [-1, -1, -1]
    assert ours.recommend(0, SEEN[[0]], filter_items=[])[0].tolist() == ours.recommend(0, SEEN[[0]])[0].tolist()


@pytest.mark.filterwarnings("ignore")
def test_cornac():
    cornac = pytest.importorskip("cornac", reason="cornac is not installed")
    from aigc_fast.adapters.cornac import AigcANN

    triples = [(f"u{u}", f"i{i}", 1.0) for u, i in zip(*SEEN.nonzero(), strict=True)]
    data = cornac.data.Dataset.from_uir(triples, seed=0)
    model = cornac.models.MF(k=8, max_iter=5, seed=0, use_bias=True, verbose=False).fit(data)
    model.u_factors, model.i_factors = USERS[: data.num_users, :8], ITEMS[: data.num_items, :8]
    ours = AigcANN(model).fit(data)
    for user in range(data.num_users):
        ranked, scores = ours.rank(user, k=20)
        expected, expected_scores = model.rank(user)
        assert ranked[:20].tolist() == expected[:20].tolist()
        offset = (
            expected_scores[ranked[:20]] - scores[ranked[:20]]
        )  # what the vectors leave out is the same for all items
        assert offset == pytest.approx(np.full(20, offset[0]), abs=1e-4)
    some = np.array([2, 50, 9])
    ranked, scores = ours.rank(3, item_indices=some)
    assert ranked.tolist() == some[np.argsort(-scores)].tolist() == model.rank(3, item_indices=some)[0].tolist()
    users = list(data.user_ids)[:4]
    assert ours.recommend_batch(users, k=5) == [model.recommend(user, k=5) for user in users]


@pytest.mark.filterwarnings("ignore")
def test_sentence_transformers():
    util = pytest.importorskip("sentence_transformers.util", reason="sentence-transformers is not installed")
    import torch

    from aigc_fast import CosineIndex
    from aigc_fast.adapters.sentence_transformers import semantic_search_aigc

    queries, corpus = torch.from_numpy(USERS), torch.from_numpy(ITEMS)
    for top_k in (1, 10, 500):
        theirs = util.semantic_search(queries, corpus, top_k=top_k)
        index = CosineIndex(ITEMS)
        for ours in (
            semantic_search_aigc(queries, corpus, top_k)[0],
            semantic_search_aigc(queries, None, top_k, corpus_index=index)[0],
        ):
            assert [[hit["corpus_id"] for hit in hits] for hits in ours] == [
                [hit["corpus_id"] for hit in hits] for hits in theirs
            ]
            assert [hit["score"] for hits in ours for hit in hits] == pytest.approx(
                [hit["score"] for hits in theirs for hit in hits], abs=1e-5
            )
    assert len(semantic_search_aigc(USERS[0], ITEMS)[0]) == 1
    with pytest.raises(ValueError, match="top_k must be at least 0, got -1"):
        semantic_search_aigc(USERS, ITEMS, -1)
    with pytest.raises(ValueError, match="must not both be None"):
        semantic_search_aigc(USERS, None)


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_sklearn(mode):
    neighbors = pytest.importorskip("sklearn.neighbors", reason="scikit-learn is not installed")
    from sklearn.cluster import DBSCAN
    from sklearn.pipeline import make_pipeline

    from aigc_fast.adapters.sklearn import CosineNeighborsTransformer

    theirs = neighbors.KNeighborsTransformer(n_neighbors=6, mode=mode, metric="cosine").fit(ITEMS)
    ours = CosineNeighborsTransformer(n_neighbors=6, mode=mode).fit(ITEMS)
    for rows in (ITEMS, USERS):
        expected, got = theirs.transform(rows), ours.transform(rows)
        assert got.shape == expected.shape
        assert np.array_equal(got.indptr, expected.indptr)
        assert np.array_equal(got.indices, expected.indices)
        assert got.data == pytest.approx(expected.data, abs=1e-6)
    if mode == "distance":
        clusters = make_pipeline(CosineNeighborsTransformer(20), DBSCAN(eps=0.2, metric="precomputed")).fit_predict(
            ITEMS
        )
        assert len(clusters) == 200
    with pytest.raises(ValueError, match="n_neighbors takes"):
        CosineNeighborsTransformer(300).fit(ITEMS).transform(ITEMS)
    assert ours.get_feature_names_out().tolist()[:2] == [
        "cosineneighborstransformer0",
        "cosineneighborstransformer1",
    ]
    with pytest.raises(ValueError, match="n_neighbors must be at least 1, got 0"):
        CosineNeighborsTransformer(0).fit(ITEMS)
    with pytest.raises(ValueError, match="mode is 'dist'"):
        CosineNeighborsTransformer(mode="dist").fit(ITEMS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_it_is_an_estimator_to_sklearn():
    checks = pytest.importorskip("sklearn.utils.estimator_checks", reason="scikit-learn is not installed")
    from aigc_fast.adapters.sklearn import CosineNeighborsTransformer

    checks.check_estimator(CosineNeighborsTransformer())
