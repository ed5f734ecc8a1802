"""Examples of requests and answers, which are built from the schemas and so are right."""

from __future__ import annotations

from datetime import UTC, datetime

from serving.api.protocols.mlflow import InvocationAnswer, InvocationRequest, Pong
from serving.api.protocols.open_inference import (
    InferenceAnswer,
    InferenceModel,
    InferenceModelReady,
    InferenceRequest,
    InferenceServer,
    InputTensor,
    OutputTensor,
    TensorMetadata,
)
from serving.api.schemas import (
    ClassifyAnswer,
    FeedbackAnswer,
    FeedbackRequest,
    LiveAnswer,
    Model,
    ModelsAnswer,
    Prediction,
    ReadyAnswer,
    ReadyModel,
    RefreshAnswer,
    Version,
)

MODEL, TEXT = "sentiment", "A warm, funny film."
CLASSES = ["negative", "positive"]
PREDICTION_ID = "sentiment.3.6b0aaf0109c13e452d9a208700001b3c54e19d02a7f6e00000"
REQUEST_ID = "5f0c9e5d3c1d4a3a8b52c1f0f3a7d9e1"

CLASSIFIED = ClassifyAnswer(
    model=MODEL,
    predictions=[
        Prediction(
            prediction_id=PREDICTION_ID,
            label="positive",
            probabilities={"negative": 0.03, "positive": 0.97},
            version=3,
            known=0.75,
        )
    ],
)
RIGHT_LABEL = FeedbackRequest(prediction_id=PREDICTION_ID, label="negative")
RECEIPT = FeedbackAnswer(prediction_id=PREDICTION_ID, accepted=True, request_id=REQUEST_ID)
MODELS = ModelsAnswer(
    models=[
        Model(
            model=MODEL,
            kind="text",
            fields=None,
            required=[],
            values={},
            examples=[TEXT],
            classes=CLASSES,
            versions=[
                Version(
                    alias="production",
                    version=3,
                    since=datetime(2026, 11, 21, 8, tzinfo=UTC),
                    loaded=True,
                    share=None,
                    metrics={"accuracy": 0.91},
                    corrected=0.9,
                    threshold=None,
                )
            ],
        )
    ]
)
REFRESHED = RefreshAnswer(models={MODEL: 3})
LIVE = LiveAnswer(alive=True)
READY = ReadyAnswer(
    ready=True,
    registry="answers",
    models=[ReadyModel(model=MODEL, version=3, origin="registry")],
)
SERVER = InferenceServer(name="perennial", version="1.0.0", extensions=[])
MODEL_READY = InferenceModelReady(name=MODEL, ready=True)
METADATA = InferenceModel(
    name=MODEL,
    versions=["3"],
    platform="perennial",
    inputs=[TensorMetadata(name="text", datatype="BYTES", shape=[-1])],
    outputs=[TensorMetadata(name="label", datatype="BYTES", shape=[-1])],
)
TENSORS = InferenceRequest(
    id="42", inputs=[InputTensor(name="text", datatype="BYTES", shape=[1], data=[TEXT])]
)
INFERRED = InferenceAnswer(
    model_name=MODEL,
    model_version="3",
    id="42",
    outputs=[
        OutputTensor(name="label", datatype="BYTES", shape=[1], data=["positive"]),
        OutputTensor(
            name="probabilities",
            datatype="FP64",
            shape=[1, 2],
            parameters={"classes": CLASSES},
            data=[0.03, 0.97],
        ),
        OutputTensor(name="known", datatype="FP64", shape=[1], data=[0.75]),
        OutputTensor(name="prediction_id", datatype="BYTES", shape=[1], data=[PREDICTION_ID]),
    ],
)
INVOCATION = InvocationRequest.model_validate(
    {"dataframe_split": {"columns": ["text"], "data": [[TEXT]]}, "params": {"model": MODEL}}
)
INVOKED = InvocationAnswer(predictions=["positive"])
PONG = Pong(ready=True)
