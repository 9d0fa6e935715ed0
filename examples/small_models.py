"""Six small networks fine-tuned from one base on scikit-learn's digits: half a minute, once."""

from __future__ import annotations

from pathlib import Path

import mergecast as mc

FOLDER = "runs/examples"
TASKS = ("upright", "inverted", "noisy", "parity", "prime", "loops")
#: Shorter training than `mergecast demo` has; enough to be good at the task.
TRAINING = {"base_steps": 150, "head_steps": 60, "steps": 90, "n_test": 300}


def small_models(folder: str | Path = FOLDER) -> Path:
    """Fine-tune the models, and measure all merges of two; what is finished is kept.

    Parameters
    ----------
    folder : str or Path
        Where they are kept.

    Returns
    -------
    Path
        The run folder: ``base.safetensors``, ``models/TASK.safetensors``, and the tables of the
        merges. It also names the models' tasks, as a file of tasks does.
    """
    return mc.run_suite(
        "digits-14",
        folder,
        only=TASKS,
        methods=["weight_avg", "task_arithmetic"],
        n_sets=0,
        tier="weights",
        suite_params=TRAINING,
        workers=1,
    )


def small_family(run: Path, *labels: str) -> mc.Family:
    """The base and some of the models, all of them where none is named; heads are private."""
    models = {label: run / "models" / f"{label}.safetensors" for label in labels or TASKS}
    return mc.Family.open(run / "base.safetensors", models, private="head.*")


if __name__ == "__main__":
    print(small_family(small_models()))
