"""Direction and size of two task vectors."""

from math import acos, degrees, inf

from mergecast.pairmetrics.pair import WeightPair
from mergecast.pairmetrics.spec import metric

_PAPER = "arXiv 2601.22285, task-vector geometry"


@metric(
    "task_vector_cosine_similarity",
    family="task_vector",
    tier="weights",
    symmetric=True,
    range=(-1, 1),
    source=_PAPER,
    sets=("paper",),
)
def task_vector_cosine_similarity(pair: WeightPair) -> float:
    """⟨τᵢ, τⱼ⟩ / (‖τᵢ‖ ‖τⱼ‖)."""
    return pair.cosine


@metric(
    "task_vector_l2_distance",
    family="task_vector",
    tier="weights",
    symmetric=True,
    range=(0, inf),
    source=_PAPER,
    sets=("paper",),
)
def task_vector_l2_distance(pair: WeightPair) -> float:
    """‖τᵢ - τⱼ‖."""
    _ = pair.norms
    return pair.vectors.distance


@metric(
    "task_vector_dot_product",
    family="task_vector",
    tier="weights",
    symmetric=True,
    range=(-inf, inf),
    source=_PAPER,
    sets=("paper",),
)
def task_vector_dot_product(pair: WeightPair) -> float:
    """⟨τᵢ, τⱼ⟩; a zero task vector has no direction to compare."""
    _ = pair.norms
    return pair.dot


@metric(
    "weight_space_angle",
    family="task_vector",
    tier="weights",
    symmetric=True,
    range=(0, 180),
    source=_PAPER,
    sets=("paper",),
)
def weight_space_angle(pair: WeightPair) -> float:
    """The angle between the two task vectors, in degrees."""
    return degrees(acos(pair.cosine))


@metric(
    "task_vector_magnitude_ratio",
    family="task_vector",
    tier="weights",
    symmetric=True,
    range=(0, 1),
    source=_PAPER,
    sets=("paper",),
)
def task_vector_magnitude_ratio(pair: WeightPair) -> float:
    """The smaller of the two norms over the larger."""
    return pair.vectors.magnitude_ratio


@metric(
    "task_vector_norm_share",
    family="task_vector",
    tier="weights",
    symmetric=False,
    range=(0, 1),
    source="mergecast: the one weights-only number that tells the two members of a pair apart",
)
def task_vector_norm_share(pair: WeightPair) -> float:
    """‖τᵢ‖ / (‖τᵢ‖ + ‖τⱼ‖): the first model's part of the pair's length."""
    return pair.norms[0] / sum(pair.norms)
