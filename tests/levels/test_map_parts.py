"""Parts that read a map: where the agent is, what is around it, how it moves, how far it has."""

import numpy as np
import pytest
import torch

from hplan.level import LevelSpec
from levels.map_distance import FARTHEST, GAIN, MapDistance
from levels.map_encoder import (
    NUM_LOOKS,
    SCALE,
    Latent,
    MapEncoder,
    MapMacroActions,
    MapPredictor,
    MapPrior,
    _shifts,
    latent_size,
)
from tasks import build_task
from tasks.oracle import optimal_steps_to_cell

B, N, A = 5, 3, 2
WORLD = build_task("rooms-tiny", 0).world
OBS = torch.from_numpy(WORLD.frames())
SHAPE = tuple(OBS.shape[1:])
SIZE = latent_size(*SHAPE[:2])


def spec(*, stride: int = 1, latent_dim: int = SIZE) -> LevelSpec:
    return LevelSpec(
        obs_shape=SHAPE,
        num_values=(11, 6, 4),
        action_low=(),
        action_high=(),
        ratio=stride,
        stride=stride,
        below_dim=SIZE,
        below_action_dim=A,
        latent_dim=latent_dim,
        action_dim=A,
        hidden_dim=17,
        num_hidden=1,
        sample_obs=OBS,
    )


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return MapEncoder(spec())(OBS)


def test_the_keypoint_is_the_agent_and_the_map_is_the_walls(latents):
    at = Latent.of(latents, SHAPE)
    x, y, _ = WORLD.all_states.T
    assert np.array_equal(at.x.argmax(-1), x) and np.array_equal(at.y.argmax(-1), y)
    assert at.x.max(-1).values.min() > 0.99 * SCALE
    walls = torch.from_numpy(WORLD.walls.T.reshape(-1).astype(np.float32))
    assert torch.equal(at.map, walls.expand_as(at.map))


def test_looks_tell_headings_apart_and_nothing_else(latents):
    looks = Latent.of(latents, SHAPE).looks
    heading = torch.from_numpy(WORLD.all_states[:, 2])
    mean = torch.stack([looks[heading == h].mean(0) for h in range(4)])
    apart = torch.cdist(mean, mean)[~torch.eye(4, dtype=torch.bool)]
    assert (looks - mean[heading]).abs().max() < 0.01 * apart.min()


def test_latent_dim_must_fit_the_grid():
    for part in (MapEncoder, MapPredictor, MapPrior, MapDistance):
        with pytest.raises(ValueError, match=rf"latent_dim = 64 .* needs {SIZE}"):
            part(spec(latent_dim=64))


def test_around_is_the_map_shifted_and_wall_beyond_the_grid(latents):
    radius = 3
    seen = Latent.of(latents, SHAPE).around(radius).view(-1, 2 * radius + 1, 2 * radius + 1)
    padded = np.pad(WORLD.walls.T, radius, constant_values=True)
    for state in (0, 7, WORLD.num_states - 1):
        x, y, _ = WORLD.all_states[state]
        expected = padded[x : x + 2 * radius + 1, y : y + 2 * radius + 1]
        assert np.allclose(seen[state], expected, atol=1e-3)


def test_what_is_predicted_at_one_place_is_predicted_at_another(latents):
    """Same surroundings, same move: the one property that carries to layouts never seen."""
    torch.manual_seed(0)
    predictor = MapPredictor(spec())
    around = Latent.of(latents, SHAPE).around(predictor.radius).round()
    looks = Latent.of(latents, SHAPE).looks
    alike = (torch.cdist(around, around) < 0.1) & (torch.cdist(looks, looks) < 1e-3)
    first, second = np.argwhere(np.triu(alike.numpy(), 1))[0]
    action = torch.randn(A)
    with torch.no_grad():
        moved = [predictor(latents[i], action) for i in (first, second)]
    shift = WORLD.all_states[second] - WORLD.all_states[first]
    parts = [Latent.of(z, SHAPE) for z in moved]
    for axis, cells in (("x", shift[0]), ("y", shift[1])):
        one, other = (getattr(part, axis) for part in parts)
        assert torch.allclose(one.roll(int(cells)), other, atol=1e-3)
    assert torch.equal(parts[0].map, parts[1].map)


