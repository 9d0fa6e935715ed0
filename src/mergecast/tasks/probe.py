"""`Probe`: one module instance through which every checkpoint of a family is run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mergecast.checkpoints.module_names import ModuleNames
from mergecast.checkpoints.patterns import matches
from mergecast.checkpoints.tables import is_table
from mergecast.errors import CheckpointError, MergecastError, UsageError
from mergecast.runtime.stage import Stage
from mergecast.tasks.batches import answers, products_of
from mergecast.tasks.task import BATCH_SIZE, Samples, Task

#: A checkpoint run through a module: how its tensors are bound and what is read of its output.
FORWARD = Stage(
    "forward",
    1,
    modules=(
        "mergecast.tasks.probe",
        "mergecast.checkpoints.module_names",
        "mergecast.tasks.scores",
        "mergecast.tasks.task",
    ),
)
#: What a model may raise about inputs that it does not take, such as None for one not given.
_MODEL_ERRORS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Probe:
    """Runs the checkpoints of a task through one module, which holds no weights of its own.

    Weights are bound for the time of a call (`torch.func.functional_call`), so loading another
    model costs no copy of the module, and a head of another number of classes fits as well.

    Parameters
    ----------
    task : Task
        Says how the module is built and its output read.
    device : str or torch.device
        Where it runs.
    module : nn.Module, optional
        Used instead of building one; its own weights are not touched.
    spare : collection of str
        Tensors that a checkpoint may hold though the module has no place for them: heads of the
        base that an adapter only passes on.
    """

    def __init__(
        self,
        task: Task,
        device: str | torch.device = "cpu",
        module: nn.Module | None = None,
        spare: Collection[str] = (),
    ) -> None:
        self.task, self._spare = task, frozenset(spare)
        self.device = torch.device(device)
        self.module = build_skeleton(task, self.device) if module is None else module
        self._names = ModuleNames(self.module)
        self._state: dict[str, Tensor] = {}

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The loaded tensors by the module's names; empty before `load`."""
        return self._state

    @property
    def parameter_names(self) -> list[str]:
        """The module's parameters, tied ones once; buffers are not among them."""
        return [name for name, _ in self.module.named_parameters()]

    def resolve(self, name: str) -> str | None:
        """The module's name of a checkpoint's tensor, or None; see `ModuleNames`."""
        return self._names.get(name)

    def load(self, parameters: Mapping[str, Tensor]) -> None:
        """Bind a checkpoint's tensors (by its own names) to the module; floats become float32.

        Tables that the module makes itself, such as positions and masks, are left to it.

        All parameters stored as float64 stay so, and so do the computations.

        Raises
        ------
        CheckpointError
            A tensor of the architecture is missing, has another shape, or is not known to it
            (outside the private head).
        """
        tensors = {**self.task.head(), **parameters}
        floats = [value.dtype for value in tensors.values() if value.is_floating_point()]
        dtype = torch.float64 if set(floats) == {torch.float64} else torch.float32
        state: dict[str, Tensor] = {}
        places = dict(self.module.state_dict(keep_vars=True))
        for name, value in tensors.items():
            target = self.resolve(name)
            if target not in places:
                made = target is not None or is_table(
                    name, value.shape, is_floating=value.is_floating_point()
                )
                if made or name in self._spare or matches(name, self.task.private):
                    continue
                raise self._error(f"has no place for the checkpoint's parameter {name!r}")
            if value.shape != places[target].shape and not matches(name, self.task.private):
                raise self._error(
                    f"expects {name!r} of shape {list(places[target].shape)}, the checkpoint has "
                    f"{list(value.shape)}"
                )
            kind = dtype if value.is_floating_point() else value.dtype
            state[target] = value.detach().to(self.device, kind)
        needed = {
            self._names.canonical[name] for name, value in places.items() if _matters(name, value)
        }
        missing = sorted(needed - set(state))
        if missing:
            raise self._error(
                f"needs {len(missing)} parameter(s) that the checkpoint lacks, first {missing[0]!r}"
            )
        self._state = state

    def forward(self, samples: Samples) -> Tensor:
        """Logits of one batch at the loaded weights, in eval mode; gradients as autograd is set.

        Raises UsageError when the model does not take the inputs.
        """
        if not self._state:
            raise UsageError("probe", "has no weights yet", "call load first")
        inputs = self.inputs(samples)
        with evaluating(self.module):
            try:
                with products_of(self._state.values()):
                    output = functional_call(self.module, dict(self._state), (), inputs)
            except MergecastError:
                raise
            except _MODEL_ERRORS as error:
                shapes = ", ".join(f"{k} {list(v.shape)}" for k, v in inputs.items())
                raise UsageError(
                    f"task {self.task.name!r}",
                    f"its model does not take {shapes}: {type(error).__name__}: {error}",
                    "give inputs of the shape and names that it was trained on",
                ) from error
        return self.task.answer(output, samples)

    @property
    def has_encoder_and_decoder(self) -> bool:
        """Whether the model reads with an encoder what its decoder answers to."""
        config = getattr(self.module, "config", None)
        return bool(getattr(config, "is_encoder_decoder", False))

    @contextmanager
    def differentiable(self, names: Collection[str]) -> Iterator[dict[str, Tensor]]:
        """The loaded tensors called `names` (by the module) as leaves, to take gradients by.

        The probe has its own tensors back at the end, whatever happens.
        """
        before = self._state
        leaves = {name: before[name].detach().requires_grad_() for name in sorted(names)}
        self._state = {**before, **leaves}
        try:
            yield leaves
        finally:
            self._state = before

    @torch.no_grad()
    def logits(
        self, parameters: Mapping[str, Tensor], samples: Samples, batch_size: int = BATCH_SIZE
    ) -> Tensor:
        """Logits of all samples at `parameters`, on the CPU: (n, classes) or (n, L, vocabulary)."""
        self.load(parameters)
        logits = torch.empty(0)
        for rows, part in answers(self.forward, samples, batch_size, self.module):
            if not len(logits):
                logits = part.new_empty(len(samples), *part.shape[1:])
            logits[rows] = part
        return logits

    def inputs(self, samples: Samples) -> dict[str, Tensor]:
        """The inputs on the device, floats in the dtype of the weights."""
        dtype = next(v.dtype for v in self._state.values() if v.is_floating_point())
        return {
            name: value.to(self.device, dtype if value.is_floating_point() else value.dtype)
            for name, value in samples.inputs.items()
        }

    def _error(self, problem: str) -> CheckpointError:
        return CheckpointError(
            f"task {self.task.name!r}",
            f"its model {problem}",
            "build the architecture of the checkpoint; name the head's parameters as private",
        )


def build_skeleton(task: Task, device: torch.device) -> nn.Module:
    """The task's module with parameters that take no memory; buffers stay, on `device`.

    The global random state, which initialisers use, is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            module = task.build()
        except MergecastError as error:
            raise error.about(f"task {task.name!r}") from error
    empty: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                if id(parameter) not in empty:
                    empty[id(parameter)] = nn.Parameter(
                        torch.empty_like(parameter, device="meta"), parameter.requires_grad
                    )
                part._parameters[name] = empty[id(parameter)]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(device)
    return module


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode for `module` and all its parts; each part's own mode is restored."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _matters(name: str, value: Tensor) -> bool:
    """Integer buffers (counters, position ids) may stay as they were built, and so may the bias
    that sequence-to-sequence models add to their logits: nothing trains it, and it is built as 0.
    """
    return isinstance(value, nn.Parameter) or (
        value.is_floating_point() and not name.endswith("final_logits_bias")
    )
