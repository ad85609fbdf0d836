"""What the synthetic speakers say: emotion-bearing sentences, and sentences that fit several emotions.

Written for this project; nothing is taken from a recorded corpus.
"""

import random

NAMES = ("Anna", "Mark", "Peter", "Julia", "Simon", "Laura", "Martin", "Nina", "Oliver", "Karen")
PLACES = ("the station", "the office", "the garden", "the kitchen", "the school", "the market", "the lake")
THINGS = ("the letter", "the ticket", "the phone", "the picture", "the car", "the key", "the suitcase")
TIMES = ("this morning", "last night", "on Monday", "after lunch", "last week", "this evening")

CLEAR: dict[str, tuple[str, ...]] = {
    "ang": (
        "How dare you touch {thing}!",
        "Stop lying to me, {name}.",
        "Get out of my way right now!",
        "You ruined everything {time}.",
        "I am furious with you and with {name}.",
        "Shut up and give me {thing}!",
        "I hate the way you treat {name}.",
        "Don't you ever shout at me again!",
        "That stupid man broke {thing} {time}.",
        "I am sick of your stupid excuses.",
        "You are a liar and a cheat, {name}.",
        "Who the hell took {thing}?",
    ),
    "hap": (
        "We won the first prize {time}!",
        "That is wonderful news, {name}!",
        "I am so happy for you and {name}.",
        "What a beautiful party at {place}!",
        "I love it, thank you so much!",
        "We are getting married {time}!",
        "I got the job, isn't that great?",
        "It was the best holiday of my life.",
        "Congratulations, {name}, you made it!",
        "The baby laughed {time}, it was lovely.",
        "We danced at {place} and it was fantastic.",
        "I am thrilled about the lovely present.",
    ),
    "sad": (
        "I miss {name} so much.",
        "She died {time} at {place}.",
        "I feel so lonely since {name} left.",
        "I lost everything that I loved.",
        "He cried all night about {name}.",
        "There is no hope for us, {name}.",
        "I am sorry, I could not save {name}.",
        "The funeral is at {place} {time}.",
        "My heart is broken and I am tired.",
        "We had to say goodbye at {place}.",
        "Nothing helps, I just want to weep.",
        "I was never good enough for {name}.",
    ),
    "neu": (
        "Please fill in the form at {place}.",
        "The next bus leaves {time}.",
        "You need a stamp and a second copy.",
        "The meeting is at {place} {time}.",
        "Turn left and walk past {place}.",
        "The number is printed on the receipt.",
        "Our opening hours are listed on the door.",
        "Please sign here and keep {thing}.",
        "The report has seven pages and a table.",
        "Your appointment with {name} is {time}.",
        "Take the stairs to the second floor.",
        "The address is printed on the envelope.",
    ),
    "fru": (
        "I have asked {name} about this three times.",
        "Why does {thing} never work?",
        "Nobody ever listens to me at {place}.",
        "I give up, this form makes no sense.",
        "We have been waiting here for hours.",
        "It is always the same trouble with {name}.",
    ),
}
"""Sentences that tell the emotion by their words alone."""

SHARED: dict[tuple[str, str], tuple[str, ...]] = {
    ("ang", "sad"): (
        "I can't believe you did this to {name}.",
        "{name} never came back for {thing}.",
        "You left me alone at {place}.",
    ),
    ("ang", "hap"): (
        "I can't believe that {name} did it!",
        "Look at what {name} did with {thing}!",
        "Did you hear what {name} said {time}?",
    ),
    ("ang", "neu"): (
        "Give {thing} back to {name}.",
        "You have to leave {place} now.",
        "I want to speak with {name} again.",
    ),
    ("hap", "sad"): (
        "I will never forget {name}.",
        "It all began at {place} with {name}.",
        "I still think about {name} and {place}.",
    ),
    ("hap", "neu"): (
        "{name} is coming to {place} {time}.",
        "We will all meet at {place}.",
        "I have news about {thing}.",
    ),
    ("neu", "sad"): (
        "{name} is not here any more.",
        "They closed {place} {time}.",
        "I don't know where {name} went.",
    ),
}
"""Sentences that fit two emotions; only the voice can tell which."""

EVERYDAY = (
    "I talked to {name} about {thing} {time}.",
    "{name} was at {place} {time}.",
    "We saw {name} near {place}.",
    "{thing} is at {place} with {name}.",
    "I called {name} from {place}.",
    "Do you remember {name} and {thing}?",
    "She said that {name} has {thing}.",
    "You know that {name} was there {time}.",
)
"""Sentences that fit every emotion."""

OPENERS = ("Well,", "Listen,", "Okay,", "You know,", "So,", "Look,", "Yes,", "No,")


def compose(label: str, *, ambiguous: bool, dice: random.Random) -> str:
    """One turn of one or two sentences.

    Args:
        label: a corpus label; `exc` talks like `hap`, labels without words of their own say everyday things.
        ambiguous: use words that fit another emotion as well.
        dice: decides everything else.
    """
    emotion = "hap" if label == "exc" else label
    if emotion not in CLEAR:
        sentence = dice.choice(EVERYDAY)
    elif not ambiguous:
        sentence = dice.choice(CLEAR[emotion])
    else:
        pairs = [pair for pair in SHARED if emotion in pair]
        sentence = dice.choice(SHARED[dice.choice(pairs)] if pairs and dice.random() < 0.4 else EVERYDAY)
    opener = dice.choice(OPENERS) if dice.random() < 0.3 else ""
    parts = [f"{opener} {_lowered(_fill(sentence, dice))}" if opener else _fill(sentence, dice)]
    if dice.random() < 0.12:
        parts.append(_fill(dice.choice(EVERYDAY), dice))
    return " ".join(parts)


def monologue(words: int, dice: random.Random) -> str:
    """Everyday sentences with at least so many words."""
    parts: list[str] = []
    while len(" ".join(parts).split()) < words:
        parts.append(_fill(dice.choice(EVERYDAY), dice))
    return " ".join(parts)


def _fill(sentence: str, dice: random.Random) -> str:
    filled = sentence.format(
        name=dice.choice(NAMES), place=dice.choice(PLACES), thing=dice.choice(THINGS), time=dice.choice(TIMES)
    )
    return filled[0].upper() + filled[1:]


def _lowered(sentence: str) -> str:
    first = sentence.split()[0]
    return sentence if first == "I" or first in NAMES else sentence[0].lower() + sentence[1:]
