/** Loading: how fast weights that cost nothing to read are quantized onto the GPU, beside plain writes of their bytes. */
import { summarize } from '../engine/bench/statistics.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import type { BenchContext } from './bench_context.ts';
import { benchModel, syntheticWeights } from './bench_models.ts';
import type { LoadLine } from './bench_report.ts';

const REPEATS = 3;
const SEED = 7;

export async function benchLoading({ gpu, request, size, signal, say, attempt }: BenchContext): Promise<LoadLine[]> {
  const models = request.models ?? (size === 'small' ? ['tiny'] : ['SmolLM2-135M', 'Llama-3.2-1B']);
  const lines: LoadLine[] = [];
  for (const model of models) {
    if (signal.aborted) break;
    say(`load ${model}`);
    const line = await attempt(`load ${model}`, () => loadLine(gpu, model));
    if (line) lines.push(line);
  }
  return lines;
}

async function loadLine(gpu: Gpu, model: string): Promise<LoadLine> {
  const spec = benchModel(model);
  const source = syntheticWeights(spec, SEED);
  let hostPeakBytes = hostBytes();
  const onLoading = () => {
    hostPeakBytes = Math.max(hostPeakBytes ?? 0, hostBytes() ?? 0) || null;
  };
  const seconds: number[] = [];
  let gpuBytes = 0;
  gpu.ledger.resetPeak();
  // Once more than is counted: the first compiles.
  for (let i = 0; i <= REPEATS; i++) {
    const started = performance.now();
    const weights = await ModelWeights.load(gpu, spec, source, { doubleQuant: true, onLoading });
    await gpu.device.queue.onSubmittedWorkDone();
    if (i > 0) seconds.push((performance.now() - started) / 1000);
    gpuBytes = gpu.ledger.total();
    weights.dispose();
  }
  const { peak } = gpu.ledger;
  const summary = summarize(seconds);
  const gbs = source.totalBytes / 1e9 / summary.median;
  const writeGbs = await plainWrites(gpu, source.totalBytes);
  return {
    model,
    bytes: source.totalBytes,
    seconds: summary,
    gbs,
    writeGbs,
    share: gbs / writeGbs,
    gpuPeakBytes: peak,
    gpuBytes,
    hostPeakBytes,
  };
}

/** As large as the engine's own pieces, with a wait as often as it waits. */
const PIECE = 8 * 2 ** 20;

/** GB/s of queue writes that are waited for, the median of a few tries. */
async function plainWrites(gpu: Gpu, bytes: number): Promise<number> {
  const piece = new Uint8Array(Math.min(PIECE, Math.ceil(bytes / 4) * 4)).fill(1);
  const buffer = gpu.ledger.create({
    label: 'written',
    size: piece.byteLength,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
    category: 'staging',
  });
  const rates: number[] = [];
  for (let i = 0; i <= REPEATS; i++) {
    const started = performance.now();
    for (let at = 0; at < bytes; at += piece.byteLength) {
      gpu.device.queue.writeBuffer(buffer, 0, piece, 0, Math.min(piece.byteLength, bytes - at) & ~3);
      await gpu.device.queue.onSubmittedWorkDone();
    }
    if (i > 0) rates.push(bytes / 1e6 / (performance.now() - started));
  }
  gpu.ledger.destroy(buffer);
  return summarize(rates).median;
}

/** What JavaScript holds: in Node its heap and array buffers; in Chromium the heap, where a worker is told. */
function hostBytes(): number | null {
  const memory = globalThis.process?.memoryUsage?.();
  if (memory) return memory.heapUsed + memory.external;
  return (performance as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize ?? null;
}
