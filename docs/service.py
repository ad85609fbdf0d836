"""Answers over HTTP: `MER_RUN=exported uvicorn service:app`. See service.md."""

import os
from typing import Annotated, Any

from fastapi import FastAPI, Form, HTTPException, UploadFile

import mer.predict

app = FastAPI(title="mer")
predictor = mer.predict.load(os.environ["MER_RUN"], max_seconds=30.0)


@app.get("/")
def about() -> dict[str, Any]:
    """What answers, and what it wants."""
    return {"classes": predictor.classes, "audio": predictor.hears, "text": predictor.reads}


@app.post("/predict")
def predict(wav: UploadFile, text: Annotated[str | None, Form()] = None) -> dict[str, Any]:
    """The emotion of an uploaded recording; 422 with the reason where there is no answer."""
    try:
        answer = predictor.predict(wav.file.read(), text)
    except mer.predict.PredictError as problem:
        raise HTTPException(422, str(problem)) from None
    shown = ("label", "probabilities", "agreement", "seconds", "notes")
    return {name: getattr(answer, name) for name in shown}
