"""Clips: what is drawn is what happened, and depends on seed and update alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hplan.data import ClipSampler, ClipStream, check_clips
from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.level_config import LevelConfig, LossConfig, ModelConfig

E, T, B, G, CLIP = 13, 23, 6, 5, 7
"""Episodes, their longest, clips, goals, env steps of a clip (B divides by 2 and 3 processes)."""
BASE, NUM_ACTIONS = 29, 11


def _store():
    """Every step of every episode has a frame of its own, which says which; lengths differ."""
    episode, step = np.meshgrid(np.arange(E), np.arange(T + 1), indexing="ij")
    frames = np.stack([episode, step], axis=-1).reshape(-1, 1, 1, 2).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(frames))
    index = np.empty(len(frames), np.int32)
    index[order] = np.arange(len(frames))
    lengths = np.array([CLIP - 1, CLIP, T] + [CLIP + e for e in range(E - 3)])
    return EpisodeStore(
        frames=frames[order],
        frame_index=index.reshape(E, T + 1),
        actions=((episode + 3 * step) % NUM_ACTIONS)[:, :-1].astype(np.int8),
        lengths=lengths,
        spec=ObservationSpec(shape=(1, 1, 2), num_values=(BASE, BASE), num_actions=NUM_ACTIONS),
    )


def _sampler(seed=0, **changes):
    settings = {"batch_size": B, "clip_length": CLIP, "num_goals": G, "seed": seed, **changes}
    return ClipSampler(_store(), **settings)


def _seen(batch):
    """(B, T + 1, 2) and (G, 2): episode and step of every observation of clips and goals."""
    frames = batch.frames[:, 0, 0].long()
    return frames[batch.index], frames[batch.goals]


def _same(a, b):
    return all(
        torch.equal(x, y)
        for x, y in zip(_seen(a) + (a.actions,), _seen(b) + (b.actions,), strict=True)
    )


def test_clips_are_successive_steps_of_one_episode_with_their_actions():
    store = _store()
    for update in range(20):
        batch = _sampler().draw(update)
        seen, goals = _seen(batch)
        episode, step = seen[..., 0], seen[..., 1]
        assert batch.index.shape == (B, CLIP + 1) and batch.goals.shape == (G,)
        assert torch.all(episode == episode[:, :1])
        assert torch.equal(step, step[:, :1] + torch.arange(CLIP + 1))
        assert torch.equal(batch.actions, ((episode + 3 * step) % NUM_ACTIONS)[:, :-1])
        lengths = torch.from_numpy(store.lengths)
        assert torch.all(step[:, -1] <= lengths[episode[:, 0]]), "no padding in clips"
        assert torch.all(goals[..., 1] <= lengths[goals[..., 0]]), "no padding in goals"


def test_each_observation_is_held_once():
    batch = _sampler(batch_size=101).draw(0)
    assert len(torch.unique(batch.frames, dim=0)) == len(batch.frames)
    assert len(batch.frames) < batch.index.numel()
    used = torch.unique(torch.cat([batch.index.flatten(), batch.goals.flatten()]))
    assert torch.equal(used, torch.arange(len(batch.frames)))


def test_every_start_and_every_goal_is_drawn():
    store, starts, goals = _store(), set(), set()
    for update in range(40):
        seen, other = _seen(_sampler(batch_size=101, num_goals=103).draw(update))
        starts |= {tuple(pair) for pair in seen[:, 0].tolist()}
        goals |= {tuple(pair) for pair in other.tolist()}
    lengths = list(enumerate(store.lengths))
    assert starts == {(e, t) for e, length in lengths for t in range(length - CLIP + 1)}
    assert goals == {(e, t) for e, length in lengths for t in range(length + 1)}


def test_a_batch_depends_on_seed_and_update_alone():
    sampler = _sampler()
    forwards = [sampler.draw(update) for update in range(4)]
    backwards = [_sampler().draw(update) for update in reversed(range(4))][::-1]
    assert all(_same(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not _same(forwards[0], forwards[1])
    assert not _same(forwards[0], _sampler(seed=1).draw(0))


def test_a_stream_goes_on_where_it_stopped():
    whole = list(ClipStream(_sampler(), first=0, last=5))
    rest = list(ClipStream(_sampler(), first=3, last=5))
    assert len(whole) == 5 and len(rest) == 2
    assert all(_same(a, b) for a, b in zip(whole[3:], rest, strict=True))


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_share_one_batch_between_them(monkeypatch, num_processes):
    whole = _sampler().draw(3)
    monkeypatch.setattr("hplan.data.world_size", lambda: num_processes)
    shares = []
    for process in range(num_processes):
        monkeypatch.setattr("hplan.data.rank", lambda process=process: process)
        shares.append(_sampler().draw(3))
    assert all(len(share.index) == B // num_processes for share in shares)
    assert torch.equal(torch.cat([_seen(share)[0] for share in shares]), _seen(whole)[0])
    assert all(torch.equal(_seen(share)[1], _seen(whole)[1]) for share in shares), "all goals"
    assert torch.equal(torch.cat([share.actions for share in shares]), whole.actions)


def _levels(*ratios, depth=2, backup=1):
    loss = LossConfig(rollout_depth=depth, distance_backup=backup)
    return [LevelConfig(model=ModelConfig(ratio=ratio), loss=loss) for ratio in ratios]


def test_clips_that_are_just_long_enough_pass():
    check_clips(_store(), _levels(1, 3, depth=2), CLIP - 1)
    check_clips(_store(), _levels(1, 3, depth=2), 6)


@pytest.mark.parametrize(
    ("levels", "clip_length", "expected"),
    [
        (
            _levels(1, 5, 2),
            20,
            # 20 env steps: two steps of 10; one of 13 episodes is that long.
            "level 2 needs clips of 21 observations (2 steps of 10 env steps); 8% of your episodes "
            "are that long; the environment ends most of them by itself, whatever "
            "data.episode_length is; give a policy that keeps them going (data.policy), or lower "
            "its ratio, rollout_depth or distance_backup",
        ),
        (
            _levels(1, 3),
            5,
            "training.clip_length = 5; level 1 needs clips of at least 6 env steps (2 steps of 3); "
            "raise it, or lower the level's ratio, rollout_depth or distance_backup",
        ),
        (
            _levels(1, 2, backup=4),
            7,
            "training.clip_length = 7; level 1 needs clips of at least 8 env steps (4 steps of 2); "
            "raise it, or lower the level's ratio, rollout_depth or distance_backup",
        ),
        (
            _levels(1),
            T + 1,
            f"training.clip_length = {T + 1}; the longest episode has {T} env steps; collect "
            "longer episodes, or lower clip_length",
        ),
    ],
)
def test_clips_too_short_for_the_depth_are_refused(levels, clip_length, expected):
    with pytest.raises(ValueError) as error:
        check_clips(_store(), levels, clip_length)
    assert str(error.value) == expected


def test_episodes_of_one_length_are_as_long_as_was_asked():
    store = replace(_store(), lengths=np.full(E, CLIP))
    with pytest.raises(ValueError, match=r"0% of your .*; collect longer episodes \(data.episode_"):
        check_clips(store, _levels(1, 5, 2), 20)


def test_clips_around_steps_hold_the_first_and_last_steps_more_often():
    held = {}
    for evenly in ("starts", "steps"):
        sampler = _sampler(evenly=evenly, batch_size=600)
        clips = torch.cat([_seen(sampler.draw(update))[0] for update in range(5)])
        longest = clips[clips[:, 0, 0] == 2]  # the episode of T steps
        held[evenly] = torch.bincount(longest[..., 1].flatten(), minlength=T + 1).float()
    shares = {evenly: counts / counts.max() for evenly, counts in held.items()}
    assert shares["starts"][[0, -1]].max() < 0.2, "only the clips that begin there"
    assert shares["steps"][[0, -1]].min() > 0.25
