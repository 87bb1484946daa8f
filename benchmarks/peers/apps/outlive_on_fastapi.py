"""Outlive on FastAPI: runs of other processes below /live."""

from computing import compute
from fastapi import FastAPI

from outlive.adapters.asgi import PUBLIC, application

app = FastAPI()
app.mount("/live", application(access=PUBLIC))
compute()
