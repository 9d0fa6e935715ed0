import pytest

from mergecast.errors import TableError
from mergecast.paper.fits import released_fits
from mergecast.paper.replay import NORMALIZED, RAW, replay
from mergecast.paper.results import read_setting
from mergecast.paper.selection import select
from published_folder import METRICS, SETTING, change, fit_file, metrics_file, summary_file

ERROR = {"error": "no memory"}


def selected(results, with_fits=True):
    fits = released_fits(results, SETTING) if with_fits else {}
    return select(read_setting(results, SETTING), fits)


def test_everything_is_used_where_nothing_is_missing(results):
    chosen = selected(results)
    assert (chosen.expected, len(chosen.pairs), chosen.missing) == (15, 15, [])
    assert chosen.methods == ["task_arithmetic", "tsv"]
    assert (chosen.others, chosen.notes) == ([], [])


def test_a_pair_drops_out_of_all_methods_with_every_reason(results):
    change(summary_file(results, "tsv"), lambda data: data.update(pets__cars=ERROR))

    def edit(data):
        for key in METRICS[:2]:
            data["metrics"][key]["matrix"][0][1] = None

    change(metrics_file(results), edit)
    chosen = selected(results)
    reason = (
        "task_vector_cosine_similarity, task_vector_l2_distance: null in the published table; "
        "tsv: merge failed: no memory"
    )
    assert chosen.missing == [("cars+pets", reason)]
    assert len(chosen.pairs) == 14
    assert (chosen.outcomes.frame.groupby("method").size() == 28).all()


def test_a_method_without_a_released_fit_costs_no_pair(results):
    fit_file(results, "tsv").unlink()
    change(summary_file(results, "tsv"), lambda data: data.update(pets__cars=ERROR))
    chosen = selected(results)
    assert (chosen.methods, chosen.others) == (["task_arithmetic"], ["tsv"])
    assert chosen.missing == []
    assert chosen.outcomes.frame.groupby("method").size().to_dict() == {
        "task_arithmetic": 30,
        "tsv": 28,
    }


def test_without_fits_a_method_that_failed_often_costs_no_pair(results):
    change(
        summary_file(results, "tsv"),
        lambda data: data.update(pets__cars=ERROR, pets__digits=ERROR),
    )
    chosen = selected(results, with_fits=False)
    assert chosen.methods == ["task_arithmetic"]
    assert chosen.missing == []
    assert [code for code, _ in chosen.notes] == ["sparse_method"]


def test_a_metric_that_is_mostly_missing_is_left_out_with_a_note(results):
    def edit(data):
        data["metrics"][METRICS[0]]["matrix"][0] = [None] * 6
        data["metrics"]["mine"] = data["metrics"][METRICS[1]]

    change(metrics_file(results), edit)
    chosen = selected(results)
    assert chosen.missing == []
    assert METRICS[0] not in chosen.metrics
    notes = dict(chosen.notes)
    assert notes["missing_metric"].endswith("missing in 5 of 15 pairs")
    assert notes["unused_metric"].startswith("mine ")


def test_metrics_of_other_names_are_used_where_no_known_one_is(results):
    def edit(data):
        data["metrics"] = {f"my_{key}": value for key, value in data["metrics"].items()}

    change(metrics_file(results), edit)
    chosen = selected(results, with_fits=False)
    assert chosen.metrics == [f"my_{key}" for key in METRICS]
    with_fits = selected(results)
    assert [code for code, _ in with_fits.notes] == ["missing_metric"] * 4


def test_an_undefined_retention_is_a_reason(results):
    def edit(data):
        for pair, entry in data.items():
            if "maps" in pair:
                entry["maps"][0] = {"acc/test/maps": 0.0, "normalized_acc/test/maps": None}

    for method in ("arithmetic", "tsv"):
        change(summary_file(results, method), edit)
    change(results / "finetuning" / "accs.json", lambda data: data["Net-S"].update(maps=0.0))
    chosen = selected(results)
    assert len(chosen.missing) == 5
    assert "retention is undefined: a single score is 0" in chosen.missing[0][1]


def test_nothing_left_is_an_error(results):
    def edit(data):
        for key in METRICS:
            data["metrics"][key]["matrix"] = [[None] * 6 for _ in range(6)]

    change(metrics_file(results), edit)
    with pytest.raises(TableError, match="no metric is present in nine tenths"):
        selected(results)


def test_no_common_pair_is_an_error(results):
    for method in ("arithmetic", "tsv"):
        change(
            summary_file(results, method),
            lambda data, keep=method: [
                data.update({pair: ERROR})
                for i, pair in enumerate(sorted(data))
                if (i % 2 == 0) == (keep == "tsv")
            ],
        )
    with pytest.raises(TableError, match="no pair has every metric and outcome"):
        selected(results)


def test_replayed_coefficients_give_the_released_r_on_raw_accuracy(results):
    chosen = selected(results)
    fit = released_fits(results, SETTING)["tsv"]
    again = replay(fit, chosen.pairs, chosen.outcomes)
    assert again.target == RAW
    assert again.per_fold_r[RAW] == pytest.approx(fit.per_fold_r, abs=1e-6)
    assert again.per_fold_r[NORMALIZED] != pytest.approx(fit.per_fold_r, abs=1e-3)


def test_a_fit_of_other_tables_cannot_be_replayed(results):
    chosen = selected(results)
    fit = released_fits(results, SETTING)["tsv"]
    with pytest.raises(TableError, match="not in the pair table"):
        replay(fit, chosen.pairs.only(METRICS[1:]), chosen.outcomes)
    few = chosen.pairs.keep(~(chosen.pairs.frame[["left", "right"]] == "maps").any(axis=1))
    with pytest.raises(TableError, match="held-out task 'maps' has no pair"):
        replay(fit, few, chosen.outcomes)


@pytest.mark.parametrize(("name", "missing"), [("ViT-B-16_AdamW", 5), ("ViT-B-16_SGD", 17)])
def test_missing_pairs_and_replay_of_the_released_settings(paper_results, name, missing):
    fits = released_fits(paper_results, name)
    chosen = select(read_setting(paper_results, name), fits)
    assert (chosen.expected, len(chosen.missing)) == (190, missing)
    assert len(chosen.pairs) == 190 - missing
    for fit in fits.values():
        again = replay(fit, chosen.pairs, chosen.outcomes)
        assert again.target == RAW
        assert again.worst < 1e-6
        assert again.pooled_r[RAW] == pytest.approx(fit.pooled_r, abs=1e-6)
