"""Whole runs: seeds, curves, early stop, interruption, resumption, losses that are not finite."""

import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from aigc_fast.gan import ContentGAN, NonFiniteLossError, training
from aigc_fast.gan.checkpoints import read_checkpoint

from .small import assert_same_state, small_gan

CURVES = {
    "generator_loss",
    "discriminator_loss",
    "nearest_generated",
    "nearest_real",
    "pairwise_cosine",
    "effective_rank",
    "near_duplicates",
    "energy_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "frechet",
    "mmd",
}


def snapshot(gan: ContentGAN):
    return gan._state.snapshot()


def call_after(monkeypatch, owner, name: str, calls: int, action):
    """Let ``action(*args)`` replace the method ``owner.name`` from its call number ``calls`` (from 0) on, once."""
    original, count = getattr(owner, name), iter(range(10**9))

    def counted(*args, **kwargs):
        return action(*args, **kwargs) if next(count) == calls else original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


# Seeds


def test_same_seed_same_bits_other_seed_other_bits(pairs):
    one, again, other = (small_gan(seed=seed).fit(*pairs, progress=False) for seed in (5, 5, 6))
    assert_same_state(snapshot(one), snapshot(again))
    assert not np.array_equal(one.generate(pairs[1]), other.generate(pairs[1]))


def test_the_number_of_threads_neither_matters_nor_changes(pairs):
    states = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        states.append(snapshot(small_gan(hidden=(128, 128), batch_size=200).fit(*pairs, progress=False)))
        assert torch.get_num_threads() == threads
    assert_same_state(states[0], states[1])
    assert_same_state(states[0], states[2])
    with pytest.raises(NonFiniteLossError):
        small_gan(penalty=1e38).fit(*pairs, progress=False)
    assert torch.get_num_threads() == 3


def test_global_random_states_are_left_alone(pairs, validation):
    def states():
        return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002

    before = states()
    gan = small_gan().fit(*pairs, validation=validation, progress=False)
    gan.generate(pairs[1])
    gan.partial_fit(*pairs)
    assert states() == before


# Curves


def test_history_has_one_finite_number_an_epoch(pairs, validation):
    history = small_gan(patience=10).fit(*pairs, validation=validation, progress=False).history_
    assert history.keys() == CURVES
    for curve in history.values():
        assert len(curve) == 4
        assert all(type(value) is float and math.isfinite(value) for value in curve)


