"""Exact match and likelihood of decoders: what merges keep of them, made, superposed, in sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mergecast as mc
from mergecast.errors import UndefinedError
from mergecast.evidence.retention.answers import Kept, own_answers
from mergecast.evidence.retention.forms import Reference, compare
from mergecast.evidence.retention.judges import Judge
from mergecast.evidence.retention.logits import likeliest
from mergecast.evidence.retention.together import together
from mergecast.evidence.session import Session
from mergecast.evidence.settings import MergeSettings, ProbeSettings
from mergecast.evidence.superposition.gather import gather
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.tasks import scores
from mergecast.tasks.load import load_tasks

pytest.importorskip("transformers", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
SCORES = ("exact_match", "likelihood")


def _drawn(classes, sharp):
    """Logits of a merge and of a model that is mostly right, and labels with gaps."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (30, 4), generator=draw)
    single = torch.randn(30, 4, classes, generator=draw, dtype=torch.float64)
    single.scatter_add_(2, labels[..., None], torch.full((30, 4, 1), sharp, dtype=torch.float64))
    merged = single + torch.randn(single.shape, generator=draw, dtype=torch.float64)
    labels[:10, 2:] = scores.IGNORED
    return merged, single, labels


@pytest.mark.parametrize("classes", [5, 300])
@pytest.mark.parametrize("score", SCORES)
def test_what_is_kept_is_the_ratio_of_the_scores_themselves(score, classes):
    merged, single, labels = _drawn(classes, sharp=3.0 if classes == 5 else 5.0)
    found = compare(merged, single, labels, score=score).values
    after, before = (scores.SCORES[score](one, labels).mean() for one in (merged, single))
    assert 0 < float(after) < float(before)
    assert found["expected_labelled"] == pytest.approx(float(after / before), rel=1e-9)
    # Other forms say what they always did.
    plain = compare(merged, single, labels).values
    assert found["overlap_unlabelled"] == plain["overlap_unlabelled"]
    assert found["expected_labelled"] != plain["expected_labelled"]
    same = compare(single, single, labels, score=score).values
    assert same["expected_labelled"] == same["expected_unlabelled"] == pytest.approx(1)
    assert found["expected_unlabelled"] < 1


def test_of_many_classes_those_that_were_kept_say_the_same():
    merged, single, labels = _drawn(300, sharp=7.0)
    rows = (labels.reshape(-1) != scores.IGNORED).nonzero()[:, 0]
    flat = single.reshape(-1, 300)[rows]
    classes, place = likeliest(flat, labels.reshape(-1)[rows])
    kept = Kept(rows, classes, place, rows // 4)
    for score in SCORES:
        reference = Reference(kept.of(single).double(), place, score=kept.judge(score))
        found = reference.compare(kept.of(merged).double()).values["expected_labelled"]
        whole = compare(merged, single, labels, score=score).values["expected_labelled"]
        assert found == pytest.approx(whole, abs=1e-5)
    assert kept.judge("accuracy") is None


def test_a_class_that_stands_for_others_is_no_answer():
    logits = torch.tensor([[[2.0, 0.0, 5.0]], [[0.0, 2.0, 5.0]]])
    target, owners = torch.tensor([0]), torch.tensor([0])
    hits = Judge("exact_match", owners, others=True).mean(logits, target, None)
    assert hits.tolist() == [1, 0]
    assert Judge("exact_match", owners).mean(logits, target, None).tolist() == [0, 0]


@pytest.fixture(scope="module")
def decoders(tmp_path_factory):
    from decoder_family import write_family

    folder = tmp_path_factory.mktemp("decoders")
    return write_family(folder), folder / "t.yaml"


@pytest.fixture(params=SCORES)
def judged(request, decoders, tmp_path):
    """The models, and a file of tasks with one of the scores."""
    models, file = decoders
    text = file.read_text().replace("exact_match", request.param)
    written = file.with_name(f"{request.param}.yaml")
    written.write_text(text)
    return models, written


def test_merges_that_are_made_keep_what_measuring_them_says(judged):
    models, file = judged
    measured = mc.measure(models[0], models[1:], tasks=file, methods=["ties"]).outcomes.frame
    family, tasks = mc.Family.open(models[0], models[1:]), load_tasks(file)
    merges = MergeSettings(methods=("ties",))
    # The test samples are those of the calibration split: the numbers must be the same.
    with Session(family, tasks, ProbeSettings(40), merges) as session:
        for row in measured.to_dict("records"):
            found = together(session, row["members"].split("+"), "ties")[row["task"]]
            assert found.values["expected_labelled"] == pytest.approx(row["retention"], abs=1e-6)


def test_superposed_merges_of_decoders_are_judged_by_their_score(judged):
    models, file = judged
    family, tasks = mc.Family.open(models[0], models[1:]), load_tasks(file)
    merges = MergeSettings(methods=("weight_avg",))
    with Session(family, tasks, ProbeSettings(40), merges) as session:
        kept = {label: own_answers(session, label)[0] for label in family.names}
        shifts = gather(session)
        for label in family.names:
            score = tasks[label].score_name
            judge = SetJudge.of(session, label)
            reference = Reference(
                shifts.single[label], kept[label].labels, score=kept[label].judge(score)
            )
            states = torch.stack([shifts.base[label], shifts.single[label]])
            for value, answers in zip(judge.values(states.float()), states, strict=True):
                one = reference.compare(answers).values["expected_labelled"]
                assert float(value) == pytest.approx(one, abs=1e-4)
            assert judge.values(states.float())[0] < 0.5  # the base has hardly learned it


def test_a_model_that_matches_nothing_has_nothing_to_keep(decoders):
    models, file = decoders
    swapped = {Path(path).name: path for path in models[1:]}
    # Each model under the name of another's task.
    family = mc.Family.open(models[0], {"after": swapped["before"], "before": swapped["after"]})
    tasks = {name: task for name, task in load_tasks(file).items() if name in family.names}
    merges = MergeSettings(methods=("ties",))
    with (
        Session(family, tasks, ProbeSettings(20), merges) as session,
        pytest.raises(UndefinedError, match="its exact match is 0 on its own samples"),
    ):
        SetJudge.of(session, "after")


def test_a_forecast_and_a_strength_are_of_the_task_s_score(judged):
    models, file = judged
    forecast = mc.forecast(models[0], models[1:], tasks=file, calibration=40)
    rows = forecast.rows[forecast.rows["method"] == "weight_avg"]
    # Three pairs of three models: one was really merged, and says what the base lost of it.
    assert rows["retention"].between(0, 0.7).all()
    assert any("how often they hold is not known here" in text for text in forecast.warnings)
    tuned = mc.tune_merge(models[0], models[1:3], tasks=file, method="task_arithmetic")
    measured = mc.forecast_merge(models[0], models[1:3], recipe=tuned.recipe, tasks=file)
    usual = mc.forecast_merge(models[0], models[1:3], recipe="task_arithmetic", tasks=file)
    assert measured.kept["kept"].mean() >= usual.kept["kept"].mean()
