"""What the reference scripts share: NF4 as bitsandbytes does it, rows to batches, one training step's parts, in PyTorch.

The logic is that of the shared parity cases (REFERENCE.md §1 and §3): float32, TF32 off, eager attention, linears quantized to
NF4 and dequantized to float32 before training, an optimizer step per window of `gradient_accumulation_steps` micro-batches.
"""
import json
import math
import os

import torch
import torch.nn.functional as F
from peft.optimizers import create_loraplus_optimizer

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'

NF4 = torch.tensor([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                    0.7229568362236023, 1.0], dtype=torch.float32)
ALL_LINEAR = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
FUSED_LINEAR = ['qkv_proj', 'o_proj', 'gate_up_proj', 'down_proj']


def dynamic_map():
    """bitsandbytes' signed 8-bit dynamic map (256 values, ascending)."""
    values = [0.0, 1.0]
    for i in range(7):
        edges = torch.linspace(0.1, 1, 2 ** i + 1, dtype=torch.float32)
        mid = (edges[:-1] + edges[1:]) / 2.0
        values += ((10 ** (-6 + i)) * mid).tolist() + (-(10 ** (-6 + i)) * mid).tolist()
    return torch.tensor(sorted(values), dtype=torch.float32)


DYNAMIC = dynamic_map()


# FP4 by bit pattern, and the order of its values (of the two zeros the positive one first), as bitsandbytes' default backend has them.
FP4 = torch.tensor([s * m / 12 for s in (1, -1) for m in (0, 0.0625, 8, 12, 4, 6, 2, 3)], dtype=torch.float64).float()
CODEBOOKS = {'nf4': NF4, 'fp4': FP4}


def thresholds_and_order(quant_type):
    """The 15 midpoints of neighbouring values in order, and the codes in that order."""
    table = CODEBOOKS[quant_type]
    order = torch.argsort(table, stable=True)
    return (table[order][:-1] + table[order][1:]) / 2, order


def quantize(weight, double, quant_type='nf4'):
    """4-bit codes of a weight: row-major blocks of 64, fp32 absmax, x·(1/absmax), a tie takes the lower value.

    Returns (dequantized float32 weight, {packed, absmax[, nested_absmax, nested_offset]}).
    """
    flat = weight.detach().float().cpu().reshape(-1)
    n = flat.numel()
    blocks = F.pad(flat, (0, (-n) % 64)).reshape(-1, 64)
    absmax = blocks.abs().amax(1)
    scaled = blocks * (1.0 / absmax).unsqueeze(1)
    scaled = torch.where(torch.isfinite(scaled), scaled, torch.zeros_like(scaled))  # an all-zero block: the code of 0
    thresholds, order = thresholds_and_order(quant_type)
    codes = order[torch.bucketize(scaled, thresholds, right=False)].to(torch.uint8)
    zero = int(order[torch.bucketize(torch.zeros(1), thresholds)])
    pairs = F.pad(codes.reshape(-1)[:n], (0, n % 2), value=zero).reshape(-1, 2)
    state = {'packed': (pairs[:, 0] << 4 | pairs[:, 1]).to(torch.uint8)}
    if double:
        offset = absmax.mean()
        centred = absmax - offset
        groups = F.pad(centred, (0, (-centred.numel()) % 256)).reshape(-1, 256)
        nested = groups.abs().amax(1)
        q = torch.bucketize(groups / nested.unsqueeze(1), (DYNAMIC[:-1] + DYNAMIC[1:]) / 2, right=False).to(torch.uint8)
        state.update(absmax=q.reshape(-1)[:absmax.numel()], nested_absmax=nested, nested_offset=offset.reshape(1))
        absmax = (DYNAMIC[q.long()] * nested.unsqueeze(1)).reshape(-1)[:absmax.numel()] + offset
    else:
        state['absmax'] = absmax
    deq = (CODEBOOKS[quant_type][codes.long()] * absmax.unsqueeze(1)).reshape(-1)[:n].reshape(weight.shape)
    return deq, state


def int8_round_trip(weight):
    """A table through 8 bits and back, as embeddings_in_8bit has it: flattened blocks of 64, signed codes, an f32 scale each."""
    flat = weight.detach().float().cpu().reshape(-1)
    blocks = F.pad(flat, (0, (-flat.numel()) % 64)).reshape(-1, 64)
    absmax = blocks.abs().amax(1, keepdim=True)
    factor = torch.where(absmax < 2.0 ** -100, torch.zeros_like(absmax), (1.0 / absmax) * 127.0)
    scale = torch.where(factor > 0, absmax * torch.tensor(1 / 127, dtype=torch.float32), torch.zeros_like(absmax))
    return (torch.round(blocks * factor) * scale).reshape(-1)[:flat.numel()].reshape(weight.shape)


