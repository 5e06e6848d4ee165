"""Recommenders over the exact cosine kernels, item vectors, user profiles, splits and metrics."""

from aigc_fast.errors import require

require("scipy.sparse", "recommender")

from aigc_fast.recommender.base import NotFittedError, Recommender  # noqa: E402  (name the missing extra first)
from aigc_fast.recommender.blending import blend  # noqa: E402
from aigc_fast.recommender.cold_items import ColdItemGenerator  # noqa: E402
from aigc_fast.recommender.evaluation import (  # noqa: E402
    Experiment,
    accuracy_by_user,
    bootstrap_interval,
    diversity_by_user,
    evaluate,
    paired_test,
    rating_errors,
    run_experiment,
)
from aigc_fast.recommender.feedback import FeedbackLoop, HeldOutFeedback  # noqa: E402
from aigc_fast.recommender.generation import generate_recommendations  # noqa: E402
from aigc_fast.recommender.generative import GenerativeRecommender  # noqa: E402
from aigc_fast.recommender.linear import EASE, PureSVD  # noqa: E402
from aigc_fast.recommender.market import MarketEnv  # noqa: E402
from aigc_fast.recommender.neighbours import ItemKNN, UserKNN  # noqa: E402
from aigc_fast.recommender.popularity import TopPop  # noqa: E402
from aigc_fast.recommender.profiles import user_profiles  # noqa: E402
from aigc_fast.recommender.replay import temporal_replay  # noqa: E402
from aigc_fast.recommender.reranking import rerank, trade_off_curve  # noqa: E402
from aigc_fast.recommender.simulation import simulate  # noqa: E402
from aigc_fast.recommender.splits import (  # noqa: E402
    Split,
    cold_item_split,
    random_split,
    restrict,
    temporal_split,
)
from aigc_fast.recommender.vectors import collaborative_vectors, content_vectors, item_vectors  # noqa: E402

__all__ = [
    "EASE",
    "ColdItemGenerator",
    "Experiment",
    "FeedbackLoop",
    "GenerativeRecommender",
    "HeldOutFeedback",
    "ItemKNN",
    "MarketEnv",
    "NotFittedError",
    "PureSVD",
    "Recommender",
    "Split",
    "TopPop",
    "UserKNN",
    "accuracy_by_user",
    "blend",
    "bootstrap_interval",
    "cold_item_split",
    "collaborative_vectors",
    "content_vectors",
    "diversity_by_user",
    "evaluate",
    "generate_recommendations",
    "item_vectors",
    "paired_test",
    "random_split",
    "rating_errors",
    "rerank",
    "restrict",
    "run_experiment",
    "simulate",
    "temporal_replay",
    "temporal_split",
    "trade_off_curve",
    "user_profiles",
]
