/** What comes of training a tiny model here: the curve over PyTorch's, and every number compared with PyTorch's. */
import type { ParityReport, WorkerEvent } from '../../worker/protocol.ts';
import { checkGroups, checkTable, dispatchTable, stepTable } from './check_list.ts';
import { element } from './dom.ts';
import { lossChart } from './loss_chart.ts';

type Mood = 'working' | 'good' | 'bad';

export class ParityView {
  readonly element: HTMLElement;
  readonly #headline = element('h2', {});
  readonly #detail = element('p', { class: 'detail' });
  readonly #device = element('p', { class: 'device' });
  readonly #bar = element('progress', { max: '1', 'aria-label': 'Progress' });
  readonly #card = element('section', { class: 'card', 'aria-label': 'Result' });
  readonly #chart = element('div', { class: 'chart' });
  readonly #steps = element('div', {});
  readonly #compared = element('div', {});
  readonly #again: HTMLButtonElement;
  #losses: number[] = [];
  #reference: readonly number[] = [];

  constructor(onAgain: () => void) {
    this.#again = element('button', { type: 'button' }, 'Run again');
    this.#again.addEventListener('click', onAgain);
    // A heading cannot be a live region itself.
    const spoken = element('div', { role: 'status' }, this.#headline);
    this.#card.append(spoken, this.#detail, this.#bar, this.#device, this.#again);
    const legend = element(
      'p',
      { class: 'legend' },
      element('span', { class: 'key-ours' }, 'this GPU'),
      element('span', { class: 'key-reference' }, 'PyTorch'),
    );
    const details = element('details', {}, element('summary', {}, 'Loss of every step'), this.#steps);
    this.element = element(
      'div',
      { class: 'parity' },
      this.#card,
      element('section', { class: 'loss' }, element('h2', {}, 'Training loss'), legend, this.#chart, details),
      element('section', {}, element('h2', {}, 'Compared with PyTorch'), this.#compared),
    );
  }

  reset(): void {
    this.#losses = [];
    this.#compared.replaceChildren(checkGroups(null));
    this.#device.textContent = '';
    this.#again.hidden = true;
    this.#say('working', 'Looking for a graphics adapter …', '');
    this.#progress(null);
    this.#draw();
  }

  setReference(losses: readonly number[]): void {
    this.#reference = losses;
    this.#draw();
  }

  show(event: WorkerEvent): void {
    switch (event.type) {
      case 'device':
        this.#device.textContent = event.adapter.name;
        this.#say('working', 'Loading the model …', 'Its weights are quantized to NF4 on the GPU as they arrive.');
        break;
      case 'loading':
        this.#progress(event.loadedBytes / Math.max(1, event.totalBytes) / 4);
        break;
      case 'memory':
        this.#say('working', 'Comparing weights, logits and gradients …', 'The first run compiles the shaders.');
        break;
      case 'step':
        this.#losses.push(event.record.loss);
        this.#say(
          'working',
          `Step ${event.record.step} of ${event.totalSteps}`,
          `loss ${event.record.loss.toFixed(4)}, ${Math.round(event.tokensPerSecond)} tokens a second`,
        );
        this.#progress(0.25 + (0.75 * event.record.step) / event.totalSteps);
        this.#draw();
        break;
      case 'parity':
        this.#report(event.report);
        break;
      case 'failed':
        this.#end('bad', event.name === 'NoGpuError' ? 'No graphics adapter answered' : 'The run did not finish', '');
        this.#detail.textContent = event.name === 'NoGpuError' ? event.message : `${event.name}: ${event.message}`;
        break;
      default:
        break;
    }
  }

  #report(report: ParityReport): void {
    const passed = report.checks.filter(({ pass }) => pass).length;
    const total = report.checks.length;
    this.#end(
      report.pass ? 'good' : 'bad',
      report.pass ? 'This GPU trains as PyTorch does' : 'Some numbers differ from PyTorch’s',
      `${passed} of ${total} checks passed in ${report.seconds.toFixed(1)} s. ` +
        `The largest difference in loss is ${report.maxLossRelError.toExponential(1)} of its value.`,
    );
    this.#compared.replaceChildren(
      checkGroups(report),
      element('details', {}, element('summary', {}, `All ${total} checks`), checkTable(report)),
      element('details', {}, element('summary', {}, 'Dispatches of each kernel'), dispatchTable(report)),
    );
  }

  #end(mood: Mood, headline: string, detail: string): void {
    this.#say(mood, headline, detail);
    this.#bar.hidden = true;
    this.#again.hidden = false;
  }

  #say(mood: Mood, headline: string, detail: string): void {
    this.#card.dataset.mood = mood;
    this.#headline.textContent = headline;
    this.#detail.textContent = detail;
  }

  /** Null: under way, nobody knows how far. */
  #progress(share: number | null): void {
    this.#bar.hidden = false;
    if (share === null) this.#bar.removeAttribute('value');
    else this.#bar.value = share;
  }

  #draw(): void {
    this.#chart.replaceChildren(lossChart(this.#losses, this.#reference));
    this.#steps.replaceChildren(stepTable(this.#losses, this.#reference));
  }
}