def quantize_tables(model):
    """The embedding and, where it is another, the output head in 8 bits."""
    for module in {model.get_input_embeddings(), model.get_output_embeddings()}:
        module.weight.data.copy_(int8_round_trip(module.weight))


def quantize_linears(model, double, quant_type='nf4'):
    """Replaces every linear but lm_head and those of a vision part by its 4-bit round trip; returns {module.part: tensor}."""
    states = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != 'lm_head' and 'vision' not in name:
            deq, state = quantize(module.weight, double, quant_type)
            module.weight.data.copy_(deq.to(module.weight.device))
            states.update({f'{name}.{k}': v.contiguous() for k, v in state.items()})
    return states


def rows_to_examples(tok, rows, training):
    """Rows to (input_ids, labels): EOS after plain rows, prompt or everything but assistant turns masked, start kept."""
    examples = []
    for row in rows:
        if 'text' in row:
            ids = tok(row['text'], add_special_tokens=False)['input_ids'] + [tok.eos_token_id]
            labels = list(ids)
        elif 'prompt' in row:
            prompt = tok(row['prompt'], add_special_tokens=False)['input_ids']
            ids = tok(row['prompt'] + row['completion'], add_special_tokens=False)['input_ids']
            assert ids[:len(prompt)] == prompt, 'prompt is not a token prefix'
            ids = ids + [tok.eos_token_id]
            labels = [-100] * len(prompt) + ids[len(prompt):]
        else:
            ids, labels = conversation(tok, row['messages'], training.get('assistant_only_loss'))
        ids, labels = ids[:training['max_length']], labels[:training['max_length']]
        if any(label != -100 for label in labels[1:]):
            examples.append((ids, labels))
    return examples


