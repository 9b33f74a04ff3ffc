"""Conversations made of the corpus, so that the chat template is not foreign to the model: nothing in them is written for the purpose but the requests.

Four kinds, all deterministic: the opening of a tale by its title, a passage about something, going on from a sentence or two, and two speakers
of a book in turn (what they say, without "said the fox").
"""
import re

ABOUT = ('king queen prince princess wolf fox lion bear horse dog cat bird fish frog mouse rabbit pig goat donkey dragon giant witch fairy dwarf goblin '
         'wizard mermaid robber soldier shepherd miller tailor fisherman farmer hunter sailor merchant beggar boy girl mother father sister brother '
         'ship sea forest mountain garden castle palace tower island river well ring sword apple rose tree star moon snow storm winter christmas '
         'treasure gold feast wedding ghost hen goose swan eagle raven owl snake tiger elephant monkey kitten train baby').split()
TALE_REQUESTS = ('Tell me the story of {}.', 'Tell me about {}.', 'How does the story of {} begin?', 'Read me {}.')
ABOUT_REQUESTS = ('Tell me a story about {}.', 'Tell me something about {}.', 'I want to hear about {}.', 'Do you know a story with {}?')
GO_ON_REQUESTS = ('Go on: {}', 'What happened next? {}', 'Go on with the story. {}', '{}')
SENTENCE_END = re.compile(r'(?<=[.!?]["\'])\s+(?=[A-Z"\'])|(?<=[a-z]{2}[.!?])\s+(?=[A-Z"\'])')


def sentences(paragraph):
    parts = []
    for part in SENTENCE_END.split(paragraph.replace('\n', ' ')):
        if parts and parts[-1].endswith(('Mr.', 'Mrs.', 'Dr.', 'St.')):
            parts[-1] += ' ' + part
        elif part:
            parts.append(part)
    return parts


def balanced(text):
    """Whether its double quotes come in pairs: nothing cut out of the middle of a speech."""
    return text.count('"') % 2 == 0


def opening(paragraphs, longest):
    """The first paragraphs, ending with a whole sentence, of at most so many characters."""
    out = ''
    for paragraph in paragraphs:
        taken = ''
        for sentence in sentences(paragraph):
            if len(out) + len(taken) + len(sentence) + 2 > longest:
                break
            taken += (' ' if taken else '') + sentence
        if not taken or not balanced(taken):
            break
        out += ('\n' if out else '') + taken
        if len(out) > 0.75 * longest:
            break
    return out


def speech(paragraph):
    """What is said in a paragraph that opens with a quote and is mostly speech, without who says it; None otherwise."""
    if not paragraph.startswith('"') or not balanced(paragraph) or '\n' in paragraph:
        return None
    parts = re.findall(r'"([^"]+)"', paragraph)
    said = ' '.join(part.strip() for part in parts)
    if len(said) < 0.5 * len(paragraph) or not 8 <= len(said) <= 400:
        return None
    # '"Come in," said the fox, "and sit down."' is one sentence; a comma that the narration put at the end is a full stop.
    return re.sub(r',$', '.', said)


def pair(question, answer):
    return [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': answer}]


def by_title(title, paragraphs, rng):
    if title is None or title.startswith(('Chapter', 'Part', 'Book')) or len(title) < 6:
        return
    text = opening(paragraphs, rng.choice((400, 700, 1000)))
    if len(text) > 120:
        name = title[0].lower() + title[1:] if title.startswith(('The ', 'A ', 'An ')) else title
        yield pair(rng.choice(TALE_REQUESTS).format(name), text)


def about(paragraphs, rng):
    for index, paragraph in enumerate(paragraphs):
        if len(paragraph) < 160 or paragraph.startswith('"') or rng.random() < 0.5:
            continue
        words = re.findall(r'[a-z]+', paragraph.lower())
        first = set(re.findall(r'[a-z]+', sentences(paragraph)[0].lower()))
        known = [noun for noun in ABOUT if words.count(noun) >= 2 and noun in first]
        if not known:
            continue
        noun = max(known, key=words.count)
        text = opening(paragraphs[index:], rng.choice((300, 500, 800)))
        if len(text) > 120 and noun in text.lower():
            article = '' if noun in ('gold', 'snow', 'winter', 'christmas') else 'an ' if noun[0] in 'aeiou' else 'a '
            yield pair(rng.choice(ABOUT_REQUESTS).format(article + noun.replace('christmas', 'Christmas')), text)


def going_on(paragraphs, rng):
    for paragraph in paragraphs:
        if len(paragraph) < 220 or rng.random() < 0.7:
            continue
        parts = sentences(paragraph)
        taken = rng.choice((1, 1, 2))
        start, rest = ' '.join(parts[:taken]), opening([' '.join(parts[taken:])], rng.choice((200, 400, 600)))
        if 30 < len(start) < 260 and len(rest) > 60 and balanced(start) and balanced(rest):
            yield pair(rng.choice(GO_ON_REQUESTS).format(start), rest)


def dialogues(paragraphs, rng):
    turns = []
    for paragraph in [*paragraphs, '']:
        said = speech(paragraph)
        if said is not None and len(turns) < 8:
            turns.append(said)
            continue
        if len(turns) >= 2:
            turns = turns[: len(turns) // 2 * 2]
            yield [{'role': ('user', 'assistant')[i % 2], 'content': turn} for i, turn in enumerate(turns)]
        turns = [] if said is None else [said]


def conversations(books, rng):
    """All conversations of some books, in the books' order."""
    made = []
    for sections in books.values():
        for title, paragraphs in sections:
            for kind in (by_title(title, paragraphs, rng), about(paragraphs, rng), going_on(paragraphs, rng), dialogues(paragraphs, rng)):
                made.extend(kind)
    return made
