"""Regularisers that keep a latent from collapsing; statistics are taken over all processes.

Each is called with latents (M, D) and a generator, and returns its terms, weighted, by name.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from hplan.distributed import global_mean
from hplan.names import find_class

LEAST_VARIANCE = 1e-4  # beside which a collapsed dimension still has a finite log and gradient


class VICReg:
    """Variance hinge and covariance penalty.

    Source: Bardes, Ponce, LeCun, "VICReg" (arXiv 2105.04906), equations 1 to 4; the invariance term
    is the prediction loss. The hinge is on the standard deviation, at 1. We divide by the number of
    rows, not one less, so that the mean over processes is exact.
    """

    def __init__(self, *, variance: float = 1.0, covariance: float = 0.5) -> None:
        self.variance = variance
        self.covariance = covariance

    def __call__(self, z: Float[Tensor, "M D"], generator: torch.Generator) -> dict[str, Tensor]:
        """Terms `variance_loss` and `covariance_loss`, each ()."""
        centred = z - global_mean(z)
        covariance = global_mean_outer(centred)
        std = (covariance.diagonal() + LEAST_VARIANCE).sqrt()
        off_diagonal = covariance - torch.diag(covariance.diagonal())
        return {
            "variance_loss": self.variance * (1.0 - std).clamp(min=0).mean(),
            "covariance_loss": self.covariance * off_diagonal.square().sum() / z.shape[1],
        }


class SIGReg:
    """Sketched isotropic Gaussian regularisation: random projections tested for normality.

    Source: Balestriero, LeCun, "LeJEPA" (arXiv 2511.08544), section 4: the Epps-Pulley statistic, a
    weighted integral of the gap between empirical and normal characteristic functions, by the
    trapezoidal rule on `num_knots` points of [0, 3] (the integrand is even), averaged over
    `num_projections` random directions. We leave out the factor of the sample size, so that its
    scale does not depend on the batch.
    """

    def __init__(
        self,
        *,
        weight: float = 5.0,
        num_projections: int | float = 128,
        num_knots: int | float = 17,
    ) -> None:
        self.weight = weight
        self.num_projections = int(num_projections)
        self.num_knots = int(num_knots)

    def __call__(self, z: Float[Tensor, "M D"], generator: torch.Generator) -> dict[str, Tensor]:
        """Term `sigreg_loss` ()."""
        directions = torch.randn(
            z.shape[1], self.num_projections, generator=generator, device=generator.device
        ).to(z)
        projected = z @ (directions / directions.norm(dim=0))
        knots = torch.linspace(0.0, 3.0, self.num_knots, device=z.device, dtype=z.dtype)
        normal = (-0.5 * knots.square()).exp()
        angles = projected.unsqueeze(-1) * knots
        real, imaginary = global_mean(angles.cos()), global_mean(angles.sin())
        gap = ((real - normal).square() + imaginary.square()) * normal
        return {"sigreg_loss": self.weight * 2 * torch.trapezoid(gap, knots, dim=-1).mean()}


class CodingRate:
    """The volume that latents take up, as large as `loss.smoothness_weight` lets it be.

    The two together make L2 a temporal distance. Let r be `rate` and w the weight of smoothness:
    at the optimum every dimension moves by a mean square of r / 2w in a step of the level, and the
    slower it is the larger its variance. The squared distance of two latents is then r / 4w times
    the steps of the level in which the data's walk would go from one to the other and back, or of D
    dimensions the D largest terms of that sum. Where all dimensions have the variance 1, one that
    tells two rooms apart counts no more than one that tells two cells apart, and L2 ranks only what
    is near.

    What never changes within a walk has no such optimum: `leak` bounds the variance at r / 2 leak,
    as if a walk began anew with a small chance at every step.

    Source: the log determinant is the coding rate of Yu et al., "Maximal coding rate reduction"
    (arXiv 2006.08558, equation 1), for small distortion; commute times as an embedding by scaled
    eigenvectors: Fouss et al. (IEEE TKDE 19(3), 2007, section 5); eigenvectors learned from walks:
    Wu, Tucker, Nachum (arXiv 1810.04586, equation 6). That these are one loss is ours.
    """

    def __init__(self, *, rate: float = 1.0, leak: float = 0.005) -> None:
        self.rate = rate
        self.leak = leak

    def __call__(self, z: Float[Tensor, "M D"], generator: torch.Generator) -> dict[str, Tensor]:
        """Terms `rate_loss`, minus half the log determinant over D, and `leak_loss`, each ()."""
        covariance = global_mean_outer(z - global_mean(z))
        variance = covariance.diagonal()
        covariance = covariance + LEAST_VARIANCE * torch.eye(len(variance)).to(covariance)
        return {
            "rate_loss": -self.rate * torch.logdet(covariance) / (2 * len(variance)),
            "leak_loss": self.leak * variance.mean(),
        }


def global_mean_outer(centred: Float[Tensor, "M D"]) -> Float[Tensor, "D D"]:
    """Mean outer product of rows over all processes."""
    return global_mean((centred.T @ centred / centred.shape[0]).unsqueeze(0))


REGULARISERS = {"vicreg": VICReg, "sigreg": SIGReg, "coding_rate": CodingRate}


def build_regulariser(name: str, options: dict[str, float]) -> Callable[..., dict[str, Tensor]]:
    """The regulariser called `name`, or the class at the import path `name`.

    Raises:
        ValueError: an unknown name, path or option.
    """
    kind = find_class(name, REGULARISERS, "hierarchy.level.loss.regulariser")
    try:
        return kind(**options)
    except TypeError as error:
        raise ValueError(
            f"hierarchy.level.loss.regulariser_options = {options}: {error}"
        ) from error
