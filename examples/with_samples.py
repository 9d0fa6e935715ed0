"""A forecast from weights and a hundred samples a task, read, and checked by making a merge."""

import mergecast as mc
from small_models import small_family, small_models


def main() -> None:
    """Run the example."""
    run = small_models()
    family = small_family(run, "loops", "parity", "prime", "upright")

    # Hardly any merge is made: each two models are averaged once and answer both tasks' samples.
    forecast = mc.forecast(family, tasks=run, methods=["weight_avg", "ties"])
    print(forecast)

    # The verdict is what the command line and the page say.
    summary = mc.report(forecast)
    print(summary["headline"])
    print(*summary["verdict"], sep="\n")

    # The best pair, made and asked: what was forecast, beside what is so on the same samples.
    best = forecast.pairs.sort_values("retention", ascending=False).iloc[0]
    pair = [best["left"], best["right"]]
    measured = mc.forecast_merge(family.subset(pair), recipe=best["method"], tasks=run)
    print(f"{' + '.join(pair)}: forecast {best['retention']:.3f}")
    print(measured)


# Worker processes import this file anew; what it does must not begin again in them.
if __name__ == "__main__":
    main()
