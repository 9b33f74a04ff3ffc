/**
 * `npm run kernels`: every kernel case, and quantization against bitsandbytes' vectors, in Node on Dawn: what the tests do
 * in Chromium on the software adapter, on a real GPU.
 *
 *   npm run kernels -- [--adapter system|nvidia-f16|swiftshader] [--only NAME] [--vectors FOLDER] [--seed N] [--verbose]
 *
 * The vectors' folder is one that scripts/reference/bnb_vectors.py has written.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ADAPTERS } from '../src/cli/chromium_flags.ts';
import { requestDawn } from '../src/cli/dawn.ts';
import { acquireGpu, type Gpu } from '../src/engine/device/gpu.ts';
import { hasMatrices } from '../src/engine/kernels/matmul_tile.ts';
import type { QuantType } from '../src/engine/kernels/nf4_codebook.ts';
import { allCases, kernelOf } from '../src/engine/kernels/testing/all_cases.ts';
import { parseBnbVectors, quantizedDifferences } from '../src/engine/kernels/testing/bnb_vectors.ts';

const FILES: Readonly<Record<QuantType, string>> = { nf4: 'vectors', fp4: 'fp4' };

/** Lines on stdout, a case that fails by name; the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      adapter: { type: 'string', default: 'system' },
      only: { type: 'string', default: '' },
      vectors: { type: 'string', default: 'e2e/golden/bnb-vectors' },
      verbose: { type: 'boolean', default: false },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    },
  });
  const adapter = ADAPTERS.find((name) => name === values.adapter);
  if (!adapter) throw new Error(`--adapter is ${ADAPTERS.join(', ')}`);
  const gpu = await acquireGpu(await requestDawn(adapter, []));
  console.log(`adapter: ${gpu.capabilities.name}`);
  const failed = [
    ...(await runCases(gpu, values.only, Number(values.seed), values.verbose)),
    ...('bnb_vectors'.includes(values.only) ? await runVectors(gpu, values.vectors) : []),
  ];
  for (const line of failed) console.log(`FAILED ${line}`);
  gpu.dispose();
  return failed.length === 0 ? 0 : 1;
}

async function runCases(gpu: Gpu, only: string, seed: number, verbose: boolean): Promise<string[]> {
  const failed: string[] = [];
  const worst = new Map<string, { cases: number; share: number }>();
  let skipped = 0;
  for (const one of allCases.filter(({ name }) => name.includes(only))) {
    const room = (one.workgroupBytes ?? 0) <= gpu.capabilities.workgroupStorageBytes;
    if (!room || (one.matrices && !hasMatrices(gpu.capabilities))) {
      skipped++;
      continue;
    }
    // Before it runs: a GPU that hangs says which case it was.
    if (verbose) console.error(one.name);
    const { error, tolerance } = await one.run(gpu, seed).catch((thrown: Error) => {
      console.log(`${one.name}: ${thrown.message.slice(0, 600)}`);
      return { error: Number.NaN, tolerance: 0 };
    });
    if (!(error <= tolerance)) failed.push(`${one.name}: error ${error}, tolerance ${tolerance}, seed ${seed}`);
    const kernel = kernelOf(one);
    const { cases, share } = worst.get(kernel) ?? { cases: 0, share: 0 };
    // Where nothing may differ, the share of the tolerance is 0 or everything.
    worst.set(kernel, { cases: cases + 1, share: Math.max(share, error === 0 ? 0 : error / tolerance) });
  }
  for (const [kernel, { cases, share }] of worst) {
    console.log(`${kernel}: ${cases} cases, at worst ${(100 * share).toFixed(1)} % of the tolerance`);
  }
  const ran = [...worst.values()].reduce((sum, { cases }) => sum + cases, 0);
  console.log(`kernels: ${ran - failed.length} of ${ran} cases pass, ${skipped} need what this device has not`);
  return failed;
}

async function runVectors(gpu: Gpu, folder: string): Promise<string[]> {
  const failed: string[] = [];
  for (const type of Object.keys(FILES) as QuantType[]) {
    const file = path.join(folder, FILES[type]);
    if (!existsSync(`${file}.json`)) continue;
    const bytes = new Uint8Array(readFileSync(`${file}.safetensors`).buffer.slice(0)) as Uint8Array<ArrayBuffer>;
    const vectors = parseBnbVectors(readFileSync(`${file}.json`, 'utf8'), bytes);
    const before = failed.length;
    let elements = 0;
    for (const vector of vectors) {
      elements += vector.elements;
      const found = await quantizedDifferences(gpu, type, vector);
      if (found.length > 0)
        failed.push(`${type} ${vector.name}: ${found.length} differ: ${found.slice(0, 5).join('; ')}`);
    }
    const exact = vectors.length - (failed.length - before);
    console.log(`bitsandbytes ${type}: ${exact} of ${vectors.length} tensors exact, ${elements} elements`);
  }
  return failed;
}
