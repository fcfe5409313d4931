"""Closed forms, limits and a direct computation of the regularisers."""

import math

import networkx as nx
import pytest
import torch

from hplan.regularisers import CodingRate, SIGReg, VICReg, build_regulariser

M, D, P, KNOTS = 23, 5, 3, 7
"""Latents, their width, projections, knots."""
NUM_ROWS = 60


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _normal(num_rows, width, seed=1):
    return torch.randn(num_rows, width, generator=_generator(seed), dtype=torch.float64)


def _whitened(std):
    """(M, D) whose covariance (over M, not M - 1) is exactly std^2 times the identity."""
    z = _normal(M, D)
    z = z - z.mean(0)
    root = torch.linalg.cholesky(z.T @ z / M)
    return std * torch.linalg.solve_triangular(root, z.T, upper=False).T


class Halved:
    """A regulariser of one's own."""

    def __init__(self, *, factor: float = 1.0) -> None:
        self.factor = factor

    def __call__(self, z, generator):
        return {"own_loss": self.factor * z.square().mean()}


@pytest.mark.parametrize("std", [1.0, 3.0])
def test_vicreg_leaves_whitened_latents_of_enough_spread_alone(std):
    terms = VICReg()(_whitened(std), _generator())
    assert terms["variance_loss"] == 0
    assert terms["covariance_loss"] < 1e-20


def test_vicreg_variance_is_a_hinge_on_the_standard_deviation():
    loss = VICReg(variance=7.0)(_whitened(0.25), _generator())["variance_loss"]
    assert loss == pytest.approx(7.0 * (1 - math.sqrt(0.25**2 + 1e-4)), rel=1e-9)


def test_vicreg_closed_forms_of_correlated_and_collapsed_latents():
    correlated = torch.tensor([[2.0, 2.0, 0.0], [-2.0, -2.0, 0.0]])
    terms = VICReg(variance=1.0, covariance=0.5)(correlated, _generator())
    # Covariance 4 twice off the diagonal; the third dimension has a std of sqrt(1e-4).
    assert terms["covariance_loss"].item() == pytest.approx(0.5 * 2 * 16 / 3)
    assert terms["variance_loss"].item() == pytest.approx(0.99 / 3)
    collapsed = VICReg()(torch.full((M, D), 3.0), _generator())
    assert collapsed["variance_loss"].item() == pytest.approx(0.99)
    assert collapsed["covariance_loss"].item() == 0


def test_vicreg_pushes_a_narrow_dimension_apart_and_no_other():
    z = _whitened(2.0)
    z[:, 0] *= 0.1
    z.requires_grad_(True)
    VICReg()(z, _generator())["variance_loss"].backward()
    outwards = -(z.grad * (z - z.mean(0))).sum(0)
    assert outwards[0] > 0
    assert torch.all(z.grad[:, 1:] == 0)


def test_sigreg_matches_a_double_loop():
    z = _normal(M, D) * 1.7 + 0.3
    loss = SIGReg(weight=1.0, num_projections=P, num_knots=KNOTS)(z, _generator(4))["sigreg_loss"]
    directions = torch.randn(D, P, generator=_generator(4)).double()
    step = 3.0 / (KNOTS - 1)
    total = 0.0
    for p in range(P):
        norm = math.sqrt(sum(float(d) ** 2 for d in directions[:, p]))
        values = [sum(float(z[m, d] * directions[d, p]) for d in range(D)) / norm for m in range(M)]
        for i in range(KNOTS):
            t = i * step
            normal = math.exp(-t * t / 2)
            real = sum(math.cos(t * value) for value in values) / M
            imaginary = sum(math.sin(t * value) for value in values) / M
            edge = 0.5 if i in (0, KNOTS - 1) else 1.0
            total += 2 * edge * step * ((real - normal) ** 2 + imaginary**2) * normal
    # The directions are drawn in float32.
    assert loss.item() == pytest.approx(total / P, rel=1e-5)


def test_sigreg_knows_the_normal_distribution():
    regulariser = SIGReg(weight=1.0, num_projections=64)
    normal = _normal(2048, D)
    losses = {
        "normal": normal,
        "two points": normal.sign()[:, :1] * torch.ones(1, D) / math.sqrt(D),
        "narrow": 0.3 * normal,
        "wide": 3.0 * normal,
        "shifted": normal + 1.0,
        "collapsed": torch.zeros_like(normal),
    }
    losses = {
        name: regulariser(z, _generator())["sigreg_loss"].item() for name, z in losses.items()
    }
    assert losses["normal"] < 1e-3
    assert min(loss for name, loss in losses.items() if name != "normal") > 0.02, losses
    # 2 * integral over [0, 3] of (1 - phi)^2 phi, phi = exp(-t^2 / 2), by a fine midpoint sum.
    knots = (torch.arange(30_000, dtype=torch.float64) + 0.5) * 1e-4
    phi = (-knots.square() / 2).exp()
    expected = 2e-4 * ((1 - phi).square() * phi).sum().item()
    assert losses["collapsed"] == pytest.approx(expected, rel=0.01)


