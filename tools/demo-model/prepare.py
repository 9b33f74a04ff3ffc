"""Turns the corpus into token files for train.py: trains the tokenizer, holds books out, makes conversations.

usage: prepare.py CORPUS_DIR OUT_DIR [--vocab 4096]
writes: tokenizer.json; {train,valid}.{text,chat}.bin (uint16 tokens, little-endian); {train,valid}.chat.starts.bin (uint32, where each
conversation begins, ascending); data.json (counts, bytes, seeds).
"""
import argparse
import json
import random
from pathlib import Path

import numpy as np

from conversations import conversations
from corpus import HELD_OUT, read_corpus
from tokenizer import END_OF_TEXT, render, train_tokenizer

SEED = 8


def documents(books):
    """The text of each tale or chapter, with its title; paragraphs a line each."""
    return ['\n'.join(([title] if title else []) + paragraphs) for sections in books.values() for title, paragraphs in sections]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('corpus')
    parser.add_argument('out', type=Path)
    parser.add_argument('--vocab', type=int, default=4096)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    books = read_corpus(options.corpus)
    parts = {'train': {name: book for name, book in books.items() if name not in HELD_OUT},
             'valid': {name: books[name] for name in HELD_OUT}}
    tokenizer = train_tokenizer(documents(parts['train']), options.vocab)
    tokenizer.save(str(options.out / 'tokenizer.json'))
    end = tokenizer.token_to_id(END_OF_TEXT)
    summary = {'vocab': tokenizer.get_vocab_size(), 'seed': SEED, 'held_out': HELD_OUT}
    for name, part in parts.items():
        texts = documents(part)
        tokens = [token for encoding in tokenizer.encode_batch(texts) for token in [*encoding.ids, end]]
        np.asarray(tokens, '<u2').tofile(options.out / f'{name}.text.bin')
        chats = conversations(part, random.Random(SEED))
        random.Random(SEED).shuffle(chats)
        rendered = tokenizer.encode_batch([render(chat) for chat in chats])
        lengths = [len(encoding.ids) for encoding in rendered]
        np.asarray([token for encoding in rendered for token in encoding.ids], '<u2').tofile(options.out / f'{name}.chat.bin')
        np.asarray(np.concatenate(([0], np.cumsum(lengths)[:-1])), '<u4').tofile(options.out / f'{name}.chat.starts.bin')
        summary[name] = {'books': len(part), 'documents': len(texts), 'bytes': sum(len(text.encode()) for text in texts),
                         'text_tokens': len(tokens), 'conversations': len(chats), 'chat_tokens': sum(lengths),
                         'chat_bytes': sum(len(message['content'].encode()) for chat in chats for message in chat)}
        if name == 'train':
            with open(options.out / 'conversations.sample.jsonl', 'w') as file:
                file.writelines(json.dumps(chat) + '\n' for chat in chats[:200])
    (options.out / 'data.json').write_text(json.dumps(summary, indent=1) + '\n')
    print(json.dumps(summary, indent=1))


if __name__ == '__main__':
    main()
