"""Writes a run's starting adapter as PEFT makes it (A Kaiming uniform from the seed, B zero), so that both sides start from one file.

usage: init_adapter.py --case RUN.json --out DIR [--seed 0]
"""
import argparse
import os

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from common import scrub_adapter
from train_peft import load_run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--case', required=True)
    parser.add_argument('--out', required=True)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    run, at = load_run(args.case)
    lora = run['lora']
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(at('model')), dtype=torch.float32)   # only shapes matter
    torch.manual_seed(args.seed)
    pm = get_peft_model(model, LoraConfig(r=lora['r'], lora_alpha=lora['lora_alpha'], target_modules=lora['target_modules'],
                                          use_rslora=lora.get('use_rslora', False), lora_dropout=0.0, bias='none', task_type='CAUSAL_LM'))
    os.makedirs(args.out, exist_ok=True)
    pm.save_pretrained(args.out)
    scrub_adapter(args.out)
    print(f'{sum(p.numel() for p in pm.parameters() if p.requires_grad):,} parameters')


if __name__ == '__main__':
    main()
