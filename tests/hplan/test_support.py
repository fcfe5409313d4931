"""Supports of macro-actions against brute force, and how far from real ones a macro-action lies."""

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from hplan.level import BANK_SIZE
from hplan.level_config import PlannerConfig
from hplan.support import Support, build_support, support_percentile
from tests.hplan.dot_walks import bare_level, small_stack
from tests.hplan.line_world import Prior, line_level

B, H, N, D, A = 2, 5, 11, 7, 3
NAMES = ("prior", "bank", "box", "free")


def _level(bank=None):
    """A level of macro-actions, unmeasured without a `bank`."""
    level = line_level(
        encoder=nn.Identity(),
        predictor=nn.Identity(),
        latent_dim=D,
        prior=Prior(A, mean=2.0, std=3.0),
    )
    if bank is not None:
        level.bank.copy_(bank)
        level.bank_gaps.copy_(torch.linspace(0, 1, 101))
        level.is_bank_measured.fill_(True)
    return level


def _bank(seed=0):
    """Correlated macro-actions of unequal scales, far from zero."""
    rows = torch.randn(BANK_SIZE, A, generator=torch.Generator().manual_seed(seed))
    return rows @ torch.tensor([[1.0, 0.5, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.1]]) + 9.0


def _built(name, bank=None, **options):
    return build_support(_level(bank), PlannerConfig(support=name, support_options=options))


def _standard(bank):
    return (bank - bank.mean(0)) / bank.std(0)


@pytest.mark.parametrize("name", NAMES)
def test_a_support_keeps_what_it_allows(name):
    support, x = _built(name, _bank()), 3 * torch.randn(B, N, A)
    assert isinstance(support, Support) and support.action_dim == A
    once = support.project(x)
    assert once.shape == x.shape
    torch.testing.assert_close(support.project(once), once)
    assert support.macro_action(torch.zeros(B, N, D), once).shape == x.shape
    assert torch.equal(support.project(x[1, 3]), once[1, 3]), "one alone is as one of many"


def test_the_prior_is_searched_in_its_noise_up_to_a_bound():
    support, x = _built("prior"), torch.tensor([[-9.0, 0.5, 9.0], [2.4, 2.6, -2.5]])
    allowed = torch.tensor([[-2.5, 0.5, 2.5], [2.4, 2.5, -2.5]])
    assert torch.equal(support.project(x), allowed)
    assert torch.equal(support.macro_action(torch.zeros(2, D), allowed), 2.0 + 3.0 * allowed)


@pytest.mark.parametrize("residual", [0.0, 0.2, None])
def test_the_bank_moves_what_is_far_towards_the_nearest_real_one(residual):
    bank = _bank()
    options = {} if residual is None else {"residual": residual}
    support, x = _built("bank", bank, **options), 2 * torch.randn(N, H, A)
    residual = 0.5 if residual is None else residual
    found = support.project(x)
    for point, moved in zip(x.flatten(0, 1), found.flatten(0, 1), strict=True):
        gaps = (_standard(bank) - point).norm(dim=-1)
        entry = _standard(bank)[gaps.argmin()]
        share = min(1.0, residual / gaps.min().item())
        torch.testing.assert_close(moved, entry + share * (point - entry), rtol=1e-4, atol=1e-4)
    every = (found.flatten(0, 1).unsqueeze(1) - _standard(bank)).norm(dim=-1)
    assert every.amin(-1).max() <= residual + 1e-3
    assert (found != x).any() and (residual == 0 or (found - x).abs().amin() < 1e-6)


