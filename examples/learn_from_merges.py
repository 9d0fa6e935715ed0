"""Merges that you measured make forecasts yours: a few at once, many by a fit that is validated."""

import mergecast as mc
from small_models import small_family, small_models


def main() -> None:
    """Run the example."""
    run = small_models()
    family = small_family(run)
    methods = ["weight_avg", "task_arithmetic"]

    # Two merges of the family, measured on test samples: from weights alone there was no number.
    some = ["loops+parity", "noisy+upright"]
    measured = mc.measure(family, tasks=run, members=some, methods=methods)
    forecast = mc.forecast(family, measured=measured.outcomes, methods=methods)
    print(forecast)

    # All fifteen pairs of the run were measured: does a fit beat predicting the mean on pairs with
    # a task that it never saw?
    predictors = ["additive_plus", "ridge"]
    evaluation = mc.evaluate(run, "loto", predictors=predictors, bootstrap=0, workers=1)
    print(evaluation)

    # A forecaster of one's own, from these merges; a file, for `--forecaster` and `forecaster=`.
    forecaster = mc.fit(run, "additive_plus", workers=1)
    print(forecaster.save(run / "mine.json"))


# Worker processes import this file anew; what it does must not begin again in them.
if __name__ == "__main__":
    main()
