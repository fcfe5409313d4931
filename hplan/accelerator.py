"""On what a run computes."""

import torch

from hplan.config import Config


def accelerator(config: Config) -> str:
    """cpu or cuda, as asked and as there is.

    Raises:
        ValueError: more GPUs are asked for than there are.
    """
    gpus = torch.cuda.device_count()
    if config.accelerator == "cpu" or (config.accelerator == "auto" and not gpus):
        return "cpu"
    if gpus < config.devices:
        raise ValueError(
            f"devices = {config.devices} with accelerator = {config.accelerator}; this machine has "
            f"{gpus} GPUs; give no more, or accelerator cpu"
        )
    return "cuda"
