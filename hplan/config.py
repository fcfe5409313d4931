"""What a user can set: frozen dataclasses, filled from YAML and the command line."""

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal

from hplan.level_config import EnergyName, HierarchyConfig


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Which world, and which layout of it."""

    name: str = "rooms"
    """A registered task, a MiniGrid id, `gym:` and any gymnasium id, or `module.factory` of your
    own."""
    layout_seed: int = 0
    """Fixes walls and doorways."""
    view: Literal["full", "partial"] = "full"
    """Of a symbolic grid: all of it, or the 7 x 7 cells before the agent."""
    goal: str = ""
    """Of a gymnasium id: `module.function` that chooses a goal from an episode of the data."""
    success: str = ""
    """Of a gymnasium id: `module.function` that tells whether an observation is the goal."""
    goal_offset: int = 20
    """Of a gymnasium id: env steps from an episode's start to the observation that is the goal."""
    tolerance: float = 0.1
    """Of a gymnasium id without a flag for success: how far from the goal an observation may be, in
    standard deviations of the data; of an image, as a share of the data's mean difference."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Reward-free episodes: of the task's wandering policy, of your own, or a Minari dataset."""

    folder: str = "data"
    """Where datasets are kept, one folder for each set of the settings below."""
    num_episodes: int = 10000
    """How many episodes to collect."""
    episode_length: int = 150
    """Env steps in each of them."""
    minari: str = ""
    """A Minari dataset to train on instead, by its id."""
    policy: str = ""
    """`module.Class` of a policy of your own that collects in a gymnasium id."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimisation."""

    num_updates: int = 3800
    distance_updates: int = 2000
    """The last of the updates: the world models stay as they are, and the distances are learned."""
    batch_size: int = 32
    """Clips in an update, over all devices together."""
    clip_length: int = 100
    """Env steps of a clip."""
    evenly: Literal["starts", "steps"] = "starts"
    """What is drawn evenly: the starts of clips, or the env steps that they hold: else the first
    and last steps of long episodes are hardly seen."""
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_updates: int = 50
    num_goals: int = 256
    """Observations of other walks that serve as goals of the distances in an update."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    target_rate: float = 0.2
    """How fast the target network of the distance follows, a share of the gap per update."""
    validate_every: int = 500
    """Updates between validations (and checkpoints)."""
    validation_pairs: int = 2000
    """State pairs on which energies are compared with true distances."""
    collapse_std: float = 0.1
    """The alarm sounds when a latent's mean standard deviation falls below."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Start-goal pairs, methods and limits."""

    episodes_per_bin: int = 100
    brief_episodes_per_bin: int = 20
    """The same in the short evaluation that ends `train`."""
    during_training: int = 1
    """The same after every validation of `train`; 0 for none."""
    suite_seed: int = 0
    """Draws the start-goal pairs."""
    num_trees: int = 20
    """Episodes whose subgoal tree is written."""
    methods: list[str] = field(
        default_factory=lambda: [
            "random", "flat", "flat_distance", "upper_energy", "hierarchical", "oracle"
        ]
    )  # fmt: skip
    energy: EnergyName = "distance"
    """Energy of `hierarchical` and `upper_energy`."""
    budget_factor: float = 3.0
    """Env steps allowed: this times the bin's upper bound, plus `budget_extra`."""
    budget_extra: int = 20


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How the agent acts on its plans: when it replans early, and what it must not do."""

    memory: int = 12
    """Recent decisions whose places are not sought again; 0 turns the escape off. As many
    transitions that surprised are remembered, or 16 if that is more."""
    avoid_penalty: float = 4.0
    """What ending at a place just left costs, in costs of one step of the level."""
    early: list[str] = field(default_factory=lambda: ["surprise", "infeasible", "reached"])
    """What makes a level plan again before its clock: a prediction that failed, a target that it
    cannot approach, a subgoal that is reached."""
    confirmed: int = 1
    """How often in a row a step has to surprise, or to lead there again, before searches follow
    it: more than once where it may have been chance."""
    warm_start: bool = True
    """Whether a search begins with what is left of the plan before."""
    feedback: int = 1
    """How often in one decision a level plans again because the level below cannot approach its
    subgoal, which is then penalised; 0 is never."""
    patience: float = 2.0
    """A subgoal is given up as infeasible when it is farther than this times the env steps that the
    plan gave it, or comes nearer slower than one step in this many; 0 is never."""
    stuck_after: int = 4
    """Decisions at one place, among the remembered, after which the search is widened; 0 never."""
    budget_ms: float = 0.0
    """Time for a decision, in milliseconds, for each environment that decides: the first plan is
    refined until it is over; 0 is no limit. Under a limit results depend on the machine."""
    effort: float = 1.0
    """Factor on the candidates of every search; a tree's horizon changes with its logarithm."""
    compile: bool = False
    """Compile the networks that planning runs, with CUDA graphs on a GPU; a CPU gains nothing."""
    guardrails: list[str] = field(default_factory=list)
    """What plans must keep clear of: names that the task has states for, or `module.function`."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run."""

    seed: int = 0
    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    """cpu, gpu, or auto: a GPU where there is one."""
    task: TaskConfig = field(default_factory=TaskConfig)
    data: DataConfig = field(default_factory=DataConfig)
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)


def task_options(task: TaskConfig) -> dict[str, Any]:
    """What is set of a task beside its name and layout: the settings that are not as usual."""
    usual, named = asdict(TaskConfig()), ("name", "layout_seed")
    given = {name: value for name, value in asdict(task).items() if name not in named}
    return {name: value for name, value in given.items() if value != usual[name]}


def leaves(kind: type, prefix: str = "") -> list[str]:
    """Paths of all single settings of a group of settings."""
    return [
        path
        for f in fields(kind)
        for path in (
            leaves(f.type, f"{prefix}{f.name}.") if is_dataclass(f.type) else [prefix + f.name]
        )
    ]


def groups(kind: type, prefix: str = "") -> list[str]:
    """Paths of all groups within a group of settings."""
    nested = [f for f in fields(kind) if is_dataclass(f.type)]
    return [
        path for f in nested for path in [prefix + f.name, *groups(f.type, f"{prefix}{f.name}.")]
    ]