def test_losses_in_history_are_the_means_over_the_steps(pairs, monkeypatch):
    seen: dict[str, list[torch.Tensor]] = {"discriminator_step": [], "generator_step": []}

    def record(name: str) -> None:
        step = getattr(training, name)

        def recorded(*args):
            seen[name].append(step(*args))
            return seen[name][-1]

        monkeypatch.setattr(training, name, recorded)

    for name in seen:
        record(name)
    history = small_gan(epochs=2).fit(*pairs, progress=False).history_
    for name, curve in (("discriminator_step", "discriminator_loss"), ("generator_step", "generator_loss")):
        epochs = torch.stack(seen[name]).reshape(2, 200 // 32).numpy()
        np.testing.assert_allclose(history[curve], epochs.mean(axis=1), rtol=1e-5)


def test_each_epoch_visits_rows_at_most_once_in_a_new_order(pairs, monkeypatch):
    batches = []
    original = training.discriminator_step

    def recorded(state, batch, config):
        batches.append(batch.vectors.numpy())
        return original(state, batch, config)

    monkeypatch.setattr(training, "discriminator_step", recorded)
    small_gan(epochs=2, batch_size=64).fit(*pairs, progress=False)
    rows = [{row.tobytes() for row in np.concatenate(epoch)} for epoch in (batches[:3], batches[3:])]
    assert [len(epoch) for epoch in rows] == [192, 192]  # 200 rows are 3 batches of 64, all rows different
    assert not np.array_equal(batches[0], batches[3])


def test_fewer_rows_than_a_batch_are_one_batch(pairs):
    gan = small_gan(batch_size=512, epochs=2).fit(pairs[0][:7], pairs[1][:7], progress=False)
    assert len(gan.history_["generator_loss"]) == 2


def test_progress_bar_is_shown_when_asked_for(pairs, capfd):
    small_gan(epochs=1).fit(*pairs, progress=False)
    assert capfd.readouterr() == ("", "")
    small_gan(epochs=1).fit(*pairs, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "6/6" in err  # steps
    assert "generator_loss=" in err


# Early stop


def scripted_quality(monkeypatch, scores: list[float]) -> list[np.ndarray]:
    """Make the early-stop measure follow a script; return the generator's weights as each epoch had them."""
    weights = []

    def measure(self, state, config):
        weights.append(state.averaged_generator.output.weight.detach().numpy().copy())
        return {"energy_score": scores[state.epoch]}

    monkeypatch.setattr(training.Probe, "measure", measure)
    return weights


def test_training_stops_after_patience_and_ends_on_the_best_epoch(pairs, validation, monkeypatch):
    weights = scripted_quality(monkeypatch, [3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 1.1, 0.1])
    gan = small_gan(epochs=8, patience=3).fit(*pairs, validation=validation, progress=False)
    assert gan.history_["energy_score"] == [3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 1.1]
    assert np.array_equal(gan.generator_.output.weight.detach().numpy(), weights[3])


def test_losses_and_other_measures_stop_nothing(pairs, validation, monkeypatch):
    """They get better with every epoch; the energy score, by which the epoch is chosen, does not."""
    weights = scripted_quality(monkeypatch, energy := [2.0, 1.0, 1.5, 1.4, 1.3])
    measure, epoch = training.Probe.measure, training.train_epoch
    monkeypatch.setattr(
        training.Probe, "measure", lambda self, state, config: measure(self, state, config) | {"recall": state.epoch}
    )

    def falling(state, *args):
        return {name: -float(state.epoch) for name in epoch(state, *args)}

    monkeypatch.setattr(training, "train_epoch", falling)
    gan = small_gan(epochs=5, patience=4).fit(*pairs, validation=validation, progress=False)
    assert gan.history_["energy_score"] == energy
    assert gan.history_["generator_loss"] == [0, -1, -2, -3, -4]
    assert np.array_equal(gan.generator_.output.weight.detach().numpy(), weights[1])


def test_a_run_that_is_not_stopped_ends_on_its_best_epoch_too(pairs, validation, monkeypatch):
    weights = scripted_quality(monkeypatch, [3.0, 1.0, 2.0])
    gan = small_gan(epochs=3, patience=5).fit(*pairs, validation=validation, progress=False)
    assert len(weights) == 3
    assert np.array_equal(gan.generator_.output.weight.detach().numpy(), weights[1])


def test_without_validation_nothing_stops_early(pairs, monkeypatch):
    weights = scripted_quality(monkeypatch, [1.0, 2.0, 3.0, 4.0])
    gan = small_gan(epochs=4, patience=1).fit(*pairs, progress=False)
    assert len(gan.history_["energy_score"]) == 4
    assert np.array_equal(gan.generator_.output.weight.detach().numpy(), weights[3])


# Interruption and resumption


@pytest.mark.parametrize("with_validation", [True, False])
@pytest.mark.parametrize(
    ("owner", "name", "calls", "finished"),
    [
        (training, "discriminator_step", 0, 0),
        (training, "generator_step", 3, 0),
        (training, "generator_step", 15, 2),  # 6 steps an epoch
        (training.Probe, "measure", 1, 1),
        (training.Probe, "measure", 3, 3),
        (training.CheckpointWriter, "__call__", 1, 2),
    ],
)
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    owner, name, calls, finished, with_validation, pairs, validation, tmp_path, monkeypatch
):
    options = {"validation": validation if with_validation else None, "progress": False}
    whole = small_gan().fit(*pairs, **options)
    interrupted = small_gan()
    with monkeypatch.context() as patch:
        call_after(patch, owner, name, calls, interrupt)
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(*pairs, **options, checkpoint_dir=tmp_path)

    checkpoint = read_checkpoint(tmp_path / "checkpoint.safetensors")
    assert {len(curve) for curve in checkpoint.last.history.values()} == ({finished} if finished else set())
    assert_same_state(checkpoint.last, snapshot(interrupted))  # the model in memory is at its last finished epoch
    interrupted.generate(pairs[1][:2])

    resumed = small_gan().fit(*pairs, **options, checkpoint_dir=tmp_path, resume=True)
    assert_same_state(snapshot(whole), snapshot(resumed))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_resuming_a_finished_run_changes_nothing(pairs, validation, tmp_path, monkeypatch):
    scripted_quality(monkeypatch, [3.0, 1.0, 2.0, 2.5, 2.6])
    options = {"validation": validation, "progress": False, "checkpoint_dir": tmp_path}
    gan = small_gan(epochs=5, patience=2).fit(*pairs, **options)
    monkeypatch.setattr(training, "train_epoch", interrupt)
    resumed = small_gan(epochs=5, patience=2).fit(*pairs, **options, resume=True)
    assert_same_state(snapshot(gan), snapshot(resumed))
    assert_same_state(snapshot(gan), snapshot(ContentGAN.load(tmp_path / "checkpoint.safetensors")))


def test_resume_starts_anew_where_there_is_no_checkpoint(pairs, tmp_path):
    resumed = small_gan().fit(*pairs, progress=False, checkpoint_dir=tmp_path / "new" / "folder", resume=True)
    assert_same_state(snapshot(small_gan().fit(*pairs, progress=False)), snapshot(resumed))


def test_without_resume_a_checkpoint_is_replaced(pairs, tmp_path):
    small_gan(seed=1).fit(*pairs, progress=False, checkpoint_dir=tmp_path)
    gan = small_gan(seed=2).fit(*pairs, progress=False, checkpoint_dir=tmp_path)
    assert_same_state(snapshot(gan), read_checkpoint(tmp_path / "checkpoint.safetensors").last)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"learning_rate": 1e-3}, "learning_rate"), ({"hidden": (8,)}, "hidden"), ({"epochs": 9}, "epochs")],
)
def test_resume_refuses_other_settings(change, named, pairs, tmp_path):
    small_gan(epochs=1).fit(*pairs, progress=False, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=rf"resume=True.* which had other {named};"):
        small_gan(**{"epochs": 1, **change}).fit(*pairs, progress=False, checkpoint_dir=tmp_path, resume=True)