def test_an_entry_of_the_bank_stands_for_itself():
    bank = _bank()
    for name in ("bank", "free"):
        support = _built(name, bank, **({"residual": 0.0} if name == "bank" else {}))
        x = support.project(_standard(bank))
        torch.testing.assert_close(
            support.macro_action(torch.zeros(BANK_SIZE, D), x), bank, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(("percentile", "share"), [(None, 0.98), (75.0, 0.75), (100.0, 1.0)])
def test_the_box_ends_at_percentiles_of_each_dimension(percentile, share):
    # Each dimension runs through its values evenly, so that a percentile is a share of its length.
    places = torch.stack([torch.randperm(BANK_SIZE) / (BANK_SIZE - 1) for _ in range(A)], dim=1)
    bank = torch.tensor([-1.0, 0.0, 5.0]) + torch.tensor([2.0, 11.0, 0.1]) * places
    support = _built("box", bank, **({} if percentile is None else {"percentile": percentile}))
    z = torch.zeros(1, D)
    for sign, place in ((1, share), (-1, 1 - share)):
        corner = support.macro_action(z, support.project(torch.full((1, A), sign * 99.0)))
        expected = torch.tensor([-1.0, 0.0, 5.0]) + torch.tensor([2.0, 11.0, 0.1]) * place
        torch.testing.assert_close(corner[0], expected, rtol=1e-4, atol=1e-4)
    inside = torch.tensor([[0.1, -0.3, 0.7]])
    assert torch.equal(support.project(inside), inside)


def test_free_leaves_everything_alone():
    bank = _bank()
    support, x = _built("free", bank), 99 * torch.randn(N, A)
    assert torch.equal(support.project(x), x)
    found = support.macro_action(torch.zeros(N, D), x)
    torch.testing.assert_close(found, bank.mean(0) + bank.std(0) * x)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("prior", {"residual": 0.5}, "allowed: none"),
        ("bank", {"percentile": 98.0}, "allowed: residual"),
        ("box", {"residual": 0.5}, "allowed: percentile"),
        ("free", {"typo": 1.0}, "allowed: none"),
        ("bank", {"residual": -0.1}, "allowed is 0 or more"),
        ("box", {"percentile": 50.0}, "allowed is above 50"),
        ("box", {"percentile": float("nan")}, "allowed is above 50"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, words):
    with pytest.raises(ValueError) as error:
        _built(name, _bank(), **options)
    (option,) = options
    assert str(error.value).startswith(f"planner.support_options.{option} = {options[option]}")
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["bank", "box", "free"])
def test_without_a_measured_bank_only_the_prior_will_do(name):
    assert _built("prior").action_dim == A
    with pytest.raises(ValueError, match=f"planner.support = '{name}' needs .*; train again"):
        _built(name)


def test_a_percentile_is_read_between_the_measured_ones():
    # One real macro-action, and std of 1: the distance of others is known, and so is the rest.
    level = _level(torch.zeros(BANK_SIZE, A))
    level.bank[0], level.bank[1] = 16.0, -16.0  # 512 entries: variance (2 x 256) / 511, about 1
    level.bank_gaps.copy_(torch.linspace(0, 2, 101))
    std = level.bank.std(0)[0]
    away = torch.tensor([[0.0, 0.5, 1.0, 1.23, 2.0], [3.0, 1e6, 0.011, 1.999, 0.02]])
    macro_actions = torch.zeros(B, H, A)
    macro_actions[..., 1] = away * std
    found = support_percentile(level, macro_actions)
    torch.testing.assert_close(found, (50 * away).clamp(max=100.0), rtol=1e-4, atol=1e-3)


def test_distances_of_real_ones_that_are_all_alike_tell_inside_from_outside():
    level = _level(torch.zeros(BANK_SIZE, A))
    level.bank_gaps.zero_()
    found = support_percentile(level, torch.tensor([[[0.0] * A, [1.0] * A]]))
    assert found.tolist() == [[0.0, 100.0]]


def test_levels_without_a_bank_know_no_percentile():
    for level in (_level(), bare_level()):
        assert support_percentile(level, torch.zeros(B, H, A)).isnan().all()


def test_a_saved_stack_has_its_banks_again():
    (bottom, top), _ = small_stack(2)
    assert bottom.bank.numel() == 0 and top.bank.shape[0] == BANK_SIZE
    top.bank.normal_()
    top.bank_gaps.copy_(torch.linspace(1, 2, 101))
    top.is_bank_measured.fill_(True)
    fresh, _ = small_stack(2)
    saved = nn.ModuleList([bottom, top]).state_dict()
    fresh.load_state_dict(load(save(saved)))
    for name, value in saved.items():
        assert torch.equal(fresh.state_dict()[name], value)
    assert [bool(level.is_bank_measured) for level in fresh] == [False, True]
