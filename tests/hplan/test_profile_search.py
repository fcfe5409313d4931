"""The profile: what ran, the longest first, and the share of the matrix products."""

import pytest
import torch

from hplan import profile_search
from hplan.profile_search import MATRIX_PRODUCTS, Profile, profile_planning
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task


def test_a_profile_names_what_ran_the_longest_first(monkeypatch):
    monkeypatch.setattr(profile_search, "EPISODES_PER_BIN", 1)
    monkeypatch.setattr(profile_search, "NUM_STEPS", 1)
    config, threads = tiny_config(2), torch.get_num_threads()
    levels = tiny_stack(config, num_updates=0)
    profile = profile_planning(levels, config, tiny_task(config), fresh=True)
    seconds = [seconds for _, seconds, _ in profile.functions]
    assert seconds == sorted(seconds, reverse=True)
    names = [name for name, _, _ in profile.functions]
    assert "linear" in names and any(name.endswith(" plan_level") for name in names)
    assert profile.share(MATRIX_PRODUCTS) > 0
    assert torch.get_num_threads() == threads


def test_the_share_of_a_group_of_functions():
    functions = [("linear", 5.0, 2), ("hplan/agent.py:3 act", 4.0, 1), ("baddbmm", 1.0, 3)]
    profile = Profile(seconds=8.0, functions=functions)  # the profiler itself took 2
    assert profile.share(MATRIX_PRODUCTS) == pytest.approx(0.75)
