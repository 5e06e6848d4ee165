"""Run models over seeds: validation data chooses the parameters, test data reports, and every seed is listed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast.errors import require
from aigc_fast.recommender.arguments import CSR, as_csr, as_same_pattern
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.evaluation.metrics import accuracy_by_user, evaluate
from aigc_fast.recommender.evaluation.significance import Interval, PairedTest, bootstrap_interval, paired_test
from aigc_fast.recommender.splits import Split, random_split, restrict, temporal_split

#: A class or function that makes an untrained recommender, alone or with the values to choose each parameter from.
Model: TypeAlias = Callable[..., Recommender] | tuple[Callable[..., Recommender], Mapping[str, Sequence[Any]]]


@dataclass
class Experiment:
    """What `run_experiment` found.

    Attributes
    ----------
    seeds
        Seeds of the splits.
    rows
        One dict for each model and seed: "model", "seed", "parameters" (those chosen), "fit_seconds",
        "recommend_seconds" and the metrics on test.
    candidates
        One dict for each choice that validation data decided about: "model", "seed", "parameters" and its metrics on
        validation.
    by_user
        (model, metric such as "NDCG@20") → (n_seeds, n_users) values on test, NaN where a user has no test items.
    """

    seeds: tuple[int, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    by_user: dict[tuple[str, str], npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(dict.fromkeys(row["model"] for row in self.rows))

    def interval(self, model: str, metric: str, *, confidence: float = 0.95) -> Interval:
        """Mean of a metric over users and seeds, with its bootstrap interval over users."""
        return bootstrap_interval(self._by_user(model, metric), confidence=confidence)

    def compare(self, first: str, second: str, metric: str) -> PairedTest:
        """Paired test of two models over the users, each the mean of its seeds."""
        return paired_test(self._by_user(first, metric), self._by_user(second, metric))

    def frame(self) -> Any:
        """Return the rows as a pandas data frame, one for each model and seed.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return require("pandas", "evaluation").DataFrame(self.rows)

    def summary(self) -> Any:
        """Return means over the seeds as a pandas data frame, one row a model, metrics and seconds as columns."""
        frame = self.frame().drop(columns=["seed", "parameters"])
        return frame.groupby("model", sort=False).mean()

    def plot(self, metric: str, *, axes: Any = None) -> Any:
        """Draw each model's mean with its 95 % interval over users.

        Parameters
        ----------
        metric
            One that `by_user` has, such as "NDCG@20".
        axes : matplotlib.axes.Axes, optional
            Where to draw; None: a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        axes = new_axes() if axes is None else axes
        for place, model in enumerate(self.models):
            mean, low, high = self.interval(model, metric)
            axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", capsize=3)
        axes.set_yticks(range(len(self.models)), self.models)
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric}, mean over {len(self.seeds)} seeds, 95 % interval over users")
        return axes

    def _by_user(self, model: str, metric: str) -> npt.NDArray[np.float64]:
        if (model, metric) not in self.by_user:
            known = ", ".join(f"{name} {of}" for name, of in self.by_user)
            raise ValueError(f"model and metric are {model!r}, {metric!r}; there are {known}")
        values = self.by_user[model, metric]
        tested = ~np.isnan(values)
        count = tested.sum(axis=0).astype(np.float64)
        count[count == 0] = np.nan
        mean: npt.NDArray[np.float64] = np.where(tested, values, 0).sum(axis=0) / count
        return mean


def run_experiment(
    models: Mapping[str, Model],
    user_items: CSR,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    timestamps: CSR | None = None,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.2,
    cutoffs: Sequence[int] = (5, 20),
    choose_by: str = "NDCG",
    item_vectors: npt.ArrayLike | None = None,
    progress: bool = True,
) -> Experiment:
    """Compare models on the same splits; parameters are chosen on a part of train, and test only reports.

    For each seed the interactions are split into train and test. A model with several candidates is fitted for each
    of them on a part of train, the best on the rest of train is fitted again on all of train, and its lists for all
    users over all items that they do not have in train are measured on test.

    Parameters
    ----------
    models
        Name → what makes the recommender: ``TopPop``, or with values to choose from ``(ItemKNN, {"k": [50, 200]})``.
    user_items : (n_users, n_items) CSR
        Every entry is relevant where it falls into test; train keeps the values.
    seeds
        One split each.
    timestamps : (n_users, n_items) CSR, optional
        Split by time (`temporal_split`) and not at random; the split is the same for every seed, so one is taken.
    test_fraction, validation_fraction
        Shares of all interactions, and of train.
    cutoffs
        The n of the metrics; parameters are chosen at the largest.
    choose_by
        "P", "R", "NDCG", "MRR" or "MAP".
    item_vectors
        For diversity, see `evaluate`.
    progress
        Show a bar, one step a fit, on standard error (tqdm).

    Returns
    -------
    Experiment

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong type, shape or range.
    MissingExtraError
        tqdm is not installed, and ``progress`` is on.

    Examples
    --------
    >>> from scipy.sparse import random_array
    >>> from aigc_fast.recommender import ItemKNN, TopPop
    >>> history = random_array((60, 30), density=0.3, format="csr", rng=0)
    >>> found = run_experiment(
    ...     {"TopPop": TopPop, "ItemKNN": (ItemKNN, {"k": [5, 20]})}, history, seeds=[0, 1], cutoffs=[5], progress=False
    ... )
    >>> [(row["model"], row["seed"]) for row in found.rows]
    [('TopPop', 0), ('ItemKNN', 0), ('TopPop', 1), ('ItemKNN', 1)]
    """
    matrix = as_csr("user_items", user_items)
    times = None if timestamps is None else as_same_pattern("timestamps", timestamps, matrix, "user_items")
    if not models or not len(seeds) or not len(cutoffs):
        raise ValueError("models, seeds and cutoffs must hold at least one entry each")
    if times is not None and len(seeds) > 1:
        raise ValueError(f"seeds are {list(seeds)}; a split by time is the same for each, so one is taken")
    if choose_by not in ("P", "R", "NDCG", "MRR", "MAP"):
        raise ValueError(f"choose_by is {choose_by!r}; 'P', 'R', 'NDCG', 'MRR' or 'MAP' is taken")
    choices = {name: _candidates(model) for name, model in models.items()}
    n_fits = len(seeds) * sum(len(found) + (len(found) > 1) for _, found in choices.values())
    step = _stepper(n_fits, progress)
    result = Experiment(tuple(seeds))
    longest, users = max(cutoffs), np.arange(matrix.shape[0])
    by_user: dict[tuple[str, str], list[npt.NDArray[np.float64]]] = {}
    for seed in seeds:
        train, test = _split(matrix, times, test_fraction, seed)
        fit, validation = _split(train, times, validation_fraction, seed)
        for name, (make, candidates) in choices.items():
            best, best_value = candidates[0], -np.inf
            for parameters in candidates if len(candidates) > 1 else []:
                step(f"{name} {parameters}, seed {seed}")
                lists = make(**parameters).fit(fit).recommend(users, longest)
                metrics = evaluate(lists, validation, [longest])
                result.candidates.append({"model": name, "seed": seed, "parameters": parameters, **metrics})
                if metrics[f"{choose_by}@{longest}"] > best_value:
                    best, best_value = parameters, metrics[f"{choose_by}@{longest}"]
            step(f"{name}, seed {seed}")
            start = time.perf_counter()
            model = make(**best).fit(train)
            fitted = time.perf_counter()
            lists = model.recommend(users, longest)
            seconds = {"fit_seconds": fitted - start, "recommend_seconds": time.perf_counter() - fitted}
            metrics = evaluate(lists, test, cutoffs, train=train, item_vectors=item_vectors)
            result.rows.append({"model": name, "seed": seed, "parameters": best, **seconds, **metrics})
            for n in cutoffs:
                for metric, values in accuracy_by_user(lists, test, n).items():
                    by_user.setdefault((name, f"{metric}@{n}"), []).append(values)
    step(None)
    result.by_user = {key: np.stack(values) for key, values in by_user.items()}
    return result


def new_axes() -> Any:
    """Return the axes of a new figure without pyplot and its global state."""
    return require("matplotlib.figure", "evaluation").Figure(layout="constrained").add_subplot()


def _candidates(model: Model) -> tuple[Callable[..., Recommender], list[dict[str, Any]]]:
    make, grid = model if isinstance(model, tuple) else (model, {})
    found: Iterable[tuple[Any, ...]] = product(*grid.values())
    candidates = [dict(zip(grid, values, strict=True)) for values in found]
    if not candidates:
        raise ValueError(f"models: a parameter of {make!r} has no values to choose from")
    return make, candidates


def _split(matrix: csr_matrix, times: csr_matrix | None, fraction: float, seed: int) -> Split:
    if times is None:
        return random_split(matrix, fraction, seed)
    return temporal_split(matrix, restrict(times, matrix), fraction)


def _stepper(total: int, progress: bool) -> Callable[[str | None], None]:
    """Return what is called before each fit with its name, and with None at the end."""
    if not progress:
        return lambda name: None
    bar = require("tqdm", "evaluation").tqdm(total=total, unit="fit")
    started = False

    def step(name: str | None) -> None:
        nonlocal started
        bar.update(int(started))
        started = True
        if name is None:
            bar.close()
        else:
            bar.set_postfix_str(name)

    return step
