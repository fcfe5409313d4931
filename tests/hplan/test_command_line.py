"""What a person types: settings from files and flags, and one clear line for every mistake."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from hplan.arguments import read_arguments
from hplan.command_line import as_yaml, config_from_dict, read_config
from hplan.config import Config
from hplan.level_config import level_configs

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
ANY_DEPTH = [path for path in CONFIGS if path.stem != "lava"]  # episodes of 60 env steps
SHORT = (
    "--training.num_updates 2 --training.distance_updates 1 --training.validation_pairs 10 "
    "--data.num_episodes 20 --evaluation.episodes_per_bin 0"
)

Command = Callable[[str], tuple[int, str, str]]
Refused = Callable[[str], str]


def config_of(text: str) -> Config:
    return read_config(read_arguments(text.split()))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_parses_and_its_resolved_form_is_itself(path: Path, tmp_path: Path) -> None:
    config = config_of(f"--config {path}")
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(as_yaml(config))
    assert config_of(f"--config {resolved}") == config


@pytest.mark.parametrize("path", ANY_DEPTH, ids=lambda path: path.stem)
def test_every_config_serves_up_to_four_levels(path: Path) -> None:
    """What a depth of four allows, all lower ones do: their levels are the first of it."""
    assert config_of(f"--config {path} --levels 4").hierarchy.num_levels == 4


def test_the_default_config_spells_out_every_setting() -> None:
    def keys(node: dict) -> dict:
        return {
            key: keys(value) if isinstance(value, dict) and key != "overrides" else None
            for key, value in node.items()
        }

    default = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text())
    assert keys(default) == keys(asdict(Config()))


def weights_of(text: str) -> list[float]:
    levels = level_configs(config_of(f"{text} --levels 2").hierarchy)
    return [level.loss.prior_weight for level in levels]


def test_a_setting_of_the_template_holds_for_every_level(tmp_path: Path) -> None:
    """The default's override of it does not hide what is asked for, in a file or by a flag."""
    assert weights_of("") == [0.02, 0.005]
    assert weights_of("--hierarchy.level.loss.prior_weight 0.3") == [0.3, 0.3]
    own = tmp_path / "own.yaml"
    own.write_text("hierarchy: {level: {loss: {prior_weight: 0.4}}}")
    assert weights_of(f"--config {own}") == [0.4, 0.4]
    own.write_text(
        "hierarchy: {level: {loss: {prior_weight: 0.4}}, overrides: {loss.prior_weight: [0.5]}}"
    )
    assert weights_of(f"--config {own}") == [0.5, 0.5]
    flags = "--hierarchy.level.loss.prior_weight 0.3 --hierarchy.overrides.loss.prior_weight [0.6]"
    assert weights_of(f"--config {own} {flags}") == [0.6, 0.6]
    assert weights_of(f"--config {own} --hierarchy.level.loss.num_starts 3") == [0.5, 0.5]


def test_other_configs_are_short() -> None:
    for path in CONFIGS:
        if path.stem != "default":
            assert len(path.read_text().splitlines()) <= 20, path


@pytest.mark.parametrize(
    "text",
    [
        "--levels 2 --config tiny --seed 5",
        "--config tiny --seed 5 --levels 2",
        "--seed=5 --hierarchy.num_levels 2 --config=tiny",
    ],
)
def test_what_is_typed_wins_wherever_it_stands(text: str) -> None:
    config = config_of(text)
    assert (config.hierarchy.num_levels, config.seed) == (2, 5)
    assert config.task.name == "rooms-tiny"


def test_files_are_laid_over_each_other_key_by_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("hierarchy: {overrides: {model.latent_dim: [3], loss.inverse_weight: null}}")
    overrides = config_of(f"--config tiny --config {file}").hierarchy.overrides
    assert overrides["model.latent_dim"] == [3]
    assert overrides["model.ratio"] == [1, 3, 2, 2]
    assert "loss.inverse_weight" not in overrides


def test_one_override_can_be_typed() -> None:
    before = config_of("").hierarchy.overrides
    after = config_of("--hierarchy.overrides.loss.regulariser_weight [1.0,2.0]").hierarchy.overrides
    assert after == before | {"loss.regulariser_weight": [1.0, 2.0]}