def conversation(tok, messages, assistant_only):
    """A token is trained when it lies wholly inside an assistant turn: from the end of the generation prompt to EOS included."""
    text = tok.apply_chat_template(messages, tokenize=False)
    enc = tok(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = enc['input_ids']
    if not assistant_only:
        return ids, list(ids)
    labels = [-100] * len(ids)
    for i, message in enumerate(messages):
        if message['role'] != 'assistant':
            continue
        head = tok.apply_chat_template(messages[:i], tokenize=False, add_generation_prompt=True)
        assert text.startswith(head)
        end = text.index(tok.eos_token, len(head)) + len(tok.eos_token)
        for k, (start, stop) in enumerate(enc['offset_mapping']):
            if start >= len(head) and stop <= end:
                labels[k] = ids[k]
    return ids, labels


def pack_best_fit_decreasing(examples, length):
    bins = []
    space = lambda b: length - sum(len(ids) for ids, _ in b)
    for example in sorted(examples, key=lambda e: -len(e[0])):
        fitting = [b for b in bins if space(b) >= len(example[0])]
        if fitting:
            min(fitting, key=space).append(example)
        else:
            bins.append([example])
    return bins


def micro_batches(examples, training):
    """Lists of bins; a bin is a list of (ids, labels): one example, or several when packed."""
    bins = pack_best_fit_decreasing(examples, training['max_length']) if training.get('packing') else [[e] for e in examples]
    size = training['per_device_train_batch_size']
    return [bins[i:i + size] for i in range(0, len(bins), size)]


def windows(micro, training, steps):
    """What each optimizer step takes; an epoch's last window may be shorter and still steps."""
    out, i, size = [], 0, training['gradient_accumulation_steps']
    while len(out) < steps:
        out.append(micro[i:i + size])
        i = i + size if i + size < len(micro) else 0
    return out


def collate(batch, pad):
    """Right-padded input_ids, labels, position_ids, segments; positions restart and label[0] = -100 at each document."""
    length = max(sum(len(ids) for ids, _ in b) for b in batch)
    out = ([], [], [], [])
    for documents in batch:
        ids, labels, positions, segments = [], [], [], []
        for k, (i, l) in enumerate(documents):
            ids += i
            labels += [-100] + l[1:]
            positions += range(len(i))
            segments += [k + 1] * len(i)
        n = length - len(ids)
        for column, values, fill in zip(out, (ids, labels, positions, segments), (pad, -100, 0, 0)):
            column.append(list(values) + [fill] * n)
    return out


def mask4d(segments, dtype, window=None):
    s = torch.tensor(segments, device=DEVICE)
    length = s.shape[1]
    i = torch.arange(length, device=DEVICE)
    ok = (s[:, :, None] == s[:, None, :]) & (i[:, None] >= i[None, :])[None]
    ok |= torch.eye(length, dtype=torch.bool, device=DEVICE)[None]
    if window:
        ok &= (i[:, None] - i[None, :] < window)[None]
    mask = torch.zeros(ok.shape, dtype=dtype, device=DEVICE)
    return mask.masked_fill_(~ok, torch.finfo(dtype).min)[:, None]


def forward(model, ids, positions, segments):
    """Logits [rows, length, vocab]; attention stays inside a document and, where the model has one, the window."""
    config = model.config.get_text_config()
    window = getattr(config, 'sliding_window', None)
    mask = mask4d(segments, model.dtype)
    if 'sliding_attention' in (getattr(config, 'layer_types', None) or []):
        mask = {'full_attention': mask, 'sliding_attention': mask4d(segments, model.dtype, window)}
    elif window and config.model_type in ('mistral', 'phi3'):
        mask = mask4d(segments, model.dtype, window)
    return model(input_ids=torch.tensor(ids, device=DEVICE), position_ids=torch.tensor(positions, device=DEVICE),
                 attention_mask=mask, use_cache=False).logits


def nll_sum(logits, labels):
    """Σ NLL over the trained tokens, and their number."""
    target = torch.tensor(labels, device=DEVICE)[:, 1:]
    z = logits[:, :-1]
    return F.cross_entropy(z.reshape(-1, z.shape[-1]), target.reshape(-1), ignore_index=-100, reduction='sum'), int((target != -100).sum())


def lr_factor(t, total, training):
    """The schedule's factor at step t, counted from 0."""
    warmup = training.get('warmup_steps', 0)
    warmup = math.ceil(warmup * total) if 0 < warmup < 1 else warmup
    kind = training.get('lr_scheduler_type', 'constant')
    if kind == 'constant':
        return 1.0
    if t < warmup:
        return t / max(1, warmup)
    if kind == 'constant_with_warmup':
        return 1.0
    f = (t - warmup) / max(1, total - warmup)
    return max(0.0, 1 - f) if kind == 'linear' else max(0.0, 0.5 * (1 + math.cos(math.pi * f)))


def adamw(params, training, peft_model=None):
    """PyTorch's AdamW; with `loraplus_lr_ratio` PEFT's own LoRA+ optimizer, whose decay is weight_decay for A and B alike."""
    betas = (training.get('adam_beta1', .9), training.get('adam_beta2', .999))
    shared = dict(lr=training['learning_rate'], betas=betas, eps=1e-8)
    decay = training.get('weight_decay', 0.0)
    if training.get('loraplus_lr_ratio', 1) != 1:
        return create_loraplus_optimizer(peft_model, torch.optim.AdamW, loraplus_lr_ratio=training['loraplus_lr_ratio'],
                                         loraplus_weight_decay=decay, **shared)
    return torch.optim.AdamW(params, weight_decay=decay, **shared)


def train(model, params, steps, training, pad, total, log=lambda entry: None, peft_model=None, before=lambda step, micro, segments: None):
    """Runs the given windows; `model` is the causal LM below PEFT. Returns the steps' entries and the collated batches.

    `before` is told of each micro-batch: the step's number from 1, its own in the step from 0, its segments.
    """
    optimizer = adamw(params, training, peft_model)
    rates = [group['lr'] for group in optimizer.param_groups]
    entries, seen = [], []
    for t, window in enumerate(steps):
        batches = [collate(b, pad) for b in window]
        count = sum(label != -100 for b in batches for row in b[1] for label in row[1:])
        loss = 0.0
        for i, (ids, labels, positions, segments) in enumerate(batches):
            before(t + 1, i, segments)
            nll, _ = nll_sum(forward(model, ids, positions, segments), labels)
            (nll / count).backward()
            loss += nll.item()
        norm = torch.nn.utils.clip_grad_norm_(params, training['max_grad_norm']).item()
        factor = lr_factor(t, total, training)
        lr = training['learning_rate'] * factor
        for group, rate in zip(optimizer.param_groups, rates):
            group['lr'] = rate * factor
        optimizer.step()
        optimizer.zero_grad()
        entries.append({'step': t + 1, 'loss': loss / count, 'grad_norm': norm, 'learning_rate': lr, 'num_tokens': count})
        seen.append(batches)
        log(entries[-1])
    return entries, seen


def scrub_adapter(folder):
    """Drops PEFT's README, this machine's path, the random order of a set and what kept a vision part out from a saved adapter."""
    readme, config = os.path.join(folder, 'README.md'), os.path.join(folder, 'adapter_config.json')
    if os.path.exists(readme):
        os.remove(readme)
    with open(config) as f:
        c = json.load(f)
    c['base_model_name_or_path'] = 'model'
    for field in ('target_modules', 'exclude_modules'):
        if isinstance(c[field], list):
            c[field] = sorted(c[field])
    if isinstance(c['exclude_modules'], str) and 'vision' in c['exclude_modules']:
        c['exclude_modules'] = None
    with open(config, 'w') as f:
        json.dump(c, f, indent=2)


def read_jsonl(path):
    with open(path, encoding='utf-8') as f:
        return [json.loads(line) for line in f if line.strip()]
