"""What transformers + PEFT answer to questions, base against trained adapter, on a golden case with a chat template.

    python evaluate_questions.py ../../e2e/golden/qwen2-chat ../../src/worker/fixtures/evaluation.json

Multiple choice: the choice with the largest sum of log p behind the rendered question, and by sum over characters. Word for
word: greedy answers, as many tokens as the longest expected answer has and 4 more, ended at EOS.
"""
import json
import os
import shutil
import sys
import tempfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from common import quantize_linears

case, out = sys.argv[1:]
with open(f'{case}/case.json') as f:
    quant = json.load(f)['quantization']
tok = AutoTokenizer.from_pretrained(f'{case}/model')
model = AutoModelForCausalLM.from_pretrained(f'{case}/model', dtype=torch.float32, attn_implementation='eager')
quantize_linears(model, quant['bnb_4bit_use_double_quant'], quant['bnb_4bit_quant_type'])
with tempfile.TemporaryDirectory() as folder:
    shutil.copy(f'{case}/adapter_init/adapter_config.json', folder)
    shutil.copy(f'{case}/expected/adapter_model.safetensors', folder)
    tuned = PeftModel.from_pretrained(model, folder).eval()
with open(f'{case}/data.jsonl', encoding='utf-8') as f:
    rows = [json.loads(line)['messages'] for line in f]
pairs = [(next(m['content'] for m in r if m['role'] == 'user'), r[-1]['content'].strip()) for r in rows]
pairs = [(q, a) for q, a in pairs if len(a) < 120][:12]


def prompt_of(question):
    return tok.apply_chat_template([{'role': 'user', 'content': question}], tokenize=False, add_generation_prompt=True)


@torch.no_grad()
def score(question, choice):
    prompt = tok(prompt_of(question), add_special_tokens=False)['input_ids']
    ids = tok(prompt_of(question) + choice, add_special_tokens=False)['input_ids']
    start = next((i for i, (a, b) in enumerate(zip(prompt, ids)) if a != b), len(prompt))
    logp = tuned(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(logp[i - 1, ids[i]].item() for i in range(start, len(ids)))


@torch.no_grad()
def answer(question, most):
    ids = tok(prompt_of(question), add_special_tokens=False)['input_ids']
    new = []
    while len(new) < most:
        token = int(tuned(input_ids=torch.tensor([ids + new])).logits[0, -1].argmax())
        if token == tok.eos_token_id:
            break
        new.append(token)
    return tok.decode(new, skip_special_tokens=False)


def both(measure):
    with tuned.disable_adapter():
        base = measure()
    return {'base': base, 'tuned': measure()}


choice_rows, picks = [], []
for i, (question, right) in enumerate(pairs):
    choices = [right, pairs[(i + 1) % len(pairs)][1], pairs[(i + 5) % len(pairs)][1]]
    choices = choices[i % 3:] + choices[:i % 3]
    scores = both(lambda: [score(question, c) for c in choices])
    choice_rows.append({'question': question, 'choices': choices, 'answer': choices.index(right)})
    picks.append({side: {'scores': s, 'sum': choices[max(range(3), key=lambda k: s[k])],
                         'byLength': choices[max(range(3), key=lambda k: s[k] / len(choices[k]))]} for side, s in scores.items()})
questions = [q for q, _ in pairs[:4]]
# Half of the expected answers are the tuned model's own beginning, half the base model's.
expected = [both(lambda: answer(q, 6))['tuned' if i % 2 else 'base'] for i, q in enumerate(questions)]
most = max(len(tok(e, add_special_tokens=False)['input_ids']) for e in expected) + 4
answers = [both(lambda: answer(q, most)) for q in questions]
os.makedirs(os.path.dirname(out), exist_ok=True)
with open(out, 'w', encoding='utf-8') as f:
    json.dump({'choice': {'rows': choice_rows, 'picks': picks},
               'exact': {'rows': [{'question': q, 'answer': e} for q, e in zip(questions, expected)], 'answers': answers}},
              f, ensure_ascii=False, indent=1)
