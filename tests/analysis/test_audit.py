import numpy as np
import pytest

from mergecast.analysis.audit import audit
from mergecast.analysis.comparison import METRIC, OUTCOME, compare_settings
from mergecast.errors import TableError
from mergecast.paper.audit import audit_setting
from mergecast.paper.fits import released_fits
from mergecast.paper.replay import replay
from mergecast.paper.results import read_setting
from mergecast.paper.selection import select
from published_folder import SETTING, SINGLE, change, metrics_file, summary_file, write_results

COSINE = "task_vector_cosine_similarity"


@pytest.fixture
def setting(results):
    return read_setting(results, SETTING)


def codes(findings):
    return [finding.code for finding in findings]


def one(findings, code):
    (found,) = [finding for finding in findings if finding.code == code]
    return found


def audited(results, setting=SETTING):
    """The audit of a setting of a folder, as `reproduce` does it."""
    tables, fits = read_setting(results, setting), released_fits(results, setting)
    chosen = select(tables, fits)
    replays = {name: replay(fit, chosen.pairs, chosen.outcomes) for name, fit in fits.items()}
    return audit_setting(tables, chosen, [], fits, replays)


def test_clean_tables_have_no_errors(setting):
    found = audit(setting.pairs, setting.outcomes, base_scores=dict.fromkeys(SINGLE, 0.1))
    assert "error" not in {finding.severity for finding in found}


def test_impossible_values_are_errors_with_count_and_extreme(setting):
    pairs = setting.pairs.to_pandas()
    pairs.loc[[0, 3], COSINE] = [1.02, 1.03]
    pairs.loc[1, "effective_rank"] = 0.5
    pairs.loc[2, "activation_l2_distance"] = -1.0
    found = [f for f in audit(pairs, setting.outcomes) if f.code == "impossible_metric"]
    assert {f.severity for f in found} == {"error"}
    text = " ".join(f.message for f in found)
    assert f"{COSINE}: 2 of 15 values above 1, to 1.03" in text
    assert "effective_rank: 1 of 15 values below 1, to 0.5" in text
    assert "activation_l2_distance: 1 of 15 values below 0" in text


def test_rounding_is_not_impossible(setting):
    pairs = setting.pairs.to_pandas()
    pairs.loc[0, COSINE] = 1.0000001
    assert "impossible_metric" not in codes(audit(pairs, setting.outcomes))


def test_constant_and_redundant_metrics(setting):
    pairs = setting.pairs.to_pandas().assign(weight_space_angle=0.0)
    pairs["singular_value_ratio"] = 1 - pairs[COSINE]
    found = audit(pairs, setting.outcomes)
    assert "weight_space_angle is 0 for all 15 pairs" in one(found, "constant_metric").message
    assert f"{COSINE} and singular_value_ratio" in one(found, "redundant_metrics").message


def test_missing_metrics_are_counted(setting):
    pairs = setting.pairs.to_pandas()
    pairs.loc[:5, COSINE] = np.nan
    message = one(audit(pairs, setting.outcomes), "missing_metrics").message
    assert message.startswith("6 of 15 pairs lack a metric")
    assert "and 2 more" in message
    assert f"{COSINE} in 6" in message


def test_a_constant_outcome_is_an_error(setting):
    outcomes = setting.outcomes.to_pandas()
    outcomes["retention"] = 0.9
    outcomes["score"] = 0.9 * outcomes["single_score"]
    found = audit(setting.pairs, outcomes)
    assert codes(found).count("constant_outcome") == 2
    assert codes(found)[0] in ("constant_outcome", "duplicated_outcomes")


def test_two_methods_with_one_outcome(setting):
    outcomes = setting.outcomes.to_pandas()
    tsv = outcomes["method"] == "tsv"
    for column in ("score", "retention"):
        outcomes.loc[tsv, column] = outcomes.loc[~tsv, column].to_numpy()
    message = one(audit(setting.pairs, outcomes), "duplicated_outcomes").message
    assert message == "task_arithmetic and tsv have the same score in all 30 rows that both have"


def test_single_scores_that_move_between_pairs(setting):
    outcomes = setting.outcomes.to_pandas()
    outcomes.loc[0, "single_score"] *= 1.1
    outcomes["retention"] = outcomes["score"] / outcomes["single_score"]
    found = one(audit(setting.pairs, outcomes), "inconsistent_single_score")
    assert outcomes.loc[0, "task"] in found.message


def test_members_without_gain_need_the_bases_scores(setting):
    unknown = one(audit(setting.pairs, setting.outcomes), "base_scores_unknown")
    assert unknown.severity == "info"
    base = dict.fromkeys(SINGLE, 0.1) | {"pets": 0.9}
    base.pop("maps")
    found = audit(setting.pairs, setting.outcomes, base_scores=base)
    assert (
        "pets: fine-tuned score 0.9 is no better than the base's 0.9"
        in one(found, "no_gain").message
    )
    assert "maps" in one(found, "base_scores_unknown").message


