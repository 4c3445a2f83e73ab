"""The peer's API: `POST /v1/jobs` charges the account, stores the job and hands it to Celery."""

import hashlib
import os
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from bench.peer.tables import accounts, jobs, ledger, statuses
from bench.peer.worker import make_picture

PRICE = 4_000

engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=10, max_overflow=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class ImageInput(BaseModel):
    prompt: str = Field(min_length=1, max_length=1000)
    size: Literal["1024x1024", "1792x1024", "1024x1792"] = "1024x1024"
    quality: Literal["standard", "hd"] = "standard"
    n: int = Field(default=1, ge=1, le=4)


class NewJob(BaseModel):
    kind: Literal["image"]
    input: ImageInput


class Job(BaseModel):
    id: str
    status: str
    price: int


async def account_id(authorization: Annotated[str, Header()]) -> str:
    """Whose API key this is."""
    key_hash = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
    async with sessions() as session:
        found = await session.scalar(select(accounts.c.id).where(accounts.c.key_hash == key_hash))
    if found is None:
        raise HTTPException(401)
    return str(found)


@app.post("/v1/jobs", status_code=202)
async def create_job(request: NewJob, account: Annotated[str, Depends(account_id)]) -> Job:
    job_id = uuid4().hex
    async with sessions() as session, session.begin():
        charged = await session.execute(
            update(accounts)
            .where(accounts.c.id == account, accounts.c.available >= PRICE)
            .values(available=accounts.c.available - PRICE, held=accounts.c.held + PRICE)
        )
        if not charged.rowcount:  # type: ignore[attr-defined]
            raise HTTPException(402)
        job = {"id": job_id, "account_id": account, "status": "queued", "price": PRICE}
        await session.execute(insert(jobs).values(input=request.input.model_dump(), **job))
        await session.execute(insert(statuses).values(id=uuid4().hex, job_id=job_id, status="queued"))
        line = {"account_id": account, "job_id": job_id}
        await session.execute(
            insert(ledger),
            [
                {"id": uuid4().hex, "account": "available", "amount": -PRICE, **line},
                {"id": uuid4().hex, "account": "held", "amount": PRICE, **line},
            ],
        )
    make_picture.delay(job_id)
    return Job(id=job_id, status="queued", price=PRICE)


@app.get("/readyz")
async def ready() -> str:
    return "ready"
