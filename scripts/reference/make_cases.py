"""Makes our own parity cases (e2e/golden) in the format of the shared ones, from the same recipe.

Each case is a folder: case.json, model/, data.jsonl, adapter_init/, expected/ (steps, logits, gradients, NF4 state, final adapter).
usage: make_cases.py OUT CORPUS.txt CHAT.jsonl [NAME...]
"""
import json
import os
import random
import shutil
import sys

import bitsandbytes
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerFast

from common import (ALL_LINEAR, DEVICE, FUSED_LINEAR, collate, forward, micro_batches, nll_sum, quantize_linears, quantize_tables, rows_to_examples,
                    scrub_adapter, train, windows)
from counted_dropout import count_dropout

# Invented templates: name -> (jinja, EOS, special tokens).
BRACKETS = (
    "{%- if messages | length == 0 or messages[0]['role'] != 'system' -%}\n"
    "{{ '⟦start⟧system⟦body⟧You are a player 🎭 who answers in kind.⟦stop⟧\\n' }}\n"
    "{%- endif -%}\n"
    "{%- for message in messages -%}\n"
    "{{ '⟦start⟧' + message['role'] + '⟦body⟧' + message['content'] | trim + '⟦stop⟧\\n' }}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{ '⟦start⟧assistant⟦body⟧' }}\n"
    "{%- endif -%}\n")
# The header ends in a space, which byte-level BPE joins to the reply's first word: that token lies partly outside the reply
# and is not trained. EOS is also the padding token.
HASHES = (
    "{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{{ '### ' ~ message.role | capitalize ~ ': ' ~ message.content ~ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n### Assistant: ' }}{% endif %}")
TEMPLATES = {'brackets': (BRACKETS, '⟦stop⟧', ['⟦start⟧', '⟦body⟧', '⟦stop⟧']), 'hashes': (HASHES, '<|endoftext|>', [])}


def quantization(double, quant_type='nf4'):
    return {'load_in_4bit': True, 'bnb_4bit_quant_type': quant_type, 'bnb_4bit_use_double_quant': double, 'bnb_4bit_compute_dtype': 'float32'}


def training(**changes):
    base = dict(max_length=64, per_device_train_batch_size=2, gradient_accumulation_steps=1, max_steps=20, learning_rate=2e-3,
                lr_scheduler_type='constant', warmup_steps=0, max_grad_norm=1.0, weight_decay=0.0, adam_beta1=0.9, adam_beta2=0.999,
                optim='adamw', train_sampling_strategy='sequential', packing=False)
    return {**base, **changes}


def small(**changes):
    return training(**{**dict(max_length=64, max_steps=8, lr_scheduler_type='linear', warmup_steps=2), **changes})


def lora(**changes):
    return {**dict(r=8, lora_alpha=16, target_modules=ALL_LINEAR, b_std=0.02), **changes}


def dims(hidden, ffn, layers, heads, kv_heads, **more):
    return dict(hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads, **more)


