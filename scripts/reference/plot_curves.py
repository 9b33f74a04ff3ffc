"""Draws two loss curves over each other, and their relative difference below.

usage: plot_curves.py OURS.jsonl PEFT.jsonl OUT.svg|png [--title TEXT] [--tolerance 2e-5]
"""
import argparse

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from common import read_jsonl

OURS, PEFT, GREY = '#d1495b', '#1f4e79', '#6b7280'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ('ours', 'peft', 'out'):
        parser.add_argument(name)
    parser.add_argument('--title', default='The same run twice: Nibble Studio and PyTorch + PEFT')
    parser.add_argument('--tolerance', type=float, help='a dashed line in the lower panel')
    args = parser.parse_args()
    ours, peft = read_jsonl(args.ours), read_jsonl(args.peft)
    n = min(len(ours), len(peft))
    step = [e['step'] for e in peft[:n]]
    a, b = [e['loss'] for e in ours[:n]], [e['loss'] for e in peft[:n]]
    relative = [abs(x - y) / abs(y) for x, y in zip(a, b)]
    plt.rcParams.update({'font.family': 'DejaVu Sans', 'font.size': 10, 'axes.spines.top': False, 'axes.spines.right': False,
                         'axes.edgecolor': GREY, 'axes.labelcolor': '#111827', 'xtick.color': GREY, 'ytick.color': GREY,
                         'svg.fonttype': 'path', 'svg.hashsalt': 'nibble'})
    fig, (top, low) = plt.subplots(2, 1, sharex=True, figsize=(8, 5.4), height_ratios=[3, 1.3], layout='constrained')
    top.plot(step, b, color=PEFT, lw=4.5, alpha=.35, solid_capstyle='round', label='PyTorch + PEFT (float32)')
    top.plot(step, a, color=OURS, lw=1.5, marker='o', ms=2.4, label='Nibble Studio (WebGPU)')
    top.set_ylabel('training loss')
    top.set_title(args.title, loc='left', fontweight='bold', fontsize=12)
    top.legend(frameon=False)
    floor = 1e-9   # equal losses have no place on a log axis
    low.semilogy(step, [max(r, floor) for r in relative], color=GREY, lw=1.1, marker='o', ms=2.4)
    if args.tolerance:
        low.axhline(args.tolerance, color=OURS, lw=1, ls='--')
        low.annotate(f'tolerance {args.tolerance:g}', (step[0], args.tolerance), xytext=(0, 3), textcoords='offset points', color=OURS, fontsize=8)
    low.set_ylabel('relative\ndifference')
    low.set_xlabel(f'optimizer step    (largest relative difference {max(relative):.1e}, at step {step[relative.index(max(relative))]})')
    low.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (top, low):
        axis.grid(alpha=.18)
        axis.margins(x=.01)
    fig.savefig(args.out, dpi=160, metadata={'Date': None} if args.out.endswith('.svg') else None)
    print(f'{n} steps, largest relative difference {max(relative):.3e}')


if __name__ == '__main__':
    main()
