/** What a browser keeps after some days with the studio. */
import { parseRunConfig } from '../../formats/run_config.ts';
import type { RunSummary, StorageFacts } from '../../worker/studio_protocol.ts';
import { FAKE_MODELS } from './fake_models.ts';

const DAY = 24 * 3600 * 1000;

function fakeRun(number: number, part: Partial<RunSummary>): RunSummary {
  const { quantization, lora, training } = parseRunConfig({ model: '', data: '' });
  const when = Date.UTC(2026, 10, 20) - number * DAY;
  return {
    ...{ id: `run-${number}`, name: `support-replies-${number}`, created: when, updated: when, open: false },
    ...{ state: 'finished', checkpointStep: 60, totalSteps: 60, bytes: 118e6, reason: null, modelCached: true },
    losses: Array.from({ length: 40 }, (_, i) => 1.2 + 1.6 * Math.exp(-i / 12) + 0.1 * Math.sin(i * number)),
    request: { name: `support-replies-${number}`, quantization, lora, training },
    model: FAKE_MODELS[0]!,
    ...part,
  };
}

export function fakeStorage(deleted: ReadonlySet<string>): StorageFacts {
  const usual = fakeRun(2, {});
  const wider = { ...usual.request, lora: { ...usual.request.lora, r: 64, lora_alpha: 128 } };
  const longer = { ...wider, training: { ...wider.training, learning_rate: 5e-5, max_steps: 120 } };
  const runs = [
    fakeRun(1, { state: 'interrupted', checkpointStep: 40, totalSteps: 120, request: longer }),
    usual,
    fakeRun(3, { open: true }),
  ];
  const model = { key: 'model-1', name: FAKE_MODELS[0]!.name, commit: null, used: 0, bytes: 112e6, complete: true };
  const rest = { volatile: null, usedBytes: 640e6, quotaBytes: 180e9, persisted: true };
  return {
    ...rest,
    runs: runs.filter(({ id }) => !deleted.has(id)),
    models: [model].filter(({ key }) => !deleted.has(key)),
  };
}
