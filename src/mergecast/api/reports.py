"""Reports: of a forecast, and of a run's merges beside what had been forecast of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergecast.forecast.fit import CANDIDATES
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.result import Forecast
from mergecast.forecast.validation.evaluation import evaluate
from mergecast.report.family_summary import summarise_forecast
from mergecast.report.html import write_html
from mergecast.report.inputs import RunInputs, read_inputs
from mergecast.report.summary import summarise_run
from mergecast.runtime.progress import Progress
from mergecast.tables.io import replace_file

