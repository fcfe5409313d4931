"""Weights of a stack as safetensors, beside plain JSON; nothing here is ever pickled.

`checkpoints/last.json` names the file of weights that belongs to it, with its SHA-256, and is
replaced last: a checkpoint is there whole or not at all.
"""

import hashlib
import json
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hplan.command_line import config_from_dict
from hplan.config import Config
from hplan.dataset import ObservationSpec
from hplan.files import write_atomically

FORMAT_VERSION = 1
FOLDER = "checkpoints"
METADATA_FILE = "last.json"
RESUME_FILE = "resume.ckpt"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A stack as it was saved.

    Attributes:
        config: of the run.
        spec: of the observations that the stack reads.
        update: how many updates it has had.
        weights: name -> tensor, as `nn.Module.state_dict` has it.
    """

    config: Config
    spec: ObservationSpec
    update: int
    weights: dict[str, Tensor]


def resume_file(run_dir: Path) -> Path:
    """Lightning's own checkpoint, from which training continues."""
    return run_dir / FOLDER / RESUME_FILE


def packed_weights(levels: nn.ModuleList) -> bytes:
    """The weights of a stack as the bytes of a safetensors file, the same for the same weights."""
    return save({name: x.detach().cpu().contiguous() for name, x in levels.state_dict().items()})


def save_checkpoint(
    run_dir: Path, levels: nn.ModuleList, *, config: Config, spec: ObservationSpec, update: int
) -> None:
    """Writes the stack into the run's folder, in place of the one before."""
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    weights = packed_weights(levels)
    name = f"update-{update:07d}.safetensors"
    write_atomically(folder / name, weights)
    metadata = {
        "format": FORMAT_VERSION,
        "weights": name,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "update": update,
        "spec": asdict(spec),
        "config": asdict(config),
        "git_commit": git_commit(),
        "versions": versions(),
    }
    write_atomically(folder / METADATA_FILE, (json.dumps(metadata, indent=2) + "\n").encode())
    for old in folder.glob("update-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_checkpoint(run_dir: Path) -> Checkpoint:
    """Reads the last checkpoint of a run and checks every byte of the weights.

    Raises:
        ValueError: there is none, or it is truncated, altered, or of another format.
    """
    path = run_dir / FOLDER / METADATA_FILE
    try:
        metadata = json.loads(path.read_text())
        weights = (path.parent / metadata["weights"]).read_bytes()
        expected, version = metadata["sha256"], metadata["format"]
        config, spec = metadata["config"], metadata["spec"]
        update = int(metadata["update"])
    except FileNotFoundError as error:
        raise ValueError(
            f"run {run_dir} has no checkpoint yet ({error.filename} is missing); "
            "RESUME=1 continues it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is truncated or altered ({error}); train again") from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {version}, this version reads {FORMAT_VERSION}; train "
            "again or use the version of hplan that wrote it"
        )
    if hashlib.sha256(weights).hexdigest() != expected:
        raise ValueError(
            f"{path.parent / metadata['weights']} is truncated or altered (its SHA-256 is not "
            f"that of {path.name}); train again"
        )
    return Checkpoint(
        config=config_from_dict(config),
        spec=ObservationSpec.from_dict(spec),
        update=update,
        weights=load(weights),
    )


def restore(levels: nn.ModuleList, checkpoint: Checkpoint, run_dir: Path) -> None:
    """Puts the weights of a checkpoint into a stack built from its config.

    Raises:
        ValueError: the stack is another, as when the code of a part has changed.
    """
    held = 1 + max(int(name.partition(".")[0]) for name in checkpoint.weights)
    if held != len(levels):
        raise ValueError(
            f"run {run_dir} holds {held} levels, LEVELS={len(levels)} was asked for; train again "
            "or drop LEVELS."
        )
    try:
        levels.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        raise ValueError(
            f"the weights of run {run_dir} do not fit its config "
            f"({' '.join(str(error).split())[:300]}); train again"
        ) from error


def git_commit() -> str | None:
    """The commit that this code is at, where it is a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def versions() -> dict[str, Any]:
    """Versions that weights may depend on."""
    try:
        own = version("hplan")
    except PackageNotFoundError:
        own = "not installed"
    return {"hplan": own, "python": platform.python_version(), "torch": torch.__version__}