def test_a_predictor_can_shift_by_what_its_stride_allows(latents):
    predictor = MapPredictor(spec(stride=2))
    last = predictor.mlp[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        last.bias[3] = last.bias[predictor.shifts + 0] = 50.0  # + 1 across, - 2 along
        at = Latent.of(predictor(latents, torch.zeros(len(latents), A)), SHAPE)
    x, y, _ = WORLD.all_states.T
    inside = y >= 2
    assert np.array_equal(at.x.argmax(-1), x + 1)
    assert np.array_equal(at.y.argmax(-1)[inside], (y - 2)[inside])


def test_macro_actions_and_prior_see_the_map(latents):
    torch.manual_seed(0)
    encoder, prior = MapMacroActions(spec(stride=2)), MapPrior(spec(stride=2))
    z = latents[:B]
    mean, std = encoder(torch.randn(B, 2, A), z)
    assert mean.shape == std.shape == (B, A) and (std > 0).all()
    assert prior(z)[0].shape == (B, A)
    other = z.clone()
    other[:, -SHAPE[0] * SHAPE[1] :] = 0.0
    assert (prior(z)[0] - prior(other)[0]).abs().max() > 1e-3


def known_costs() -> MapDistance:
    """A distance that has learned: a wall costs much, the rest one, so does a turn."""
    net = MapDistance(spec())
    ahead = [(2, 1), (1, 2), (0, 1), (1, 0)]  # of a 3 x 3 patch indexed [x, y]
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        for h, (i, j) in enumerate(ahead):
            net.cost[0].weight[h, 0, i, j] = 100.0
            net.cost[2].weight[h, h] = 1.0
        one = float(np.log(np.expm1(0.25)))  # 4 * softplus(one) is 1
        net.cost[2].bias.fill_(one / GAIN)
        net.turn.fill_(float(np.log(np.expm1(0.5))) / GAIN)
        net.here.weight[:4, :4] = torch.eye(4) * 10
    return net


def test_with_the_true_costs_it_is_the_true_distance(latents):
    net = known_costs()
    heading = torch.nn.functional.one_hot(torch.from_numpy(WORLD.all_states[:, 2]), NUM_LOOKS)
    begin = SHAPE[0] + SHAPE[1]
    z = torch.cat([latents[:, :begin], heading.float(), latents[:, begin + NUM_LOOKS :]], dim=1)
    goals = np.arange(0, WORLD.num_states, 53)
    with torch.no_grad():
        found = net.all_steps(z, z[goals])
    for column, goal in enumerate(goals):
        cell = tuple(WORLD.all_states[goal, :2])
        assert np.allclose(found[:, column], optimal_steps_to_cell(WORLD, cell), atol=0.2)


def test_all_steps_are_the_steps_of_each_pair_and_of_another_map_far(latents):
    torch.manual_seed(0)
    net = MapDistance(spec())
    z, goals = latents[:B], latents[40 : 40 + N]
    with torch.no_grad():
        every = net.all_steps(z, goals)
        single = net.steps(z.unsqueeze(1), goals.unsqueeze(0))
        assert torch.allclose(every, single, atol=1e-2)
        assert every.max() < 2 * FARTHEST, "the same map was taken for another"
        elsewhere = goals.clone()
        elsewhere[:, -SHAPE[0] * SHAPE[1] :] = 1.0
        assert (net.all_steps(z, elsewhere) > FARTHEST).all()


def test_kept_values_are_those_of_the_weights_that_planning_has(latents):
    torch.manual_seed(0)
    net = MapDistance(spec())
    z, goal = latents[:B], latents[:1]
    with torch.no_grad():
        first = net.steps(z, goal)
        assert torch.equal(first, net.steps(z, goal))
        net.turn.add_(1.0)
        assert (net.steps(z, goal) - first).abs().max() > 0.1, "values of old weights were used"


def test_a_stack_learns_after_a_search_has_used_it(latents):
    net = MapPredictor(spec(stride=3))
    _shifts.cache_clear()
    with torch.inference_mode():
        net(latents[:B], torch.zeros(B, A))
    net(latents[:B], torch.zeros(B, A)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_values_kept_on_one_device_are_not_compared_on_another(latents):
    net = MapDistance(spec())
    with torch.no_grad():
        net.steps(latents[:B], latents[:1])
        elsewhere = net.to("meta").steps(latents[:B].to("meta"), latents[:1].to("meta"))
    assert elsewhere.shape == (B,)


def test_steps_give_costs_a_gradient(latents):
    torch.manual_seed(0)
    net = MapDistance(spec(stride=5))
    net.steps(latents[:B], latents[9]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert net.turn.grad != 0 and net.cost[0].weight.grad.abs().max() > 0
