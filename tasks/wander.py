"""The behaviour policy of the reward-free data: a random walk with persistence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tasks.simulator import FORWARD, LEFT, RIGHT, GridWorld

NOTHING = -1  # no action

Policy = TypeVar("Policy")
Lead = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def wanderer_of(task: str, policy: Any, own: Policy) -> Policy:
    """A task's `own` behaviour policy, or `policy` in its place; ValueError if of another kind."""
    if policy is None:
        return own
    if not isinstance(policy, type(own)):
        kind = f"{type(own).__module__}.{type(own).__qualname__}"
        raise ValueError(
            f"task '{task}' wanders by itself, with a {kind}; {policy!r} is none, drop data.policy."
        )
    return policy


@dataclass(frozen=True, kw_only=True)
class Wanderer:
    """How the agent wanders. Every step draws from these, independently for each agent.

    Attributes:
        forward_probability: chance to walk on where the way is free.
        bump_probability: chance to walk into a wall that is just in front, so that data has bumps.
        turn_persistence: chance that a turn has the same rotating sense as the agent's last turn;
            below 1 / 2 it would jitter, at 1 it would only ever circle one way.
        lava_probability: chance to walk into lava that is just in front, by mistake, so that data
            has lava; the agent stays in it until its episode ends.
    """

    forward_probability: float = 0.7
    bump_probability: float = 0.4
    turn_persistence: float = 0.8
    lava_probability: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(
                    f"wanderer.{name} = {value} is outside [0, 1]; give a probability."
                )

    def first_turns(self, num_agents: int, generator: np.random.Generator) -> np.ndarray:
        """Draw the rotating sense that each agent starts with: (B,) int64, left or right."""
        return generator.integers(LEFT, RIGHT + 1, size=num_agents)

    def next_turns(self, turns: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Draw the sense of each agent's next turn, (B,), given that of its last, (B,)."""
        keep = generator.random(len(turns)) < self.turn_persistence
        return np.where(keep, turns, LEFT + RIGHT - turns)

    def forward_chances(self, blocked: np.ndarray, lava_ahead: np.ndarray) -> np.ndarray:
        """Chance in each state to walk on rather than turn: (S,), given (S,) bool each."""
        chances = np.where(blocked, self.bump_probability, self.forward_probability)
        return np.where(lava_ahead, self.lava_probability, chances)

    def leads(self, world: GridWorld) -> Lead | None:
        """What takes agents in `world` elsewhere than they would wander; None, for nothing does."""
        return None


def gone_on_with(
    action: np.ndarray, other: np.ndarray, chance: np.ndarray, *, begin: float, again: float
) -> np.ndarray:
    """What agents do next of what they do again and again; `NOTHING` where it is nothing.

    Args:
        action: (B,) int, what they have been doing so.
        other: (B,) int, what they would begin with.
        chance: (B,) uniform numbers in [0, 1).
        begin, again: probabilities to begin, and to do it once more.
    """
    busy = action != NOTHING
    goes_on = chance < np.where(busy, again, begin)
    return np.where(goes_on, np.where(busy, action, other), NOTHING)


def wander(
    *,
    transitions: np.ndarray,
    in_lava: np.ndarray,
    starts: np.ndarray,
    num_steps: int,
    wanderer: Wanderer,
    generator: np.random.Generator,
    lead: Lead | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Let a batch of agents wander through a world given by its transition table.

    Args:
        transitions: (S, 3) int, the state after left, right, forward.
        in_lava: (S,) bool, the agent stands in lava.
        starts: (B,) int, state each agent starts in.
        num_steps: T, env steps.
        lead: (states, a wanderer's actions, generator) -> the actions taken, all (B,); None takes
            the wanderer's.

    Returns:
        (B, T + 1) int32 states visited, index 0 the start, and (B, T) int8 actions taken.
    """
    after_forward = transitions[:, FORWARD]
    blocked = after_forward == np.arange(len(transitions))
    chances = wanderer.forward_chances(blocked, in_lava[after_forward] & ~in_lava)
    states = np.empty((num_steps + 1, len(starts)), np.int32)
    actions = np.empty((num_steps, len(starts)), np.int8)
    states[0] = current = starts
    turns = wanderer.first_turns(len(starts), generator)
    for t in range(num_steps):
        forward = generator.random(len(current)) < chances[current]
        turns = np.where(forward, turns, wanderer.next_turns(turns, generator))
        action = np.where(forward, FORWARD, turns)
        actions[t] = action = lead(current, action, generator) if lead else action
        states[t + 1] = current = transitions[current, action]
    return np.ascontiguousarray(states.T), np.ascontiguousarray(actions.T)


def less_as_before(behaviour: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A behaviour less what is as it was `before` it was written down.

    So datasets of then, which lack these entries, are of the same behaviour until one changes.
    """
    return {key: value for key, value in behaviour.items() if (key, value) not in before.items()}
