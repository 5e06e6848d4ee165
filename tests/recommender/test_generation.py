"""`generate_recommendations` with every kind of generator, and the merging of lists, against plain NumPy."""

import numpy as np
import pytest
from fake_generator import FakeGenerator

from aigc_fast import ThresholdHits, TopK
from aigc_fast.recommender import generate_recommendations
from aigc_fast.recommender.fusion import head, merge_best, merge_threshold, merge_topk, repeat_rows

ITEMS = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [2, 0]], dtype=np.float32)


def rows_of(hits: ThresholdHits) -> list[list[int]]:
    return [ids.tolist() for ids in np.split(hits.ids, hits.indptr[1:-1])]


def test_the_articles_default_threshold_is_inclusive():
    # 0.8 exactly: the cosine of (4, 3) to (1, 0), rounded to float32 like the threshold.
    hits = generate_recommendations([[4, 3], [0, 1], [-1, -1]], ITEMS, lambda profiles: profiles)
    assert rows_of(hits) == [[2, 0, 4], [1], []]
    assert hits.scores[1] == np.float32(0.8)
    assert hits.indptr.dtype == np.int64


def test_an_item_scores_the_best_of_the_generated_vectors():
    users = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    items = np.random.default_rng(1).normal(size=(40, 8))
    generator = FakeGenerator()
    hits = generate_recommendations(users, items, generator, 0.45, n_vectors=5)
    generated = generator.generate(users, 5).astype(np.float64)
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    best = (generated / np.linalg.norm(generated, axis=2, keepdims=True) @ unit.T).max(axis=1)
    for user, ids in enumerate(rows_of(hits)):
        expected = np.flatnonzero(best[user] >= 0.45)
        assert ids == expected[np.argsort(-best[user, expected], kind="stable")].tolist()
        got = hits.scores[hits.indptr[user] : hits.indptr[user + 1]]
        np.testing.assert_allclose(got, best[user, ids], rtol=0, atol=1e-6)
    assert 0 < len(hits.ids) < 240


def test_a_callable_of_noise_and_profiles():
    seen = []

    def generator(noise, profiles):
        seen.append((noise.shape, profiles.shape))
        return profiles + 0 * noise[:, :1]

    hits = generate_recommendations(np.eye(2), ITEMS, generator, n_vectors=3, noise_dim=7)
    assert seen == [((6, 7), (6, 2))]
    assert rows_of(hits) == [[0, 4], [1]]


def test_a_torch_module():
    torch = pytest.importorskip("torch")

    class Double(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(2.0))
            self.dropout = torch.nn.Dropout(0.9)  # zeroes vectors unless the module is in evaluation mode

        def forward(self, noise, condition):
            return self.dropout(self.scale * condition)

    module = Double()
    assert rows_of(generate_recommendations(np.eye(2), ITEMS, module)) == [[0, 4], [1]]
    assert module.training  # as it was
    one_input = torch.nn.Sequential(torch.nn.Identity())
    assert rows_of(generate_recommendations(np.eye(2), ITEMS, one_input)) == [[0, 4], [1]]


def test_a_content_gan():
    pytest.importorskip("torch")
    from aigc_fast.gan import ContentGAN

    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 400)
    gan = ContentGAN(epochs=1).fit(np.stack([np.cos(angle), np.sin(angle)], axis=1), np.ones((400, 1)), progress=False)
    hits = generate_recommendations(np.ones((3, 1)), ITEMS, gan, 0.5)
    assert rows_of(hits)[0] == rows_of(hits)[1] == rows_of(hits)[2]  # the same profile, the same noise
    assert (hits.scores >= 0.5).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1, 2], ITEMS, lambda p: p), ValueError, "users has shape"),
        ((np.eye(2), ITEMS, lambda p: p[:1]), ValueError, "vectors of the generator has shape"),
        ((np.eye(2), ITEMS, lambda p: p * np.nan), ValueError, "vectors of the generator holds"),
        ((np.eye(3), ITEMS, lambda p: p), ValueError, "generator gave vectors of 3 dimensions; 2 as in items"),
        ((np.eye(2), ITEMS, lambda a, b, c: a), TypeError, "generator takes 3 arguments"),
        ((np.eye(2), ITEMS, "gan"), TypeError, "generator is a str; a ContentGAN or a callable is taken"),
        ((np.eye(2), ITEMS, lambda p: p, np.nan), ValueError, "threshold"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        generate_recommendations(*arguments)


def test_no_users_and_no_items():
    assert generate_recommendations(np.empty((0, 2)), ITEMS, lambda p: p).indptr.tolist() == [0]
    assert rows_of(generate_recommendations(np.eye(2), np.empty((0, 2)), lambda p: p)) == [[], []]


def test_merge_best_keeps_the_best_score_in_the_kernels_order():
    rows = np.array([1, 0, 1, 1, 0, 1])
    ids = np.array([5, 3, 2, 5, 3, 9])
    scores = np.array([0.5, 0.1, 0.5, 0.7, 0.4, 0.7], dtype=np.float32)
    merged = merge_best(3, rows, ids, scores)
    assert merged.indptr.tolist() == [0, 1, 4, 4]
    assert merged.ids.tolist() == [3, 5, 9, 2]  # equal scores: lower id first
    assert merged.scores.tolist() == np.array([0.4, 0.7, 0.7, 0.5], dtype=np.float32).tolist()


def test_merging_lists_leaves_padding_out():
    lists = TopK(
        np.array([[0.9, 0.2], [0.8, -np.inf], [-np.inf, -np.inf], [0.1, 0.0]], dtype=np.float32),
        np.array([[4, 1], [1, -1], [-1, -1], [0, 2]]),
        np.array([2, 1, 0, 2]),
    )
    merged = merge_topk(lists, 2)
    assert rows_of(merged) == [[4, 1], [0, 2]]
    assert merged.scores.tolist() == np.array([0.9, 0.8, 0.1, 0.0], dtype=np.float32).tolist()
    first = head(merged, 3)
    assert first.ids.tolist() == [[4, 1, -1], [0, 2, -1]]
    assert first.counts.tolist() == [2, 2]
    assert np.isneginf(first.scores[:, 2]).all()
    hits = ThresholdHits(np.array([0, 2, 3, 3, 5]), np.array([4, 1, 1, 0, 2]), np.array([0.9, 0.2, 0.8, 0.1, 0.0]))
    assert rows_of(merge_threshold(hits, 2)) == [[4, 1], [0, 2]]
    assert head(merge_topk(TopK(*(column[:0] for column in lists)), 0), 4).ids.shape == (0, 4)


def test_repeat_rows():
    indptr, ids = repeat_rows((np.array([0, 2, 2, 3]), np.array([7, 8, 9])), 2)
    assert indptr.tolist() == [0, 2, 4, 4, 4, 5, 6]
    assert ids.tolist() == [7, 8, 7, 8, 9, 9]
