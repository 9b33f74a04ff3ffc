"""Parity cases of random shapes and settings, in make_cases.py's format: to look for what nobody thought of.

Each number is one case, always the same. What is interesting becomes a case of make_cases.py. With `skip` bitsandbytes itself quantizes
the checkpoint, and leaves some linears in 16 bits.
usage: fuzz_cases.py OUT CORPUS.txt CHAT.jsonl FIRST COUNT [skip]
"""
import json
import random
import sys

from common import ALL_LINEAR, FUSED_LINEAR
from make_cases import dims, make, quantization, training

TYPES = ['llama', 'mistral', 'qwen2', 'qwen3', 'gemma2', 'gemma3_text', 'phi3', 'smollm3']


def rope(r, rotary, longest):
    theta = r.choice([500.0, 10000.0, 1000000.0])
    original = r.choice([24, 40])
    half = rotary // 2
    kinds = {
        'default': {}, 'linear': {'factor': r.choice([1.5, 4.0])}, 'dynamic': {'factor': r.choice([2.0, 3.0])},
        'llama3': dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=r.choice([2.0, 4.0]), original_max_position_embeddings=original),
        'yarn': dict(factor=r.choice([2.0, 4.0]), original_max_position_embeddings=original,
                     **r.choice([{}, dict(beta_fast=16.0, beta_slow=2.0), dict(attention_factor=1.1)])),
        'longrope': dict(original_max_position_embeddings=original, short_factor=[1 + r.random() for _ in range(half)],
                         long_factor=[1 + 4 * r.random() for _ in range(half)]),
    }
    kind = r.choice(list(kinds))
    if kind in ('yarn', 'longrope', 'dynamic'):
        longest = r.choice([40, 96]) if kind == 'dynamic' else original * 4
    return dict(rope_type=kind, rope_theta=theta, **kinds[kind]), longest