CASES = {
    # llama3 RoPE whose three bands all occur (original length 32, rows up to 128), head_dim other than hidden/heads, biases
    # everywhere, fp32 absmax, an untied head.
    'llama3-rope': dict(
        type='llama', vocab=400, rows='text', n=44, seed=21, dtype='float32', new_rope=True, quantization=quantization(False),
        config=dims(64, 160, 2, 4, 2, head_dim=32, tie_word_embeddings=False, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5,
                    rope_parameters=dict(rope_type='llama3', rope_theta=5000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                         original_max_position_embeddings=32)),
        lora=lora(), training=training(max_length=128, lr_scheduler_type='cosine', warmup_steps=2, weight_decay=0.02)),
    # Completion-only loss, short last window, warmup as a ratio, sizes that are no power of two and rows that cross NF4 blocks.
    'llama-completion': dict(
        type='llama', vocab=448, rows='prompt', chars=200, n=43, seed=22, dtype='bfloat16', quantization=quantization(True),
        config=dims(96, 160, 2, 4, 2, tie_word_embeddings=True, rope_parameters=dict(rope_type='linear', factor=2.0, rope_theta=10000.0)),
        lora=lora(lora_alpha=12), training=training(max_length=72, gradient_accumulation_steps=4, lr_scheduler_type='linear', warmup_steps=0.1,
                                                    adam_beta2=0.99)),
    # An invented template with a default system prompt and trimmed content; shards, rsLoRA, few targets.
    'qwen2-template': dict(
        type='qwen2', vocab=480, rows='messages', chars=190, n=40, seed=23, dtype='float16', shard='150KB', template='brackets', untidy=True,
        quantization=quantization(True), config=dims(64, 176, 2, 4, 2, tie_word_embeddings=False),
        lora=lora(r=4, lora_alpha=8, use_rslora=True, target_modules=['q_proj', 'v_proj', 'down_proj']),
        training=training(max_length=112, assistant_only_loss=True, lr_scheduler_type='constant_with_warmup', warmup_steps=4)),
    # Plain-text role headers, EOS = padding = end of turn, packing with assistant-only loss, clipping that bites, decay.
    'qwen2-plain-delims': dict(
        type='qwen2', vocab=480, rows='messages', chars=150, n=64, seed=24, dtype='bfloat16', template='hashes', quantization=quantization(True),
        config=dims(96, 224, 2, 6, 2, tie_word_embeddings=True),
        lora=lora(), training=training(max_length=224, per_device_train_batch_size=1, assistant_only_loss=True, packing=True, gradient_accumulation_steps=2,
                                       max_grad_norm=0.2, weight_decay=0.1)),
    # The rest are small: one architecture or RoPE type each, norm weights away from their start.
    # A context of 40 positions and rows on both sides of it, one a micro-batch: each has frequencies of its own, or the last longer one's.
    'llama-dynamic': dict(
        type='llama', vocab=300, rows='text', paragraphs=(25, 150), n=24, seed=31, dtype='bfloat16', stir=True, quantization=quantization(True),
        config=dims(32, 80, 2, 2, 1, tie_word_embeddings=True, max_position_embeddings=40,
                    rope_parameters=dict(rope_type='dynamic', factor=4.0, rope_theta=10000.0)),
        lora=lora(r=4), training=small(per_device_train_batch_size=1, gradient_accumulation_steps=2)),
    'llama-yarn': dict(
        type='llama', vocab=300, rows='text', paragraphs=(60, 300), n=24, seed=32, dtype='float16', stir=True, new_rope=True, quantization=quantization(True),
        config=dims(48, 80, 2, 3, 1, tie_word_embeddings=False, max_position_embeddings=128, attention_bias=True,
                    rope_parameters=dict(rope_type='yarn', factor=4.0, rope_theta=10000.0, original_max_position_embeddings=32)),
        lora=lora(r=4), training=small()),
    # Rows on both sides of the original context: short divisors for some micro-batches, long ones for others.
    'llama-longrope': dict(
        type='llama', vocab=300, rows='text', paragraphs=(25, 150), n=24, seed=33, dtype='float32', stir=True, quantization=quantization(False),
        config=dims(32, 80, 2, 2, 2, tie_word_embeddings=True, max_position_embeddings=160,
                    rope_parameters=dict(rope_type='longrope', rope_theta=10000.0, original_max_position_embeddings=40,
                                         short_factor=[1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 1.7, 2.0], long_factor=[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0])),
        lora=lora(r=4), training=small(per_device_train_batch_size=1)),
    # A window shorter than the rows, and documents within them.
    'mistral-window': dict(
        type='mistral', vocab=300, rows='text', paragraphs=(40, 150), n=36, seed=34, dtype='bfloat16', stir=True, quantization=quantization(True),
        config=dims(48, 112, 2, 6, 2, head_dim=16, sliding_window=20, tie_word_embeddings=False, rope_parameters=dict(rope_type='default', rope_theta=10000.0)),
        lora=lora(r=4), training=small(max_length=96, packing=True, per_device_train_batch_size=1)),
    # One key head for three of queries, heads wider than hidden / heads, biases, a window on the second layer.
    'qwen3-norms': dict(
        type='qwen3', vocab=300, rows='prompt', chars=110, n=24, seed=35, dtype='bfloat16', stir=True, quantization=quantization(True),
        config=dims(48, 80, 2, 3, 1, head_dim=24, attention_bias=True, tie_word_embeddings=True, use_sliding_window=True, sliding_window=16,
                    max_window_layers=1, rope_parameters=dict(rope_type='default', rope_theta=1000000.0)),
        lora=lora(r=4), training=small(gradient_accumulation_steps=2)),
    'smollm3-nope': dict(
        type='smollm3', vocab=300, rows='prompt', chars=110, n=24, seed=36, dtype='float16', shard='60KB', stir=True, quantization=quantization(True),
        config=dims(32, 80, 3, 2, 1, no_rope_layers=[1, 0, 1], attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
                    rope_parameters=dict(rope_type='default', rope_theta=2000000.0)),
        lora=lora(r=4, use_rslora=True), training=small(max_length=72)),
    # A part of each head turns; divisors change with the length; a window; fused linears.
    'phi3-partial': dict(
        type='phi3', vocab=300, rows='text', paragraphs=(25, 150), n=24, seed=37, dtype='float32', stir=True, quantization=quantization(True),
        config=dims(48, 80, 2, 3, 1, tie_word_embeddings=False, sliding_window=24, max_position_embeddings=160, original_max_position_embeddings=40,
                    rope_parameters=dict(rope_type='longrope', rope_theta=10000.0, partial_rotary_factor=0.75,
                                         short_factor=[1.0, 1.05, 1.1, 1.2, 1.3, 1.5], long_factor=[1.0, 1.5, 2.0, 2.5, 3.0, 4.0])),
        lora=lora(r=4, target_modules=FUSED_LINEAR), training=small(per_device_train_batch_size=1, gradient_accumulation_steps=2)),
    # Caps small enough to bend; √hidden that is no whole number; a scale that is not the head's.
    'gemma2-caps': dict(
        type='gemma2', vocab=300, rows='text', paragraphs=(60, 300), n=24, seed=38, dtype='bfloat16', stir=True, new_rope=True, quantization=quantization(True),
        config=dims(48, 112, 2, 2, 1, head_dim=16, query_pre_attn_scalar=12, sliding_window=16, attn_logit_softcapping=2.0, final_logit_softcapping=4.0,
                    tie_word_embeddings=True),
        lora=lora(r=4), training=small()),
    # The older form of the config: both thetas, linear scaling on full layers, which layers slide as a pattern.
    'gemma3-window': dict(
        type='gemma3_text', vocab=300, rows='text', paragraphs=(60, 300), n=24, seed=39, dtype='bfloat16', stir=True, quantization=quantization(True),
        config=dims(48, 80, 3, 2, 1, head_dim=32, query_pre_attn_scalar=32, sliding_window=12, sliding_window_pattern=2, tie_word_embeddings=True,
                    rope_parameters=dict(full_attention=dict(rope_type='linear', factor=4.0, rope_theta=1000000.0),
                                         sliding_attention=dict(rope_type='default', rope_theta=10000.0))),
        lora=lora(r=4), training=small()),
    # The text part of a model that also sees: nested config, other tensor names, tensors that nothing reads.
    'gemma3-nested': dict(
        type='gemma3', vocab=300, rows='text', paragraphs=(60, 300), n=24, seed=40, dtype='bfloat16', stir=True, new_rope=True, quantization=quantization(True),
        vision=dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, image_size=28, patch_size=14),
        config=dims(32, 80, 2, 2, 1, head_dim=16, query_pre_attn_scalar=16, sliding_window=20, layer_types=['sliding_attention', 'full_attention']),
        lora=lora(r=4), training=small()),
    # Ranks and alphas of their own by expression, path or name, for modules and layers; a layer's o_proj alone; gaussian start. Keys
    # that overlap stand in alphabetical order: PEFT sorts them when it saves, and the first that matches counts.
    'llama-patterns': dict(
        type='llama', vocab=400, rows='text', n=40, seed=31, dtype='bfloat16', quantization=quantization(True),
        config=dims(64, 160, 2, 4, 2, tie_word_embeddings=True),
        lora=lora(target_modules=['q_proj', 'k_proj', 'v_proj', 'model.layers.1.self_attn.o_proj', 'up_proj', 'down_proj'], use_rslora=True,
                  init_lora_weights='gaussian', rank_pattern={'q_proj': 3, r'layers\.1\.mlp\.(up|down)_proj': 12, 'up_proj': 5},
                  alpha_pattern={'layers.0.mlp.down_proj': 40, 'mlp.*|q_proj': 6}),
        training=training(learning_rate=1e-3)),
    # Modules chosen by all that PEFT has for it: layers by number and by what stands before it, one module by its whole path, others
    # left out; windows of accumulation with uneven numbers of trained tokens, some rows without any.
    'qwen2-selection': dict(
        type='qwen2', vocab=311, rows='prompt', chars=150, n=22, seed=46, dtype='float16', stir=True, quantization=quantization(False),
        config=dims(54, 76, 3, 3, 1, tie_word_embeddings=False, use_sliding_window=True, sliding_window=11, max_window_layers=1,
                    rope_parameters=dict(rope_type='yarn', factor=2.0, rope_theta=500.0, original_max_position_embeddings=24),
                    max_position_embeddings=48),
        lora=lora(r=5, lora_alpha=7.5, use_rslora=True, target_modules=['q_proj', 'o_proj', 'up_proj', 'down_proj', 'model.layers.1.self_attn.v_proj'],
                  layers_to_transform=[0, 2], layers_pattern='layers', exclude_modules=['o_proj', 'model.layers.0.mlp.up_proj']),
        training=small(max_length=37, gradient_accumulation_steps=3)),
    # LoRA+ with decay, warmup and clipping.
    'llama-loraplus': dict(
        type='llama', vocab=400, rows='text', n=40, seed=32, dtype='float32', quantization=quantization(False),
        config=dims(64, 160, 2, 4, 2, tie_word_embeddings=True),
        lora=lora(target_modules=['q_proj', 'v_proj', 'o_proj', 'down_proj']),
        training=training(learning_rate=5e-4, loraplus_lr_ratio=8.0, weight_decay=0.1, warmup_steps=3, lr_scheduler_type='cosine', max_grad_norm=0.5)),
    # DoRA with a bias under the magnitude, ranks of their own, LoRA+ for the magnitudes too.
    'qwen2-dora': dict(
        type='qwen2', vocab=400, rows='text', n=40, seed=33, dtype='bfloat16', quantization=quantization(True),
        config=dims(64, 160, 2, 4, 2, tie_word_embeddings=True),
        lora=lora(use_dora=True, rank_pattern={'down_proj': 3}),
        training=training(learning_rate=1e-3, loraplus_lr_ratio=2.0, weight_decay=0.05, gradient_accumulation_steps=2)),
    # DoRA whose dropout sends two inputs through the base weights: modules without an adapter beside ones with, biases, an odd rank,
    # layers recomputed.
    'dora-dropout': dict(
        type='qwen2', vocab=300, rows='text', paragraphs=(60, 300), n=30, seed=47, dtype='bfloat16', stir=True, quantization=quantization(True),
        config=dims(48, 112, 2, 3, 1, tie_word_embeddings=True),
        lora=lora(r=4, use_dora=True, lora_dropout=0.2, rank_pattern={'v_proj': 3}, alpha_pattern={'up_proj': 6},
                  target_modules=['k_proj', 'v_proj', 'o_proj', 'up_proj', 'down_proj']),
        training=small(gradient_accumulation_steps=2)),
    # Checkpoints that bitsandbytes wrote, NF4 with double quantization and FP4 without; FP4 by our own quantizer, with it.
    'llama-bnb-nf4': dict(
        type='llama', vocab=400, rows='text', n=40, seed=41, dtype='float32', prequantized=True, new_rope=True, quantization=quantization(True),
        config=dims(96, 160, 2, 4, 2, tie_word_embeddings=False), lora=lora(), training=training()),
    'qwen2-bnb-fp4': dict(
        type='qwen2', vocab=400, rows='text', n=40, seed=42, dtype='float32', prequantized=True, new_rope=True,
        quantization=quantization(False, 'fp4'), config=dims(64, 160, 2, 4, 2, tie_word_embeddings=True), lora=lora(), training=training()),
    # The same where a skip list leaves linears in 16 bits: one of three that share an input, all three, one alone; with biases. And one
    # of every layer, the MLP's pair half, under DoRA's magnitudes.
    'llama-bnb-mixed': dict(
        type='llama', vocab=300, rows='text', paragraphs=(60, 300), n=24, seed=47, dtype='bfloat16', prequantized=True, new_rope=True,
        skip=['lm_head', 'model.layers.0.self_attn.q_proj', 'model.layers.0.mlp.down_proj', 'model.layers.1.self_attn'],
        quantization=quantization(True), config=dims(96, 160, 2, 4, 2, tie_word_embeddings=False, attention_bias=True), lora=lora(r=4), training=small()),
    'qwen2-bnb-mixed': dict(
        type='qwen2', vocab=300, rows='text', paragraphs=(60, 300), n=24, seed=48, dtype='float16', prequantized=True, new_rope=True,
        skip=['lm_head', 'o_proj', 'model.layers.1.mlp.gate_proj'], quantization=quantization(False, 'fp4'),
        config=dims(54, 76, 2, 3, 1, tie_word_embeddings=True), lora=lora(r=4, use_dora=True), training=small(learning_rate=1e-3)),
    # Embedding and a head of its own in 8 bits, a width whose rows do not end with a block.
    'llama-int8-tables': dict(
        type='llama', vocab=397, rows='text', n=40, seed=44, dtype='bfloat16',
        quantization={**quantization(True), 'embeddings_in_8bit': True},
        config=dims(72, 120, 2, 4, 2, head_dim=18, tie_word_embeddings=False), lora=lora(r=4), training=small()),
    'gemma3-int8-tables': dict(
        type='gemma3_text', vocab=333, rows='text', paragraphs=(60, 300), n=24, seed=45, dtype='float16', stir=True,
        quantization={**quantization(True), 'embeddings_in_8bit': True},
        config=dims(50, 80, 2, 2, 1, head_dim=20, query_pre_attn_scalar=20, sliding_window=16, tie_word_embeddings=True,
                    layer_types=['sliding_attention', 'full_attention']),
        lora=lora(r=4), new_rope=True, training=small()),
    'llama-fp4': dict(
        type='llama', vocab=400, rows='text', n=40, seed=43, dtype='bfloat16', quantization=quantization(True, 'fp4'),
        config=dims(64, 160, 2, 4, 2, tie_word_embeddings=True), lora=lora(r=4), training=training()),
}


