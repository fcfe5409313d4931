"""What a stack that remembers is trained on, and that it learns what to remember."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hplan.data import ClipSampler
from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.encoding import encode_clips
from hplan.level_config import HierarchyConfig, LevelConfig, LossConfig, ModelConfig, level_configs
from hplan.objective import distance_loss, distances_loss, stack_loss
from levels.build import build_levels
from tests.hplan.dot_walks import (
    REMEMBERING,
    B,
    Constant,
    G,
    T,
    bare_level,
    clips_of,
    dot_walks,
    small_stack,
)
from tests.hplan.line_world import noise

pytestmark = pytest.mark.usefixtures("one_thread")


# --- what it is trained on ---


def _one_by_one(encoder, obs, actions):
    """Latents (T + 1, D) of one episode, gone through step by step."""
    memory, last, latents = torch.zeros(1, encoder.memory_dim), torch.zeros(1, 1, 5), []
    for t in range(len(obs)):
        z, memory = encoder.remember(encoder.features(obs[t : t + 1])[None], last, memory)
        memory = memory[:, 0]
        latents.append(z[0, 0])
        if t < len(actions):
            last = nn.functional.one_hot(actions[t].long(), 5).float().view(1, 1, 5)
    return torch.stack(latents)


@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_clips_are_encoded_along_and_goals_by_themselves(num_levels):
    levels, configs = small_stack(num_levels, **REMEMBERING)
    batch = dot_walks()
    with torch.no_grad():
        encoded = encode_clips(levels, configs, batch, noise())
        below = torch.stack(
            [
                _one_by_one(levels[0].encoder, batch.frames[batch.index[b]], batch.actions[b])
                for b in range(B)
            ]
        )
        goal, alone = batch.frames[batch.goals], batch.frames[batch.index.flatten()]
        for k, (level, clips) in enumerate(zip(levels, encoded, strict=True)):
            below = level.encode(below) if k else below
            goal, alone = level.encode(goal), level.encode(alone)
            torch.testing.assert_close(clips.z, below, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(clips.goals, goal, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(clips.alone.flatten(0, 1), alone, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(clips.z[:, 0], clips.alone[:, 0], rtol=1e-4, atol=1e-5)
            assert (clips.z - clips.alone)[:, 1:].abs().amax(-1).min() > 0, "a past tells"


def test_each_process_encodes_its_share_as_one_process_encodes_all():
    levels, configs = small_stack(2, **REMEMBERING)
    batch = dot_walks()
    with torch.no_grad():
        whole = encode_clips(levels, configs, batch, noise())
        for b in range(B):
            share = replace(batch, index=batch.index[b : b + 1], actions=batch.actions[b : b + 1])
            for part, full in zip(
                encode_clips(levels, configs, share, noise()), whole, strict=True
            ):
                torch.testing.assert_close(part.z[0], full.z[b], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(part.goals, full.goals, rtol=1e-4, atol=1e-5)


def test_distances_learn_subgoals_of_the_walk_and_goals_without_a_past():
    """Latents say clip and time, those of observations by themselves clip and minus time."""
    clip, time = torch.meshgrid(torch.arange(B), torch.arange(T + 1), indexing="ij")
    z = torch.stack([clip, time], dim=-1).float()
    clips = clips_of(z, goals=torch.zeros(G, 2))
    level = bare_level(distance=Constant(2.0))
    config = LossConfig(distance_starts=101, distance_own_goals=7)
    before = distance_loss(level, Constant(1.0), clips, config, noise())
    start, goals = level.distance.asked
    own, others = goals.split([B * 7, G])
    both = replace(clips, alone=z * torch.tensor([1, -1]))
    after = distance_loss(level, Constant(1.0), both, config, noise())
    same_start, all_goals = level.distance.asked
    assert torch.equal(same_start, start)
    assert torch.equal(all_goals, torch.cat([own, own * torch.tensor([1, -1]), others]))
    assert after > before


def test_each_way_of_giving_a_goal_of_the_walk_has_its_own_share_of_the_loss():
    class ByKind(Constant):
        """2 steps to goals of the walk and of others, 5 to those by themselves, of time 9 T."""

        def all_steps(self, z, goals):
            return torch.where(goals[:, 1] == 9 * T, 5.0, 2.0).expand(len(z), len(goals))

    clip, time = torch.meshgrid(torch.arange(B), torch.arange(T + 1), indexing="ij")
    z = torch.stack([clip, time], dim=-1).float()
    walk = clips_of(z, goals=torch.zeros(G, 2))
    both = replace(walk, alone=torch.full_like(z, 9 * T))

    def loss(distance, clips):
        config = LossConfig(distance_starts=31, distance_own_goals=7)
        return distance_loss(bare_level(distance=distance), Constant(1.0), clips, config, noise())

    by_themselves = loss(Constant(5.0), both) - loss(Constant(5.0), walk)
    expected = loss(Constant(2.0), walk) + by_themselves
    torch.testing.assert_close(loss(ByKind(2.0), both), expected)
    assert not torch.isclose(loss(Constant(2.0), both), expected)


def test_both_kinds_of_training_see_the_same_latents_and_reach_the_memory():
    levels, configs = small_stack(3, **REMEMBERING)
    batch, generator = dot_walks(), noise()
    targets = nn.ModuleList(copy.deepcopy(level.distance) for level in levels)
    loss, terms = distances_loss(levels, targets, configs, batch, noise())
    loss.backward()
    assert all(p.grad is None for p in levels[0].encoder.parameters())
    for k, clips in enumerate(encode_clips(levels, configs, batch, noise())):
        level = levels[k]
        expected = distance_loss(level, targets[k], clips, configs[k].loss, generator)
        torch.testing.assert_close(terms[f"level{k}/distance_loss"], expected)
    stack_loss(levels, configs, batch, noise())[0].backward()
    assert all(p.grad.abs().sum() > 0 for p in levels[0].encoder.parameters())


# --- that it learns what to remember: a light at the start that shows where the corridor ends ---

CUES, LENGTH = 2, 9
CORRIDOR = ObservationSpec(shape=(LENGTH + 1, 1, 1), num_values=(2 + CUES,), num_actions=2)


def _corridor_walks():
    """Walks past a light (value 2 or 3 in the first cell) to the end, which has the same value."""
    random, num_walks = np.random.default_rng(0), 256
    cells = np.eye(LENGTH + 1, dtype=np.uint8)
    frames = np.concatenate([cells, *(value * cells[[0, -1]] for value in (2, 3))])
    index = np.tile(np.arange(LENGTH + 1), (num_walks, 1))
    index[:, [0, -1]] = LENGTH + 1 + 2 * random.integers(CUES, size=(num_walks, 1)) + [0, 1]
    store = EpisodeStore(
        frames=frames[:, :, None, None],
        frame_index=index.astype(np.int32),
        actions=random.integers(2, size=(num_walks, LENGTH)).astype(np.int8),
        lengths=np.full(num_walks, LENGTH),
        spec=CORRIDOR,
    )
    return ClipSampler(store, batch_size=32, clip_length=LENGTH, num_goals=5, seed=0)


def _share_of_lights_told(encoder):
    """Share of other walks whose light a linear function of the latent before the end tells."""
    model = ModelConfig(
        encoder=encoder,
        action_encoder="one_hot",
        predictor="residual_mlp",
        latent_dim=16,
        hidden_dim=32,
        num_hidden=1,
    )
    template = LevelConfig(model=model, loss=LossConfig(rollout_depth=3, num_starts=4))
    configs = level_configs(HierarchyConfig(num_levels=1, level=template))
    sampler = _corridor_walks()
    torch.manual_seed(0)
    levels = build_levels(configs, CORRIDOR, sampler.frames)
    optimiser = torch.optim.Adam(levels.parameters(), lr=1e-2)
    for update in range(80):
        optimiser.zero_grad()
        stack_loss(levels, configs, sampler.draw(update), noise(update))[0].backward()
        optimiser.step()
    inputs, lights = [], []
    for update in range(1000, 1006):
        batch = sampler.draw(update)
        with torch.no_grad():
            z = encode_clips(levels, configs, batch, noise())[0].z[:, -2]
        inputs.append(torch.cat([z, torch.ones(len(z), 1)], dim=1))
        lights.append(2.0 * batch.frames[batch.index[:, 0], 0, 0, 0] - 5)
    fit = torch.linalg.lstsq(torch.cat(inputs[:3]), torch.cat(lights[:3]).unsqueeze(1)).solution
    told = (torch.cat(inputs[3:]) @ fit).squeeze(1).sign() == torch.cat(lights[3:])
    return told.float().mean().item()


@pytest.mark.parametrize(("encoder", "knows"), [("recurrent", True), ("axial", False)])
def test_a_light_seen_at_the_start_is_known_before_the_end_with_a_memory_alone(encoder, knows):
    share = _share_of_lights_told(encoder)
    assert share > 0.95 if knows else share < 0.7
