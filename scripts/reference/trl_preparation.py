"""What TRL 1.13 prepares from 500 rows of each shape and from the golden cases' data, as hashes that src/data/trl.test.ts compares with.

TRL's own code runs (SFTTrainer._prepare_dataset) with the cases' tokenizers; chat templates get `{% generation %}` markers around the
assistant's content and end of turn, and bins of equal space are taken earliest first, our rule for ties.

usage: trl_preparation.py OUT.json      (from the repository's root; needs trl==1.13.0)
"""
import hashlib
import json
import os
import sys
import types
from collections import deque

os.environ['HF_HUB_OFFLINE'] = '1'
import trl.data_utils as data_utils
from datasets import Dataset, disable_progress_bars
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

disable_progress_bars()
GOLDEN = 'e2e/golden'
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
BRACKETS = (
    "{%- if messages | length == 0 or messages[0]['role'] != 'system' -%}\n"
    "{{ '⟦start⟧system⟦body⟧You are a player 🎭 who answers in kind.⟦stop⟧\\n' }}\n"
    "{%- endif -%}\n"
    "{%- for message in messages -%}\n"
    "{{ '⟦start⟧' + message['role'] + '⟦body⟧' }}\n"
    "{%- if message['role'] == 'assistant' -%}{%- generation -%}{{ message['content'] | trim + '⟦stop⟧' }}{%- endgeneration -%}\n"
    "{%- else -%}{{ message['content'] | trim + '⟦stop⟧' }}{%- endif -%}{{ '\\n' }}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ '⟦start⟧assistant⟦body⟧' }}{%- endif -%}\n")
TEMPLATES = {'qwen2-chat': CHATML, 'qwen2-template': BRACKETS}
ALPACA = (
    'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately '
    'completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n')
ALPACA_BARE = (
    'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n'
    '{instruction}\n\n### Response:\n')


class Earliest(deque):
    """Bins of one space; the earliest made goes first, where TRL takes the one that came to this space first."""
    made = {}

    def append(self, one):
        Earliest.made.setdefault(id(one), len(Earliest.made))
        super().append(one)

    def popleft(self):
        first = min(self, key=lambda one: Earliest.made[id(one)])
        self.remove_identical(first)
        return first

    def remove_identical(self, one):
        kept = [other for other in self if other is not one]
        self.clear()
        self.extend(kept)


def rows_of(shape):
    """The same rows as src/data/trl.test.ts makes, from pairs of speeches that lie in the repository."""
    with open('public/examples/shakespeare-dialogue.jsonl', encoding='utf-8') as f:
        pairs = [tuple(m['content'] for m in json.loads(line)['messages']) for line in f]
    rows = []
    for i, (ask, answer) in enumerate(pairs):
        after = pairs[(i + 1) % len(pairs)]
        if shape == 'text':
            rows.append({'text': f'{ask}\n{answer}'})
        elif shape == 'prompt':
            rows.append({'prompt': ask, 'completion': f'\n{answer}'})
        elif shape == 'alpaca':
            template = ALPACA if i % 2 else ALPACA_BARE
            rows.append({'prompt': template.format(instruction=ask, input=after[0]), 'completion': answer})
        elif shape == 'question':
            rows.append({'messages': [{'role': 'user', 'content': ask}, {'role': 'assistant', 'content': answer}]})
        elif shape == 'prompt messages':
            system = [{'role': 'system', 'content': after[0]}] if i % 5 == 0 else []
            more = [{'role': 'user', 'content': after[0]}, {'role': 'assistant', 'content': after[1]}] if i % 3 == 0 else []
            turns = [*system, *more, {'role': 'user', 'content': ask}]
            # Now and then the completion goes on with another exchange, whose question is trained too.
            last = [{'role': 'assistant', 'content': answer}, *(more if i % 2 else [])]
            rows.append({'prompt': turns, 'completion': last})
        else:
            system = [{'role': 'system', 'content': after[0]}] if i % 5 == 0 else []
            more = [{'role': 'user', 'content': after[0]}, {'role': 'assistant', 'content': after[1]}] if i % 3 == 0 else []
            rows.append({'messages': [*system, {'role': 'user', 'content': ask}, {'role': 'assistant', 'content': answer}, *more]})
    return rows