def test_resume_refuses_other_data_and_keeps_the_model_it_had(pairs, validation, tmp_path):
    small_gan(epochs=1).fit(*pairs, progress=False, checkpoint_dir=tmp_path)
    gan = small_gan(epochs=1).fit(*validation, progress=False)
    before = snapshot(gan)
    with pytest.raises(ValueError, match="which had other data;"):
        gan.fit(*validation, progress=False, checkpoint_dir=tmp_path, resume=True)
    assert_same_state(before, snapshot(gan))


def test_resume_needs_a_folder(pairs):
    with pytest.raises(ValueError, match="resume=True needs checkpoint_dir"):
        small_gan().fit(*pairs, resume=True)


def test_ctrl_c_in_a_process_keeps_the_last_epoch(tmp_path):
    script = (
        "import numpy as np\n"
        "from aigc_fast.gan import ContentGAN\n"
        "rng = np.random.default_rng(0)\n"
        "gan = ContentGAN(hidden=(16,), epochs=10**6)\n"
        f"gan.fit(rng.standard_normal((500, 4)), rng.standard_normal((500, 2)), checkpoint_dir={str(tmp_path)!r})\n"
    )
    path = tmp_path / "checkpoint.safetensors"
    source = Path(sys.modules["aigc_fast"].__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        # A shell starts what runs in its background without it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert len(ContentGAN.load(path).history_["generator_loss"]) >= 1


# Losses that are not finite


def test_nan_loss_stops_at_the_last_good_epoch_and_names_everything(pairs, tmp_path, monkeypatch):
    good = small_gan(epochs=4)
    with monkeypatch.context() as patch:
        call_after(patch, training, "discriminator_step", 6, interrupt)
        with pytest.raises(KeyboardInterrupt):
            good.fit(*pairs, progress=False)  # the state after one epoch of four

    def poisoned(state, batch, config):
        with torch.no_grad():
            state.generator.output.bias.fill_(math.nan)
        return torch.tensor(math.nan)

    call_after(monkeypatch, training, "generator_step", 8, poisoned)
    gan = small_gan(epochs=4)
    with pytest.raises(NonFiniteLossError, match="generator loss not finite at step 2 of epoch 1") as caught:
        gan.fit(*pairs, progress=False, checkpoint_dir=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    assert (caught.value.epoch, caught.value.step, caught.value.what) == (1, 2, "generator loss")
    assert caught.value.checkpoint == str(path)
    assert str(path) in str(caught.value)
    assert_same_state(snapshot(gan), snapshot(good))
    assert_same_state(snapshot(gan), read_checkpoint(path).last)


def test_infinite_penalty_is_caught_without_a_checkpoint(pairs):
    gan = small_gan(penalty=1e38)
    with pytest.raises(
        NonFiniteLossError, match=r"discriminator loss .*step 0 of epoch 0.*no checkpoint_dir"
    ) as caught:
        gan.fit(*pairs, progress=False)
    assert caught.value.checkpoint is None
    assert gan.history_ == {}
    assert np.isfinite(gan.generate(pairs[1])).all()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_caught_before_they_are_kept(network, pairs, monkeypatch):
    original = training.generator_step

    def poisoned(state, batch, config):
        loss = original(state, batch, config)
        next(getattr(state, network).parameters()).data[0, 0] = math.inf
        return loss

    call_after(monkeypatch, training, "generator_step", 5, poisoned)  # the last step of the first epoch
    with pytest.raises(NonFiniteLossError, match=f"{network} weights not finite at step 5 of epoch 0"):
        small_gan().fit(*pairs, progress=False)


def test_a_nan_loss_does_not_cost_the_rest_of_the_epoch(pairs, monkeypatch):
    calls = []

    def counted(state, batch, config):
        calls.append(1)
        return torch.tensor(math.nan)

    monkeypatch.setattr(training, "discriminator_step", counted)
    with pytest.raises(NonFiniteLossError):
        small_gan(batch_size=1).fit(*pairs, progress=False)
    assert len(calls) == training.CHECK_EVERY < 200