def test_sigreg_draws_its_projections_from_the_generator():
    z = _normal(M, D)
    losses = [SIGReg(num_projections=P)(z, _generator(s))["sigreg_loss"] for s in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("std", [0.5, 3.0])
def test_the_coding_rate_of_whitened_latents_is_the_log_of_their_spread(std):
    loss = CodingRate(rate=7.0)(_whitened(std), _generator())["rate_loss"]
    assert loss == pytest.approx(-7.0 * math.log(math.sqrt(std**2 + 1e-4)), rel=1e-9)


def test_collapsed_latents_have_the_least_rate_and_are_pushed_apart():
    z = (1e-3 * _whitened(1.0)).requires_grad_(True)
    loss = CodingRate()(z, _generator())["rate_loss"]
    loss.backward()
    assert loss.item() == pytest.approx(-0.5 * math.log(1e-4), abs=0.01)
    assert torch.all((z.grad * z).sum(0) < 0)


def test_what_never_changes_has_the_variance_that_the_leak_allows():
    flow = torch.diag(torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64))  # no walk goes anywhere
    z = _embedded(flow, 2, CodingRate(rate=3.0, leak=0.1), 1.0)
    z = z - flow.sum(1) @ z
    variance = z.T @ (flow.sum(1).unsqueeze(1) * z)
    expected = torch.full_like(variance[0], 3.0 / (2 * 0.1))
    torch.testing.assert_close(variance.diagonal(), expected, rtol=1e-4, atol=0.0)


def _rooms():
    """(S, S) how often a random walk goes from state to state: two rooms, a corridor between."""
    edges = torch.from_numpy(nx.to_numpy_array(nx.barbell_graph(4, 2)))
    return edges / edges.sum()


def _embedded(flow, width, regulariser, smoothness_weight):
    """Latents (S, width) of the states of a walk, free parameters at the optimum of the loss."""
    visits = flow.sum(1)
    z = torch.nn.Parameter(0.1 * _normal(len(flow), width))
    # In proportion to visits, all of which are whole numbers of these.
    rows = torch.arange(len(flow)).repeat_interleave((visits * NUM_ROWS).round().int())
    optimizer = torch.optim.LBFGS(
        [z], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        change = (flow.unsqueeze(-1) * (z.unsqueeze(0) - z.unsqueeze(1)).square()).sum((0, 1))
        total = sum(regulariser(z[rows], _generator()).values())
        total = total + smoothness_weight * change.mean()
        total.backward()
        return total

    optimizer.step(loss)
    return z.detach()


def _commute_times(flow):
    """(S, S) steps of a walk from each state to each other and back, by linear equations."""
    size, step = len(flow), flow / flow.sum(1, keepdim=True)
    hitting = torch.zeros_like(flow)
    for goal in range(size):
        others = torch.arange(size) != goal
        stay = torch.eye(size - 1, dtype=flow.dtype) - step[others][:, others]
        hitting[others, goal] = torch.linalg.solve(stay, torch.ones_like(stay[0]))
    return hitting + hitting.T


def test_a_coding_rate_with_smoothness_makes_squared_distances_commute_times():
    flow = _rooms()
    rate, weight = 3.0, 0.5
    z = _embedded(flow, len(flow) - 1, CodingRate(rate=rate, leak=0.0), weight)
    expected = rate / (4 * weight) * _commute_times(flow)
    torch.testing.assert_close(torch.cdist(z, z).square(), expected, rtol=0.02, atol=0.02)


def test_with_the_same_variance_in_all_dimensions_distances_would_tell_nothing():
    flow = _rooms()
    visits = flow.sum(1)
    z = _embedded(flow, len(flow) - 1, CodingRate(leak=0.0), 0.5)
    z = z - visits @ z
    root = torch.linalg.cholesky(z.T @ (visits.unsqueeze(1) * z))
    whitened = torch.linalg.solve_triangular(root, z.T, upper=False).T
    expected = 1 / visits.unsqueeze(1) + 1 / visits
    expected.fill_diagonal_(0.0)
    torch.testing.assert_close(torch.cdist(whitened, whitened).square(), expected)


def test_regularisers_are_found_by_name_and_by_import_path():
    assert build_regulariser("vicreg", {"covariance": 2.0}).covariance == 2.0
    own = build_regulariser(f"{__name__}.Halved", {"factor": 3.0})
    assert own(torch.ones(M, D), _generator())["own_loss"] == 3.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vicregg", {}, "hierarchy.level.loss.regulariser = 'vicregg' is unknown; known: coding"),
        ("torch.Nothing", {}, "hierarchy.level.loss.regulariser = 'torch.Nothing' cannot be"),
        ("sigreg", {"knots": 3.0}, "hierarchy.level.loss.regulariser_options = {'knots': 3.0}"),
    ],
)
def test_unknown_regularisers_and_options_are_refused(name, options, message):
    with pytest.raises(ValueError) as error:
        build_regulariser(name, options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
