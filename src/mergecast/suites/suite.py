"""What a suite must give so that one runner can fine-tune, merge and evaluate it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mergecast.errors import UsageError
from mergecast.registry import Registry
from mergecast.runtime.stage import Stage
from mergecast.suites.merges import SIX

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.tasks.task import Task


class Recipe(BaseModel):
    """All that decides a suite's numbers beside the seed; the base of every suite's own recipe.

    Its JSON is part of the key of every stored result: another value is another result.

    Attributes
    ----------
    merging : mapping of str to mapping
        Parameters of a merging method, by its name, where they differ from its defaults.
    reestimate_batchnorm : bool
        Measure BatchNorm's running statistics anew after each merge, on the calibration samples
        of the member that is evaluated. Of no effect on models without BatchNorm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merging: Mapping[str, Mapping[str, float | int | str | bool]] = {}
    reestimate_batchnorm: bool = True

    @classmethod
    def quick(cls) -> Self:
        """Settings under which a model takes a second, to test with; the defaults otherwise."""
        return cls()

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Self:
        """The defaults but for `settings`, as a command line or a file gives them.

        Raises
        ------
        UsageError
            A setting that there is not, or a value that it does not take.
        """
        for name in settings:
            if name not in cls.model_fields:
                raise UsageError.unknown("setting of the suite", name, cls.model_fields)
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"setting {name}", f"is {first['input']!r}: {first['msg']}", "give another value"
            ) from error

    #: Whether a folder may go on by another recipe: where units are kept by what made each.
    may_change: ClassVar[bool] = False

    def training(self, tasks: Collection[str] = ()) -> dict[str, Any]:
        """What decides data, base and models of `tasks`: all but how they are merged, as JSON."""
        del tasks
        return self.model_dump(mode="json", exclude=set(Recipe.model_fields))


RecipeT = TypeVar("RecipeT", bound=Recipe)


class Suite(ABC, Generic[RecipeT]):
    """A base model, tasks, and a way to fine-tune on them; all stateless.

    Models are state dicts of parameter names to CPU tensors. A fine-tuned model holds the task's
    head, if it has one, under names that the task's `private` patterns match: heads are never
    merged, and each member of a merge is evaluated with its own. The same arguments must give the
    same tensors in any process: randomness comes from `mergecast.runtime.seeds` only.

    Attributes
    ----------
    name, description : str
        What the suite is called, and one line about it.
    tasks : tuple of str
        The names of its tasks, which are also those of the models.
    recipe_type : type of Recipe
        Its settings.
    version : int
        Raised when a change of its code may change a number: data, base or fine-tuning.
    modules : tuple of str
        Where its code is, beside the module of the class.
    recipes : tuple of str
        How its models are merged where a run does not say: methods, and recipes by their text.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    recipe_type: type[RecipeT]
    version: ClassVar[int] = 1
    modules: ClassVar[tuple[str, ...]] = ()
    recipes: ClassVar[tuple[str, ...]] = SIX

    @property
    def stage(self) -> Stage:
        """What all that is stored of the suite was made by."""
        modules = (type(self).__module__, *self.modules)
        return Stage(f"suite {self.name}", self.version, modules=modules)

    @abstractmethod
    def fetch(self) -> str:
        """Bring data and weights that are not bundled into `suite_cache`; says what was done."""

    def label(self, recipe: RecipeT) -> str:
        """What tables call the suite under a recipe: its name, after a slash what kind of models.

        Models of one name but for what stands after the slash are of the same tasks: protocols that
        hold out a suite hold them out together.
        """
        del recipe
        return self.name

    def names(self, recipe: RecipeT) -> tuple[str, ...]:
        """Its tasks under a recipe; the same under every one by default."""
        del recipe
        return self.tasks

    def check(self, recipe: RecipeT) -> None:
        """Raise an error where a run by this recipe could not even begin; nothing by default."""

    @abstractmethod
    def task(self, recipe: RecipeT, name: str) -> Task:
        """A task: its architecture, samples, private parameters, and how answers are scored.

        Merges are evaluated on its ``test`` split, pairs are probed on its ``calibration`` split.
        """

    @abstractmethod
    def base(self, recipe: RecipeT, seed: int) -> dict[str, Tensor]:
        """The base model, pre-trained here or loaded; it needs no head."""

    @abstractmethod
    def fine_tune(
        self, recipe: RecipeT, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The base fine-tuned on `task`, with the head that was trained for it, if any."""


SUITES: Registry[Suite[Any]] = Registry("suite", Suite, modules=("mergecast.suites.*.suite",))
"""Suites by name. Each registers itself in its own module, ``suite`` in a folder of this room."""
