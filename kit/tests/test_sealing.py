"""Sealed secrets: readable by the holder of the key, in their place, and nowhere else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.sealing import UnsealError, seal, unseal
from kit.testing.identity import KeyPairs

KEYS, OTHERS = KeyPairs(), KeyPairs()


@given(secret=st.text(), context=st.text())
def test_what_is_sealed_is_unsealed(secret: str, context: str) -> None:
    sealed = seal(KEYS.seal_public_key, secret, context=context)

    assert unseal(KEYS.seal_private_key, sealed, context=context) == secret


def test_the_same_secret_never_looks_the_same() -> None:
    first, second = (seal(KEYS.seal_public_key, "whsec_1", context="job_1") for _ in range(2))

    assert first != second
    assert "whsec_1" not in base64.b64decode(first).decode("latin-1")


def test_another_key_or_another_place_cannot_read_it() -> None:
    sealed = seal(KEYS.seal_public_key, "whsec_1", context="job_1")

    with pytest.raises(UnsealError):
        unseal(OTHERS.seal_private_key, sealed, context="job_1")
    with pytest.raises(UnsealError):
        unseal(KEYS.seal_private_key, sealed, context="job_2")


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(position: int, bit: int) -> None:
    sealed = bytearray(base64.b64decode(seal(KEYS.seal_public_key, "whsec_1", context="job_1")))
    sealed[position % len(sealed)] ^= 1 << bit

    with pytest.raises(UnsealError):
        unseal(KEYS.seal_private_key, base64.b64encode(sealed).decode(), context="job_1")


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_text_that_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(UnsealError):
        unseal(KEYS.seal_private_key, text, context="job_1")
