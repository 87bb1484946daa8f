"""A training run that everybody watches: epochs as a bar, the loss as a curve, prints as lines."""

import math
import os
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

import outlive
from outlive.adapters.asgi import PUBLIC, application, respond

EPOCHS = int(os.environ.get("EPOCHS", "60"))
PAUSE = float(os.environ.get("PAUSE", "0.25"))

app = FastAPI()
app.mount("/live", application(access=PUBLIC))


def fit() -> None:
    """Fit a polynomial to a wave, step by step: as any other training, prints and all."""
    weights, rate = [0.0] * 6, 0.05
    shuffled = (number * 197 % 500 / 250 - 1 for number in range(500))
    points = [(x, math.sin(3 * x)) for x in shuffled]
    for epoch in outlive.track(range(1, EPOCHS + 1), stage="epochs"):
        loss = 0.0
        for x, y in points:
            error = sum(weight * x**power for power, weight in enumerate(weights)) - y
            weights = [weight - rate * error * x**power for power, weight in enumerate(weights)]
            loss += error**2 / len(points)
        outlive.event("metrics", {"epoch": epoch, "loss": loss})
        print(f"epoch {epoch}: loss {loss:.6f}")
        if outlive.cancelled():
            break
        time.sleep(PAUSE)


@app.get("/train")
async def train(request: Request) -> Response:
    """Show the training that goes on, or a new one."""
    # In a process of its own it computes beside the server, outlives it, and can be killed.
    shown: Response = respond(request, lambda: outlive.start(fit, key="train", isolation="process"))
    return shown


@app.get("/")
async def page() -> FileResponse:
    """Show the page that draws it."""
    return FileResponse(Path(__file__).with_name("page.html"))


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
