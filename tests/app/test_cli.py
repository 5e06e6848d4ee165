"""The command line: what it prints, writes, and returns."""

import csv
import importlib.metadata
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from synthetic_ratings import N_USERS, write_files
from typer.testing import CliRunner

import aigc_fast
from aigc_fast import cli, commands
from aigc_fast.demo.results import LISTS_NAME, METRICS_NAME, REPORT_NAME
from aigc_fast.environment import environment

PROGRAM = [sys.executable, "-m", "aigc_fast"]


@pytest.fixture(scope="module")
def rating_file(tmp_path_factory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


def run(*arguments: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def fails_with_one_line(done: subprocess.CompletedProcess, *wanted: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("aigc-fast: ")
    for text in wanted:
        assert text in line


def test_info():
    done = CliRunner().invoke(commands.app, ["info"])
    assert done.exit_code == 0
    lines = dict(line.split(":", 1) for line in done.output.splitlines())
    lines = {name: value.strip() for name, value in lines.items()}
    assert lines["aigc_fast"] == aigc_fast.__version__
    assert lines["Instruction set"] == aigc_fast.isa()
    assert lines["Kernel threads"] == str(aigc_fast.get_num_threads())
    assert lines["numpy"] == np.__version__
    assert lines["torch"] == importlib.metadata.version("torch")
    assert lines["GPU"] == environment()["GPU"]  # whatever this machine has


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"aigc-fast {aigc_fast.__version__}\n")


def test_info_does_without_torch():
    probe = "import sys; from aigc_fast.cli import run; run(['info']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


def test_importing_the_package_imports_no_command():
    unwanted = ("typer", "rich", "aigc_fast.cli", "aigc_fast.commands")
    probe = f"import sys, aigc_fast; sys.exit(any(name.startswith({unwanted}) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_help_and_no_arguments():
    for arguments in ([], ["--help"]):
        done = run(*arguments)
        assert done.returncode == 0
        assert all(name in done.stdout for name in ("demo", "recommend", "info"))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["demo", "--bogus"], "No such option"),
        (["demo", "--epochs", "0"], "--epochs"),
        (["recommend"], "Missing option '--ratings'"),
        (["recommend", "--ratings", "/does/not/exist.csv"], "/does/not/exist.csv: No such file or directory"),
        (["recommend", "--ratings", "ratings.csv", "--resume"], "--resume takes the folder of the checkpoints"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, wanted):
    fails_with_one_line(run(*arguments), wanted)


@pytest.mark.parametrize("name", ["AIGC_FAST_ISA", "AIGC_FAST_NUM_THREADS"])
def test_a_wrong_setting_in_the_environment_is_one_line(name):
    fails_with_one_line(run("info", env={**os.environ, name: "many"}), f"{name}='many' is not")


def test_a_broken_row_is_one_line_with_its_number(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("userId,movieId,rating,timestamp\n1,2,3,4\n1,5,good,4\n", encoding="utf-8")
    fails_with_one_line(run("recommend", "--ratings", path), str(path), "line 3", "good")


def test_an_unknown_user_is_named(rating_file):
    done = run("recommend", "--ratings", rating_file, "--user", 1, "--user", "zoe")
    fails_with_one_line(done, "--user zoe: the file has no such user")


def test_a_missing_extra_names_its_command(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "typer", None)  # as though it were not installed
    assert cli.run(["info"]) == 2
    assert "pip install 'aigc-fast[demo]'" in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def broken():
        raise KeyError("a bug")

    monkeypatch.setattr("aigc_fast.environment.environment", broken)
    with pytest.raises(KeyError, match="a bug"):
        cli.run(["info"])


@pytest.fixture
def recommended(rating_file, capsys):
    """Run ``recommend`` in this process; return the rows it printed."""

    def run_here(*arguments: object) -> list[dict[str, str]]:
        code = cli.run(["recommend", "--ratings", str(rating_file), "--n-vectors", "4", *map(str, arguments)])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return list(csv.DictReader(io.StringIO(printed.out)))

    return run_here


def test_recommend_to_some_users(recommended, rating_file):
    rows = recommended("--user", 7, "--user", 3, "--n", 4, "--epochs", 1)
    assert [row["user"] for row in rows] == ["7"] * 4 + ["3"] * 4
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"] * 2
    with rating_file.open(encoding="utf-8") as file:
        rated = {(row["userId"], row["movieId"]) for row in csv.DictReader(file)}
    assert not rated & {(row["user"], row["item"]) for row in rows}
    assert all(row["title"] == f"Film & <{int(row['item']) - 100}>" for row in rows)


def test_recommend_to_all_into_a_file(recommended, tmp_path):
    path = tmp_path / "deep" / "lists.csv"
    assert recommended("--epochs", 2, "--output", path, "--checkpoints", tmp_path / "kept") == []
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert len({row["user"] for row in rows}) == N_USERS
    assert len(rows) == 10 * N_USERS
    # The checkpoint is there to go on from, which here means that nothing is left to train: the same lists.
    assert recommended("--epochs", 2, "--checkpoints", tmp_path / "kept", "--resume") == rows


def test_threshold_shortens_lists(recommended):
    rows = recommended("--user", 1, "--n", 60, "--epochs", 1)
    edge = float(rows[2]["score"])
    assert recommended("--user", 1, "--n", 60, "--epochs", 1, "--threshold", edge - 1e-6) == rows[:3]


def test_recommend_with_a_report(rating_file, tmp_path, capsys):
    code = cli.run(
        ["recommend", "--ratings", str(rating_file), "--epochs", "1", "--report", str(tmp_path), "--user", "2"]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert {REPORT_NAME, LISTS_NAME, METRICS_NAME} <= {path.name for path in tmp_path.iterdir()}
    assert "ratings.csv" in (tmp_path / REPORT_NAME).read_text(encoding="utf-8")
    assert "ItemKNN" in printed.err
    assert "Generative" in printed.err
    assert len(list(csv.DictReader(io.StringIO(printed.out)))) == 10


def test_demo(monkeypatch, ratings, tmp_path):
    monkeypatch.setattr("aigc_fast.data.load_ml100k", lambda: ratings)
    done = CliRunner().invoke(commands.app, ["demo", "--quick", "--output", str(tmp_path / "out"), "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        REPORT_NAME, LISTS_NAME, METRICS_NAME, "checkpoints",
    }  # fmt: skip
    for model in ("TopPop", "UserKNN", "ItemKNN", "Profile, no GAN", "Generative"):
        assert model in done.output
    assert "NDCG@20" in done.output
    assert str(tmp_path / "out" / REPORT_NAME) in done.output
    report = (tmp_path / "out" / REPORT_NAME).read_text(encoding="utf-8")
    assert "GroupLens" in report  # what the licence of MovieLens asks for


def test_interruption_keeps_the_checkpoint(rating_file, tmp_path, capsys):
    arguments = ["recommend", "--ratings", str(rating_file), "--user", "1", "--checkpoints", str(tmp_path)]
    with subprocess.Popen(
        [*PROGRAM, *arguments, "--epochs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background without it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("*.safetensors")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    last = errors.splitlines()[-1]
    assert last.startswith("aigc-fast: interrupted; the last checkpoint is ")
    assert last.endswith("; go on with --resume")
    (kept,) = tmp_path.glob("*.safetensors")
    assert str(kept) in last
    assert cli.run([*arguments, "--epochs", "99", "--resume"]) == 2  # another run than the one that was interrupted
    assert "epochs" in capsys.readouterr().err.splitlines()[-1]


def test_interruption_without_a_checkpoint(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("aigc_fast.environment.environment", interrupt)
    assert cli.run(["info"]) == 130
    assert capsys.readouterr().err == "aigc-fast: interrupted\n"


def test_the_entry_point_is_declared():
    scripts = [point.value for point in importlib.metadata.entry_points(group="console_scripts", name="aigc-fast")]
    source = Path(__file__).parents[2] / "pyproject.toml"
    if not scripts:  # the tests run on a source tree that is not installed
        assert 'aigc-fast = "aigc_fast.cli:main"' in source.read_text(encoding="utf-8")
    else:
        assert scripts == ["aigc_fast.cli:main"]
