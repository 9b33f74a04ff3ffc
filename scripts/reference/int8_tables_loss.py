"""What embeddings in 8 bits change in a model's loss: NF4 linears with the tables as they are, by row and in blocks of 64.

usage: int8_tables_loss.py MODEL_DIR ROWS.jsonl [ROWS [LENGTH]]
"""
import copy
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from common import int8_round_trip, quantize_linears, read_jsonl


def by_row(weight):
    scale = weight.abs().amax(1, keepdim=True) / 127
    return torch.round(weight / scale) * scale


def losses(model, rows):
    out = []
    with torch.no_grad():
        for ids in rows:
            logits = model(input_ids=ids[None]).logits[0, :-1]
            out.append(torch.nn.functional.cross_entropy(logits, ids[1:], reduction='sum').item())
    return out


folder, data, *sizes = sys.argv[1:]
count, length = (int(s) for s in (sizes + ['8', '256'])[:2])
tok = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
model.eval()
text = '\n\n'.join(' '.join(str(v) for v in row.values() if isinstance(v, str)) for row in read_jsonl(data))
ids = torch.tensor(tok(text, add_special_tokens=False)['input_ids'][:count * length]).reshape(-1, length)
tokens = ids.shape[0] * (length - 1)
full = losses(model, ids)
quantize_linears(model, True)
tables = [m for m in {model.get_input_embeddings(), model.get_output_embeddings()}]
kept = [m.weight.data.clone() for m in tables]
base = losses(model, ids)
print(f'{tokens} tokens; float32 {sum(full) / tokens:.6f}, NF4 {sum(base) / tokens:.6f}')
for name, trip in (('by row', by_row), ('blocks of 64', int8_round_trip)):
    for module, weight in zip(tables, kept):
        module.weight.data.copy_(trip(weight))
    error = (tables[0].weight.data - kept[0]).norm() / kept[0].norm()
    now = losses(model, ids)
    worst = max(abs(a - b) for a, b in zip(now, base)) / (length - 1)
    print(f'{name}: table off by {error:.4f}, loss {sum(now) / tokens:.6f} ({(sum(now) - sum(base)) / tokens:+.6f}), '
          f'a row of text by {worst:.6f} at most')