def tokenizer(corpus, vocab, template):
    tk = Tokenizer(models.BPE())
    tk.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tk.decoder = decoders.ByteLevel()
    text, eos, special = TEMPLATES[template] if template else (None, '<|endoftext|>', [])
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=['<|endoftext|>'] + special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tk.train_from_iterator(corpus[:400000].split('\n'), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tk, eos_token=eos, pad_token='<|endoftext|>', chat_template=text)


def pretrain(model, tok, corpus, steps, length=64, batch=16):
    """A short pre-training on all weights, so that logits and gradients mean something."""
    ids = torch.tensor(tok(corpus[:300000], add_special_tokens=False)['input_ids'])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(steps):
        starts = torch.randint(0, len(ids) - length - 1, (batch,))
        x = torch.stack([ids[s:s + length] for s in starts]).to(DEVICE)
        loss = model(input_ids=x, labels=x).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def legacy_rope(path):
    """Rewrites config.json in the older form: rope_theta and rope_scaling {type}, torch_dtype; Gemma 3's two thetas, pattern of layers."""
    with open(path) as f:
        c = json.load(f)
    rope = c.pop('rope_parameters')
    key = 'type'
    if 'full_attention' in rope:
        c['rope_local_base_freq'] = rope['sliding_attention']['rope_theta']
        c['sliding_window_pattern'] = c.pop('layer_types').index('full_attention') + 1
        c.pop('_sliding_window_pattern', None)
        rope, key = rope['full_attention'], 'rope_type'
    c['rope_theta'] = rope.pop('rope_theta')
    if 'partial_rotary_factor' in rope:
        c['partial_rotary_factor'] = rope.pop('partial_rotary_factor')
    kind = rope.pop('rope_type', 'default')
    c['rope_scaling'] = None if kind == 'default' else {key: kind, **rope}
    c['torch_dtype'] = c.pop('dtype', None)
    with open(path, 'w') as f:
        json.dump(c, f, indent=2)