def test_a_raw_target_that_is_task_difficulty_is_named(setting):
    outcomes, rng = setting.outcomes.to_pandas(), np.random.default_rng(0)
    tsv = outcomes["method"] == "tsv"
    outcomes.loc[tsv, "retention"] = 0.98 + 0.01 * rng.normal(size=tsv.sum())
    outcomes.loc[~tsv, "retention"] = 0.5 + 0.2 * rng.normal(size=tsv.sum())
    outcomes["score"] = outcomes["retention"] * outcomes["single_score"]
    found = one(audit(setting.pairs, outcomes), "raw_target")
    assert found.message.startswith("tsv: the raw score of a pair follows the two single scores")


def test_tables_that_break_their_schema_are_refused(setting):
    with pytest.raises(TableError, match="column 'left'"):
        audit(setting.pairs.to_pandas().drop(columns="left"), setting.outcomes)


def test_a_copied_setting_is_an_error_either_way(results):
    write_results(results, "Net-S_SGD", seed=0, fits=False)
    write_results(results, "Net-S_Other", seed=1, fits=False)
    first, copy, fresh = (
        read_setting(results, name) for name in (SETTING, "Net-S_SGD", "Net-S_Other")
    )
    same = {(c.kind, c.name): c for c in compare_settings(first, copy)}
    assert same[OUTCOME, "tsv"].n_identical == same[OUTCOME, "tsv"].n_pairs == 15
    assert same[METRIC, COSINE].r == pytest.approx(1.0)
    assert all(c.n_identical == 0 for c in compare_settings(first, fresh))
    found = audit_setting(first, select(first, {}), [copy, fresh], {}, {})
    assert codes(found).count("duplicated_outcomes") == 2
    assert codes(found).count("duplicated_metric") == 4
    assert "Net-S_Other" not in " ".join(f.message for f in found)


def test_a_partial_copy_is_counted(results):
    write_results(results, "Net-S_SGD", seed=0, fits=False)
    path = summary_file(results, "tsv", "Net-S_SGD")
    change(path, lambda data: data["pets__cars"]["cars"][0].update({"acc/test/cars": 0.5}))
    first, copy = read_setting(results, SETTING), read_setting(results, "Net-S_SGD")
    found = audit_setting(first, select(first, {}), [copy], {}, {})
    assert any("14 of 15 pairs equal those of Net-S_SGD" in f.message for f in found)


def test_released_fits_are_traced_to_their_target(results):
    found = audited(results)
    message = one(found, "released_fits_use_raw_target").message
    assert "task_arithmetic, tsv" in message


def test_released_fits_that_cannot_be_traced(results):
    from published_folder import fit_file

    def edit(data):
        for fold in data["fold_results"]:
            fold["val_r"] = 0.9
        data["aggregate_metrics"]["val_r"] = 0.2

    change(fit_file(results, "tsv"), edit)
    found = audited(results)
    assert (
        "tsv: released coefficients do not give"
        in one(found, "released_fit_not_reproduced").message
    )
    assert any(
        f.code == "per_fold_r_hides_offset" and f.message.startswith("tsv: released r is 0.900")
        for f in found
    )


def test_failed_merges_and_dropped_pairs_are_listed(results):
    change(summary_file(results, "tsv"), lambda d: d.update(pets__cars={"error": "no memory"}))

    def edit(data):
        data["metrics"][COSINE]["matrix"][2][3] = None

    change(metrics_file(results), edit)
    found = audited(results)
    message = one(found, "failed_merges").message
    assert message == "tsv: 1 of 15 pairs have no outcome: cars+pets (merge failed: no memory)"
    assert one(found, "missing_pairs").message.endswith("Flowers+digits, cars+pets")


def test_the_audit_finds_what_is_wrong_with_the_released_sgd_setting(paper_results):
    setting = read_setting(paper_results, "ViT-B-16_SGD")
    other = read_setting(paper_results, "ViT-B-16_AdamW")
    fits = released_fits(paper_results, setting.name)
    chosen = select(setting, fits)
    replays = {name: replay(fit, chosen.pairs, chosen.outcomes) for name, fit in fits.items()}
    found = audit_setting(setting, chosen, [other], fits, replays)
    messages = {f.code: f.message for f in found}
    assert codes(found).count("duplicated_outcomes") == 5
    assert (
        "task_vector_cosine_similarity: 190 of 190 values above 1" in messages["impossible_metric"]
    )
    assert "weight_space_angle is 0 for all 190 pairs" in messages["constant_metric"]
    assert messages["missing_pairs"].startswith("17 of 190 pairs")
    assert "raw accuracy" in messages["released_fits_use_raw_target"]
