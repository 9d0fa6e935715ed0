"""`Recipe`: all that decides what a merge of given models is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self, TypeAlias

from mergecast.errors import UsageError
from mergecast.merging.method import METHODS, MergingMethod
from mergecast.merging.recipe_numbers import checked_weights, is_number
from mergecast.merging.recipe_text import APART, apart_text, read_recipe_text, recipe_text
from mergecast.typing import listed

#: The parameter that is a method's strength: the factor on what it adds to the base.
STRENGTH = "scaling"
_KEYS = ("method", "params", "weights", "seed", STRENGTH, APART)


@dataclass(frozen=True)
class Recipe:
    """A merging method with everything that it is told, validated.

    Attributes
    ----------
    method : str
        A name in `METHODS`.
    params : mapping of str to object
        The method's parameters; once made, all of them, defaults filled in.
    weights : mapping of str to float
        Label of every member to its weight; empty where all count alike.
    seed : int
        Of random masks.
    by_parameter : mapping of str to Recipe
        Names of the network's parameters that are merged with other values, and how: the same
        method and seed. Files of mergekit give values by layer.

    Raises
    ------
    UsageError
        An unknown method or parameter, a value outside its bounds, or weights that the method
        does not take.

    Examples
    --------
    >>> recipe = Recipe("ties", {"scaling": 0.4}, {"b": 1, "a": 3})
    >>> print(recipe)
    ties(density=0.2, scaling=0.4, weights={a: 3, b: 1})
    >>> Recipe.of(recipe.as_mapping()) == Recipe.of(str(recipe)) == recipe
    True
    >>> Recipe("ties").label, Recipe("ties", {"scaling": 1}, seed=3).label
    ('ties', 'ties(scaling=1)')
    """

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    by_parameter: Mapping[str, Recipe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        params = self.merging_method.validate(self.params)
        frozen: dict[str, object] = {}
        for name, value in params.items():
            # Minus zero is zero, and written otherwise.
            plain = value + 0.0 if isinstance(value, float) else value
            frozen[name] = MappingProxyType(plain) if isinstance(plain, dict) else plain
        object.__setattr__(self, "params", MappingProxyType(frozen))
        object.__setattr__(
            self, "weights", MappingProxyType(checked_weights(self.merging_method, self.weights))
        )
        whole = is_number(self.seed) and float(self.seed).is_integer()
        if not whole or self.seed < 0:
            raise UsageError("seed", f"is {self.seed!r}", "give a whole number, 0 or more")
        object.__setattr__(self, "seed", int(self.seed))
        for name, part in self.by_parameter.items():
            if (part.method, part.seed) != (self.method, self.seed) or part.by_parameter:
                raise UsageError(
                    f"recipe of parameter {name!r}", f"is {part}", "give the same method and seed"
                )
        object.__setattr__(self, "by_parameter", MappingProxyType(dict(self.by_parameter)))

    @classmethod
    def of(
        cls,
        given: Given,
        params: Mapping[str, object] | None = None,
        *,
        scaling: float | None = None,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> Self:
        """A recipe from a method's name and the rest, from a mapping, or as it is.

        Parameters
        ----------
        given : str, mapping or Recipe
            A method's name; or all of a recipe, as it is printed (``ties(density=0.5)``) or as YAML
            and JSON hold it: ``method``, ``params``, ``weights``, ``seed``, and ``scaling`` for the
            parameter of that name.
        params, scaling, weights, seed
            The rest beside a name; beside a whole recipe none of them may be given.

        Raises
        ------
        UsageError
            An unknown key, and what `Recipe` refuses.
        """
        if isinstance(given, str):
            if "(" not in given:
                return cls(given, _with_strength(params or {}, scaling), weights or {}, seed)
            method, told = read_recipe_text(given)
            given = {"method": method, "params": told}
            given |= {name: told.pop(name) for name in ("weights", "seed") if name in told}
        asked = {
            "params": params or None,
            STRENGTH: scaling,
            "weights": weights,
            "seed": seed or None,
        }
        for name, value in asked.items():
            if value is not None:
                raise UsageError(name, "given beside a whole recipe", "put it into the recipe")
        return given if isinstance(given, cls) else cls._of_mapping(given)

    @classmethod
    def _of_mapping(cls, given: object) -> Self:
        if not isinstance(given, Mapping):
            raise UsageError(
                "recipe", f"is {given!r}", "give a method's name, or a mapping with method, params"
            )
        for key in given:
            if key not in _KEYS:
                raise UsageError.unknown("key of a recipe", str(key), _KEYS)
        if not isinstance(given.get("method"), str):
            raise UsageError("recipe", "names no method", f"known: {', '.join(METHODS.names())}")
        parts = {}
        for key in ("params", "weights"):
            value = given.get(key) or {}
            if not isinstance(value, Mapping):
                raise UsageError(f"{key} of a recipe", f"are {value!r}", "give names with values")
            parts[key] = value
        params = _with_strength(parts["params"], given.get(STRENGTH))
        whole = cls(given["method"], params, parts["weights"], given.get("seed") or 0)
        others: dict[str, Recipe] = {}
        for group in given.get(APART) or ():
            if not (isinstance(group, Mapping) and group.get("parameters")):
                raise UsageError(
                    f"{APART} of a recipe",
                    f"holds {group!r}",
                    "give mappings with parameters, a list of names, and their params",
                )
            told, weighed = (group.get(name) or {} for name in ("params", "weights"))
            part = replace(whole, params=told, weights=weighed)
            others |= dict.fromkeys(listed(group["parameters"]), part)
        return replace(whole, by_parameter=others)

    @property
    def merging_method(self) -> MergingMethod:
        """The registered method."""
        return METHODS.get(self.method)

    @property
    def strength(self) -> float | None:
        """The factor on what the method adds to the base; None where it has none."""
        value: float | None = self.params.get(STRENGTH)
        return value

    def check_strength(self) -> None:
        """Raise UsageError where the method has no strength."""
        if self.strength is None:
            able = [one.name for one in METHODS if STRENGTH in one.defaults]
            remedy = f"use one of {', '.join(able)}"
            raise UsageError(f"strength of {self.method}", "it has none", remedy)

    def of_parameter(self, name: str) -> Recipe:
        """How a parameter of the network is merged."""
        return self.by_parameter.get(name, self)

    def at(self, strength: float) -> Self:
        """The same recipe at another strength; raises UsageError outside the method's range."""
        if self.by_parameter:
            raise UsageError(STRENGTH, "cannot be changed: it is given by parameter", "leave it")
        return replace(self, params=_with_strength({**self.params, STRENGTH: strength}, None))

    def check(self, members: Sequence[str]) -> None:
        """Raise UsageError where these members cannot be merged by it."""
        for part in {*self.by_parameter.values()}:
            part.check(members)
        self.merging_method.check_members(members)
        by_member = {name: v for name, v in self.params.items() if isinstance(v, Mapping)}
        for what, values in {"weight": self.weights, **by_member}.items():
            if not values:
                continue
            for label in values:
                if label not in members:
                    raise UsageError.unknown(f"{what} of model", label, members)
            for label in members:
                if label not in values:
                    raise UsageError(
                        f"{what} of model {label!r}", "not given", "give one for every model"
                    )

    def weights_of(self, members: Sequence[str]) -> tuple[float, ...] | None:
        """The members' weights in their order; None where all count alike."""
        return tuple(self.weights[label] for label in members) if self.weights else None

    def as_mapping(self) -> dict[str, Any]:
        """Plain data, for JSON and YAML; `of` reads it."""
        params = {k: dict(v) if isinstance(v, Mapping) else v for k, v in self.params.items()}
        plain: dict[str, Any] = {"method": self.method, "params": params}
        plain |= {"weights": dict(self.weights), "seed": self.seed}
        groups: dict[Recipe, list[str]] = {}
        for name, part in sorted(self.by_parameter.items()):
            groups.setdefault(part, []).append(name)
        if groups:
            plain[APART] = [
                {**part.as_mapping(), "parameters": names} for part, names in groups.items()
            ]
        return plain

    @property
    def key(self) -> str:
        """SHA-256 (hex) of all that its result depends on, alike in every process.

        Weights that are all 1 are those that nobody gives; the seed counts where the method
        draws random numbers.
        """
        parts = self.as_mapping()
        if all(weight == 1 for weight in self.weights.values()):
            del parts["weights"]
        if not self.merging_method.random:
            del parts["seed"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(json.dumps(self.as_mapping(), sort_keys=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).of, (self.as_mapping(),)

    @property
    def models(self) -> tuple[str, ...]:
        """The labels of the models that weights or values are given for, sorted; none for all."""
        named = [value for value in (self.weights, *self.params.values()) if _is_mapping(value)]
        return tuple(sorted({label for values in named for label in values}))

    @property
    def label(self) -> str:
        """What tables call it: what differs from the method's defaults, its name if nothing does.

        The seed has a column of its own. `of` reads it, but for values by parameter.
        """
        defaults = self.merging_method.defaults
        told = {name: value for name, value in self.params.items() if value != defaults[name]}
        if any(weight != 1 for weight in self.weights.values()):
            told["weights"] = self.weights
        told |= self._apart()
        return recipe_text(self.method, told)

    def __str__(self) -> str:
        """Numbers, and what differs from the default: ``ties(density=0.2, scaling=0.3)``."""
        defaults = self.merging_method.defaults
        told = {
            name: value
            for name, value in self.params.items()
            if value != defaults[name] or is_number(value)
        }
        if self.weights:
            told["weights"] = self.weights
        if self.merging_method.random and self.seed:
            told["seed"] = self.seed
        told |= self._apart()
        return recipe_text(self.method, told)

    def _apart(self) -> dict[str, str]:
        """How many parameters are merged with other values, in words, and which in a digest."""
        if not self.by_parameter:
            return {}
        return {APART: apart_text(len(self.by_parameter), self.as_mapping()[APART])}


#: What a recipe is given as.
Given: TypeAlias = str | Recipe | Mapping[str, Any]


def _with_strength(params: Mapping[str, object], scaling: object) -> dict[str, object]:
    """Parameters with the strength among them, given apart."""
    if scaling is None:
        return dict(params)
    if STRENGTH in params:
        raise UsageError(STRENGTH, "given twice", "give it once, by itself or as a parameter")
    return {**params, STRENGTH: scaling}


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)
