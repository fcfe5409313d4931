"""What the agent of a stack that remembers carries along, and what that is for."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from hplan.agent import Agent
from hplan.config import AgentConfig
from hplan.episodes import run_agent
from hplan.goals import Goals
from hplan.level import encode_stack, remembered
from tests.hplan.dot_walks import REMEMBERING, dot_walks, small_stack
from tests.hplan.line_world import (
    LineTask,
    LineWorlds,
    line_configs,
    line_stack,
    noise,
    positions,
    walk,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# --- what the agent carries ---


def _dots(num_steps, batch_size, seed=0):
    """Observations (steps, B, ...) of the world of `dot_walks`, whatever is done."""
    frames = dot_walks().frames
    drawn = torch.randint(len(frames), (num_steps, batch_size), generator=noise(seed))
    return frames[drawn]


def _agent(num_levels):
    search = {"planner.search": ["beam", "cem"], "planner.num_candidates": [4, 32], **REMEMBERING}
    levels, configs = small_stack(num_levels, **search)
    levels = levels.eval().requires_grad_(False)
    return Agent(levels=levels, configs=configs, energy="distance", settings=AgentConfig())


def _lived(agent, obs):
    """Bottom latents (B, steps, D) that an agent has of `obs`, and its encoded actions."""
    state, generator = agent.start(obs.shape[1]), noise()
    goals = Goals.observed(agent.levels, _dots(1, obs.shape[1], seed=1)[0])
    alive, latents, taken = torch.ones(obs.shape[1], dtype=torch.bool), [], []
    for seen in obs:
        action, state, _ = agent.act(state, seen, goals, alive, generator)
        latents.append(state.last_latent)
        taken.append(agent.levels[0].action_encoder(action))
    return torch.stack(latents, dim=1), torch.stack(taken, dim=1)


@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_what_the_agent_carries_is_its_whole_history_encoded_in_one_go(num_levels):
    agent, obs = _agent(num_levels), _dots(9, 3)
    latents, taken = _lived(agent, obs)
    assert len(taken.argmax(-1).unique()) > 1
    bottom = agent.levels[0]
    features = bottom.encoder.features(obs.flatten(0, 1)).unflatten(0, obs.shape[:2])
    whole = remembered(bottom, features.transpose(0, 1), taken[:, :-1])
    torch.testing.assert_close(latents, whole, rtol=1e-4, atol=1e-5)
    without = remembered(bottom, features.transpose(0, 1), torch.zeros_like(taken[:, :-1]))
    assert (without - whole)[:, 1:].abs().max() > 1e-3, "the actions tell"


def test_a_new_episode_remembers_nothing_and_the_first_look_is_that_of_a_goal():
    agent, obs = _agent(2), _dots(5, 3)
    first, _ = _lived(agent, obs)
    again, _ = _lived(agent, obs)
    assert torch.equal(first, again)
    start = agent.start(3)
    assert not start.memory.any() and not start.last_action.any() and start.memory.shape[1] > 0
    torch.testing.assert_close(first[:, 0], encode_stack(agent.levels, obs[0])[0])


def test_episodes_remembered_together_are_as_each_alone():
    agent, obs = _agent(1), _dots(7, 3)
    whole, taken = _lived(agent, obs)
    bottom = agent.levels[0]
    for b in range(3):
        features = bottom.encoder.features(obs[:, b]).unsqueeze(0)
        alone = remembered(bottom, features, taken[b : b + 1, :-1])
        torch.testing.assert_close(whole[b : b + 1], alone, rtol=1e-4, atol=1e-5)


# --- what it is for: a line whose traveller sees where it is at the start alone ---


class Reckoning(nn.Module):
    """Where one is: what is seen first, and all moves since. The memory is (place, 1)."""

    memory_dim = 2

    def __init__(self, moves):
        super().__init__()
        self.register_buffer("moves", torch.tensor(moves))

    def features(self, obs):
        return obs.flatten(1).float()

    def remember(self, features, actions, memory):
        memories = []
        for t in range(features.shape[1]):
            moved = memory[:, :1] + actions[:, t] @ self.moves
            place = torch.where(memory[:, 1:] > 0, moved, features[:, t])
            memory = torch.cat([place, torch.ones_like(place)], dim=1)
            memories.append(memory)
        memories = torch.stack(memories, dim=1)
        return memories[..., :1], memories

    def forward(self, obs):
        return self.features(obs)


class OneHot(nn.Module):
    def forward(self, actions):
        return nn.functional.one_hot(actions, 3).float()

    def to_env(self, actions):
        return actions.argmax(-1)


class DarkWorlds(LineWorlds):
    """After the first step nothing is seen but a 0."""

    def observe(self):
        return super().observe() * (self.steps_taken == 0)


@dataclass(frozen=True, kw_only=True)
class DarkLine(LineTask):
    def batch(self, starts):
        return DarkWorlds(starts, np.array(self.moves), self.hurdle)


def _traveller(*ratios, remembers=True):
    levels = line_stack(*ratios)
    levels[0].action_encoder = OneHot()
    if remembers:
        levels[0].encoder = Reckoning(LineTask().moves)
        levels[0].memory_dim = 2
    configs = line_configs(len(levels))
    return Agent(levels=levels, configs=configs, energy="distance", settings=AgentConfig())


@pytest.mark.parametrize(
    ("ratios", "remembers"), [((), True), ((3,), True), ((3, 2), True), ((), False)]
)
def test_who_remembers_finds_the_way_in_the_dark(ratios, remembers):
    """Seven steps away; who does not remember believes to be at 0 from the second on."""
    agent = _traveller(*ratios, remembers=remembers)
    states = walk(agent, DarkLine(), positions(9, -9), positions(2, -2), 7).states
    arrived = (states[-1] == positions(2, -2)).all(axis=1)
    assert arrived.tolist() == [remembers, remembers]


def test_energies_of_a_recording_are_of_what_the_agent_remembered():
    agent = replace(_traveller(), settings=AgentConfig(feedback=0))
    found = run_agent(
        agent,
        DarkLine(),
        positions(1, 5, 4),
        positions(11, 5, 0),
        np.full(3, 40),
        generator=noise(),
        keep_plans=3,
    )
    assert found.success.all()
    energies = [[plan.energies for plan in found.recordings[e].plans] for e in range(3)]
    assert energies[0] == [[10, 9, 8, 7], [7, 6, 5, 4], [4, 3, 2, 1], [1, 0]]
    assert energies[1:] == [[], [[4, 3, 2, 1], [1, 0]]]
