/** A parity report's checks: grouped for a glance, each one below for who wants to know. */
import type { ParityCheck, ParityReport } from '../../worker/protocol.ts';
import { element } from './dom.ts';

const GROUPS: readonly { readonly title: string; readonly text: string; readonly pattern: RegExp }[] = [
  { title: 'Data', text: 'The same tokens, labels and batches', pattern: /^data:/ },
  { title: '4-bit weights', text: 'Every NF4 code and scale to the bit', pattern: /^NF4:/ },
  { title: 'Forward', text: 'Logits and loss with the starting adapter', pattern: /^(logits|probe loss)$/ },
  { title: 'Backward', text: 'The gradient of every LoRA matrix', pattern: /^gradient/ },
  {
    title: 'Training',
    text: 'Loss and gradient norm of every step',
    pattern: /^(steps|loss|grad_norm|learning_rate|num_tokens)/,
  },
  { title: 'Result', text: 'The trained adapter, and what it writes', pattern: /^(final adapter|greedy)/ },
];

/** Before there is a report the groups say what is going to be compared. */
export function checkGroups(report: ParityReport | null): HTMLElement {
  const items = GROUPS.map(({ title, text, pattern }) => {
    const members = report?.checks.filter(({ name }) => pattern.test(name)) ?? [];
    const passed = members.filter(({ pass }) => pass).length;
    const good = passed === members.length;
    return element(
      'li',
      report ? { class: good ? 'good' : 'bad' } : {},
      element('strong', {}, title),
      element('span', {}, text),
      element('em', {}, report ? `${good ? '✓' : '✗'} ${passed} of ${members.length}` : ''),
    );
  });
  return element('ul', { class: 'groups' }, ...items);
}

export function checkTable({ checks }: ParityReport): HTMLElement {
  const rows = checks.map((check) =>
    element(
      'tr',
      { class: check.pass ? 'good' : 'bad' },
      element('td', {}, check.name),
      element('td', { class: 'number' }, number(check.value)),
      element('td', { class: 'number' }, verdict(check)),
    ),
  );
  return table(['check', 'off by', 'allowed'], rows);
}

function verdict({ pass, limit }: ParityCheck): string {
  return `${limit === 0 ? 'none' : number(limit)} ${pass ? '✓' : '✗'}`;
}

export function dispatchTable({ dispatches }: ParityReport): HTMLElement {
  const rows = Object.entries(dispatches)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) =>
      element('tr', {}, element('td', {}, name), element('td', { class: 'number' }, String(count))),
    );
  return table(['kernel', 'dispatches'], rows);
}

export function stepTable(ours: readonly number[], reference: readonly number[]): HTMLElement {
  const rows = ours.map((loss, i) => {
    const theirs = reference[i];
    const off = theirs === undefined ? '' : number(Math.abs(loss - theirs) / theirs);
    const cells = [String(i + 1), loss.toFixed(6), theirs?.toFixed(6) ?? '', off];
    return element('tr', {}, ...cells.map((text) => element('td', { class: 'number' }, text)));
  });
  return table(['step', 'this GPU', 'PyTorch', 'off by'], rows);
}

function table(headings: readonly string[], rows: readonly HTMLElement[]): HTMLElement {
  const head = element('tr', {}, ...headings.map((text) => element('th', { scope: 'col' }, text)));
  return element(
    'div',
    { class: 'scroll' },
    element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows)),
  );
}

function number(value: number): string {
  if (value === 0) return '0';
  return Number.isInteger(value) ? String(value) : value.toExponential(1);
}
