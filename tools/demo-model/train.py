"""Pre-trains the demo model on the token files of prepare.py and writes a folder as on the Hugging Face Hub.

usage: train.py --data DIR --out DIR --minutes M [--hidden 192 --intermediate 512 --layers 7 --heads 3 --kv-heads 3] [--optimizer muon|adamw] …
It stops by itself when the minutes are over: the learning rate follows the time that is left. Held-out loss and samples are printed as it goes and
written to OUT/log.jsonl; the weights with the lowest held-out loss are kept in OUT as bf16 safetensors.
"""
import argparse
import json
import math
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from model import Model, Shape
from optimizer import make_optimizers
from tokenizer import ASSISTANT, CHAT_TEMPLATE, END, END_OF_TEXT, PAD, tokenizer_config

PROMPTS = ('Once upon a time', 'The old king looked out of the window, and',
           '<|user|>Tell me a story about a fox.<|end|><|assistant|>', '<|user|>Who are you, and where do you come from?<|end|><|assistant|>')
COMPILE_SECONDS = 90


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--minutes', type=float, required=True)
    for name, value in (('hidden', 192), ('intermediate', 512), ('layers', 7), ('heads', 3), ('kv-heads', 3), ('context', 512), ('batch', 64), ('seed', 1)):
        parser.add_argument(f'--{name}', type=int, default=value)
    parser.add_argument('--optimizer', choices=('muon', 'adamw'), default='muon')
    parser.add_argument('--lr', type=float, default=3e-3)
    parser.add_argument('--weight-decay', type=float, default=0.1)
    parser.add_argument('--dropout', type=float, default=0.1)
    parser.add_argument('--chat-share', type=float, default=0.15, help='share of the sequences that are conversations; doubled in the last quarter')
    parser.add_argument('--eval-seconds', type=float, default=20)
    parser.add_argument('--no-compile', action='store_true')
    return parser.parse_args()


class Tokens:
    """One split's token files on the device, and sequences of them."""

    def __init__(self, folder, split, device):
        def read(name, dtype):
            return torch.from_numpy(np.fromfile(folder / f'{split}.{name}.bin', dtype).astype(np.int64)).to(device)
        self.text, self.chat, self.starts = read('text', '<u2'), read('chat', '<u2'), read('chat.starts', '<u4')
        self.device = device

    def random(self, count, length, chat_share):
        """Text from anywhere and conversations from a conversation's beginning: [count, length]."""
        chats = round(count * chat_share)
        text = torch.randint(0, len(self.text) - length, (count - chats,), device=self.device)
        chat = self.starts[torch.randint(0, len(self.starts), (chats,), device=self.device)].clamp(max=len(self.chat) - length)
        span = torch.arange(length, device=self.device)
        return torch.cat((self.text[text[:, None] + span], self.chat[chat[:, None] + span]))

    def all(self, name, length):
        """Consecutive sequences of one file, each beginning with the last token of the one before."""
        tokens = getattr(self, name)
        count = (len(tokens) - 1) // (length - 1)
        return tokens[torch.arange(count, device=self.device)[:, None] * (length - 1) + torch.arange(length, device=self.device)]


@torch.no_grad()
def held_out(model, tokens, length):
    """Mean loss in nats a token of the held-out text and conversations."""
    model.eval()
    result = {}
    for name in ('text', 'chat'):
        rows = tokens.all(name, min(length, len(getattr(tokens, name))))
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=rows.is_cuda):
            result[name] = sum(model.loss(part, 'sum').item() for part in rows.split(32)) / (rows.shape[0] * (rows.shape[1] - 1))
    model.train()
    return result


@torch.no_grad()
def sample(model, tokenizer, prompt, seed, longest=90, temperature=0.7):
    model.eval()
    device = next(model.parameters()).device
    random = torch.Generator(device).manual_seed(seed)
    ids = torch.tensor([tokenizer.encode(prompt).ids], device=device)
    stops = {tokenizer.token_to_id(token) for token in (END, END_OF_TEXT)}
    for _ in range(longest):
        probabilities = (model(ids[:, -model.shape.context:])[0, -1].float() / temperature).softmax(-1)
        token = torch.multinomial(probabilities, 1, generator=random)
        ids = torch.cat((ids, token[None]), 1)
        if token.item() in stops:
            break
    model.train()
    return tokenizer.decode(ids[0].tolist(), skip_special_tokens=False)


def write_folder(out, data, model, weights, tokenizer):
    shape = model.shape
    names = [name for name, _ in model.named_parameters()]
    save_file({name: weight.to(torch.bfloat16).contiguous().cpu() for name, weight in zip(names, weights)}, out / 'model.safetensors.part',
              metadata={'format': 'pt'})
    (out / 'model.safetensors.part').replace(out / 'model.safetensors')
    ids = [tokenizer.token_to_id(token) for token in (END, END_OF_TEXT, PAD)]
    config, generation = shape.config(*ids)
    settings = {**tokenizer_config(shape.context), 'chat_template': CHAT_TEMPLATE}
    for name, value in (('config', config), ('generation_config', generation), ('tokenizer_config', settings)):
        (out / f'{name}.json').write_text(json.dumps(value, indent=2) + '\n')
    shutil.copy(data / 'tokenizer.json', out / 'tokenizer.json')