def bitsandbytes_checkpoint(folder, quant, dtype, skip):
    """Writes a model folder again as transformers and bitsandbytes save it in 4 bits, quantized by bitsandbytes on this CPU; modules in `skip` stay in `dtype`."""
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=quant['bnb_4bit_quant_type'],
                                bnb_4bit_use_double_quant=quant['bnb_4bit_use_double_quant'], bnb_4bit_compute_dtype=torch.float32,
                                llm_int8_skip_modules=skip)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, quantization_config=config, device_map={'': 'cpu'})
    os.remove(folder + '/model.safetensors')
    model.save_pretrained(folder)


def dequantize_linears(model):
    """Replaces bitsandbytes' linears by plain ones with the float32 weights that it decodes; returns {module.part: tensor}.

    Its default backend decodes, as CUDA does: the native CPU kernel of 0.50.2 takes rows for whole blocks of 64, and decodes
    wrongly where in_features is no multiple of 64.
    """
    states = {}
    for name, module in list(model.named_modules()):
        if not isinstance(module, bitsandbytes.nn.Linear4bit):
            continue
        state = module.weight.quant_state
        plain = torch.nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
        absmax = state.absmax
        if state.nested:
            absmax = bitsandbytes.functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
        plain.weight.data = _dequantize_4bit_compute(module.weight.data.reshape(-1), absmax, state.code, 64, state.shape, torch.float32)
        if module.bias is not None:
            plain.bias.data = module.bias.data
        parent, _, child = name.rpartition('.')
        setattr(model.get_submodule(parent), child, plain)
        states[f'{name}.packed'] = module.weight.data.reshape(-1)
        states[f'{name}.absmax'] = state.absmax
        if state.nested:
            states.update({f'{name}.nested_absmax': state.state2.absmax, f'{name}.nested_offset': state.offset.reshape(1)})
    assert states
    model.is_quantized, model.hf_quantizer = False, None
    return {key: value.contiguous() for key, value in states.items()}


