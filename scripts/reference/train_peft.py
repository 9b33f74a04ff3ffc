"""Trains a RunConfig with PyTorch + PEFT, as the parity cases do, and writes what the engine is compared with.

Float32 with TF32 off, on CUDA where there is one. The run file's `model`, `data` and `initial_adapter` are relative to it; a
golden case's case.json is such a file. Writes OUT/log.jsonl, OUT/adapter/ (PEFT), OUT/batches.json (the first 60 steps'
micro-batches) and OUT/probe_logits.safetensors (first micro-batch, without and with the trained adapter). Beside a golden
case's expected/ it also prints how far this run is from it: with --dtype float64 that is the case's own rounding noise.

usage: train_peft.py --case RUN.json --out DIR [--steps N] [--dtype float32|float64]
"""
import argparse
import json
import os
import time

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from common import (DEVICE, collate, forward, micro_batches, quantize_linears, read_jsonl, rows_to_examples, scrub_adapter, train,
                    windows)
from counted_dropout import count_dropout


def load_quantized(folder, double):
    """The model in float32 with eager attention, every linear but lm_head replaced by its NF4 round trip."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager').to(DEVICE)
    quantize_linears(model, double)
    return model


def load_run(path):
    """The run, and its folder's path of a named part."""
    with open(path) as f:
        run = json.load(f)
    here = os.path.dirname(os.path.abspath(path))
    return run, lambda key: os.path.join(here, run[key])


def probe(model, batch):
    with torch.no_grad():
        return forward(model, batch[0], batch[2], batch[3]).float().cpu().contiguous()


def worst(ours, theirs):
    return max(abs(a - b) / max(abs(b), 1e-30) for a, b in zip(ours, theirs))


def compare_with_case(case, entries, first, adapter, initial):
    """Largest relative differences from the case's expected/."""
    with open(os.path.join(case, 'expected', 'expected.json')) as f:
        expected = json.load(f)
    steps = expected['steps'][:len(entries)]
    out = {'first_micro_batch': list(first) == [expected['first_micro_batch'][k] for k in ('input_ids', 'labels', 'position_ids', 'segments')],
           **{k: worst([e[k] for e in entries], [s[k] for s in steps]) for k in ('loss', 'grad_norm')}}
    if len(steps) == len(expected['steps']):
        final = load_file(os.path.join(case, 'expected', 'adapter_model.safetensors'))
        norm = lambda pairs: sum(((a.double() - b.double()) ** 2).sum().item() for a, b in pairs) ** 0.5
        out['adapter'] = norm((adapter[k], final[k]) for k in final) / norm((final[k], initial[k]) for k in final)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--case', required=True)
    parser.add_argument('--out', required=True)
    parser.add_argument('--steps', type=int)
    parser.add_argument('--dtype', choices=['float32', 'float64'], default='float32')
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    run, at = load_run(args.case)
    training = run['training']
    tok = AutoTokenizer.from_pretrained(at('model'))
    examples = rows_to_examples(tok, read_jsonl(at('data')), training)
    micro = micro_batches(examples, training)
    print(f'{DEVICE}, {len(examples)} examples, {len(micro)} micro-batches an epoch, longest {max(len(i) for i, _ in examples)}', flush=True)

    model = load_quantized(at('model'), run['quantization']['bnb_4bit_use_double_quant'])
    first = collate(micro[0], tok.pad_token_id)
    logits = {'base': probe(model, first)}
    pm = PeftModel.from_pretrained(model, at('initial_adapter'), is_trainable=True).to(DEVICE)
    if args.dtype == 'float64':
        pm = pm.double()
    pm.peft_config['default'].base_model_name_or_path = at('model')   # where saving looks for the vocabulary's size
    pm.train()
    dropout = dict(before=count_dropout(pm, training.get('seed', 42)).set) if run['lora'].get('lora_dropout') else {}
    params = [p for p in pm.parameters() if p.requires_grad]
    count = args.steps or training['max_steps']
    began = time.time()
    with open(os.path.join(args.out, 'log.jsonl'), 'w') as f:
        def log(entry):
            f.write(json.dumps(entry) + '\n')
            f.flush()
            if entry['step'] % 10 == 1 or entry['step'] == count:
                print(f"step {entry['step']}/{count} loss {entry['loss']:.6f} grad_norm {entry['grad_norm']:.4f} {time.time() - began:.0f} s", flush=True)
        entries, batches = train(pm.base_model.model, params, windows(micro, training, count), training, tok.pad_token_id,
                                 training['max_steps'], log, **dropout)
    pm.save_pretrained(os.path.join(args.out, 'adapter'))
    scrub_adapter(os.path.join(args.out, 'adapter'))
    with open(os.path.join(args.out, 'batches.json'), 'w') as f:
        json.dump([[{'input_ids': b[0], 'labels': b[1]} for b in step] for step in batches[:60]], f)
    pm.eval()
    logits['adapter'] = probe(pm.base_model.model, first)
    save_file(logits, os.path.join(args.out, 'probe_logits.safetensors'))
    case = os.path.dirname(os.path.abspath(args.case))
    if os.path.exists(os.path.join(case, 'expected')):
        adapter = load_file(os.path.join(args.out, 'adapter', 'adapter_model.safetensors'))
        initial = load_file(os.path.join(at('initial_adapter'), 'adapter_model.safetensors'))
        print(json.dumps({'case': run.get('name'), **compare_with_case(case, entries, first, adapter, initial)}))


if __name__ == '__main__':
    main()
