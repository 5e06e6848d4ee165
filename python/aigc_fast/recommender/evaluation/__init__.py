"""Honest evaluation: metrics by user, intervals and paired tests over users, experiments over models and seeds."""

from aigc_fast.recommender.evaluation.experiment import Experiment, run_experiment
from aigc_fast.recommender.evaluation.metrics import accuracy_by_user, diversity_by_user, evaluate, gini, rating_errors
from aigc_fast.recommender.evaluation.significance import Interval, PairedTest, bootstrap_interval, paired_test

__all__ = [
    "Experiment",
    "Interval",
    "PairedTest",
    "accuracy_by_user",
    "bootstrap_interval",
    "diversity_by_user",
    "evaluate",
    "gini",
    "paired_test",
    "rating_errors",
    "run_experiment",
]
