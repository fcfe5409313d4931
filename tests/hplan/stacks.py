"""Small stacks of the real parts on the smallest world of rooms, untrained or briefly trained."""

import copy

import torch
from torch import nn

from hplan.arguments import read_arguments
from hplan.command_line import read_config
from hplan.config import Config
from hplan.data import ClipSampler
from hplan.level_config import level_configs
from hplan.objective import distances_loss, encode_clips, stack_loss
from hplan.suited import suited
from levels.build import build_levels
from tasks import Task, build_task
from tasks.collect import collect


def tiny_config(num_levels: int, settings: str = "") -> Config:
    config = read_config(read_arguments(f"--config tiny --levels {num_levels} {settings}".split()))
    return suited(config, tiny_task(config).spec)


def tiny_task(config: Config) -> Task:
    return build_task(config.task.name, config.task.layout_seed)


def tiny_stack(config: Config, *, num_updates: int) -> nn.ModuleList:
    """A stack after so many updates, its unit of surprise measured as a validation does."""
    configs, task = level_configs(config.hierarchy), tiny_task(config)
    store = collect(task, num_episodes=60, episode_length=60, seed=0)
    torch.manual_seed(config.seed)
    levels = build_levels(configs, task.spec, sample_obs=torch.from_numpy(store.frames))
    targets = nn.ModuleList(copy.deepcopy(level.distance) for level in levels)
    optimiser = torch.optim.AdamW(levels.parameters(), lr=3e-3)
    sampler = ClipSampler(store, batch_size=16, clip_length=30, num_goals=32, seed=0)
    generator = torch.Generator().manual_seed(0)
    for update in range(num_updates):
        batch = sampler.draw(update)
        loss, _ = stack_loss(levels, configs, batch, generator)
        of_distances, _ = distances_loss(levels, targets, configs, batch, generator)
        optimiser.zero_grad()
        (loss + of_distances).backward()
        optimiser.step()
    with torch.no_grad():
        clips = encode_clips(levels, configs, sampler.draw(num_updates), generator)
        for level, at_level in zip(levels, clips, strict=True):
            change = at_level.z[:, level.stride :] - at_level.z[:, : -level.stride]
            level.move.copy_(change.square().mean())
    return levels.eval().requires_grad_(False)
