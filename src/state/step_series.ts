/** The curves of a run, a column each, grown in place: thousands of steps must not be copied at every one. */
import type { StepRecord } from '../worker/protocol.ts';

export class StepSeries {
  readonly step: number[] = [];
  readonly loss: number[] = [];
  readonly grad_norm: number[] = [];
  readonly learning_rate: number[] = [];
  readonly tokensPerSecond: number[] = [];
  readonly num_tokens: number[] = [];
  /** Validation loss at the step, null where none was measured. */
  readonly eval_loss: (number | null)[] = [];
  #tokens = 0;
  #evaluations = 0;

  get length(): number {
    return this.step.length;
  }

  get evaluations(): number {
    return this.#evaluations;
  }

  /** Trained tokens of all steps. */
  get tokens(): number {
    return this.#tokens;
  }

  push(record: StepRecord, tokensPerSecond: number): void {
    this.step.push(record.step);
    this.loss.push(record.loss);
    this.grad_norm.push(record.grad_norm);
    this.learning_rate.push(record.learning_rate);
    this.num_tokens.push(record.num_tokens);
    this.tokensPerSecond.push(tokensPerSecond);
    this.eval_loss.push(null);
    this.#tokens += record.num_tokens;
  }

  /** A step that is not there yet (an evaluation before the first one) is left out of the curve. */
  evaluate(step: number, loss: number): void {
    const at = this.step.lastIndexOf(step);
    if (at < 0) return;
    this.eval_loss[at] = loss;
    this.#evaluations++;
  }

  /** As a table for other tools. */
  toCsv(): string {
    const lines = this.step.map((step, i) =>
      [
        step,
        this.loss[i],
        this.eval_loss[i] ?? '',
        this.grad_norm[i],
        this.learning_rate[i],
        this.num_tokens[i],
        this.tokensPerSecond[i],
      ].join(','),
    );
    return ['step,loss,eval_loss,grad_norm,learning_rate,num_tokens,tokens_per_second', ...lines, ''].join('\n');
  }
}
