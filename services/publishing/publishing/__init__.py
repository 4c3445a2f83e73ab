"""Publishing brings the outcomes of jobs to their owners: signed webhooks, with retries and a log of every attempt."""
