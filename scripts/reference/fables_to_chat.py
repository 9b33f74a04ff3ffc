"""Turns instruction rows into chat rows: instruction (and input, after a blank line) -> user, output -> assistant.

usage: fables_to_chat.py FABLES.jsonl OUT.jsonl
"""
import json
import sys

from common import read_jsonl


def to_chat(row):
    user = row['instruction'] + ('\n\n' + row['input'] if row.get('input') else '')
    return {'messages': [{'role': 'user', 'content': user}, {'role': 'assistant', 'content': row['output']}]}


if __name__ == '__main__':
    source, out = sys.argv[1:]
    rows = [to_chat(r) for r in read_jsonl(source)]
    with open(out, 'w', encoding='utf-8') as f:
        f.writelines(json.dumps(r, ensure_ascii=False) + '\n' for r in rows)
    print(len(rows), 'rows')
