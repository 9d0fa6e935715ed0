"""The groups of metrics that ablations leave out: the paper's five, and those of other metrics."""

from __future__ import annotations

from collections.abc import Iterable

from mergecast.tables.columns import Column

OTHER = "other"

# Keys of the published tables. Those of the weights tier are registered with mergecast's own
# declarations too; the table is what groups a published file whose metrics nobody here computes.
PAPER_GROUPS: dict[str, tuple[str, ...]] = {
    "task_vector": (
        "task_vector_cosine_similarity",
        "task_vector_l2_distance",
        "task_vector_dot_product",
        "weight_space_angle",
        "task_vector_magnitude_ratio",
    ),
    "effective_rank": (
        "effective_rank",
        "effective_rank_mergeability_score",
        "stable_rank",
        "spectral_gap",
        "singular_value_ratio",
        "layerwise_effective_rank",
        "layerwise_effective_rank_mergeability_score",
    ),
    "subspace": (
        "subspace_overlap",
        "right_subspace_overlap_top_k",
        "right_subspace_overlap_bottom_k",
        "interaction_matrix_overlap_top_k",
        "interaction_matrix_overlap_bottom_k",
        "singular_value_overlap",
    ),
    "activation": (
        "activation_l2_distance",
        "activation_cosine_similarity",
        "activation_magnitude_ratio",
        "activation_dot_product",
    ),
    "gradient": (
        "encoder_gradient_cosine_similarity",
        "encoder_gradient_l2_distance",
        "encoder_gradient_dot_product",
        "input_gradient_cosine_similarity",
        "input_gradient_l2_distance",
        "input_gradient_dot_product",
    ),
}
PAPER_KEYS: tuple[str, ...] = tuple(key for keys in PAPER_GROUPS.values() for key in keys)


def group_of(key: str) -> str:
    """The group of a metric: as registered, else as published, else ``other``."""
    from mergecast.evidence import METRICS

    name = Column.parse(key).name
    if name in METRICS:
        return METRICS.get(name).family
    return next((group for group, keys in PAPER_GROUPS.items() if name in keys), OTHER)


def groups_of(keys: Iterable[str]) -> dict[str, list[str]]:
    """Group to its metrics, in the paper's order of groups, then others by name."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(group_of(key), []).append(key)
    order = [*PAPER_GROUPS, *sorted(set(groups) - set(PAPER_GROUPS))]
    return {group: groups[group] for group in order if group in groups}


def range_of(key: str) -> tuple[float, float]:
    """The smallest and largest value that a metric can take; (-inf, inf) where nothing says so.

    From its declaration where it is registered, else from its definition, which its name tells in
    the published tables.
    """
    from mergecast.evidence import METRICS

    name = Column.parse(key).name
    if name in METRICS:
        return METRICS.get(name).range
    infinity = float("inf")
    if name.endswith("_cosine_similarity"):
        return (-1.0, 1.0)
    if name.endswith("_magnitude_ratio"):
        return (0.0, 1.0)
    if name.endswith("_l2_distance"):
        return (0.0, infinity)
    return (-infinity, infinity)