def prepare(case, rows, training):
    # AutoTokenizer would take the architecture's own pre-tokenizer in the place of tokenizer.json's.
    tok = PreTrainedTokenizerFast.from_pretrained(f'{GOLDEN}/{case}/model')
    config = SFTConfig(output_dir='/tmp/none', max_length=training['max_length'], packing=False, shuffle_dataset=False, report_to=[],
                       assistant_only_loss=training.get('assistant_only_loss', False), use_cpu=True, bf16=False)
    trainer = types.SimpleNamespace(_tokenizer=tok, chat_template=TEMPLATES.get(case), completion_only_loss='prompt' in rows[0])
    # Which rows are dropped shows by their number; TRL's functions pass other columns on.
    data = Dataset.from_list([{**row, 'number': i} for i, row in enumerate(rows)])
    out = SFTTrainer._prepare_dataset(trainer, data, tok, config, False, None, 'train')
    examples = {row['number']: (row['input_ids'], row['labels']) for row in out}
    # TRL keeps a row whose only trained label is the first, which nothing predicts; it adds nothing to the loss.
    return [example if (example := examples.get(i)) and any(label != -100 for label in example[1][1:]) else None for i in range(len(rows))]


def digest(value):
    return hashlib.sha256(json.dumps(value, separators=(',', ':')).encode()).hexdigest()[:8]


def pack(examples, max_length):
    kept = [example for example in examples if example]
    data_utils.deque = Earliest
    Earliest.made.clear()
    packed = data_utils.pack_dataset(Dataset.from_list([{'input_ids': ids, 'labels': labels} for ids, labels in kept]), max_length, 'bfd')
    return [digest([row['input_ids'], row['labels'], row['seq_lengths']]) for row in packed]


def golden(case):
    with open(f'{GOLDEN}/{case}/case.json') as f:
        training = json.load(f)['training']
    with open(f'{GOLDEN}/{case}/data.jsonl', encoding='utf-8') as f:
        return [json.loads(line) for line in f if line.strip()], training


def main(out):
    result = {'shapes': [], 'golden': {}}
    settings = [
        ('text', 'qwen2-chat', {'max_length': 96}),
        ('prompt', 'qwen2-chat', {'max_length': 96}),
        ('alpaca', 'qwen2-chat', {'max_length': 256}),
        ('question', 'qwen2-chat', {'max_length': 96, 'assistant_only_loss': True}),
        ('messages', 'qwen2-chat', {'max_length': 160, 'assistant_only_loss': True}),
        ('sharegpt', 'qwen2-template', {'max_length': 160, 'assistant_only_loss': True}),
        ('messages', 'qwen2-template', {'max_length': 160, 'assistant_only_loss': False}),
        ('prompt messages', 'qwen2-chat', {'max_length': 160, 'assistant_only_loss': False}),
        ('prompt messages', 'qwen2-template', {'max_length': 160, 'assistant_only_loss': True}),
    ]
    for shape, case, training in settings:
        examples = prepare(case, rows_of(shape), training)
        result['shapes'].append({
            'shape': shape, 'case': case, 'training': training, 'rows': ' '.join(digest(list(e)) if e else '-' for e in examples),
            'packed': ' '.join(pack(examples, training['max_length']))})
        print(shape, case, sum(e is not None for e in examples), 'of', len(examples), flush=True)
    for case in ['llama-text', 'llama-completion', 'llama3-rope', 'qwen2-chat', 'qwen2-template']:
        rows, training = golden(case)
        examples = prepare(case, rows, training)
        result['golden'][case] = ' '.join(digest(list(e)) if e else '-' for e in examples)
        print(case, sum(e is not None for e in examples), 'of', len(examples), flush=True)
    with open(out, 'w') as f:
        json.dump(result, f, indent=1)
        f.write('\n')


if __name__ == '__main__':
    main(sys.argv[1])
