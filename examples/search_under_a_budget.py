"""The merge worth making, of any two to four of four models, after twelve measurements at most."""

from pathlib import Path

import mergecast as mc
from small_models import small_family, small_models


def main() -> None:
    """Run the example."""
    run = small_models()
    found = mc.search(
        small_family(run, "loops", "parity", "prime", "upright"),
        tasks=run,
        size="2..4",
        objective="worst",
        require={"*": 0.8},
        methods=["weight_avg", "task_arithmetic", "ties"],
        budget=12,
        out=Path(run) / "merged",
        overwrite=True,
        workers=1,
    )
    print(found)

    # What it keeps was verified on test samples that the search never looked at.
    print(found.advice, found.members, found.chosen.recipe)
    if found.out is not None:
        print(f"written: {', '.join(sorted(path.name for path in found.out.iterdir()))}")


# Worker processes import this file anew; what it does must not begin again in them.
if __name__ == "__main__":
    main()
