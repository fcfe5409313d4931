"""Two processes with b clips each train as one with 2b: the same loss, the same gradients."""

import copy
import time
import warnings

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

import hplan.distributed
from hplan.data import ClipSampler
from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.distributed import batch_rand, batch_randn, global_mean, global_sum, rank, world_size
from hplan.level_config import HierarchyConfig, LevelConfig, LossConfig, ModelConfig, level_configs
from hplan.objective import distances_loss, stack_loss
from levels.build import build_levels

WORLD_SIZE, NUM_LEVELS = 2, 2
B, H, NUM_ACTIONS, D, A, S, T, G, E, SIZE = 6, 3, 2, 5, 7, 11, 13, 17, 19, 23
"""Clips of all processes, rollout depth, actions, latent, macro-action, starts, env steps, goals,
episodes, places."""
LIMIT_S = 120
REGULARISERS = ("vicreg", "sigreg")
BROKEN = ("identity", "local", "value_only")

pytestmark = [
    pytest.mark.xdist_group("two_processes"),
    pytest.mark.usefixtures("one_thread"),
]


def _configs(regulariser):
    template = LevelConfig(
        model=ModelConfig(latent_dim=D, action_dim=A, hidden_dim=29, num_hidden=1),
        loss=LossConfig(
            rollout_depth=H,
            num_starts=S,
            regulariser=regulariser,
            inverse_weight=0.5,
            smoothness_weight=0.5,
            walk_weight=0.5,
            walk_std=2.0,
            free_nats=0.01,
            distance_weight=0.3,
        ),
    )
    overrides = {
        "model.ratio": [1, 3],
        "model.encoder": ["recurrent" if regulariser == "sigreg" else "axial", "mlp"],
        "model.action_encoder": ["one_hot", "gaussian"],
        "model.predictor": ["bilinear", "residual_mlp"],
        "loss.regulariser": [regulariser, "coding_rate"],
    }
    return level_configs(
        HierarchyConfig(num_levels=NUM_LEVELS, level=template, overrides=overrides)
    )


def _store():
    """Walks of a dot to and fro on a ring."""
    random = np.random.default_rng(0)
    actions = random.integers(NUM_ACTIONS, size=(E, T + 1))
    moves = np.concatenate([random.integers(SIZE, size=(E, 1)), 2 * actions - 1], axis=1)
    return EpisodeStore(
        frames=np.eye(SIZE, dtype=np.uint8).reshape(SIZE, SIZE, 1, 1),
        frame_index=(moves.cumsum(1) % SIZE).astype(np.int32),
        actions=actions.astype(np.int8),
        lengths=np.full(E, T + 1),
        spec=ObservationSpec(shape=(SIZE, 1, 1), num_values=(2,), num_actions=NUM_ACTIONS),
    )


def _loss_and_gradients(regulariser):
    """This process's terms of the loss, and gradients by parameter, averaged as DDP does."""
    store, configs = _store(), _configs(regulariser)
    torch.manual_seed(0)
    levels = build_levels(configs, store.spec, torch.from_numpy(store.frames))
    targets = nn.ModuleList(copy.deepcopy(level.distance) for level in levels)
    sampler = ClipSampler(store, batch_size=B, clip_length=T, num_goals=G, seed=0)
    batch, generator = sampler.draw(0), torch.Generator().manual_seed(0)
    loss, terms = stack_loss(levels, configs, batch, generator, targets)
    of_distances, more = distances_loss(levels, targets, configs, batch, generator)
    (loss + of_distances).backward()
    terms = {"loss": loss, "loss of distances": of_distances, **terms, **more}
    results = {name: term.detach() for name, term in terms.items()}
    gradients = {name: p.grad for name, p in levels.named_parameters() if p.grad is not None}
    if world_size() > 1:
        for value in (*results.values(), *gradients.values()):
            dist.all_reduce(value)
            value /= world_size()
    return results, gradients


