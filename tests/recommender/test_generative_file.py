"""The file of a generative recommender: lists, further learning and new items are those of the model in memory."""

import numpy as np
import pytest
from fake_generator import FakeGenerator
from scipy.sparse import csr_matrix

pytest.importorskip("torch")

from aigc_fast.gan import ContentGAN
from aigc_fast.recommender import EASE, GenerativeRecommender, NotFittedError

N_USERS, N_ITEMS = 25, 20


def history(seed: int = 0) -> csr_matrix:
    rng = np.random.default_rng(seed)
    dense = rng.integers(1, 6, (N_USERS, N_ITEMS)) * (rng.random((N_USERS, N_ITEMS)) < 0.3)
    return csr_matrix(dense.astype(np.float32))


def fitted(**settings) -> GenerativeRecommender:
    gan = ContentGAN(epochs=2, hidden=(8,), batch_size=32)
    return GenerativeRecommender(gan, n_vectors=3, fusion="max", popularity=0.2, **settings)


def assert_same_lists(one: GenerativeRecommender, other: GenerativeRecommender) -> None:
    left, right = (model.recommend(np.arange(N_USERS), 8) for model in (one, other))
    for first, second in zip(left, right, strict=True):
        assert np.array_equal(first, second)


def with_new_items(matrix: csr_matrix) -> csr_matrix:
    return csr_matrix(np.pad(matrix.toarray(), ((0, 0), (0, 2)), constant_values=2))


@pytest.mark.parametrize("with_times", [False, True])
def test_round_trip(tmp_path, with_times):
    model = fitted(half_life=np.float32(3) if with_times else None)
    with pytest.raises(NotFittedError):
        model.save(tmp_path / "model")
    times = history()
    times.data = np.random.default_rng(1).integers(0, 9, times.nnz).astype(np.int64)
    model.fit(history(), timestamps=times if with_times else None)
    model.save(tmp_path / "model")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    loaded = GenerativeRecommender.load(tmp_path / "model")
    assert repr(loaded) == repr(model)
    assert loaded.gan.get_params() == {**model.gan.get_params(), "hidden": (8,)}
    assert loaded.gan_.history_ == model.gan_.history_
    assert_same_lists(loaded, model)
    row = history(2)[3]
    assert np.array_equal(loaded.recommend(-1, user_items=row).ids, model.recommend(-1, user_items=row).ids)
    for one in (loaded, model):
        one.add_items(np.ones((2, model.item_vectors_.shape[1])))
        one.partial_fit(with_new_items(history(3)))
    assert_same_lists(loaded, model)
    assert np.array_equal(loaded.popularity_, model.popularity_)
    loaded.save(tmp_path / "model")  # over the old one, with its new items
    assert_same_lists(GenerativeRecommender.load(tmp_path / "model"), model)


def test_what_is_no_file_of_one(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(NotImplementedError, match="FakeGenerator has no file form; a ContentGAN has one"):
        GenerativeRecommender(FakeGenerator()).fit(history()).save(path)
    assert not path.exists()
    EASE().fit(history()).save(path)
    with pytest.raises(ValueError, match="holds a fitted EASE; GenerativeRecommender is taken"):
        GenerativeRecommender.load(path)
    fitted().fit(history()).save(path)
    with pytest.raises(ValueError, match="holds a fitted GenerativeRecommender; EASE is taken"):
        EASE.load(path)
