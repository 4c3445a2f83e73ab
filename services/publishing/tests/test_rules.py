"""Rules that need no server: the schedule, signing, settings."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook

from publishing.schedule import Schedule
from publishing.settings import PublishingSettings
from publishing.signing import Signer

WAITS = (0, 5, 300, 1800)


class TestSchedule:
    @given(failures=st.integers(1, 3))
    def test_waits_stay_within_the_jitter(self, failures: int) -> None:
        wait = Schedule(WAITS, 0.2, timedelta(hours=1)).next_wait(failures, retry_after=None)

        assert wait is not None
        assert 0.8 * WAITS[failures] <= wait <= 1.2 * WAITS[failures]

    def test_there_are_as_many_attempts_as_waits(self) -> None:
        assert Schedule(WAITS, 0.2, timedelta(hours=1)).next_wait(4, retry_after=60) is None

    def test_a_receiver_s_wish_counts_up_to_the_limit_and_never_shortens(self) -> None:
        schedule = Schedule(WAITS, 0, timedelta(hours=1))

        assert schedule.next_wait(1, retry_after=90) == 90
        assert schedule.next_wait(2, retry_after=90) == 300
        assert schedule.next_wait(1, retry_after=10**9) == 3600


class TestSigner:
    def test_the_account_secret_works_with_the_official_library(self) -> None:
        signer = Signer("master", "")
        secret = signer.account_secret("acc_1")
        headers = signer.headers(
            delivery_id="dlv_1",
            account_id="acc_1",
            job_id="job_1",
            sealed_secret=None,
            body="{}",
            now=datetime.now(UTC),
        )

        assert Webhook(secret).verify("{}", headers) == {}
        assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32

    def test_secrets_are_not_shown(self) -> None:
        assert "master" not in repr(Signer("master", "private"))


def settings(**changes: object) -> PublishingSettings:
    values: dict[str, object] = {
        "http_port": 8104,
        "database_url": "postgresql+asyncpg://publishing:x@127.0.0.1/publishing",
        "kafka_bootstrap": "127.0.0.1:9092",
        "identity_public_key": "AAAA",
        "seal_private_key": "AAAA",
        "signing_master_secret": "a master secret that is long enough",
    }
    return PublishingSettings.model_validate(values | changes)


class TestSettings:
    def test_loopback_is_refused_in_production(self) -> None:
        with pytest.raises(ValidationError, match="ALLOW_LOOPBACK"):
            settings(allow_loopback=True)

    def test_loopback_is_allowed_in_development(self) -> None:
        assert settings(allow_loopback=True, environment="development").allow_loopback

    def test_a_weak_master_secret_is_refused_in_production(self) -> None:
        with pytest.raises(ValidationError, match="SIGNING_MASTER_SECRET"):
            settings(signing_master_secret="short")

    @pytest.mark.parametrize("schedule", [(0, 5), (5, 5, 5), (0, -1, 5)])
    def test_a_schedule_has_at_least_three_attempts_and_starts_at_once(self, schedule: tuple[int, ...]) -> None:
        with pytest.raises(ValidationError, match="retry_schedule"):
            settings(retry_schedule=schedule)
