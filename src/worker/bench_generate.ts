/** Generation with models of made-up weights: prompts read, tokens written, and how much of the copy rate that is. */
import { summarize } from '../engine/bench/statistics.ts';
import { Generator, MOST_PICKS, MOST_SEQUENCES } from '../engine/generate/generator.ts';
import { LoadedAdapter } from '../engine/generate/loaded_adapter.ts';
import { headVectors } from '../engine/kernels/kv_store.ts';
import { hasMatrices } from '../engine/kernels/matmul_tile.ts';
import { initialLora, loraRuns } from '../engine/model/lora.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import { adaptedLinears } from '../formats/lora.ts';
import { layerLinears } from '../formats/model_spec.ts';
import type { BenchContext } from './bench_context.ts';
import { benchModel, syntheticWeights } from './bench_models.ts';
import type { GenerateLine } from './bench_report.ts';
import { randomRows, sumProfiles } from './bench_train.ts';

const SEED = 11;
const PROMPT = { small: 16, full: 512 } as const;
/** One sequence; base and tuned side by side; as many as evaluation takes. */
const SEQUENCES = [1, 2, MOST_SEQUENCES];
const MODELS = { small: ['tiny'], full: ['SmolLM2-135M', 'Llama-3.2-1B'] } as const;
const PREFILLS = { small: 1, full: 5 } as const;
/** Steps that each wait for their logits, and calls of {@link MOST_PICKS} steps that do not. */
const WAITED = { small: 4, full: 24 } as const;
const CALLS = { small: 1, full: 8 } as const;

export async function benchGeneration(context: BenchContext): Promise<GenerateLine[]> {
  const { gpu, request, size, signal, say, attempt } = context;
  const lines: GenerateLine[] = [];
  for (const model of request.models ?? MODELS[size]) {
    if (signal.aborted) break;
    say(`generate ${model}: loading`);
    await attempt(`generate ${model}`, async () => {
      const spec = benchModel(model);
      const weights = await ModelWeights.load(gpu, spec, syntheticWeights(spec, SEED), { doubleQuant: true, signal });
      for (const sequences of SEQUENCES) {
        if (signal.aborted) break;
        say(`generate ${model}, ${sequences} at a time`);
        const line = await attempt(`generate ${model} ${sequences}`, () => measure(context, model, weights, sequences));
        if (line) lines.push(line);
      }
      weights.dispose();
    });
  }
  return lines;
}

async function measure(
  { gpu, request, size, ceilings }: BenchContext,
  model: string,
  weights: ModelWeights,
  sequences: number,
): Promise<GenerateLine> {
  const { spec } = weights;
  const { rank: r, targetModules } = request;
  const settings = { r, lora_alpha: 2 * r, use_rslora: false, target_modules: targetModules };
  const lora = { adapters: adaptedLinears(spec, settings), dora: false, dropout: 0 };
  const adapter = await LoadedAdapter.create(gpu, weights, lora, initialLora(loraRuns(spec, lora).flat(), SEED, true));
  const prompt = PROMPT[size];
  const picks = CALLS[size] * MOST_PICKS;
  const precision = request.precision ?? (hasMatrices(gpu.capabilities) ? 'f16' : 'f32');
  const created = performance.now();
  const generator = await Generator.create(gpu, {
    ...{ model: weights, adapter, sequences, precision },
    context: prompt + WAITED[size] + 2 * picks + MOST_PICKS,
  });
  const { ids } = randomRows(sequences, prompt + 1, spec.vocabSize, SEED);
  const slots = Array.from({ length: sequences }, (_, i) => i);
  const rows = slots.map((i) => ({
    ids: [...ids.subarray(i * (prompt + 1), (i + 1) * (prompt + 1))],
    strength: i % 2,
  }));
  const prefill = async () => {
    generator.begin(rows);
    const begun = performance.now();
    await generator.prefill(slots);
    await gpu.device.queue.onSubmittedWorkDone();
    return performance.now() - begun;
  };
  // The first of everything compiles and is timed dispatch by dispatch.
  await prefill();
  await generator.logits(slots);
  const createSeconds = (performance.now() - created) / 1000;
  await generator.pickLikeliest(slots, MOST_PICKS);

  const prefills: number[] = [];
  for (let i = 0; i < PREFILLS[size]; i++) prefills.push(await prefill());
  const waited: number[] = [];
  for (let i = 0; i < WAITED[size]; i++) {
    const begun = performance.now();
    await generator.logits(slots);
    waited.push(performance.now() - begun);
    for (const slot of slots) generator.push(slot, 1 + i);
  }
  const picked: number[] = [];
  for (let i = 0; i < CALLS[size]; i++) {
    const begun = performance.now();
    await generator.pickLikeliest(slots, MOST_PICKS);
    picked.push((performance.now() - begun) / MOST_PICKS);
  }
  const { groups, kernels, profiledMs } = sumProfiles([await generator.profile(slots)]);
  const bytes = bytesRead(weights, r * 4, lora.adapters.values(), sequences * (prompt + WAITED[size]));
  generator.dispose();
  adapter.dispose();
  const stepMs = summarize(picked);
  const prefillMs = summarize(prefills);
  return {
    name: `${model} ${sequences} × ${prompt}`,
    ...{ model, sequences, prompt, precision, prefillMs, stepMs, waitedMs: summarize(waited), bytes, createSeconds },
    prefillTokensPerSecond: (sequences * prompt * 1000) / prefillMs.median,
    tokensPerSecond: (sequences * 1000) / stepMs.median,
    gbs: bytes / 1e6 / stepMs.median,
    share: bytes / 1e6 / stepMs.median / ceilings.copy.median,
    dispatches: kernels.reduce((sum, { dispatches }) => sum + dispatches, 0),
    ...{ groups, kernels, profiledMs },
  };
}

/** What a step must read at least: each weight once, and the keys and values of so many tokens. */
function bytesRead(
  { spec, head }: ModelWeights,
  rankBytes: number,
  adapted: Iterable<{ readonly linear: { readonly inFeatures: number; readonly outFeatures: number } }>,
  cached: number,
): number {
  const { kvHeads, headDim } = spec.attention;
  const layer = layerLinears(spec).reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures * outFeatures, 0);
  let bytes = layer * spec.layers.length * (0.5 + 1 / 64 + 4 / (64 * 256));
  bytes += spec.vocabSize * spec.hiddenSize * (head.dtype === 'F32' ? 4 : 2);
  for (const { linear } of adapted) bytes += rankBytes * (linear.inFeatures + linear.outFeatures);
  return bytes + cached * spec.layers.length * 2 * kvHeads * headVectors(headDim) * 16;
}
