"""Outcome tables of evaluations that were made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from mergecast.errors import UsageError
from mergecast.runtime.yaml_file import YamlFile, first_problem
from mergecast.tables.harness import Scores, harness_outcomes
from mergecast.tables.outcomes import OutcomeTable


def outcomes(scores: str | Path | Mapping[str, object]) -> OutcomeTable:
    """The outcome table of evaluations by lm-evaluation-harness.

    Every model is judged on the harness task that it was fine-tuned for, alone and in each merge.
    Where ``--log_samples`` was given, documents are paired by their hash, for the number of
    samples and the standard error of retention.

    Parameters
    ----------
    scores : str, Path or mapping
        A YAML file that says which evaluation is of what (paths are relative to it), or its
        content: `models`, label to `results` (a results file of lm_eval or its folder), `task` and
        `metric`; `merges`, method to members joined by ``+`` to results; `suite` and `seed`.
        Without `metric` it is the first one of which more is better.

    Raises
    ------
    UsageError
        Line and field of what is wrong in the file; a member that is no model; a metric of which
        less is better, which is no score.
    TableError
        A file without the task; two that differ in task version or hash, number of few-shot
        examples, limit, chat template or another setting; documents of one only.

    Examples
    --------
    >>> import mergecast as mc
    >>> table = mc.outcomes("lm/scores.yaml")
    >>> table.methods, table.to_pandas()["metric"].tolist()
    (['ties'], ['acc,none', 'exact_match,strict-match'])
    """
    if isinstance(scores, Mapping):
        try:
            return harness_outcomes(Scores.model_validate(scores), Path())
        except ValidationError as error:
            raise UsageError("scores", first_problem(error)[1], "fix the field") from error
    file = YamlFile.read(scores, "scores", "models")
    try:
        listing = Scores.model_validate(file.content)
    except ValidationError as error:
        where, problem = first_problem(error)
        line = file.walk(where)[0]
        raise UsageError(file.path, f"line {line}: {problem}", "fix the field") from error
    return harness_outcomes(listing, file.path.parent)
