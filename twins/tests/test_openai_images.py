import base64
import io

import httpx2
import openai
import pytest
from PIL import Image

MODEL = "gpt-image-2"


def decoded(item) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item.b64_json)))


class TestGenerateImages:
    def test_the_official_sdk_reads_the_answer(self, client):
        answer = client.images.generate(model=MODEL, prompt="a lighthouse at dawn", size="1024x1024", quality="medium")

        picture = decoded(answer.data[0])
        assert (picture.format, picture.size) == ("PNG", (1024, 1024))
        assert (answer.size, answer.quality, answer.output_format) == ("1024x1024", "medium", "png")
        assert answer.background == "opaque"
        assert answer.created > 1_700_000_000

    def test_usage_grows_with_quality_and_area(self, flat_client):
        def usage(**options):
            return flat_client.images.generate(model=MODEL, prompt="eight ch", **options).usage

        square = usage(size="1024x1024", quality="low")
        assert (square.input_tokens, square.input_tokens_details.text_tokens) == (2, 2)
        assert square.output_tokens == square.output_tokens_details.image_tokens == 272
        assert square.total_tokens == 274
        assert usage(size="1024x1024", quality="high").output_tokens == 4160
        assert usage(size="2048x1024", quality="low", n=3).output_tokens == 272 * 2 * 3

    @pytest.mark.parametrize("size", ["1024x1024", "1792x1024", "1024x1792", "1536x864"])
    def test_the_picture_has_the_size_asked_for(self, flat_client, size):
        answer = flat_client.images.generate(model=MODEL, prompt="meadow", size=size)

        assert decoded(answer.data[0]).size == tuple(int(edge) for edge in size.split("x"))

    @pytest.mark.parametrize("picture_format", ["png", "jpeg", "webp"])
    def test_every_output_format_is_what_it_says(self, client, picture_format):
        answer = client.images.generate(model=MODEL, prompt="dunes", size="512x512", output_format=picture_format)

        assert decoded(answer.data[0]).format == picture_format.upper()

    def test_a_transparent_background_is_transparent(self, client):
        answer = client.images.generate(model=MODEL, prompt="a fox", size="512x512", background="transparent")

        picture = decoded(answer.data[0])
        assert picture.mode == "RGBA"
        assert picture.getpixel((0, 0))[3] == 0
        assert picture.getpixel((256, 256))[3] == 255

    def test_items_of_one_call_differ(self, flat_client):
        answer = flat_client.images.generate(model=MODEL, prompt="a city", n=4)

        assert len({item.b64_json for item in answer.data}) == 4


class TestDeterminism:
    def generate(self, client, prompt="a castle at sunset", **options):
        return client.images.generate(model=MODEL, prompt=prompt, size="512x512", **options).data[0].b64_json

    def test_the_same_request_gives_the_same_picture_even_from_another_process(self, twin, restartable_twin, key):
        with twin.openai(key) as one, restartable_twin.openai(key) as other:
            assert self.generate(one) == self.generate(other)

    def test_another_prompt_gives_another_picture(self, client):
        assert self.generate(client) != self.generate(client, prompt="a castle at dawn")

    def test_another_seed_gives_another_picture(self, client):
        assert self.generate(client) != self.generate(client, extra_body={"seed": 7})

    def test_another_idempotency_key_gives_another_picture_and_the_same_key_the_same(self, client):
        first, again, other = (
            self.generate(client, extra_headers={"Idempotency-Key": key}) for key in ("item-1", "item-1", "item-2")
        )

        assert first == again != other

    def test_a_directive_does_not_change_the_picture(self, client):
        assert self.generate(client) == self.generate(client, prompt="[[twin:delay:1]] a castle at sunset")


class TestRefusedParameters:
    @pytest.mark.parametrize(
        ("parameters", "param", "code"),
        [
            ({"prompt": ""}, None, None),
            ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
            ({"n": 11}, "n", "integer_above_max_value"),
            ({"n": 0}, "n", "integer_below_min_value"),
            ({"n": "two"}, "n", "invalid_type"),
            ({"size": "1000x1000"}, "size", "invalid_value"),
            ({"size": "3200x1024"}, "size", "invalid_value"),
            ({"size": "3840x3840"}, "size", "invalid_value"),
            ({"size": "large"}, "size", "invalid_value"),
            ({"quality": "hd"}, "quality", "invalid_value"),
            ({"output_format": "gif"}, "output_format", "invalid_value"),
            ({"background": "transparent", "output_format": "jpeg"}, "output_format", "invalid_value"),
            ({"response_format": "url"}, "response_format", "unknown_parameter"),
            ({"prompt": None}, "prompt", "missing_required_parameter"),
            ({"model": "gpt-image-9"}, "model", "model_not_found"),
            ({"model": "gpt-image-1"}, "model", "model_not_found"),
        ],
    )
    def test_are_refused_in_the_shape_of_the_provider(self, flat_twin, key, parameters, param, code):
        body = {"model": MODEL, "prompt": "a meadow", **parameters}
        answer = flat_twin.http.post(
            "/openai/v1/images/generations", json=body, headers={"Authorization": f"Bearer {key}"}
        )

        if param is None:
            assert answer.status_code == 200  # the provider accepts an empty prompt
            return
        error = answer.json()["error"]
        assert answer.status_code == (404 if param == "model" else 400)
        assert (error["param"], error["code"]) == (param, code)
        assert error["message"]
        assert flat_twin.calls(key)["matching"]["calls"] == 0

    def test_a_body_that_is_not_json(self, flat_twin, key):
        answer = flat_twin.http.post(
            "/openai/v1/images/generations", content=b"{", headers={"Authorization": f"Bearer {key}"}
        )

        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


class TestAuthentication:
    def test_a_call_without_a_key_is_refused(self, flat_twin):
        answer = flat_twin.http.post("/openai/v1/images/generations", json={"model": MODEL, "prompt": "x"})

        assert answer.status_code == 401
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    def test_a_wrong_key_is_refused_and_not_repeated_in_full(self, flat_twin):
        with flat_twin.openai("sk-invalid-0123456789") as client, pytest.raises(openai.AuthenticationError) as refusal:
            client.models.list()

        assert refusal.value.code == "invalid_api_key"
        assert "0123456789" not in str(refusal.value)


class TestModels:
    def test_are_listed_with_their_shutdown_date_and_without_the_retired(self, flat_client):
        models = {model.id: model for model in flat_client.models.list()}

        assert models[MODEL].shutdown_date is None
        assert "gpt-image-1" not in models
        assert "dall-e-3" not in models

    def test_one_can_be_retrieved(self, flat_client):
        assert flat_client.models.retrieve(MODEL).owned_by == "system"
        with pytest.raises(openai.NotFoundError):
            flat_client.models.retrieve("dall-e-3")


class TestEveryAnswer:
    def test_carries_the_standard_headers(self, flat_client):
        headers = flat_client.images.with_raw_response.generate(model=MODEL, prompt="x").headers

        assert headers["x-request-id"].startswith("req_")
        assert headers["x-ratelimit-limit-requests"] == "5000"
        assert int(headers["x-ratelimit-remaining-requests"]) < 5000
        assert "openai-processing-ms" in headers

    def test_of_an_unknown_url_is_the_provider_s(self, flat_twin):
        answer: httpx2.Response = flat_twin.http.post("/openai/v1/engines")

        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == "Invalid URL (POST /v1/engines)"
        assert answer.headers["x-request-id"]
