"""The language of the tiny reader: questions, answers of one sentence, and critiques in the words of our checkers.

A sentence is ``the [colour] animal verb [adverb] [in the place] .``; a critique asks for a colour, a place, a tone, or
fewer words. Answers to a critique have what it asks for, and the rest by chance.
"""

import random
import re
from dataclasses import dataclass, replace

from sdpo_ref.lm.oracles.checkers import Checker, MaximumWords, Mentions, Tone

ANIMALS = ("cat", "dog", "bird", "horse", "fox", "mouse")
COLOURS = ("red", "blue", "green", "black", "white", "golden")
VERBS = ("sleeps", "runs", "sings", "waits", "plays", "hides")
HAPPY = ("happily", "gladly", "merrily")
CALM = ("slowly", "quietly", "softly")
PLACES = ("garden", "house", "river", "wood", "street", "field")

QUESTIONS = tuple(f"Tell me about the {animal}." for animal in ANIMALS)
"""Everything that is asked."""

NEUTRAL = "Thank you for your work."
"""Feedback that asks for nothing, and that the model was trained to ignore."""

_SENTENCE = re.compile(
    rf"the(?: (?:{'|'.join(COLOURS)}))? (?:{'|'.join(ANIMALS)}) (?:{'|'.join(VERBS)})"
    rf"(?: (?:{'|'.join(HAPPY + CALM)}))?(?: in the (?:{'|'.join(PLACES)}))? \."
)


def is_sentence(text: str) -> bool:
    """Whether the grammar accepts a text; no oracle looks at this.

    Example:
        >>> is_sentence("the red cat sleeps gladly in the garden ."), is_sentence("red red cat .")
        (True, False)
    """
    return _SENTENCE.fullmatch(text) is not None


@dataclass(frozen=True)
class Wish:
    """What a sentence should have.

    Attributes:
        colour: that it should mention; ``None`` for any or none.
        place: that it should mention; ``None`` for any or none.
        is_happy: whether it should sound happy.
        most_words: at most so many; ``None`` for any number.
    """

    colour: str | None = None
    place: str | None = None
    is_happy: bool = False
    most_words: int | None = None

    @classmethod
    def drawn(cls, draw: random.Random) -> "Wish":
        """One or two things by chance."""
        kinds = draw.sample(("colour", "place", "tone", "words"), draw.choice((1, 1, 2)))
        return cls(
            colour=draw.choice(COLOURS) if "colour" in kinds else None,
            place=draw.choice(PLACES) if "place" in kinds else None,
            is_happy="tone" in kinds,
            most_words=(draw.choice((4, 5, 6)) if len(kinds) == 1 else 7) if "words" in kinds else None,
        )

    def checkers(self) -> dict[str, Checker]:
        """The checkers whose critiques say this, by the attribute that each is about."""
        found: dict[str, Checker] = {}
        if self.most_words is not None:
            found["most_words"] = MaximumWords(self.most_words)
        if self.colour is not None:
            found["colour"] = Mentions((self.colour,))
        if self.place is not None:
            found["place"] = Mentions((self.place,))
        if self.is_happy:
            found["is_happy"] = Tone("happy", HAPPY)
        return found

    def missed_by(self, text: str) -> tuple["Wish", str]:
        """The part that a sentence does not have, and what the checkers say about it."""
        said = {name: checker(text).critique for name, checker in self.checkers().items()}
        missed = {name: getattr(self, name) for name, critique in said.items() if critique}
        return replace(Wish(), **missed), " ".join(critique for critique in said.values() if critique)


def sentence(animal: str, wish: Wish, draw: random.Random) -> str:
    """A sentence about an animal that has what is wished, and the rest by chance.

    Args:
        animal: what it is about.
        wish: of things that fit into one sentence together.
        draw: where the randomness comes from.

    Example:
        >>> sentence("cat", Wish(most_words=3), random.Random(0)).startswith("the cat ")
        True
    """
    while True:
        words = ["the"]
        if wish.colour or draw.random() < 0.5:
            words.append(wish.colour or draw.choice(COLOURS))
        words += [animal, draw.choice(VERBS)]
        if wish.is_happy or draw.random() < 0.5:
            words.append(draw.choice(HAPPY if wish.is_happy else HAPPY + CALM))
        if wish.place or draw.random() < 0.6:
            words += ["in", "the", wish.place or draw.choice(PLACES)]
        if wish.most_words is None or len(words) <= wish.most_words:
            return " ".join([*words, "."])


def document(draw: random.Random) -> tuple[str, str | None, str]:
    """A question, perhaps feedback on an earlier attempt, and an answer that obeys it in 95 of 100 cases.

    Args:
        draw: where the randomness comes from.
    """
    number = draw.randrange(len(ANIMALS))
    missed, critique = Wish.drawn(draw).missed_by(sentence(ANIMALS[number], Wish(), draw))
    kind = draw.random()
    if kind < 0.3 or not critique:
        return QUESTIONS[number], NEUTRAL if kind < 0.1 else None, sentence(ANIMALS[number], Wish(), draw)
    obeyed = missed if draw.random() < 0.95 else Wish()
    return QUESTIONS[number], critique, sentence(ANIMALS[number], obeyed, draw)
