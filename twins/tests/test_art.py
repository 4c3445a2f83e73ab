import io

import numpy as np
import pytest
from PIL import Image

from twins.art.brief import DEFAULT_SCENE, read
from twins.art.flat import flat
from twins.art.palettes import PALETTES
from twins.art.render import SCENES, render
from twins.art.spec import PictureSpec

PROMPTS = {
    "castle": "a fairytale castle at sunset",
    "city": "neon city skyline at night",
    "concert": "festival stage with a crowd",
    "desert": "pyramids and a camel caravan in the desert",
    "forest": "a fox and a mushroom in an enchanted autumn forest",
    "meadow": "sunny meadow with hot-air balloons and a cottage",
    "mountain": "aurora over a snowy cabin",
    "ocean": "a lighthouse by the sea at dawn",
    "product": "product shot of a skincare jar",
    "ribbons": "the feeling of courage",
    "space": "a rocket near a ringed planet",
}


def picture(spec: PictureSpec) -> Image.Image:
    return Image.open(io.BytesIO(render(spec)))


class TestBrief:
    @pytest.mark.parametrize(("scene", "prompt"), PROMPTS.items())
    def test_a_prompt_finds_its_scene(self, scene, prompt):
        assert read(prompt, 1).scene == scene

    def test_the_more_telling_word_wins(self):
        assert read("a fox in a snowy forest", 1).scene == "forest"
        assert read("a snowy cabin", 1).scene == "mountain"

    def test_every_scene_can_be_drawn_and_is_tried_here(self):
        assert set(PROMPTS) == set(SCENES)

    @pytest.mark.parametrize(
        ("prompt", "mood"),
        [("a castle at night", "night"), ("a forest", "forest"), ("snowy forest", "winter"), ("ocean at dawn", "dawn")],
    )
    def test_words_choose_the_palette(self, prompt, mood):
        assert read(prompt, 1).palette == PALETTES[mood]

    def test_a_colour_word_becomes_the_accent(self):
        assert read("a green bottle", 1).palette.accent != read("a bottle", 1).palette.accent

    def test_words_count_only_as_whole_words(self):
        assert read("a seasoned poet", 1).scene == DEFAULT_SCENE


class TestScenes:
    @pytest.mark.parametrize("size", [(512, 512), (896, 512), (512, 896)])
    @pytest.mark.parametrize("prompt", [*PROMPTS.values(), "a deer in the forest", "oil painting of a harbour"])
    def test_fill_every_format_with_light_and_dark(self, prompt, size):
        pixels = np.asarray(picture(PictureSpec(prompt, *size)))

        assert pixels.shape == (size[1], size[0], 3)
        for corner in np.array_split(pixels, 4):
            assert corner.std() > 4
        assert pixels.max() - pixels.min() > 120

    @pytest.mark.parametrize("size", [(16, 16), (48, 16), (16, 48), (1536, 512)])
    def test_survive_extreme_sizes(self, size):
        for prompt in PROMPTS.values():
            assert picture(PictureSpec(prompt, *size)).size == size

    def test_another_variation_is_another_composition(self):
        one, other = (np.asarray(picture(PictureSpec("ocean", 256, 256, variation=v)), int) for v in ("1", "2"))

        assert np.abs(one - other).mean() > 5


class TestFlat:
    @pytest.mark.parametrize("size", [(1024, 1024), (1792, 1024), (17, 3)])
    def test_is_valid_of_the_right_size_and_tiny(self, size):
        content = flat(PictureSpec("x", *size))

        with Image.open(io.BytesIO(content)) as opened:
            opened.verify()
        assert Image.open(io.BytesIO(content)).size == size
        assert len(content) < 1_500
