"""An environment of anybody's through the real commands, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

ENV = "MountainCar-v0"
SETTINGS = """
task: {name: "gym:MountainCar-v0", goal_offset: 12}
data: {num_episodes: 60, episode_length: 60}
hierarchy: {num_levels: 2}
"""
POLICY = """
class Right:
    def __init__(self, observation_space, action_space, seed):
        self.seed = seed

    def __call__(self, observation):
        return ACTION


class Mixed(Right):
    def __call__(self, observation):
        self.seed = (16807 * self.seed) % 2147483647
        return self.seed // 1000 % 3
"""


def hplan(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hplan", *arguments],
        cwd=folder,
        env={**os.environ, "MINARI_DATASETS_PATH": str(folder / "minari")},
        capture_output=True,
        text=True,
        timeout=250,
    )


def results(folder: Path) -> dict:
    (path,) = (folder / "runs").glob("*/eval/*/results.json")
    return json.loads(path.read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SETTINGS)
    (tmp_path / "my_policy.py").write_text(POLICY.replace("ACTION", "2"))
    return tmp_path


@pytest.mark.slow
def test_one_collects_with_a_policy_of_ones_own_and_trains(folder: Path) -> None:
    both = ["--config", "tiny", "--config", "small.yaml", "--data.policy", "my_policy.Mixed"]
    collected = hplan(folder, "collect", *both)
    assert collected.returncode == 0, collected.stderr
    assert "60 episodes, 3600 env steps" in collected.stdout + collected.stderr
    trained = hplan(folder, "train", *both)
    assert trained.returncode == 0, trained.stderr
    assert "oracle: left out" in trained.stdout + trained.stderr
    found = results(folder)
    assert "standard deviations of the data" in found["protocol"]["success_rule"]
    assert "upper bound" in found["protocol"]["optimal_steps"]
    methods = {row["method"] for row in found["rows"]}
    assert "hierarchical" in methods and "flat" in methods and "oracle" not in methods


@pytest.mark.slow
def test_a_bad_policy_is_one_line_and_exit_code_2(folder: Path) -> None:
    (folder / "my_policy.py").write_text(POLICY.replace("ACTION", "7"))
    both = ["--config", "tiny", "--config", "small.yaml", "--data.policy", "my_policy.Right"]
    stopped = hplan(folder, "collect", *both)
    assert stopped.returncode == 2
    (line,) = stopped.stderr.strip().splitlines()[-1:]
    assert (
        "gym:MountainCar-v0" in line and "the action 7, outside Discrete(3), at env step 1" in line
    )


def _minari_dataset(dataset_id: str) -> None:
    """Episodes of a car pushed at random, as somebody else would have collected them."""
    env, random = gym.make(ENV), np.random.default_rng(0)
    buffers = []
    for episode in range(40):
        seen, actions = [env.reset(seed=episode)[0]], []
        while len(actions) < 60:
            actions.append(random.integers(3))
            seen.append(env.step(actions[-1])[0])
        over = np.arange(1, 61) == 60
        buffers.append(
            EpisodeBuffer(
                id=episode,
                seed=episode,
                observations=np.stack(seen),
                actions=np.array(actions),
                rewards=-np.ones(60),
                terminations=np.zeros(60, bool),
                truncations=over,
            )
        )
    minari.create_dataset_from_buffers(
        dataset_id,
        buffers,
        env=ENV,
        eval_env=ENV,
        algorithm_name="random",
        description="random pushes",
        author="somebody",
        author_email="somebody@example.org",
        code_permalink="https://example.org",
    )


@pytest.mark.slow
def test_a_minari_dataset_of_somebody_else_is_trained_on_as_it_is(folder: Path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
    _minari_dataset("test/car-v0")
    both = ["--config", "tiny", "--config", "small.yaml", "--data.minari", "test/car-v0"]
    trained = hplan(folder, "train", *both)
    assert trained.returncode == 0, trained.stderr
    found = results(folder)
    assert "upper bound" in found["protocol"]["optimal_steps"]
    assert {row["method"] for row in found["rows"]} >= {"hierarchical", "flat"}
    refused = hplan(folder, "train", *both, "--task", "gym:Acrobot-v1", "--run", "other")
    assert refused.returncode == 2
    (line,) = refused.stderr.strip().splitlines()[-1:]
    assert "minari-test-car-v0" in line and "gym:Acrobot-v1" in line
