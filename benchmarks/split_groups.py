"""Of how many letters, or series, the pictures of a split of `image-11` are.

python benchmarks/split_groups.py

After `mergecast bench fetch image-11`: pictures, and groups among them, of 100 calibration and 300
test pictures of every task, drawn one by one and, as early runs did, group by group.
"""

from __future__ import annotations

import argparse

from mergecast.suites.encoders.data import Labelled
from mergecast.suites.image.suite import ImageRecipe
from mergecast.suites.suite import SUITES


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    suite = SUITES.get("image-11")
    for task in suite.tasks:
        data = Labelled.load(suite.prepared() / f"{task}.npz")
        for whole in (False, True):
            recipe = ImageRecipe(n_calibration=100, n_test=300, whole_groups=whole)
            rows = recipe.split(list(data.groups))
            told = ", ".join(
                f"{len(rows[split])} {split} of {len({*data.groups[rows[split]]})} groups"
                for split in ("calibration", "test")
            )
            print(f"{task:<16}{'group by group' if whole else 'one by one':<16}{told}")


if __name__ == "__main__":
    main()