class CompileTooSlow(Exception):
    pass


def compile_layers(model, batch, device):
    """Compiles each layer (one graph, reused) and the loss, within COMPILE_SECONDS; leaves the model as it is if that fails."""
    def too_slow(*_):
        raise CompileTooSlow
    plain = model.loss
    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(COMPILE_SECONDS)
    try:
        model.loss = torch.compile(model.loss)
        with torch.autocast(device, torch.bfloat16, enabled=device == 'cuda'):
            model.loss(batch).backward()
        if device == 'cuda':
            torch.cuda.synchronize()
        return 'compiled'
    except Exception as error:  # a missing compiler, a driver, the time: eager is slower and the same
        model.loss = plain
        return f'eager ({type(error).__name__}: {str(error)[:200]})'
    finally:
        signal.alarm(0)
        model.zero_grad(set_to_none=True)


def main():
    begun = time.time()
    opts = options()
    opts.out.mkdir(parents=True, exist_ok=True)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(opts.seed)
    torch.set_float32_matmul_precision('high')
    tokenizer = Tokenizer.from_file(str(opts.data / 'tokenizer.json'))
    train, valid = Tokens(opts.data, 'train', device), Tokens(opts.data, 'valid', device)
    shape = Shape(tokenizer.get_vocab_size(), opts.hidden, opts.intermediate, opts.layers, opts.heads, opts.kv_heads, opts.context)
    model = Model(shape, opts.dropout).to(device)
    parameters = list(model.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizers = make_optimizers(model, opts.optimizer, opts.lr, opts.weight_decay)
    length = opts.context + 1
    log = open(opts.out / 'log.jsonl', 'w')

    def note(**entry):
        entry = {'seconds': round(time.time() - begun, 1), **entry}
        print(opts.out.name, json.dumps(entry), flush=True)
        log.write(json.dumps(entry) + '\n')
        log.flush()

    note(options={k: str(v) if isinstance(v, Path) else v for k, v in vars(opts).items()}, parameters=sum(p.numel() for p in parameters), device=device)
    plain_loss = model.loss
    note(mode='eager' if opts.no_compile else compile_layers(model, train.random(opts.batch, length, opts.chat_share), device))
    fast_loss = model.loss
    start, deadline = time.time(), begun + 60 * opts.minutes - 8
    best, step, next_eval, losses, now = math.inf, 0, start + opts.eval_seconds, [], time.time()
    while True:
        if step % 10 == 0:
            if device == 'cuda':
                torch.cuda.synchronize()
            now = time.time()
        progress = min(1.0, (now - start) / (deadline - start))
        last = progress >= 1
        if now >= next_eval or last:
            next_eval = now + opts.eval_seconds
            model.loss = plain_loss
            trained = [p.detach().clone() for p in parameters]
            entry = {'step': step, 'progress': round(progress, 3), 'tokens': step * opts.batch * opts.context,
                     'train': round(torch.stack(losses).mean().item(), 4) if losses else None, 'valid': held_out(model, valid, length)}
            for parameter, mean in zip(parameters, average):
                parameter.data.copy_(mean)
            entry['valid_average'] = held_out(model, valid, length)
            weights, loss = (average, entry['valid_average']) if entry['valid_average']['text'] <= entry['valid']['text'] else (trained, entry['valid'])
            if loss['text'] < best:
                best = loss['text']
                write_folder(opts.out, opts.data, model, weights, tokenizer)
                entry['kept'] = loss
            entry['samples'] = [sample(model, tokenizer, prompt, step) for prompt in (PROMPTS if last or progress > 0.9 else PROMPTS[::2])]
            for parameter, value in zip(parameters, trained):
                parameter.data.copy_(value)
            model.loss = fast_loss
            losses.clear()
            note(**entry)
        if last:
            break
        warmup = min(1.0, (step + 1) / 200)
        rate = opts.lr * warmup * max(0.02, 0.5 * (1 + math.cos(math.pi * progress)))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group['lr'] = rate
        batch = train.random(opts.batch, length, opts.chat_share * (2 if progress > 0.75 else 1))
        with torch.autocast(device, torch.bfloat16, enabled=device == 'cuda'):
            loss = model.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        torch._foreach_lerp_(average, parameters, 1 - min(0.998, step / (step + 10)))
        losses.append(loss.detach())
    note(done=True, best=best, seconds_total=round(time.time() - begun, 1))


if __name__ == '__main__':
    main()