def test_what_was_read_before_leaves_nothing_behind() -> None:
    """Nor what was refused, nor what becomes of a dictionary in a config."""
    before = config_of("")
    config_of("--config tiny --levels 2 --seed 5 --agent.early [surprise]")
    for wrong in ("--seed 7 --levels abc", "--seed 7 --agent.early [luck]"):
        with pytest.raises(ValueError):
            config_of(wrong)
    other = config_from_dict({"seed": 5, "agent": {"early": ["surprise"]}})
    other.hierarchy.level.planner.search_options["std"] = 2.0
    assert config_from_dict({}) == Config()
    assert config_of("") == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--levels 0", "hierarchy.num_levels = 0; allowed is a whole number from 1 up"),
        ("--levels -1", "hierarchy.num_levels = -1; allowed is"),
        ("--levels abc", "hierarchy.num_levels = abc; allowed is a whole number"),
        ("--levels 1.5", "hierarchy.num_levels = 1.5; allowed is a whole number"),
        ("--levels=", "hierarchy.num_levels = ; allowed is a whole number"),
        ("--levels", "--levels needs a value"),
        ("--hierarchy.num_level 2", "did you mean --hierarchy.num_levels"),
        ("--training.num_updatess 2", "did you mean --training.num_updates"),
        ("--hierarchy.level.loss.gradient no", "one of 'end_to_end', 'stop'"),
        ("--hierarchy.overrides.loss.depth [1]", "unknown setting 'depth'"),
        ("--training.learning_rate fast", "training.learning_rate = fast; allowed is a number"),
        ("--config absent", "known names: default"),
        ("--devices 3", "training.batch_size = 16 clips cannot be shared evenly by 3 devices"),
        ("--accelerator tpu", "allowed is one of auto, cpu, gpu"),
        ("--task nowhere", "unknown task 'nowhere'; known tasks: rooms"),
        ("--task no.module", "unknown task 'no.module'"),
        ("--hierarchy.level.model.predictor crystal", "residual_mlp"),
        ("--hierarchy.level.model.predictor no.Such", "cannot be imported"),
        ("--hierarchy.level.loss.regulariser prayer", "vicreg"),
        (
            "--evaluation.episodes_per_bin 1 --evaluation.methods [luck]",
            "evaluation.methods has 'luck'; allowed are random, flat",
        ),
        (
            "--hierarchy.level.loss.smoothness_weight 0",
            "whose loss.regulariser is coding_rate; allowed there is a number above 0",
        ),
        (
            "--hierarchy.overrides.model.action_encoder [gaussian]",
            "of grid and numbered actions: one_hot",
        ),
        ("--hierarchy.overrides.model.encoder [axial]", "above the bottom: mlp, identity"),
        ("--hierarchy.overrides.model.ratio [2,3]", "model.ratio = 2 of level 0"),
        ("--hierarchy.overrides.planner.search [cem]", "planner.search = 'cem' of level 0"),
        ("--hierarchy.overrides.planner.search [tree]", "planner.search = 'tree' of level 1"),
        ("--hierarchy.overrides.planner.search [luck,cem]", "planner.search = 'luck' is unknown"),
        ("--hierarchy.overrides.planner.search [..luck,cem]", "'..luck' cannot be imported"),
        ("--hierarchy.overrides.planner.search [math.pi,cem]", "'math.pi' is a float; known:"),
        ("--hierarchy.overrides.planner.horizon [99]", "planner.horizon = 99 of level 0, whose"),
        ("--hierarchy.overrides.planner.max_candidates [3]", "max_candidates = 3 of level 0"),
        ('--hierarchy.overrides.planner.search_options [{"hue":1}]', "planner.search_options"),
        ('--hierarchy.overrides.planner.support_options [{},{"hue":1}]', "planner.support_options"),
        ("--hierarchy.level.planner.support sky", "one of 'prior', 'bank', 'box', 'free'"),
        ("--agent.stuck_after 7", "allowed is at most half of agent.memory = 12"),
        ("--agent.early [luck]", "agent.early has 'luck'; allowed are surprise, infeasible"),
        ("--agent.effort 0", "agent.effort = 0.0; allowed is a number above 0"),
        ("--agent.effort .inf", "agent.effort = inf; allowed is a finite number"),
        ("--evaluation.budget_factor .inf", "budget_factor = inf; allowed is a finite number"),
        ("--budget_ms -1", "agent.budget_ms = -1.0; allowed is 0 or more"),
        ("--evaluation.num_trees -1", "evaluation.num_trees = -1; allowed is 0 or more"),
        ("--training.clip_length 10", "needs clips of"),
        ("--data.episode_length 5", "collect longer episodes"),
    ],
)
def test_a_mistake_gets_one_clear_line(refused: Refused, text: str, said: str) -> None:
    assert said in refused(f"train --config tiny {SHORT} {text}")
    assert not list(Path("runs").glob("*")), "the run's name is not taken"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("training: {num_updatess: 3}", "did you mean training.num_updates?"),
        ("training: {num_updates: many}", "training.num_updates = many; allowed is a whole number"),
        ("training: 3", "allowed is a group of num_updates"),
        ("hierarchy: {overrides: {model.ratio: 3}}", "hierarchy.overrides"),
        ("hierarchy: {overrides: [3]}", "hierarchy.overrides = [3]; allowed is a mapping of names"),
        ("hierarchy: {overrides: {1: [3]}}", "hierarchy.overrides = {1: [3]}; allowed is a map"),
        ("a: b: c", "no valid YAML"),
        ("[1, 2]", "holds no settings"),
    ],
)
def test_a_mistake_in_a_file_gets_one_clear_line(
    refused: Refused, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    assert said in refused("train --config mine.yaml")


def test_unknown_commands_and_help(command: Command, refused: Refused) -> None:
    assert "known: collect, train, eval" in refused("trian")
    code, out, _ = command("train --help")
    assert code == 0
    assert "--hierarchy.level.model.ratio" in out and "--levels" in out


def test_print_config_prints_what_would_run(command: Command) -> None:
    code, out, _ = command("train --config tiny --levels 4 --print_config")
    assert code == 0
    assert yaml.safe_load(out) == asdict(config_of("--config tiny --levels 4"))
    assert not Path("runs").exists()
