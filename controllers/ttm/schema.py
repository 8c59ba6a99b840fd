"""What goes into the forecaster and what comes out: sizes, names and units, the same in training, files and control."""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 1
HISTORY: Final = 60  # minutes that the model looks back at
HORIZONS: Final = 10  # minutes ahead: forecast [0] is the next minute
ALIGNED: Final = HISTORY + HORIZONS  # of a day and a week ago: the same minutes, and the ten that followed them
QUANTILES: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
MEDIAN: Final = QUANTILES.index(0.5)
WEEK_DAYS: Final = 7
KNOWN_MIN: Final = 10  # minutes of the last hour; from fewer no forecast is made
NEWEST_MAX: Final = 3  # of the last minutes one at least must be known: a model that looks at the past guesses the rest

# Of the graph. Loads are requests a minute as 32-bit floats; NaN is a minute that nobody measured.
RECENT: Final = "recent"  # [n, HISTORY], the newest last
DAY_AGO: Final = "day_ago"  # [n, ALIGNED]
WEEK_AGO: Final = "week_ago"  # [n, ALIGNED]
HEAD_WEIGHT: Final = "head_weight"  # [HORIZONS * len(QUANTILES), features]; in the file, and may be given instead
HEAD_BIAS: Final = "head_bias"  # [HORIZONS * len(QUANTILES)]; likewise
FORECAST: Final = "quantiles"  # [n, HORIZONS, len(QUANTILES)], requests a minute, at least 0, never crossing
FEATURES: Final = "features"  # [n, features], what the head sees; frozen when only the head is fitted again
NORMALISATION: Final = "normalisation"  # [n, 4]: unit, location, spread, anchor; see head.py

MODEL_BYTES_MAX: Final = 300_000
OPSET: Final = 17
