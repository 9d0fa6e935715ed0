"""A progress that tests can ask what it was told."""


class RecordedProgress:
    """Keeps every stage as name to [units done, in all]."""

    def __init__(self):
        self.stages = {}

    def stage(self, name, total, done=0):
        counts = self.stages[name] = [done, total]

        def advance(units):
            counts[0] += units

        return advance