def _primitives():
    """What each process sees of sums and of shared noise."""
    x = torch.arange(3.0) + 10 * rank()
    generator = torch.Generator().manual_seed(7)
    noise = [draw((2, 3), generator) for draw in (batch_randn, batch_rand)]
    return {"rank": rank(), "sum": global_sum(x), "mean": global_mean(x), "noise": noise}


def _take_out_reduction(how):
    if how == "identity":
        hplan.distributed.global_sum = lambda x: x
    elif how == "local":
        hplan.distributed.global_sum = lambda x: x * world_size()
    else:
        # A plain all-reduce under no_grad: the value is right, the gradient is not.
        reduced = hplan.distributed.global_sum
        hplan.distributed.global_sum = lambda x: x + (reduced(x.detach()) - x.detach())


def _worker(process, folder):
    warnings.simplefilter("error", FutureWarning)  # what torch is about to drop
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=process, world_size=WORLD_SIZE
    )
    outcome = {"primitives": _primitives()}
    whole = hplan.distributed.global_sum
    for how in ("whole", *BROKEN):
        if how != "whole":
            _take_out_reduction(how)
        for regulariser in REGULARISERS:
            outcome[how, regulariser] = _loss_and_gradients(regulariser)
        hplan.distributed.global_sum = whole
    torch.save(outcome, f"{folder}/{process}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What two real processes found, gradients averaged; each of their two reports."""
    folder = tmp_path_factory.mktemp("processes")
    context = mp.spawn(_worker, args=(str(folder),), nprocs=WORLD_SIZE, join=False)
    deadline = time.monotonic() + LIMIT_S
    while not context.join(timeout=max(0.1, deadline - time.monotonic())):
        if time.monotonic() > deadline:
            for process in context.processes:
                process.kill()
            pytest.fail(f"two processes were not done after {LIMIT_S} s")
    return [torch.load(folder / f"{process}.pt") for process in range(WORLD_SIZE)]


def _gap(found, expected):
    assert found.keys() == expected.keys()
    return max((found[name] - expected[name]).abs().max().item() for name in expected)


@pytest.mark.parametrize("regulariser", REGULARISERS)
def test_two_processes_agree_with_one_in_loss_and_every_gradient(outcomes, regulariser):
    results, gradients = _loss_and_gradients(regulariser)
    assert len(gradients) > 20 and any(name.startswith("1.inverse") for name in gradients)
    for outcome in outcomes:
        found_results, found_gradients = outcome["whole", regulariser]
        assert _gap(found_results, results) < 1e-5
        assert _gap(found_gradients, gradients) < 1e-5


@pytest.mark.parametrize("regulariser", REGULARISERS)
@pytest.mark.parametrize("how", BROKEN)
def test_they_do_not_agree_with_the_reduction_taken_out(outcomes, regulariser, how):
    results, gradients = _loss_and_gradients(regulariser)
    found_results, found_gradients = outcomes[0][how, regulariser]
    assert _gap(found_gradients, gradients) > 1e-4
    if how == "value_only":
        assert _gap(found_results, results) < 1e-5
    else:
        assert _gap(found_results, results) > 1e-4


def test_sums_and_means_are_over_all_processes(outcomes):
    for process, outcome in enumerate(outcomes):
        found = outcome["primitives"]
        assert found["rank"] == process
        assert found["sum"].tolist() == [10.0, 12.0, 14.0]
        assert found["mean"].item() == 6.0


def test_processes_share_the_noise_of_one(outcomes):
    generator = torch.Generator().manual_seed(7)
    whole = [torch.randn(4, 3, generator=generator), torch.rand(4, 3, generator=generator)]
    for kind in (0, 1):
        shares = [outcome["primitives"]["noise"][kind] for outcome in outcomes]
        assert torch.equal(torch.cat(shares), whole[kind])


def test_one_process_alone_is_the_whole():
    assert (rank(), world_size()) == (0, 1)
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert torch.equal(global_sum(x), x)
    assert global_mean(x).tolist() == [2.0, 4.0]
