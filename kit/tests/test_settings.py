"""Settings: every fault of the environment is told at once, by the name of its variable, and never with its value."""

from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings import ConfigurationError, S3Settings, load
from toy.app import ToySettings

COMPLETE = {
    "TOY_HTTP_PORT": "8100",
    "TOY_DATABASE_URL": "postgresql+asyncpg://toy:s3same@127.0.0.1/toy",
    "TOY_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
}


class StoreSettings(S3Settings):
    model_config = SettingsConfigDict(env_prefix="STORE_", frozen=True, extra="ignore")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)


def test_a_complete_environment_is_production_with_careful_defaults() -> None:
    settings = load(ToySettings)

    assert settings.environment == "production"
    assert settings.http_host == "127.0.0.1"
    assert settings.kafka_topic_prefix == ""
    assert settings.database_url.get_secret_value() == COMPLETE["TOY_DATABASE_URL"]


def test_every_missing_variable_is_named_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOY_KAFKA_BOOTSTRAP")
    monkeypatch.delenv("TOY_HTTP_PORT")

    with pytest.raises(ConfigurationError) as caught:
        load(ToySettings)

    assert str(caught.value).splitlines() == ["TOY_HTTP_PORT: Field required", "TOY_KAFKA_BOOTSTRAP: Field required"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOY_HTTP_PORT", "http"),
        ("TOY_HTTP_PORT", "0"),
        ("TOY_HTTP_PORT", "65536"),
        ("TOY_ENVIRONMENT", "staging"),
        ("TOY_LOG_FORMAT", "xml"),
        ("TOY_KAFKA_REPLICATION", "0"),
        ("TOY_OUTBOX_KEEP", "soon"),
        ("TOY_DATABASE_POOL_SIZE", "1"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        load(ToySettings)

    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOY_DATABASE_URL", ""),
        ("TOY_DATABASE_URL", "postgresql+asyncpg://toy:changeme@127.0.0.1/toy"),
        ("TOY_DATABASE_URL", "postgresql+asyncpg://toy:Change-Me@127.0.0.1/toy"),
    ],
)
def test_a_placeholder_secret_is_refused_outside_development(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load(ToySettings)
    (line,) = str(caught.value).splitlines()
    assert name in line
    assert "placeholder" in line

    monkeypatch.setenv("TOY_ENVIRONMENT", "development")
    assert load(ToySettings).environment == "development"


def test_the_keys_of_a_store_are_secrets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    store = {name.replace("TOY_", "STORE_"): value for name, value in COMPLETE.items()}
    store |= {"STORE_S3_URL": "http://127.0.0.1:1", "STORE_S3_ACCESS_KEY": "key", "STORE_S3_SECRET_KEY": "password"}
    for name, value in store.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match="STORE_S3_SECRET_KEY"):
        load(StoreSettings)


def test_no_fault_and_no_picture_of_the_settings_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3same" not in repr(load(ToySettings))
    monkeypatch.setenv("TOY_HTTP_PORT", "s3same")
    with pytest.raises(ConfigurationError) as caught:
        load(ToySettings)
    assert "s3same" not in str(caught.value)


def test_settings_do_not_change() -> None:
    settings: Any = load(ToySettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.database_url = SecretStr("")
