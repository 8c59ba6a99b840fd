"""What goes wrong with forecasts. Each lets layer 1 go on alone."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class TtmFault(RuntimeFault):
    code = "ttm_fault"
    remedy = "Scaling goes on with the rules alone; `./aether ttm validate` says what is wrong with a model."


class ModelUnreadable(TtmFault):
    """The files are not there, or are not what their card says."""

    code = "ttm_model_unreadable"
    remedy = "Take the model again from where it came from, or make one: `./aether ttm train --traces DIR --out DIR`."


class ModelSchemaWrong(TtmFault):
    """A sound file that forecasts something else: other inputs, outputs, horizons or quantiles."""

    code = "ttm_model_schema_wrong"
    remedy = "Use a model that was made for this version: `./aether ttm train --traces DIR --out DIR`."


class ForecastUnusable(TtmFault):
    """The model ran and gave what no load can be: not numbers, less than nothing, or quantiles that cross."""

    code = "ttm_forecast_unusable"


class ModelMemoryExceeded(TtmFault):
    """The model asked for more memory than one that forecasts may have."""

    code = "ttm_model_memory_exceeded"
    remedy = "Use a model that needs less: the shipped one answers a hundred series within 70 MB."

    def __init__(self, cause: str) -> None:
        super().__init__(f"the model needs more memory than it may have: {cause}".removesuffix(": "))


class HistoryInvalid(TtmFault):
    """Arrays of the wrong shape: a mistake of the caller."""

    code = "ttm_history_invalid"
    remedy = "docs/scaling.md says what the forecaster is given."


class TrainingDataUnusable(TtmFault):
    code = "ttm_training_data_unusable"
    remedy = "Give more or longer traces: docs/guides/train-a-model.md says how long they must be."


class TrainingDataTooShort(TtmFault):
    """So few minutes were seen that a new head would learn them by heart."""

    code = "ttm_training_data_too_short"
    retryable = True
    remedy = "Wait: two days of minutes are the least. The model in force goes on forecasting meanwhile."

    def __init__(self, minutes: int, needed: int) -> None:
        super().__init__(f"there are {minutes} minutes to learn from; {needed} is the least")
        self.minutes = minutes
        self.needed = needed


class ForecasterFailed(TtmFault):
    """The forecaster's process did not come to an answer."""

    code = "ttm_forecaster_failed"
    retryable = True
    remedy = "The next minute tries again; what ended it stands in the reason. It needs some 55 MB for a moment."


class ForecastRefused(TtmFault):
    """What the forecaster's process answered instead of a forecast, under the code of the fault there."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.found = code


class ModelRefused(TtmFault):
    """An uploaded model that must not be used."""

    code = "ttm_model_refused"
    remedy = "Nothing was kept. `./aether ttm validate --model DIR` asks it the same where it was made."


class TrainerFailed(TtmFault):
    """The trainer's process did not come to an answer."""

    code = "ttm_trainer_failed"
    retryable = True
    remedy = "Nothing to do: the model in force goes on, and the next drift trains again."
