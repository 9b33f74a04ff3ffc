"""The Llama architecture in plain PyTorch, with Hugging Face's parameter names, so that its state is the checkpoint."""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    vocab: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    context: int = 512
    theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self):
        return self.hidden // self.heads

    def config(self, end, end_of_text, pad):
        """config.json and generation_config.json; token ids as the tokenizer has them."""
        config = {'architectures': ['LlamaForCausalLM'], 'attention_bias': False, 'attention_dropout': 0.0, 'bos_token_id': None, 'eos_token_id': end,
                  'head_dim': self.head_dim, 'hidden_act': 'silu', 'hidden_size': self.hidden, 'initializer_range': 0.02,
                  'intermediate_size': self.intermediate, 'max_position_embeddings': self.context, 'mlp_bias': False, 'model_type': 'llama',
                  'num_attention_heads': self.heads, 'num_hidden_layers': self.layers, 'num_key_value_heads': self.kv_heads, 'pad_token_id': pad,
                  'rms_norm_eps': self.eps, 'rope_scaling': None, 'rope_theta': self.theta, 'tie_word_embeddings': True, 'torch_dtype': 'bfloat16',
                  'use_cache': True, 'vocab_size': self.vocab}
        generation = {'do_sample': True, 'temperature': 0.7, 'top_p': 0.9, 'eos_token_id': [end, end_of_text], 'pad_token_id': pad}
        return config, generation


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps)


def rotate(x, cos, sin):
    """Half-split rotary embedding; x [batch, heads, time, head_dim]."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        inner, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, inner, bias=False)
        self.k_proj = nn.Linear(shape.hidden, kv, bias=False)
        self.v_proj = nn.Linear(shape.hidden, kv, bias=False)
        self.o_proj = nn.Linear(inner, shape.hidden, bias=False)

    def forward(self, x, cos, sin):
        batch, time, _ = x.shape
        q, k, v = (layer(x).view(batch, time, -1, self.shape.head_dim).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.shape.heads != self.shape.kv_heads)
        return self.o_proj(y.transpose(1, 2).reshape(batch, time, -1))


class Mlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        self.input_layernorm = Norm(shape.hidden, shape.eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden, shape.eps)
        self.mlp = Mlp(shape)
        self.dropout = dropout

    def forward(self, x, cos, sin):
        x = x + F.dropout(self.self_attn(self.input_layernorm(x), cos, sin), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.post_attention_layernorm(x)), self.dropout, self.training)


class Decoder(nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.eps)


class Model(nn.Module):
    """A causal language model with a tied output embedding; the residual stream stays in f32 under autocast."""

    def __init__(self, shape, dropout=0.0):
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.model = Decoder(shape, dropout)
        for name, weight in self.named_parameters():
            if weight.ndim < 2:
                continue
            std = 0.02 if 'embed' in name else weight.shape[1] ** -0.5
            nn.init.normal_(weight, std=std / math.sqrt(2 * shape.layers) if name.endswith(('o_proj.weight', 'down_proj.weight')) else std)
        frequency = shape.theta ** -(torch.arange(0, shape.head_dim, 2).double() / shape.head_dim)
        angle = torch.outer(torch.arange(shape.context).double(), frequency).repeat(1, 2)
        self.register_buffer('cos', angle.cos().float(), persistent=False)
        self.register_buffer('sin', angle.sin().float(), persistent=False)

    def forward(self, tokens):
        """Logits [batch, time, vocab] of token ids [batch, time]."""
        time = tokens.shape[1]
        x = F.dropout(self.model.embed_tokens(tokens), self.dropout, self.training)
        for layer in self.model.layers:
            x = layer(x, self.cos[:time], self.sin[:time])
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)

    def loss(self, tokens, reduction='mean'):
        """Cross-entropy in nats of each token after the first; tokens [batch, time]."""
        logits = self(tokens[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction=reduction)
