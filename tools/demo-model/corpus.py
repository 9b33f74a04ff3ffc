"""Reads the pretraining corpus: a text file a book, paragraphs a line each with a blank line between them, headings as lines of their own."""
import re
from pathlib import Path

# Whole books that no training step sees: another author each, about 1 % of the corpus.
HELD_OUT = ('21-happy-prince', '22-golden-river', '37-kidnapped-santa', '53-christmas-angel')

SMALL_WORDS = {'a', 'an', 'and', 'as', 'at', 'by', 'for', 'from', 'he', 'her', 'his', 'how', 'in', 'into', 'is', 'it', 'of', 'on', 'or', 'that', 'the',
               'their', 'to', 'was', 'went', 'who', 'with'}


def is_heading(block):
    """Whether a paragraph is a title: one short line without a sentence's end, its words capitalized."""
    if '\n' in block or len(block) > 70 or block[-1] in '.,;:!?"\'-)' or block[0] in '"\'(':
        return False
    words = re.findall(r"[A-Za-z][A-Za-z']*", block)
    return bool(words) and all(word[0].isupper() or word in SMALL_WORDS for word in words) and block[0].isupper()


def sections(text):
    """(title, paragraphs) of each tale or chapter; a book without headings is one section."""
    result = []
    title, paragraphs = None, []
    for block in re.split(r'\n\s*\n', text.strip()):
        block = '\n'.join(line.rstrip() for line in block.strip().split('\n'))
        if not block:
            continue
        if is_heading(block):
            if paragraphs:
                result.append((title, paragraphs))
            title, paragraphs = block, []
        else:
            paragraphs.append(block)
    if paragraphs:
        result.append((title, paragraphs))
    return result


def read_corpus(folder):
    """{book: sections} in the order of the files' names."""
    books = {}
    for path in sorted(Path(folder).glob('*.txt')):
        books[path.stem] = sections(path.read_text('utf-8'))
    if not books:
        raise SystemExit(f'no .txt file in {folder}')
    return books
