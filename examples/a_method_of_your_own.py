"""A merging method and a metric of your own: registered in a few lines, then known everywhere."""

from typing import Annotated

import torch
from pydantic import Field

import mergecast as mc
from mergecast.errors import UndefinedError
from mergecast.evidence.weights.fingerprints import WeightPair
from mergecast.merging import TensorBlock
from small_models import small_family, small_models


@mc.merging_method("clipped_avg", reference="examples/a_method_of_your_own.py")
def clipped_avg(block: TensorBlock, *, within: Annotated[float, Field(gt=0)] = 2.0) -> torch.Tensor:
    """Average the task vectors, each cut to some standard deviations of its own entries.

    Parameters
    ----------
    within : float
        Standard deviations.
    """
    flat = block.deltas.flatten(1)
    bound = (within * flat.std(dim=1)).reshape(-1, *[1] * (block.deltas.dim() - 1))
    return block.deltas.clamp(-bound, bound).mean(dim=0)


@mc.metric(
    "norm_gap",
    family="task_vector",
    tier="weights",
    symmetric=True,
    range=(0, 1),
    source="examples/a_method_of_your_own.py",
    sets=("examples",),
)
def norm_gap(pair: WeightPair) -> float:
    """How much shorter the shorter task vector is: 0 for two of one length."""
    shorter, longer = sorted(pair.norms)
    if longer == 0:
        raise UndefinedError("task vectors", "both models equal the base")
    return 1 - shorter / longer


def main() -> None:
    """Run the example."""
    run = small_models()
    family = small_family(run, "loops", "parity", "prime")

    print(mc.metrics(family, metrics="examples").to_string(index=False))

    # Made in memory and measured on samples, like any other method; parameters are checked.
    for recipe in (mc.Recipe("clipped_avg", {"within": 1.5}), "clipped_avg", "weight_avg"):
        print(mc.forecast_merge(family, recipe=recipe, tasks=run).sentence)

    # No forecaster knows the method yet: measured merges of it, and a fit, change that. (These
    # pairs are among those measured; of a model never seen ask `mc.evaluate` how good it is.)
    whole = small_family(run)
    measured = mc.measure(whole, tasks=run, pairs=True, methods=["clipped_avg"])
    forecaster = mc.fit((mc.pair_table(whole), measured.outcomes), "additive_plus", workers=1)
    print(mc.forecast(family, forecaster=forecaster))


# Worker processes import this file anew; what it does must not begin again in them.
if __name__ == "__main__":
    main()