def config(r, kind):
    head_dim = r.choice([6, 10, 12, 18, 20, 34])
    kv = r.choice([1, 2, 3])
    heads = kv * r.choice([1, 2, 3, 5])
    hidden = heads * max(2, r.choice([30, 36, 44, 52, 66, 72]) // heads)   # transformers wants a multiple, also where head_dim is given
    hidden += hidden % 2 * heads
    layers = r.choice([1, 2, 3])
    more = dict(head_dim=head_dim, tie_word_embeddings=r.random() < 0.5, rms_norm_eps=r.choice([1e-6, 1e-5, 1e-3]))
    longest = 512
    window = r.choice([5, 11, 23])
    if kind in ('gemma2', 'gemma3_text'):
        more.update(query_pre_attn_scalar=r.choice([head_dim, 9]), sliding_window=window,
                    layer_types=[r.choice(['sliding_attention', 'full_attention']) for _ in range(layers)],
                    hidden_activation='gelu_pytorch_tanh')
        if kind == 'gemma2':
            more.update(attn_logit_softcapping=r.choice([None, 3.0, 50.0]), final_logit_softcapping=r.choice([None, 5.0, 30.0]))
        else:
            more['rope_parameters'] = dict(full_attention=dict(rope_type='default', rope_theta=1000000.0),
                                           sliding_attention=dict(rope_type='default', rope_theta=10000.0))
    elif kind == 'phi3':
        share = r.choice([1.0, 0.5])
        rotary = int(head_dim * share)
        more['rope_parameters'], longest = dict(rope_type='default', rope_theta=10000.0, partial_rotary_factor=share), 512
        if rotary % 2:
            more['rope_parameters']['partial_rotary_factor'] = 1.0
        more['sliding_window'] = r.choice([None, window])
        hidden = heads * head_dim   # its head_dim is not read from the config by every version
    else:
        more['rope_parameters'], longest = rope(r, head_dim, longest)
    if kind in ('llama', 'qwen3', 'smollm3'):
        more['attention_bias'] = r.random() < 0.5
    if kind in ('llama', 'smollm3'):
        more['mlp_bias'] = r.random() < 0.5
    if kind == 'mistral':
        more['sliding_window'] = r.choice([None, window])
    if kind in ('qwen2', 'qwen3'):
        more.update(use_sliding_window=r.random() < 0.5, sliding_window=window, max_window_layers=r.choice([0, 1]))
    if kind in ('llama', 'smollm3', 'qwen2'):   # heads of their hidden size
        hidden = heads * head_dim if kind == 'qwen2' else hidden
    if kind == 'smollm3':
        more['no_rope_layers'] = [r.choice([0, 1]) for _ in range(layers)]
        hidden = heads * head_dim
        more.pop('head_dim')
    if kind == 'qwen2':
        more.pop('head_dim')
    return dims(hidden, r.choice([35, 50, 76, 100]), layers, heads, kv, max_position_embeddings=longest, **more)


def lora(r, kind, layers):
    names = FUSED_LINEAR if kind == 'phi3' else ALL_LINEAR
    some = sorted(r.sample(names, r.randint(1, len(names))))
    own = dict(r=r.choice([1, 2, 3, 5, 8, 13]), lora_alpha=r.choice([1, 4, 7.5, 16]), b_std=0.02, target_modules=some,
               use_rslora=r.random() < 0.3, use_dora=r.random() < 0.25)
    pick = r.randrange(7)
    if pick == 0:
        own['target_modules'] = 'all-linear'
    elif pick == 1:
        own['target_modules'] = r'.*\.(%s)' % '|'.join(some)
    elif pick == 2:
        own['layers_to_transform'] = sorted(r.sample(range(layers), r.randint(1, layers)))
    elif pick == 3:
        own.update(layers_to_transform=r.randrange(layers), layers_pattern='layers')
    elif pick == 4 and len(some) > 1:
        own['exclude_modules'] = some[:1]
    elif pick == 5 and len(some) > 1:
        own['exclude_modules'] = r'.*\.%s' % some[0]
    elif pick == 6:
        own.update(rank_pattern={some[0]: 7}, alpha_pattern={some[-1]: 3})
    return own


def skip_list(r, kind, layers):
    """Linears of every layer, of one, one alone, by the names that config.json may have for them."""
    names = FUSED_LINEAR if kind == 'phi3' else ALL_LINEAR
    one = r.choice(names)
    part = 'mlp' if one.startswith(('gate', 'up', 'down')) else 'self_attn'
    layer = r.randrange(layers)
    choices = [r.choice(names), f'model.layers.{layer}.{part}.{one}', f'model.layers.{r.randrange(layers)}.{r.choice(["mlp", "self_attn"])}']
    return ['lm_head'] + r.sample(choices, r.randint(1, 2))


def dropout(number):
    """Drawn apart: every other draw is what it was before there was dropout."""
    r = random.Random(f'dropout {number}')
    return dict(lora_dropout=r.choice([0.05, 0.3, 0.6])) if r.random() < 0.4 else {}


def spec(number):
    r = random.Random(number)
    kind = TYPES[number % len(TYPES)]
    c = config(r, kind)
    rows = r.choice(['text', 'prompt'])
    quant = quantization(r.random() < 0.6, r.choice(['nf4', 'nf4', 'fp4']))
    if r.random() < 0.3:
        quant['embeddings_in_8bit'] = True
    packing = r.random() < 0.35
    return dict(
        type=kind, vocab=r.randint(270, 420), rows=rows, paragraphs=(30, 200), chars=r.choice([100, 160]), n=r.randint(11, 25), seed=number,
        dtype=r.choice(['float32', 'float16', 'bfloat16']), stir=True, new_rope=kind == 'gemma2' or kind == 'gemma3_text' or r.random() < 0.5,
        quantization=quant, config=c, lora=lora(r, kind, c['num_hidden_layers']) | dropout(number),
        training=training(max_length=r.choice([37, 64, 90]), max_steps=6, per_device_train_batch_size=r.choice([1, 2, 3]),
                          gradient_accumulation_steps=r.choice([1, 2, 3]), lr_scheduler_type=r.choice(['linear', 'cosine', 'constant']),
                          warmup_steps=r.choice([0, 2, 0.3]), packing=packing, weight_decay=r.choice([0.0, 0.1]),
                          max_grad_norm=r.choice([0.1, 1.0]), learning_rate=r.choice([5e-4, 2e-3]), **r.choice([{}, dict(loraplus_lr_ratio=4.0)])))


if __name__ == '__main__':
    out, corpus_path, chat_path, first, count, *skip = sys.argv[1:]
    with open(corpus_path) as f:
        corpus = f.read()
    with open(chat_path) as f:
        chat = [json.loads(line) for line in f]
    for number in range(int(first), int(first) + int(count)):
        one = spec(number)
        if skip:
            one.update(prequantized=True, skip=skip_list(random.Random(number), one['type'], one['config']['num_hidden_layers']))
        print(number, json.dumps(one), flush=True)
        try:
            make(out, f'fuzz-{number}', one, corpus, chat)
        except Exception as error:   # settings that the libraries themselves refuse
            print(f'fuzz-{number}: {type(error).__name__}: {error}', flush=True)
