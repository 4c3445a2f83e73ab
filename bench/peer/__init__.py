"""What a user would pick instead: FastAPI, Celery, Redis and PostgreSQL; one service, one database.

It does the same durable work for a picture: charge, ledger, job, status and asset rows, one call to the same provider
through the same SDK, one PUT to the same S3 server. It has no crash safety: a worker that dies loses the picture, a
broker that dies loses the job, a call may be repeated.
"""
