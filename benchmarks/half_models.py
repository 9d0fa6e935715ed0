"""Whether half of a fine-tuned model knows better than the whole one where the two differ.

python benchmarks/half_models.py --run DIR …

Each DIR is a finished run of a suite with its models. Half a model is its base and half of its
task vector, asked its own calibration samples. One row a suite, over its tasks: the share of
samples that half a model and the whole one answer differently; of these, the shares where either is
right; how far half a model has come on the way of the logits from base to whole (1/2 where answers
are linear in the task vector); and by how much mean logits of both, half of a model counting by w,
tell the true classes better than the whole model's alone, in nats a hundred samples, at 0.95 of its
confidence as in the form `expected`. Nothing is fitted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from torch import Tensor

from mergecast.evidence import Session
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.retention.logits import Logits
from mergecast.evidence.retention.merges import answer
from mergecast.evidence.superposition.gather import part_way
from mergecast.evidence.superposition.shifts import HALF, centred
from mergecast.runtime.workers import one_thread
from mergecast.suites.folder import read_run
from mergecast.suites.pair_table import session_of_run

SHARES = (0.1, 0.25, 0.5, 0.75)
TRUE = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", nargs="+", type=Path, required=True)
    rows = {}
    for folder in parser.parse_args().run:
        plan = read_run(folder)
        with one_thread(), session_of_run(plan, ()) as session:
            rows[plan.run.label] = of_suite(session)
    print(pd.DataFrame(rows).T.round(2).to_string())


def of_suite(session: Session) -> pd.Series:
    """The row of one suite."""
    tasks = pd.DataFrame([of_task(session, label) for label in sorted(session.family.names)])
    differ = tasks["differ"].sum()
    found = {
        "tasks": len(tasks),
        "differ": differ / tasks["samples"].sum(),
        "whole right": tasks["whole"].sum() / differ,
        "half right": tasks["half"].sum() / differ,
        "come": tasks["come"].mean(),
    }
    gains = tasks[[f"w {share}" for share in SHARES]].sum() / tasks["samples"].sum() * 100
    return pd.Series({**found, **gains})


def of_task(session: Session, label: str) -> dict[str, float]:
    """Counts of one model's samples."""
    kept, own = own_answers(session, label)
    truth, whole = kept.labels, own.double()
    base, half = (
        kept.of(answer(session, label, part_way(session, HALF, *members))).double()
        for members in ((), (label,))
    )
    differ = whole.argmax(dim=1) != half.argmax(dim=1)
    way = centred(whole - base)
    counts = {
        "samples": float(len(truth)),
        "differ": float(differ.sum()),
        "whole": float((whole.argmax(dim=1) == truth)[differ].sum()),
        "half": float((half.argmax(dim=1) == truth)[differ].sum()),
        "come": float((centred(half - base) * way).sum() / way.square().sum()),
    }
    sure = max(TRUE * Logits(whole, "whole").confidence, 1.1 / whole.shape[1])
    alone = told(whole, truth, sure)
    for share in SHARES:
        counts[f"w {share}"] = told((1 - share) * whole + share * half, truth, sure) - alone
    return counts


def told(logits: Tensor, truth: Tensor, confidence: float) -> float:
    """Log-likelihood of the true classes at a mean confidence, in nats."""
    right = Logits(logits, "mean").at(confidence)[range(len(truth)), truth]
    return float(right.clamp_min(1e-9).log().sum())


if __name__ == "__main__":
    main()
