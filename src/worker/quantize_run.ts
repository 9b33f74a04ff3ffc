/** Quantizes a model with and without double quantization and hashes every linear's parts. */
import type { Gpu } from '../engine/device/gpu.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import { checkCheckpoint } from '../formats/check_checkpoint.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readModelConfig } from '../formats/model_config.ts';
import { checkPlannedLinears, readPlannedLinears } from '../formats/stored_linears.ts';
import { withGpu } from './gpu_session.ts';
import type { WorkerPorts } from './ports.ts';
import type { QuantizedHashes, RunCommand, WorkerEvent } from './protocol.ts';

async function sha256(bytes: Uint8Array | Float32Array): Promise<string> {
  const own = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', own));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Emits `device`, `loading` and at last `quantized`. */
export async function quantizeRun(
  command: Extract<RunCommand, { type: 'quantize' }>,
  emit: (event: WorkerEvent) => void,
  ports: WorkerPorts,
  signal: AbortSignal,
): Promise<void> {
  const { runId } = command;
  const folder = ports.openFolder(command.model);
  const spec = await readModelConfig(folder);
  const checkpoint = await openCheckpoint(folder, spec.tensors.olderPrefixes);
  checkCheckpoint(spec, checkpoint);
  checkPlannedLinears(await readPlannedLinears(folder, spec), spec, checkpoint);
  await withGpu(
    ports,
    (adapter) => emit({ type: 'device', runId, adapter }),
    async (gpu) => {
      const started = performance.now();
      const hashes = async (doubleQuant: boolean) => {
        const found = new Map<string, { packed: string; absmax: string }>();
        const model = await load(gpu, doubleQuant);
        emit({ type: 'memory', runId, bytes: gpu.ledger.byCategory() });
        try {
          for await (const { name, packed, absmax } of model.quantized()) {
            found.set(name, { packed: await sha256(packed), absmax: await sha256(absmax) });
          }
        } finally {
          model.dispose();
        }
        return found;
      };
      const load = (device: Gpu, doubleQuant: boolean) =>
        ModelWeights.load(device, spec, checkpoint, {
          doubleQuant,
          signal,
          onLoading: (progress) => emit({ type: 'loading', runId, ...progress }),
        });
      const nested = await hashes(true);
      const seconds = (performance.now() - started) / 1000;
      const plain = await hashes(false);
      const tensors: QuantizedHashes[] = [...plain].map(([name, { packed, absmax }]) => {
        const other = nested.get(name)!;
        // Double quantization does not touch the codes: were they to differ, both hashes show it.
        const codes = packed === other.packed ? packed : `${packed} without, ${other.packed} with double quantization`;
        return { name, packed: codes, absmax, absmaxBytes: other.absmax };
      });
      emit({ type: 'quantized', runId, tensors, seconds });
    },
  );
}
