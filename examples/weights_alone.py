"""What checkpoints alone tell: whether a merge makes sense, and when nobody knows its outcome."""

import mergecast as mc
from small_models import small_family, small_models


def main() -> None:
    """Run the example."""
    run = small_models()

    # Would a merge make sense at all? Nothing is merged, no model is run.
    models = sorted((run / "models").glob("*.safetensors"))
    preflight = mc.check(run / "base.safetensors", models, private="head.*")
    print(f"usable: {', '.join(preflight.usable)}; refused: {preflight.refused or 'none'}")

    # What the task vectors have in common, one row a pair.
    family = small_family(run)
    metrics = mc.metrics(family, metrics="paper")
    columns = ["left", "right", "task_vector_cosine_similarity", "task_vector_l2_distance"]
    print(metrics[columns].sort_values(columns[2], ascending=False).to_string(index=False))

    # The forecaster that comes along learned on other kinds of models: from weights it gives no
    # number, and says why. `with_samples.py` gives it samples, `learn_from_merges.py` merges.
    forecast = mc.forecast(family, methods=["weight_avg", "ties"])
    print(forecast.abstention)


# Worker processes import this file anew; what it does must not begin again in them.
if __name__ == "__main__":
    main()
