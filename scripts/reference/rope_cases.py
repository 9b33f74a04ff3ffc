"""Random RoPE configurations in both forms and what transformers makes of them: frequencies at three batch lengths in turn, the scale.

usage: rope_cases.py OUT.jsonl [COUNT]
"""
import json
import logging
import random
import sys

import torch
from transformers import Gemma3TextConfig, LlamaConfig, Phi3Config
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

logging.disable(logging.CRITICAL)
CLASSES = {'llama': (LlamaConfig, LlamaRotaryEmbedding), 'phi3': (Phi3Config, Phi3RotaryEmbedding),
           'gemma3_text': (Gemma3TextConfig, Gemma3RotaryEmbedding)}
KINDS = {'llama': ['default', 'linear', 'dynamic', 'llama3', 'yarn', 'longrope'], 'phi3': ['default', 'longrope'],
         'gemma3_text': ['default', 'linear', 'dynamic', 'llama3', 'yarn']}   # its longrope fails in transformers 5.17


def parameters(rng, kind, head_dim):
    p = {'rope_type': kind}
    if rng.random() < 0.8:
        p['rope_theta'] = rng.choice([1e4, 5e5, 2e6, 7777.0])
    if kind in ('linear', 'dynamic', 'llama3', 'yarn'):
        p['factor'] = rng.choice([1.0, 2.0, 3.7, 32.0])
    if kind in ('llama3', 'yarn', 'longrope') and rng.random() < 0.8:
        p['original_max_position_embeddings'] = rng.choice([32, 64, 512, 4096])
    if kind == 'llama3':
        p.update(low_freq_factor=1.0, high_freq_factor=rng.choice([2.0, 4.0]))
    if kind == 'yarn':
        p.update(rng.choice([{}, {'beta_fast': 16, 'beta_slow': 2}, {'truncate': False}, {'mscale': 0.7, 'mscale_all_dim': 1.3},
                             {'attention_factor': 1.25}]))
    if kind == 'longrope':
        factors = lambda top: [round(1 + top * rng.random(), 3) for _ in range(head_dim // 2)]
        p.update(short_factor=factors(1), long_factor=factors(8), **rng.choice([{}, {'factor': 4.0}]))
    return p


def random_config(rng):
    family = rng.choice(list(CLASSES))
    head_dim = rng.choice([8, 16, 24])
    config = {'hidden_size': 4 * head_dim, 'intermediate_size': 8, 'num_hidden_layers': 2, 'num_attention_heads': 4, 'num_key_value_heads': 2,
              'head_dim': head_dim, 'vocab_size': 50, 'max_position_embeddings': rng.choice([64, 256, 2048, 131072])}
    kind = rng.choice(KINDS[family])
    p = parameters(rng, kind, head_dim)
    if family == 'gemma3_text':
        config['layer_types'] = ['full_attention', 'sliding_attention']
    if rng.random() < 0.5:
        local = {'rope_type': 'default', 'rope_theta': 3e4}
        config['rope_parameters'] = {'full_attention': p, 'sliding_attention': local} if family == 'gemma3_text' else p
    else:
        if 'rope_theta' in p:
            config['rope_theta'] = p.pop('rope_theta')
        if family != 'gemma3_text' and rng.random() < 0.5:
            p['type'] = p.pop('rope_type')
        if kind != 'default':
            config['rope_scaling'] = p
    if family != 'gemma3_text' and rng.random() < 0.3:
        config['original_max_position_embeddings'] = 48
    return family, config


def main(path, count=80):
    rng = random.Random(7)
    with open(path, 'w') as f:
        for _ in range(int(count)):
            family, config = random_config(rng)
            row = {'config': {'model_type': family, **json.loads(json.dumps(config))}, 'frequencies': []}
            row['lengths'] = [rng.randint(1, 2 * min(config['max_position_embeddings'], 300)) for _ in range(3)]
            make_config, make_rope = CLASSES[family]
            rope = make_rope(make_config(**config))
            full = ('full_attention',) if family == 'gemma3_text' else ()
            for length in row['lengths']:
                rope(torch.zeros(1), torch.arange(length)[None], *full)
                row['frequencies'].append(getattr(rope, 'full_attention_inv_freq' if full else 'inv_freq').tolist())
            row['scaling'] = getattr(rope, 'full_attention_attention_scaling' if full else 'attention_scaling')
            f.write(json.dumps(row) + '\n')


if __name__ == '__main__':
    main(*sys.argv[1:])
