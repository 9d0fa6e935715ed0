"""What scikit-learn's own common tests forgive its pipelines."""

from sklearn.pipeline import Pipeline


def expected_failures(estimator):
    """A pipeline fits its steps in place: scikit-learn expects these two checks to fail too."""
    if not isinstance(estimator, Pipeline):
        return {}
    reason = "a pipeline fits its steps in place"
    return dict.fromkeys(
        ["check_dont_overwrite_parameters", "check_estimators_overwrite_params"], reason
    )
