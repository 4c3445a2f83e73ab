"""The peer's Celery worker: one task per job, with a session for each of its two transactions."""

import base64
import hashlib
import io
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.signals import worker_process_init, worker_ready
from minio import Minio
from openai import OpenAI
from sqlalchemy import create_engine, func, insert, select, update
from sqlalchemy.orm import Session

from bench.peer.tables import accounts, assets, jobs, ledger, statuses

app = Celery("peer", broker=os.environ["PEER_REDIS_URL"])
app.conf.update(task_ignore_result=True, worker_send_task_events=False, broker_connection_retry_on_startup=True)

tools: dict[str, Any] = {}
"""Connections of one worker process, made after the fork."""


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _connect(**_: object) -> None:
    tools["engine"] = create_engine(os.environ["PEER_SYNC_DATABASE_URL"])
    tools["provider"] = OpenAI(api_key="bench", base_url=os.environ["PEER_OPENAI_BASE_URL"], max_retries=0)
    tools["s3"] = Minio(
        os.environ["PEER_S3_ENDPOINT"],
        access_key=os.environ["PEER_S3_ACCESS_KEY"],
        secret_key=os.environ["PEER_S3_SECRET_KEY"],
        secure=False,
        region="us-east-1",
    )


@worker_ready.connect  # type: ignore[untyped-decorator]
def _tell(**_: object) -> None:
    Path(os.environ["PEER_READY_FILE"]).touch()


@app.task  # type: ignore[untyped-decorator]
def make_picture(job_id: str) -> None:
    """Make, keep and settle one picture."""
    with Session(tools["engine"]) as session, session.begin():
        job = session.execute(select(jobs).where(jobs.c.id == job_id)).one()
        session.execute(update(jobs).where(jobs.c.id == job_id).values(status="running"))
        session.execute(insert(statuses).values(id=uuid4().hex, job_id=job_id, status="running"))
    answer = tools["provider"].images.generate(
        prompt=job.input["prompt"], model="gpt-image-2", n=1, size=job.input["size"], quality="medium"
    )
    picture = base64.b64decode(answer.data[0].b64_json)
    asset_id = uuid4().hex
    key = f"peer/{job.account_id}/{job_id}/{asset_id}.png"
    tools["s3"].put_object(
        os.environ["PEER_S3_BUCKET"], key, io.BytesIO(picture), len(picture), content_type="image/png"
    )
    with Session(tools["engine"]) as session, session.begin():
        owner = {"account_id": job.account_id, "job_id": job_id}
        content = {"object_key": key, "size": len(picture), "sha256": hashlib.sha256(picture).hexdigest()}
        session.execute(insert(assets).values(id=asset_id, **owner, **content))
        session.execute(update(jobs).where(jobs.c.id == job_id).values(status="succeeded", finished_at=func.now()))
        session.execute(insert(statuses).values(id=uuid4().hex, job_id=job_id, status="succeeded"))
        held = accounts.c.held - job.price
        session.execute(update(accounts).where(accounts.c.id == job.account_id).values(held=held))
        session.execute(
            insert(ledger),
            [
                {"id": uuid4().hex, "account": "held", "amount": -job.price, **owner},
                {"id": uuid4().hex, "account": "earned", "amount": job.price, **owner},
            ],
        )
