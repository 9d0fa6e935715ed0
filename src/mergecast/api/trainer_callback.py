"""The callback of `transformers.Trainer`; importing this imports transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from transformers import TrainerCallback

from mergecast.api.live_model import refuse_parts, unwrapped
from mergecast.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


class Monitor(Protocol):
    """What is told of a training, and says what to log: `RetentionMonitor`."""

    def begin(self, model: nn.Module, step: int = 0) -> None:
        """Training begins at a step."""

    def step(self, step: int, model: nn.Module) -> dict[str, float]:
        """A step was taken."""

    def end(self, step: int, model: nn.Module) -> dict[str, float]:
        """Training ended."""


class RetentionCallback(TrainerCallback):
    """Tells a monitor of a trainer's steps, and the trainer's loggers what it saw.

    Parameters
    ----------
    monitor : Monitor
        Looks at merges, on the main process.
    trainer : transformers.Trainer
        Logs.

    Raises
    ------
    UsageError
        The trainer spreads its model over processes.
    """

    def __init__(self, monitor: Monitor, trainer: Any) -> None:
        for kind in ("fsdp", "deepspeed"):
            if getattr(trainer, f"is_{kind}_enabled", False):
                raise UsageError(
                    "trainer",
                    f"spreads the model over processes ({kind})",
                    "forecast from saved checkpoints instead: mergecast.forecast_merge",
                )
        refuse_parts(unwrapped(trainer.model))
        self.monitor, self._trainer = monitor, trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock; what cannot be merged is an error now."""
        if state.is_world_process_zero:
            self.monitor.begin(kwargs["model"], state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look, if a look is due."""
        if state.is_world_process_zero:
            self._log(control, self.monitor.step(state.global_step, kwargs["model"]))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last look."""
        if state.is_world_process_zero:
            self._log(control, self.monitor.end(state.global_step, kwargs["model"]))

    def _log(self, control: Any, values: dict[str, float]) -> None:
        """Log, and leave what the trainer is about to log of the same step as it was."""
        if values:
            due = control.should_log
            self._trainer.log(values)
            control.should_log = due
