"""The pair table of a family, for tests of single metrics and kinds of evidence."""

from mergecast.evidence import MergeSettings, ProbeSettings, Session, collect_evidence


def pair_table(family, *, tasks=None, tier="weights", metric_set=None, settings=None, merges=None):
    """Every metric of a tier (of a set) of every pair."""
    settings = settings or ProbeSettings(calibration=10)
    with Session(family, tasks, settings, merges or MergeSettings()) as session:
        return collect_evidence(session, tier, metric_set).table(family.names)
