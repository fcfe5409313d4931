"""Walks of a dot on a torus, a small stack that learns them, and levels with nothing inside."""

import numpy as np
import torch
from torch import nn

from hplan.data import ClipSampler
from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.level import Level
from hplan.level_config import HierarchyConfig, LevelConfig, LossConfig, ModelConfig, level_configs
from hplan.objective import EncodedClips
from levels.build import build_levels

B, H, NUM_ACTIONS, D, A, S, G, T, WIDTH, HEIGHT = 2, 3, 5, 7, 11, 13, 19, 29, 17, 23
"""Clips, rollout depth, actions, latent, macro-action, starts, goals, env steps, the world."""
RATIOS = [1, 3, 2]
SPEC = ObservationSpec(shape=(WIDTH, HEIGHT, 1), num_values=(2,), num_actions=NUM_ACTIONS)
MOVES = np.array([[1, 0], [0, 1], [0, 0], [-1, 0], [0, -1]])
REMEMBERING = {"model.encoder": ["recurrent", "mlp"]}  # overrides: a bottom with a memory


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def dot_walks():
    """Random walks of a dot on a torus."""
    random = np.random.default_rng(0)
    actions = random.integers(NUM_ACTIONS, size=(31, 2 * T))
    start = random.integers((WIDTH, HEIGHT), size=(31, 1, 2))
    places = (np.concatenate([start, start + MOVES[actions].cumsum(1)], 1)) % (WIDTH, HEIGHT)
    frames = np.eye(WIDTH * HEIGHT, dtype=np.uint8).reshape(-1, WIDTH, HEIGHT, 1)
    store = EpisodeStore(
        frames=frames,
        frame_index=(places[..., 0] * HEIGHT + places[..., 1]).astype(np.int32),
        actions=actions.astype(np.int8),
        lengths=np.full(31, 2 * T),
        spec=SPEC,
    )
    return ClipSampler(store, batch_size=B, clip_length=T, num_goals=G, seed=0).draw(0)


def small_configs(num_levels, **overrides):
    template = LevelConfig(
        model=ModelConfig(latent_dim=D, action_dim=A, hidden_dim=61, num_hidden=1),
        loss=LossConfig(rollout_depth=H, num_starts=S),
    )
    paths = {
        "model.ratio": RATIOS,
        "model.encoder": ["axial", "mlp"],
        "model.action_encoder": ["one_hot", "gaussian"],
        "model.predictor": ["residual_mlp"],
        **overrides,
    }
    return level_configs(HierarchyConfig(num_levels=num_levels, level=template, overrides=paths))


def small_stack(num_levels, **overrides):
    torch.manual_seed(0)
    configs = small_configs(num_levels, **overrides)
    return build_levels(configs, SPEC, dot_walks().frames), configs


class Between(nn.Module):
    """A distance that is a multiple of the squared difference."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def steps(self, z, goal):
        return self.weight * (z - goal).square().sum(-1)

    def all_steps(self, z, goals):
        return self.steps(z.unsqueeze(1), goals)


class Constant(nn.Module):
    """A distance of so many steps wherever; it remembers what it was asked."""

    def __init__(self, num_steps):
        super().__init__()
        self.num_steps = nn.Parameter(torch.tensor(num_steps))

    def all_steps(self, z, goals):
        self.asked = (z, goals)
        return self.num_steps.expand(len(z), len(goals))


def bare_level(stride=1, predictor=None, distance=None):
    nothing = nn.Identity()
    return Level(
        encoder=nothing,
        action_encoder=nothing,
        action_prior=None,
        predictor=predictor or nothing,
        distance=distance or nothing,
        inverse=None,
        ratio=stride,
        stride=stride,
        latent_dim=D,
        action_dim=2,
        num_actions=0,
        rollout_depth=H,
    )


def clips_of(z, action=None, goals=None, **distribution):
    width = z.shape[-1]
    return EncodedClips(
        z=z,
        goals=torch.zeros(G, width) if goals is None else goals,
        action=torch.zeros(len(z), z.shape[1] - 1, A) if action is None else action,
        **{"action_mean": None, "action_std": None, **distribution},
    )