def make_rows(spec, corpus, chat):
    rng = random.Random(spec['seed'] + 1)
    if spec['rows'] == 'text':
        low, high = spec.get('paragraphs', (150, 900))
        paragraphs = [p for p in corpus.split('\n\n') if low < len(p) < high]
        return [{'text': p} for p in rng.sample(paragraphs, spec['n'])]
    short = [r['messages'] for r in chat if len(r['messages'][-1]['content']) > 20 and sum(len(m['content']) for m in r['messages']) < spec['chars']]
    picked = rng.sample(short, spec['n'])
    if spec['rows'] == 'prompt':
        return [{'prompt': m[0]['content'] + '\n\n', 'completion': m[1]['content']} for m in picked]
    rows = []
    for i, messages in enumerate(picked):
        messages = [dict(m) for m in messages]
        if i % 3 == 1:
            messages = [{'role': 'system', 'content': 'Answer in verse.'}] + messages
        if i % 4 == 2:
            messages = messages + [{'role': 'user', 'content': 'Say that again.'}, dict(messages[-1])]
        if spec.get('untidy'):   # white space that `trim` removes, and characters beyond ASCII and beyond one UTF-16 unit
            if i % 2:
                messages[-1]['content'] = ' \n' + messages[-1]['content'] + '  \n\n'
            if i % 5 == 3:
                messages[-2]['content'] = '🎭 ' + messages[-2]['content'].replace("'", '’')
                messages[-1]['content'] = messages[-1]['content'].replace("'", '’') + ' 🌹'
        rows.append({'messages': messages})
    return rows


