"""Muon for the matrices inside the layers, AdamW for the embedding and the norms; or AdamW for all."""
import torch


def orthogonalize(matrices, steps=5):
    """The nearest semi-orthogonal matrices of a stack [count, rows, columns], rows ≤ columns, by Newton-Schulz iteration (K. Jordan, Muon)."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized; scaled so that an element moves by about 0.2·lr, as AdamW's do (Liu et al. 2025, eq. 4)."""

    def __init__(self, parameters, lr, weight_decay, momentum=0.95):
        stacks = {}
        for parameter in parameters:
            stacks.setdefault(tuple(sorted(parameter.shape)), []).append(parameter)
        super().__init__([{'params': stack} for stack in stacks.values()], {'lr': lr, 'weight_decay': weight_decay, 'momentum': momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            parameters = group['params']
            wide = [p.shape[0] <= p.shape[1] for p in parameters]
            gradient = torch.stack([p.grad if w else p.grad.T for p, w in zip(parameters, wide)])
            state = self.state[parameters[0]]
            if 'momentum' not in state:
                state['momentum'] = torch.zeros_like(gradient)
            state['momentum'].lerp_(gradient, 1 - group['momentum'])
            update = orthogonalize(gradient.lerp(state['momentum'], group['momentum']))
            scale = -group['lr'] * 0.2 * max(update.shape[1:]) ** 0.5
            torch._foreach_mul_(parameters, 1 - group['lr'] * group['weight_decay'])
            torch._foreach_add_(parameters, [u if w else u.T for u, w in zip(update, wide)], alpha=scale)


def make_optimizers(model, name, lr, weight_decay):
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and 'layers.' in n]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    embedding = [model.model.embed_tokens.weight]
    decayed = embedding if name == 'muon' else embedding + matrices
    fused = embedding[0].is_cuda
    adamw = torch.optim.AdamW([{'params': decayed, 'weight_decay': weight_decay}, {'params': vectors, 'weight_decay': 0.0}], lr=lr, betas=(0.9, 0.98),
                              eps=1e-9, fused=fused)
    return [adamw, Muon(matrices, lr, weight_decay)] if name == 'muon' else [adamw]
