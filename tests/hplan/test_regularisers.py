"""Closed forms, limits and a direct computation of the regularisers."""

import math

import pytest
import torch

from hplan.regularisers import SIGReg, VICReg, build_regulariser

M, D, P, KNOTS = 23, 5, 3, 7
"""Latents, their width, projections, knots."""


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


def test_regularisers_are_found_by_name_and_by_import_path():
    assert build_regulariser("vicreg", {"covariance": 2.0}).covariance == 2.0
    own = build_regulariser(f"{__name__}.Halved", {"factor": 3.0})
    assert own(torch.ones(M, D), _generator())["own_loss"] == 3.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vicregg", {}, "hierarchy.level.loss.regulariser = 'vicregg' is unknown; known: sigreg"),
        ("torch.Nothing", {}, "hierarchy.level.loss.regulariser = 'torch.Nothing' cannot be"),
        ("sigreg", {"knots": 3.0}, "hierarchy.level.loss.regulariser_options = {'knots': 3.0}"),
    ],
)
def test_unknown_regularisers_and_options_are_refused(name, options, message):
    with pytest.raises(ValueError) as error:
        build_regulariser(name, options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
