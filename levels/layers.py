"""The multilayer perceptron that every part here is made of."""

from torch import nn


def mlp(in_dim: int, out_dim: int, hidden_dim: int, num_hidden: int) -> nn.Sequential:
    """Linear, norm and SiLU `num_hidden` times, then a linear layer: (..., in) -> (..., out)."""
    layers: list[nn.Module] = []
    for _ in range(num_hidden):
        layers += [nn.Linear(in_dim, hidden_dim), nn.LayerNorm(hidden_dim), nn.SiLU()]
        in_dim = hidden_dim
    layers.append(nn.Linear(in_dim, out_dim))
    return nn.Sequential(*layers)
