"""Held-out perplexity of a model folder: as it is, with its linears in NF4 (with and without double quantization) and FP4, and with an adapter.

usage: perplexity.py MODEL_DIR DATA_DIR [--adapter ADAPTER_DIR] [--rows CHAT.jsonl]
DATA_DIR is prepare.py's: valid.text.bin and valid.chat.bin. With --rows, also of the answers in a file of conversations (prefixes are given).
bitsandbytes quantizes; everything is computed in f32.
"""
import argparse
import json
import math
from pathlib import Path

import bitsandbytes.functional as quantization
import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

KINDS = {'bf16': None, 'nf4, double quantization': ('nf4', True), 'nf4': ('nf4', False), 'fp4': ('fp4', False)}


def load(folder, kind):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if kind:
        for name, weight in model.named_parameters():
            if '_proj' in name:
                packed, state = quantization.quantize_4bit(weight.data, quant_type=kind[0], compress_statistics=kind[1])
                weight.data = quantization.dequantize_4bit(packed, state)
    return model


@torch.no_grad()
def of_tokens(model, file, length=512):
    """Perplexity of a token file, in consecutive windows."""
    tokens = torch.from_numpy(np.fromfile(file, '<u2').astype(np.int64))
    total = count = 0
    for start in range(0, len(tokens) - 1, length - 1):
        window = tokens[start:start + length][None]
        logits = model(window).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits, window[0, 1:], reduction='sum').item()
        count += window.shape[1] - 1
    return math.exp(total / count)


@torch.no_grad()
def of_answers(model, tokenizer, file):
    """Perplexity of the assistant's tokens, end of turn included."""
    total = count = 0
    for line in open(file):
        encoded = tokenizer.apply_chat_template(json.loads(line)['messages'], return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = torch.tensor(encoded['input_ids']), torch.tensor(encoded['assistant_masks']).bool()
        losses = torch.nn.functional.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction='none')
        total += losses[mask[1:]].sum().item()
        count += mask[1:].sum().item()
    return math.exp(total / count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('model')
    parser.add_argument('data', type=Path)
    parser.add_argument('--adapter')
    parser.add_argument('--rows')
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    kinds = dict(KINDS)
    if options.adapter:
        kinds['nf4, double quantization, tuned'] = ('nf4', True)
    for name, kind in kinds.items():
        model = load(options.model, kind)
        if name.endswith('tuned'):
            model = PeftModel.from_pretrained(model, options.adapter).eval()
        figures = {part: of_tokens(model, options.data / f'valid.{part}.bin') for part in ('text', 'chat')}
        if options.rows:
            figures['rows'] = of_answers(model, tokenizer, options.rows)
        print(json.dumps({'model': name, **{part: round(value, 2) for part, value in figures.items()}}), flush=True)


if __name__ == '__main__':
    main()