def make(out, name, spec, corpus, chat):
    d = os.path.join(out, name)
    shutil.rmtree(d, ignore_errors=True)
    for sub in ('model', 'adapter_init', 'expected'):
        os.makedirs(os.path.join(d, sub))
    torch.manual_seed(spec['seed'])
    tc, lc = spec['training'], spec['lora']
    tok = tokenizer(corpus, spec['vocab'], spec.get('template'))
    fields = {'vocab_size': len(tok), 'bos_token_id': None, 'eos_token_id': tok.eos_token_id, 'pad_token_id': tok.pad_token_id,
              'max_position_embeddings': 512, **spec['config']}
    if 'vision' in spec:
        fields = {'text_config': fields, 'vision_config': spec['vision'], 'mm_tokens_per_image': 4}
    config = AutoConfig.for_model(spec['type'], **fields)
    model = AutoModelForCausalLM.from_config(config, attn_implementation='eager').to(DEVICE)
    for n, p in model.named_parameters():   # biases away from zero, so that a missing one shows
        if n.endswith('.bias'):
            torch.nn.init.normal_(p, std=0.05)
        elif spec.get('stir') and n.endswith('norm.weight'):   # norms too
            p.data += torch.empty_like(p).normal_(std=0.2)
    pretrain_loss = pretrain(model, tok, corpus, 250)
    dtype = getattr(torch, spec['dtype'])
    model = model.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(d + '/model', max_shard_size=spec.get('shard', '5GB'))
    tok.save_pretrained(d + '/model')
    if not spec.get('new_rope'):
        legacy_rope(d + '/model/config.json')
    quant = spec['quantization']
    if spec.get('prequantized'):
        bitsandbytes_checkpoint(d + '/model', quant, dtype, spec.get('skip'))
    # Read afresh: .to(bfloat16) has also rounded RoPE's frequencies.
    model = AutoModelForCausalLM.from_pretrained(d + '/model', dtype=torch.float32, attn_implementation='eager').to(DEVICE)
    states = (dequantize_linears(model) if spec.get('prequantized')
              else quantize_linears(model, quant['bnb_4bit_use_double_quant'], quant['bnb_4bit_quant_type']))
    if quant.get('embeddings_in_8bit'):
        quantize_tables(model)
    save_file(states, d + '/expected/nf4.safetensors')
    own = {k: lc[k] for k in ('use_rslora', 'use_dora', 'rank_pattern', 'alpha_pattern', 'layers_to_transform', 'layers_pattern', 'exclude_modules',
                              'init_lora_weights') if k in lc}
    if 'vision' in spec:
        own['exclude_modules'] = '.*vision.*'
    pm = get_peft_model(model, LoraConfig(r=lc['r'], lora_alpha=lc['lora_alpha'], target_modules=lc['target_modules'], **own,
                                          lora_dropout=lc.get('lora_dropout', 0.0), bias='none', task_type='CAUSAL_LM')).to(DEVICE)
    for n, p in pm.named_parameters():
        if 'lora_B' in n:
            torch.nn.init.normal_(p, std=lc['b_std'])
        elif 'lora_magnitude_vector' in n:   # away from the norm of the weights, so that the factor shows
            with torch.no_grad():
                p.mul_(1 + 0.1 * torch.randn_like(p))
    pm.save_pretrained(d + '/adapter_init')
    scrub_adapter(d + '/adapter_init')
    rows = make_rows(spec, corpus, chat)
    with open(d + '/data.jsonl', 'w', encoding='utf-8') as f:
        f.writelines(json.dumps(r, ensure_ascii=False) + '\n' for r in rows)

    examples = rows_to_examples(tok, rows, tc)
    micro = micro_batches(examples, tc)
    steps = windows(micro, tc, tc['max_steps'])
    base = pm.base_model.model
    dropout = lc.get('lora_dropout', 0.0) > 0
    clock = count_dropout(pm, tc.get('seed', 42)) if dropout else None
    pm.train(not dropout)
    params = [p for p in pm.parameters() if p.requires_grad]
    # The probe: the micro-batch with most documents when packed (the earliest of equals), else the first.
    probe = collate(max(micro, key=lambda b: max(len(x) for x in b)) if tc['packing'] else micro[0], tok.pad_token_id)
    logits = forward(base, probe[0], probe[2], probe[3])
    nll, count = nll_sum(logits, probe[1])
    if dropout:   # logits and loss without, gradients with: of step 0, padding counted like the rest
        pm.train()
        clock.set(0, 0, [[1] * len(row) for row in probe[0]])
        nll_sum(forward(base, probe[0], probe[2], probe[3]), probe[1])[0].div(count).backward()
    else:
        (nll / count).backward()
    save_file({'logits': logits.detach().cpu().contiguous()}, d + '/expected/logits.safetensors')
    save_file({k.replace('.default', '').replace('lora_magnitude_vector.weight', 'lora_magnitude_vector'): p.grad.detach().cpu().contiguous().clone() for k, p in pm.named_parameters() if p.requires_grad},
              d + '/expected/grads.safetensors')
    pm.zero_grad()
    entries, batches = train(base, params, steps, tc, tok.pad_token_id, tc['max_steps'], peft_model=pm,
                             **(dict(before=clock.set) if dropout else {}))
    pm.save_pretrained(d + '/expected')
    scrub_adapter(d + '/expected')
    os.remove(d + '/expected/adapter_config.json')
    first = batches[0][0]
    prompt = first[0][0][:8]
    greedy = list(prompt)
    pm.eval()
    with torch.no_grad():
        for _ in range(24):
            z = forward(base, [greedy], [list(range(len(greedy)))], [[1] * len(greedy)])
            greedy.append(int(z[0, -1].argmax()))
    names = ('input_ids', 'labels', 'position_ids', 'segments')
    expected = {'steps': entries, 'first_micro_batch': dict(zip(names, first)),
                'probe': {'loss': (nll / count).item(), **dict(zip(names, probe))}, 'examples': len(examples),
                'micro_batches_per_epoch': len(micro), 'greedy': {'prompt': prompt, 'continuation': greedy[8:]}}
    with open(d + '/expected/expected.json', 'w') as f:
        json.dump(expected, f)
    with open(d + '/case.json', 'w') as f:
        json.dump({'name': name, 'model': 'model', 'data': 'data.jsonl', 'initial_adapter': 'adapter_init',
                   'quantization': spec['quantization'], 'lora': lc, 'training': tc}, f, indent=2)
    size = sum(os.path.getsize(os.path.join(r, f)) for r, _, fs in os.walk(d) for f in fs)
    print(f'{name}: pretrain loss {pretrain_loss:.3f}, {len(examples)}/{len(rows)} examples, {len(micro)} micro-batches, '
          f'longest {max(len(i) for i, _ in examples)}, probe {len(probe[0])}x{len(probe[0][0])}, '
          f'loss {entries[0]["loss"]:.6f} -> {entries[-1]["loss"]:.6f}, '
          f'grad_norm {min(e["grad_norm"] for e in entries):.3f}..{max(e["grad_norm"] for e in entries):.3f}, {size / 1e6:.2f} MB', flush=True)


if __name__ == '__main__':
    out, corpus_path, chat_path, *names = sys.argv[1:]
    with open(corpus_path) as f:
        corpus = f.read()
    with open(chat_path) as f:
        chat = [json.loads(line) for line in f]
    for name in names or CASES:
        make(out, name, CASES[name], corpus, chat)
