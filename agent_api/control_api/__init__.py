"""The control API: FastAPI and JSON, one module per noun."""

import pydantic

pydantic.BaseModel.model_config = {"defer_build": True}
# Before FastAPI is imported: its models of OpenAPI documents would each build a validator that nothing here uses, for
# 0.4 s of every node's start.
