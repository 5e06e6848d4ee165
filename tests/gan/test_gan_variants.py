"""What the options of the networks and losses do: hinge, packs, codes, the VAE, images, no discriminator, no noise."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from aigc_fast.gan import ContentGAN, Discriminator, Encoder, Generator, steps
from aigc_fast.gan.config import GANConfig
from aigc_fast.gan.layers import CHANNELS
from aigc_fast.gan.state import TrainingState
from aigc_fast.gan.steps import Pairs, discriminator_step, generator_step

from .small import assert_same_state, draw_pairs, small_gan

VARIANTS = [
    {"loss": "hinge"},
    {"loss": "non_saturating", "pack": 2},
    {"pack": 3},
    {"n_codes": 3},
    {"n_codes": 2, "noise_dim": 0},
    {"generator": "vae", "reconstruction": 5.0},
    {"generator": "vae", "reconstruction": 5.0, "adversarial": 0.0},
    {"reconstruction": 1.0, "adversarial": 0.0, "noise_dim": 0},
    {"image_shape": (4, 8)},
    {"image_shape": (8, 4), "pack": 2, "loss": "hinge"},
]


def start(**settings) -> tuple[TrainingState, Pairs, GANConfig]:
    config = GANConfig.checked(**small_gan(**settings).get_params())
    batch = Pairs(*map(torch.from_numpy, draw_pairs(6, seed=2)))
    state = TrainingState.initial(config, vector_dim=6, condition_dim=3)
    state.standardize(batch.conditions)
    return state, batch, config


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_variant_trains_repeats_saves_and_leaves_the_global_stream_alone(settings, tmp_path):
    vector_dim = 32 if "image_shape" in settings else 6
    pairs = draw_pairs(70, seed=0, vector_dim=vector_dim)
    held_out = draw_pairs(20, seed=1, vector_dim=vector_dim)
    before = torch.get_rng_state()
    gan = small_gan(**settings).fit(*pairs, validation=held_out, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    vectors = gan.generate(held_out[1], 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=1e-6)
    again = small_gan(**settings).fit(*pairs, validation=held_out, progress=False)
    assert_same_state(gan._state.snapshot(), again._state.snapshot())
    gan.save(tmp_path / "gan.safetensors")
    loaded = ContentGAN.load(tmp_path / "gan.safetensors")
    assert loaded.get_params() == gan.get_params()
    assert np.array_equal(loaded.generate(held_out[1], 4), vectors)
    assert_same_state(loaded.partial_fit(*pairs)._state.snapshot(), gan.partial_fit(*pairs)._state.snapshot())


@pytest.mark.parametrize("settings", [{}, {"image_shape": (4, 8)}, {"loss": "hinge"}], ids=str)
def test_training_in_mixed_precision(settings):
    """Layers compute in bfloat16 where the caller says so; weights, and what is generated, stay float32."""
    pairs = draw_pairs(64, seed=0, vector_dim=32)
    plain, mixed = small_gan(epochs=2, **settings), small_gan(epochs=2, **settings)
    plain.fit(*pairs, progress=False)
    with torch.autocast("cpu", torch.bfloat16):
        mixed.fit(*pairs, progress=False)
        inside = mixed.generate(pairs[1][:3])
    assert inside.dtype == np.float32
    assert np.array_equal(inside, mixed.generate(pairs[1][:3]))
    one, other = (gan.generator_.output.state_dict() for gan in (plain, mixed))
    assert all(weights.dtype == torch.float32 for weights in other.values())
    assert any((one[name] != other[name]).any() for name in one)  # it did something
    assert mixed.history_["energy_score"] == pytest.approx(plain.history_["energy_score"], abs=0.05)


def test_mixed_precision_uses_the_weights_of_now():
    """Autocast keeps rounded copies of weights until it ends; a step must not compute with those of the step before."""
    state, batch, config = start(loss="hinge")
    with torch.autocast("cpu", torch.bfloat16):
        discriminator_step(state, batch, config)
        generator_step(state, batch, config)
        inside = state.generator(torch.zeros(6, 4), batch.conditions)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(inside, state.generator(torch.zeros(6, 4), batch.conditions))


def test_hinge_losses_by_hand():
    state, batch, config = start(loss="hinge")
    rng = copy.deepcopy(state.rng.get_state())
    noise = torch.randn(6, 4, generator=state.rng)
    state.rng.set_state(rng)
    fake = state.generator(noise, batch.conditions).detach()
    discriminator = copy.deepcopy(state.discriminator)  # training mode: each pass takes a step of the power iteration
    real_logits, fake_logits = discriminator(torch.stack([batch.vectors, fake]), batch.conditions).detach()
    expected = np.maximum(0, 1 - real_logits.numpy()).mean() + np.maximum(0, 1 + fake_logits.numpy()).mean()
    assert discriminator_step(state, batch, config).item() == pytest.approx(expected, rel=1e-5)


def test_spectral_normalization_bounds_every_layer():
    discriminator = Discriminator(30, 20, (40, 50), spectral=True, rng=seeded(0))
    layers = [module for module in discriminator.modules() if isinstance(module, torch.nn.Linear)]
    assert len(layers) == 5
    rows, condition = torch.randn(4, 30, generator=seeded(1)), torch.randn(4, 20, generator=seeded(2))
    for _ in range(50):  # steps of the power iteration
        discriminator(rows, condition)
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=0.01)


def test_a_generator_step_leaves_the_spectral_vectors_alone():
    state, batch, config = start(loss="hinge")
    before = copy.deepcopy(state.discriminator.state_dict())
    generator_step(state, batch, config)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.discriminator.state_dict().items())


def test_a_pack_is_judged_by_one_logit():
    discriminator = Discriminator(5, 2, (7,), pack=3, rng=seeded(0))
    vectors, condition = torch.randn(2, 6, 5, generator=seeded(1)), torch.randn(6, 2, generator=seeded(2))
    logits = discriminator(vectors, condition)
    assert logits.shape == (2, 2)
    moved = vectors.clone()
    moved[0, 4] += 1  # in the second pack of the first set
    assert ((discriminator(moved, condition) != logits) == torch.tensor([[False, True], [False, False]])).all()
    with pytest.raises(RuntimeError):
        discriminator(vectors[:, :5], condition[:5])


def test_batches_are_whole_packs():
    gan = small_gan(pack=3, batch_size=8).fit(*draw_pairs(20, seed=0), progress=False)  # 3 batches of 6
    assert len(gan.history_["generator_loss"]) == 4
    with pytest.raises(ValueError, match=r"there are 2 pairs; at least 3 of both are taken \(pack 3, 1 process\)"):
        small_gan(pack=3).fit(*draw_pairs(2, seed=0), progress=False)


def test_the_codes_steer_what_is_generated():
    """Two kinds of vectors for one condition: each code becomes one of them, whatever the noise."""
    rng = np.random.default_rng(0)
    vectors = np.eye(4)[[0, 3]][rng.integers(0, 2, 300)] + 0.1 * rng.standard_normal((300, 4))
    settings = {"n_codes": 2, "epochs": 25, "batch_size": 30, "learning_rate": 8e-3}
    gan = small_gan(**settings).fit(vectors, np.ones((300, 1)), progress=False)
    one, other = (gan.generate(np.ones((1, 1)), 200, codes=code)[0].argmax(axis=1) for code in (0, 1))
    assert {np.bincount(one).argmax(), np.bincount(other).argmax()} == {0, 3}
    assert (one == np.bincount(one).argmax()).mean() > 0.95
    assert (other == np.bincount(other).argmax()).mean() > 0.95
    in_turn = gan.generate(np.ones((1, 1)), 4)
    assert np.array_equal(in_turn, gan.generate(np.ones((1, 1)), 4, codes=[0, 1, 0, 1]))
    # The auxiliary head reads the codes back.
    state = gan._state
    generated = torch.from_numpy(gan.generate(np.ones((1, 1)), 100, codes=[0, 1] * 50)[0])
    read = state.encoder(generated, torch.ones(100, 1)).argmax(dim=1)
    assert (read == torch.tensor([0, 1] * 50)).double().mean() > 0.95


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        (2, ValueError, "codes must be from 0 to n_codes - 1, 1, got 2 to 2"),
        ([0, -1, 0, 0], ValueError, "from 0 to n_codes - 1, 1, got -1 to 0"),
        ([0, 1], ValueError, "one for each of the 4 vectors, got 2"),
        (0.5, TypeError, "codes must be an integer"),
    ],
)
def test_bad_codes_are_refused(codes, error, message, pairs):
    gan = small_gan(n_codes=2, epochs=1).fit(*pairs, progress=False)
    with pytest.raises(error, match=message):
        gan.generate(pairs[1], 4, codes=codes)


def test_autoencoder_loss_by_hand():
    state, batch, config = start(generator="vae", reconstruction=3.0, kl=0.2, adversarial=0.0)
    rng = copy.deepcopy(state.rng.get_state())
    torch.randn(6, 4, generator=state.rng)  # of the vector that the discriminator would see
    drawn = torch.randn(6, 4, generator=state.rng).double().numpy()
    state.rng.set_state(rng)
    encoded = state.encoder(batch.vectors, batch.conditions).detach().double().numpy()
    mean, variance = encoded[:, :4], np.exp(encoded[:, 4:])
    latent = torch.from_numpy((mean + np.sqrt(variance) * drawn).astype(np.float32))
    cosines = (state.generator(latent, batch.conditions).detach() * batch.vectors).sum(dim=1).double().numpy()
    divergence = 0.5 * (mean**2 + variance - np.log(variance) - 1).sum(axis=1)  # of N(mean, variance) from N(0, 1)
    expected = 3 * (1 - cosines).mean() + 0.2 * divergence.mean()
    assert generator_step(state, batch, config).item() == pytest.approx(expected, rel=1e-5)


def test_the_vae_gives_back_what_it_encodes():
    vectors, conditions = draw_pairs(300, seed=0)
    settings = {"generator": "vae", "reconstruction": 10.0, "kl": 0.02, "hidden": (64,), "noise_dim": 6, "epochs": 20}
    gan = small_gan(**settings).fit(vectors, conditions, progress=False)
    rows, of = torch.from_numpy(vectors), torch.from_numpy(conditions)
    with torch.no_grad():
        mean = gan._state.encoder(rows, of)[:, :6]
        given_back = (gan.generator_(mean, of) * rows).sum(dim=1).mean()
        of_noise = (gan.generator_(torch.randn(300, 6, generator=seeded(0)), of) * rows).sum(dim=1).mean()
    assert given_back > 0.9
    assert given_back > of_noise + 0.2


def test_without_a_discriminator_it_is_left_as_it_was(pairs):
    settings = {"adversarial": 0.0, "reconstruction": 1.0}
    first = TrainingState.initial(GANConfig.checked(**small_gan(**settings).get_params()), 6, 3)
    gan = small_gan(**settings).fit(*pairs, progress=False)
    assert gan.history_["discriminator_loss"] == [0.0] * 4
    for name, tensor in gan._state.discriminator.named_parameters():
        assert torch.equal(tensor, first.discriminator.get_parameter(name))


def test_without_noise_there_is_one_answer(pairs):
    vectors = small_gan(noise_dim=0).fit(*pairs, progress=False).generate(pairs[1], 3)
    assert np.array_equal(vectors[:, 0], vectors[:, 1])
    assert not np.array_equal(vectors[0], vectors[1])


def test_pixels_have_their_place():
    """Moving the input of the convolutions moves their features: the rows are really seen as images."""
    discriminator = Discriminator(64, 2, (5,), image_shape=(8, 8), rng=seeded(0))
    images = torch.zeros(2, 8, 8)
    images[0, 2, 2] = images[1, 4, 4] = 1  # one kernel step apart in the second layer's grid
    convolutions = discriminator.features[1]
    features = convolutions(images.reshape(2, 1, 8, 8)).reshape(2, CHANNELS[1], 2, 2)
    assert features.shape[1:] == (CHANNELS[1], 2, 2)
    assert discriminator(images.reshape(2, 64), torch.zeros(2, 2)).shape == (2,)
    generator = Generator(3, 2, 64, (5,), image_shape=(8, 8), rng=seeded(0))
    pictures = generator(torch.randn(10, 3), torch.randn(10, 2))
    assert pictures.shape == (10, 64)
    assert (pictures > 0).all()


def test_initial_convolutions_keep_the_size_of_their_inputs():
    """Kaiming's weights keep the mean square where half the units are off; the picture's border loses some taps."""
    ratios = []
    for seed in range(12):  # few channels: one draw of the weights may be a fifth off
        decoder = Generator(4, 1, 64 * 64, (64,), image_shape=(64, 64), rng=seeded(seed)).output
        with torch.no_grad():
            inputs = decoder[2](decoder[1](decoder[0](torch.randn(20, 64, generator=seeded(99)))))
            outputs = decoder[4](decoder[3](inputs))
        ratios.append(outputs.square().mean().item() / inputs.square().mean().item())
    assert np.mean(ratios) == pytest.approx(1, abs=0.15)


def test_encoder_sees_vector_and_condition():
    encoder = Encoder(5, 2, 4, (7,), rng=seeded(0))
    vectors, condition = torch.randn(3, 5), torch.randn(3, 2)
    found = encoder(vectors, condition)
    assert found.shape == (3, 4)
    assert not torch.allclose(found, encoder(vectors, condition + 1))
    assert not torch.allclose(found, encoder(-vectors, condition))


def test_every_weight_that_should_learn_does():
    for settings in ({"generator": "vae", "reconstruction": 1.0}, {"n_codes": 3}):
        state, batch, config = start(**settings)
        before = copy.deepcopy(state.encoder)
        generator_step(state, batch, config)
        for (name, old), new in zip(before.named_parameters(), state.encoder.parameters(), strict=True):
            assert not torch.equal(old, new), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": "gru"}, "generator must be one of 'mlp', 'vae'"),
        ({"pack": 33}, "pack must be at most batch_size, 32"),
        ({"adversarial": 0.0}, "adversarial or reconstruction must be above 0"),
        ({"generator": "vae"}, "generator='vae' needs a noise_dim and a reconstruction above 0"),
        ({"generator": "vae", "reconstruction": 1.0, "n_codes": 2}, "n_codes must be 0 with generator='vae'"),
        ({"image_shape": (6, 1)}, "image_shape must be"),
        ({"image_shape": (8, 8)}, "takes vectors of 64 columns, got 6"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(settings, message, pairs):
    with pytest.raises(ValueError, match=message):
        small_gan(**settings).fit(*pairs, progress=False)


def test_codes_are_drawn_with_the_batch(monkeypatch):
    state, batch, _ = start(n_codes=3)
    latent, codes = steps._latent(state, batch)
    assert latent.shape == (6, 4 + 3)
    assert torch.equal(latent[:, 4:].argmax(dim=1), codes)
    assert torch.equal(latent[:, 4:].sum(dim=1), torch.ones(6))
