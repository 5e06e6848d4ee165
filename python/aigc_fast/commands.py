"""The commands of ``aigc-fast``. They import what they need when they run, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from aigc_fast._version import __version__
from aigc_fast.errors import require

if TYPE_CHECKING:
    from aigc_fast.data import Ratings
    from aigc_fast.demo import DemoResult, DemoSettings

app = typer.Typer(
    help="Exact cosine search with a GAN and a recommender on top.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TABLE_METRICS = ("P@5", "R@5", "NDCG@5", "MRR@5", "P@20", "R@20", "NDCG@20", "MRR@20", "Coverage@20", "Novelty@20")


class InterruptedTrainingError(Exception):
    """Ctrl-C came while a model was trained; the message says what is left of it."""


Seed = Annotated[int, typer.Option(min=0, help="Seeds splits, training and noise.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints of an interrupted run.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aigc-fast {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for report, lists, metrics and checkpoints.")] = Path(
        "aigc-fast-report"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training, at most.")] = 12,
    seed: Seed = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Every step, but in seconds; the figures mean nothing.")
    ] = False,
    resume: Resume = False,
) -> None:
    """MovieLens-100K from ratings to report: baselines, training, lists, metrics, feedback."""
    _prepare()
    from aigc_fast.data import ML100K_LICENCE, load_ml100k
    from aigc_fast.demo import DemoSettings

    settings = DemoSettings(output, epochs=epochs, seed=seed, resume=resume)
    _run_demo(load_ml100k(), settings.quick() if quick else settings, "MovieLens-100K", ML100K_LICENCE)


@app.command()
def recommend(
    ratings: Annotated[Path, typer.Option(help="Rating file or folder: .inter, u.data, ratings.dat, ratings.csv.")],
    user: Annotated[
        list[str] | None, typer.Option(help="User to recommend for, may be repeated; all without it.")
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="Length of the lists.")] = 10,
    output: Annotated[Path | None, typer.Option(help="CSV file for the lists; standard output without it.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the training, at most.")] = 12,
    n_vectors: Annotated[int, typer.Option(min=1, help="Vectors generated for each user.")] = 64,
    popularity: Annotated[float, typer.Option(min=0, help="Exponent of the popularity weight; 0: pure cosine.")] = 0.0,
    threshold: Annotated[float | None, typer.Option(help="Only items that score at least this.")] = None,
    seed: Seed = 0,
    checkpoints: Annotated[Path | None, typer.Option(help="Folder for checkpoints.")] = None,
    resume: Resume = False,
    report: Annotated[
        Path | None, typer.Option(help="Also split, compare with the baselines, and write the demo's report here.")
    ] = None,
) -> None:
    """Train on a rating file and recommend to its users."""
    if resume and checkpoints is None and report is None:
        raise ValueError("--resume takes the folder of the checkpoints: --checkpoints or --report")
    from aigc_fast.data import load_movielens

    table = load_movielens(ratings)
    rows = _rows_of(table, user)
    _say(f"{table.n_ratings:,} ratings of {table.n_items:,} items by {table.n_users:,} users")
    _prepare()
    from aigc_fast.demo import DemoSettings
    from aigc_fast.demo.parts import demo_vectors
    from aigc_fast.demo.results import lists_as_csv, write_text
    from aigc_fast.gan import ContentGAN
    from aigc_fast.recommender.generative import GenerativeRecommender

    settings = DemoSettings(report or Path(), epochs=epochs, seed=seed, resume=resume)
    if report is not None:
        _run_demo(table, settings, ratings.name, None, table_on_stderr=True)  # the lists go to standard output
    model = GenerativeRecommender(
        ContentGAN(epochs=epochs, seed=seed), n_vectors=n_vectors, popularity=popularity, seed=seed
    )
    try:
        model.fit(
            table.user_items,
            item_vectors=demo_vectors(table, table.user_items, settings),
            checkpoint_dir=checkpoints,
            resume=resume and checkpoints is not None,
            progress=_interactive(),
        )
    except KeyboardInterrupt:
        raise _interrupted(checkpoints) from None
    text = lists_as_csv(table, model.recommend(rows, n, threshold=threshold), rows)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
        _say(f"Lists of {len(rows):,} users: {output}")


@app.command()
def ablate(
    ratings: Annotated[
        Path | None, typer.Option(help="Rating file or folder, see recommend; MovieLens-100K without it.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the figures; a report written there shows them.")] = Path(
        "aigc-fast-report"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training, at most.")] = 12,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings, with seeds from 0 on.")] = 5,
    resume: Annotated[bool, typer.Option("--resume", help="Keep seeds and generators that the folder has.")] = False,
) -> None:
    """Take away discriminator, noise, generator or all vectors but one: what each part adds, beside baselines."""
    _prepare()
    from aigc_fast.data import load_ml100k, load_movielens
    from aigc_fast.demo import DemoSettings
    from aigc_fast.demo.ablation import ABLATION_NAME
    from aigc_fast.demo.ablation import ablate as run_ablation
    from aigc_fast.demo.ablation_table import markdown

    table = load_ml100k() if ratings is None else load_movielens(ratings)
    settings = DemoSettings(output, epochs=epochs, resume=resume)
    result = run_ablation(table, settings, range(seeds), say=_say, progress=_interactive())
    typer.echo(markdown(result))
    _say(f"Figures: {output / ABLATION_NAME}")


@app.command()
def pictures(
    output: Annotated[Path, typer.Option(help="Folder for the drawing; a report written there shows it.")] = Path(
        "aigc-fast-report"
    ),
    folder: Annotated[Path | None, typer.Option(help="Folder of Fashion-MNIST; Debian's without it.")] = None,
    items: Annotated[int, typer.Option(min=200, help="Images in the catalogue.")] = 6000,
    users: Annotated[int, typer.Option(min=20, help="Made-up users.")] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the training.")] = 30,
    seed: Seed = 0,
) -> None:
    """Generate pictures of clothes for made-up users with tastes, and find the nearest real items (Fashion-MNIST)."""
    _prepare()
    from aigc_fast.data.images import FASHION_MNIST_FOLDER, load_fashion_mnist
    from aigc_fast.demo.pictures import PICTURES_NAME, make_pictures, write_pictures

    images = load_fashion_mnist(folder=folder or FASHION_MNIST_FOLDER)
    made = make_pictures(images, n_items=items, n_users=users, epochs=epochs, seed=seed, progress=_interactive())
    for name, value in write_pictures(output, made).items():
        typer.echo(f"{name + ':':<24}{value:.4f}")
    _say(f"Drawing: {output / PICTURES_NAME}")


@app.command()
def info() -> None:
    """Print version, instruction set, threads, versions and GPU."""
    from aigc_fast.environment import environment

    for name, value in environment().items():
        typer.echo(f"{name + ':':<24}{value}")


def _run_demo(
    ratings: Ratings, settings: DemoSettings, title: str, licence: str | None, *, table_on_stderr: bool = False
) -> None:
    from aigc_fast.demo import run_demo, write_report
    from aigc_fast.demo.pipeline import checkpoint_folder
    from aigc_fast.demo.results import LISTS_NAME, METRICS_NAME, REPORT_NAME

    try:
        result = run_demo(ratings, settings, title=title, licence=licence, say=_say, progress=_interactive())
        write_report(settings.output / REPORT_NAME, result)
    except KeyboardInterrupt:
        raise _interrupted(checkpoint_folder(settings.output)) from None
    _print_table(result, table_on_stderr)
    for name, file in (("Report", REPORT_NAME), ("Lists", LISTS_NAME), ("Metrics", METRICS_NAME)):
        _say(f"{name + ':':<9}{settings.output / file}")


def _print_table(result: DemoResult, on_stderr: bool) -> None:
    table = Table(title=f"{result.title}, test part", title_justify="left")
    table.add_column("recommender")
    for metric in TABLE_METRICS:
        table.add_column(metric, justify="right", no_wrap=True)
    for model in result.models:
        table.add_row(model.name, *(f"{model.metrics[metric]:.4f}" for metric in TABLE_METRICS))
    terminal = (sys.stderr if on_stderr else sys.stdout).isatty()
    # A pipe has no width; rich would take 80 columns.
    Console(stderr=on_stderr, width=None if terminal else 140).print(table)


def _prepare() -> None:
    """Name the missing extra before any work, and set PyTorch up for this process."""
    for module in ("scipy.sparse", "torch", "safetensors", "tqdm", "matplotlib", "jinja2"):
        require(module, "demo")
    import torch

    # The layers are too small to share: a second thread costs more than it brings, several times more on a busy
    # machine. The kernels have threads of their own.
    torch.set_num_threads(1)


def _rows_of(ratings: Ratings, labels: list[str] | None) -> np.ndarray:
    """Rows of the users with these labels; None: all."""
    if labels is None:
        return np.arange(ratings.n_users)
    known = {str(label): row for row, label in enumerate(ratings.user_ids.tolist())}
    missing = [label for label in labels if label not in known]
    if missing:
        raise ValueError(f"--user {missing[0]}: the file has no such user")
    return np.array([known[label] for label in labels])


def _interrupted(checkpoints: Path | None) -> InterruptedTrainingError:
    """Say what an interrupted training leaves."""
    kept = sorted(checkpoints.rglob("*.safetensors"), key=lambda path: path.stat().st_mtime) if checkpoints else []
    where = f"the last checkpoint is {kept[-1]}; go on with --resume" if kept else "there is no checkpoint"
    return InterruptedTrainingError(f"interrupted; {where}")


def _interactive() -> bool:
    return sys.stderr.isatty()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
