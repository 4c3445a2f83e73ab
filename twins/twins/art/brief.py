"""Reads a prompt: which scene it asks for, in which mood and colour, and which subjects it names."""

import re
from dataclasses import dataclass
from typing import Literal

from twins.art.palettes import COLOR_WORDS, PALETTES, Palette

Finish = Literal["photo", "painted"]

# First match wins, so the more telling words stand first. The mood is what the scene wears when the prompt names none.
SCENES: tuple[tuple[str, str, str], ...] = (
    ("concert", r"concert|stage|festival|gig|rock band|dj|crowd|nightclub|disco", "neon"),
    ("product", r"product|bottle|perfume|packshot|cosmetic|skincare|lotion|studio shot|advert|still life", "pastel"),
    ("space", r"space|planet|galaxy|nebula|rocket|astronaut|cosmos|cosmic|saturn|universe|alien", "night"),
    ("castle", r"castle|kingdom|palace|dragon|knight|princess|fairy ?tale|wizard", "sunset"),
    ("city", r"city|skyline|street|urban|downtown|cyberpunk|skyscraper|metropolis|tokyo|new york", "neon"),
    ("ocean", r"ocean|sea|beach|harbou?r|ship|sail\w*|boat|island|coast|lighthouse|waves?|whale|surf\w*", "sunset"),
    ("desert", r"desert|dunes?|sahara|camel|canyon|pyramids?", "desert"),
    ("mountain", r"mountains?|lake|alps|alpine|peak|fjord|glacier|aurora|northern lights", "dawn"),
    ("forest", r"forest|woods?|woodland|jungle|trees?|fox|deer|owl|bear|mushrooms?|fireflies|elf", "forest"),
    ("mountain", r"snow\w*|valley|cabin|winter", "dawn"),
    (
        "meadow",
        r"meadow|field|flowers?|garden|hills?|farm|spring|balloons?|countryside|picnic|park|rabbit|sheep",
        "day",
    ),
)
DEFAULT_SCENE = "ribbons"

MOODS: tuple[tuple[str, str], ...] = (
    ("neon", r"neon|cyberpunk|synth\w*|vaporwave|retrowave"),
    ("aurora", r"aurora|northern lights"),
    ("night", r"night|midnight|moonlit|moonlight|starry|stars|dark"),
    ("sunset", r"sunset|dusk|golden hour|evening|twilight|warm"),
    ("autumn", r"autumn\w*|fall|october|harvest"),
    ("winter", r"winter|snow\w*|frost\w*|ice|icy|christmas"),
    ("dawn", r"dawn|sunrise|morning|mist\w*|fog\w*"),
    ("pastel", r"pastel|soft|gentle|dreamy|watercolou?r"),
    ("lagoon", r"tropical|lagoon|turquoise|summer|paradise"),
    ("desert", r"desert|dunes?|sahara|canyon"),
    ("day", r"sunny|bright|day|noon|spring"),
)

# What an abstract picture may wear when the prompt gives no mood.
ABSTRACT_MOODS = ("sunset", "dawn", "neon", "lagoon", "aurora", "pastel", "desert")


@dataclass(frozen=True)
class Brief:
    text: str
    scene: str
    palette: Palette
    finish: Finish

    def names(self, words: str) -> bool:
        """Whether the prompt contains one of the alternatives as a word (a plural counts)."""
        return _names(words, self.text)


def read(prompt: str, seed: int) -> Brief:
    text = prompt.lower()
    scene, mood = _scene(text, seed)
    palette = PALETTES[mood]
    tint = next((color for word, color in COLOR_WORDS.items() if _names(word, text)), None)
    painted = _names(
        r"oil painting|painted|painting|watercolou?r|gouache|impressionis\w+|brush ?strokes?|van gogh|monet", text
    )
    return Brief(
        text=text,
        scene=scene,
        palette=palette.with_accent(tint) if tint else palette,
        finish="painted" if painted else "photo",
    )


def _scene(text: str, seed: int) -> tuple[str, str]:
    named_mood = next((mood for mood, words in MOODS if _names(words, text)), None)
    for scene, words, mood in SCENES:
        if _names(words, text):
            return scene, named_mood or mood
    return DEFAULT_SCENE, named_mood or ABSTRACT_MOODS[seed % len(ABSTRACT_MOODS)]


def _names(words: str, text: str) -> bool:
    return re.search(rf"\b(?:{words})s?\b", text) is not None
