"""Loads an exported adapter with PEFT's own from_pretrained on the NF4 model and compares what it does with a reference adapter.

Δ = logits with the adapter − logits without it, over the real tokens of the first rows. Prints ‖Δours − Δpeft‖ / ‖Δpeft‖, and the
same for the whole logits.
usage: compare_adapter.py --case RUN.json --ours ADAPTER_DIR --reference ADAPTER_DIR [--rows 4]
"""
import argparse
import json

import torch
from peft import PeftModel
from transformers import AutoTokenizer

from common import DEVICE, collate, micro_batches, forward, read_jsonl, rows_to_examples
from train_peft import load_quantized, load_run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ('--case', '--ours', '--reference'):
        parser.add_argument(name, required=True)
    parser.add_argument('--rows', type=int, default=4)
    args = parser.parse_args()
    run, at = load_run(args.case)
    tok = AutoTokenizer.from_pretrained(at('model'))
    examples = rows_to_examples(tok, read_jsonl(at('data')), run['training'])
    bins = [b for batch in micro_batches(examples, run['training']) for b in batch][:args.rows]
    model = load_quantized(at('model'), run['quantization']['bnb_4bit_use_double_quant']).eval()

    @torch.no_grad()
    def logits(m):
        out = []
        for documents in bins:   # a row at a time: no padding, little memory
            ids, _, positions, segments = collate([documents], tok.pad_token_id)
            out.append(forward(m, ids, positions, segments)[0].float().cpu())
        return torch.cat(out)

    def with_adapter(folder):
        pm = PeftModel.from_pretrained(model, folder).to(DEVICE).eval()
        z = logits(pm.base_model.model)
        pm.unload()
        return z

    base = logits(model)
    reference = with_adapter(args.reference)
    ours = with_adapter(args.ours)
    assert torch.equal(logits(model), base), 'the base model changed'
    delta = reference - base
    print(json.dumps({'tokens': base.shape[0], 'delta_rel_error': ((ours - reference).norm() / delta.norm()).item(),
                      'logits_rel_error': ((ours - reference).norm() / reference.norm()).item(),
                      'adapter_effect': (delta.norm() / base.norm()).item(), 'argmax_agree': (ours.argmax(-1) == reference.argmax(-1)).float().mean().item()}))


if __name__ == '__main__':
    main()
