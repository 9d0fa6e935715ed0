import pytest

from mergecast.errors import TableError
from mergecast.paper.fits import experiments, released_fits
from published_folder import METRICS, SETTING, TASKS, change, fit_file


def test_fits_of_a_setting_by_method(results):
    fits = released_fits(results, SETTING)
    assert list(fits) == ["task_arithmetic", "tsv"]
    fit = fits["tsv"]
    assert list(fit.coefficients.columns) == list(METRICS)
    assert list(fit.coefficients.index) == TASKS
    assert fit.per_fold_r == pytest.approx(fit.fold_r.mean())
    assert fit.fold_pairs.tolist() == [5] * 6
    assert fit.pooled_r == 0.1
    assert experiments(results, SETTING) == ["loto_cv_l1_lambda1.0"]


def test_a_setting_without_fits_has_none(results):
    assert released_fits(results, SETTING, "loto_cv_mse") == {}
    assert released_fits(results, "Other_SGD") == {}
    assert experiments(results, "Other_SGD") == []


def test_metrics_that_an_elimination_removed_count_as_zero(results):
    def edit(data):
        for fold in data["fold_results"]:
            fold["retained_coefficients"] = {METRICS[0]: 1.0}
            del fold["coefficients"]
        data["fold_results"][0]["retained_coefficients"] = {METRICS[1]: 2.0}
        data.pop("aggregate_metrics")

    change(fit_file(results), edit)
    fit = released_fits(results, SETTING)["task_arithmetic"]
    assert fit.coefficients.iloc[0].to_dict() == {METRICS[0]: 0.0, METRICS[1]: 2.0}
    assert fit.pooled_r != fit.pooled_r


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.pop("fold_results"), "key 'fold_results': missing"),
        (lambda d: d.update(fold_results=[]), "no fold"),
        (lambda d: d["fold_results"][1].pop("held_out_task"), "row 1, key 'held_out_task'"),
        (lambda d: d["fold_results"][1].update(held_out_task="pets"), "held out twice"),
        (lambda d: d["fold_results"][2].pop("coefficients"), "row 2, key 'coefficients'"),
        (
            lambda d: d["fold_results"][2].pop("val_r"),
            "row 2, key 'val_r': missing; found: 'held_out_task'",
        ),
        (lambda d: d["fold_results"][2]["coefficients"].pop(METRICS[0]), "no coefficient of"),
        (
            lambda d: d["fold_results"][2]["coefficients"].update({METRICS[0]: None}),
            "expected a finite number, found None",
        ),
    ],
)
def test_a_damaged_fit_is_refused_with_its_place(results, edit, message):
    change(fit_file(results), edit)
    with pytest.raises(TableError, match="arithmetic_loto_results") as caught:
        released_fits(results, SETTING)
    assert message in str(caught.value)


def test_ambiguous_names_are_refused(results):
    fit_file(results, "tsv").rename(fit_file(results, "task_arithmetic"))
    with pytest.raises(TableError, match="'task_arithmetic' stands twice"):
        released_fits(results, SETTING)
    home = fit_file(results).parents[1]
    (home.parent / "NET-S_Adam").mkdir()
    with pytest.raises(TableError, match="both belong to setting"):
        released_fits(results, SETTING)


def test_released_r_of_every_method(paper_results):
    published = {
        method: round(fit.per_fold_r, 3)
        for method, fit in released_fits(paper_results, "ViT-B-16_AdamW").items()
    }
    assert published == {
        "dare": 0.596,
        "task_arithmetic": 0.445,
        "ties": 0.463,
        "tsv": 0.627,
        "weight_avg": 0.589,
    }
