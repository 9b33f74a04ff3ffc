"""The demo model's tokenizer: byte-level BPE with the chat's special tokens, and its chat template."""
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT, PAD, SYSTEM, USER, ASSISTANT, END = SPECIAL = ('<|endoftext|>', '<|pad|>', '<|system|>', '<|user|>', '<|assistant|>', '<|end|>')

# A token opens a turn and a token ends it; nothing else is printed, so that a turn costs two tokens. `generation` marks what is trained.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}\n"
    "{%- if message['role'] == 'assistant' -%}\n"
    "{{- '<|assistant|>' -}}\n"
    "{%- generation -%}\n"
    "{{- message['content'] + '<|end|>' -}}\n"
    "{%- endgeneration -%}\n"
    "{%- elif message['role'] in ['user', 'system'] -%}\n"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}\n"
    "{%- else -%}\n"
    "{{- raise_exception('the demo model knows the roles system, user and assistant, not ' + message['role']) -}}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|assistant|>' -}}\n"
    "{%- endif -%}\n")


def train_tokenizer(texts, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenizer_config(context):
    return {'tokenizer_class': 'PreTrainedTokenizerFast', 'bos_token': None, 'eos_token': END, 'pad_token': PAD, 'unk_token': None,
            'additional_special_tokens': [SYSTEM, USER, ASSISTANT], 'add_bos_token': False, 'clean_up_tokenization_spaces': False,
            'model_max_length': context}


def render(messages):
    """What the template prints, without Jinja: for making token files."""
    return ''.join(f"<|{message['role']}|>{message['content']}<|end|>" for message in messages)
