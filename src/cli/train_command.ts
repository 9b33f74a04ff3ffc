/** `npm run train`: a RunConfig in, a log and an adapter out. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseRunConfig, type RunConfig, RunConfigError } from '../formats/run_config.ts';
import { CheckpointLostError } from '../storage/errors.ts';
import { splitPath } from '../worker/locations.ts';
import type { FolderLocation, WorkerEvent } from '../worker/protocol.ts';
import { openFileDisk } from './file_disk.ts';
import { INTERRUPTED } from './interrupts.ts';
import { show } from './parity_command.ts';
import { Progress } from './progress.ts';
import { RunOutput } from './run_output.ts';
import type { Runtime } from './runtime.ts';

export class ModelNotFoundError extends Error {
  override name = 'ModelNotFoundError';
}

/** Reads RUN.json; throws {@link RunConfigError}, {@link ModelNotFoundError}. */
export function readRunConfig(file: string): RunConfig {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new RunConfigError(`${file} cannot be read as JSON: ${(error as Error).message}. Give a RunConfig.`);
  }
  const config = parseRunConfig(json);
  const model = path.resolve(path.dirname(file), config.model);
  if (!existsSync(model)) {
    throw new ModelNotFoundError(
      `There is no model folder ${model}. Correct model in ${path.basename(file)}, which is relative to that file; ` +
        'models of the Hugging Face Hub have to be downloaded to a folder first.',
    );
  }
  return config;
}

/** The exit code: 0 when all steps were done, 130 when Ctrl-C ended it, 1 when it failed. */
export async function trainCommand(
  run: { readonly config: RunConfig; readonly directory: string; readonly out: string; readonly resume: boolean },
  runtime: Runtime,
  stop: AbortSignal,
): Promise<number> {
  const progress = new Progress();
  const output = new RunOutput(run.out);
  if (run.resume && !existsSync(output.checkpointFolder)) {
    throw new CheckpointLostError(
      `There is no checkpoint in ${run.out}. Give the --out of the run that is to go on, or start without --resume.`,
    );
  }
  let exitCode = 1;
  let finalLoss = Number.NaN;
  const announceStop = () => progress.note('Stopping after the step in flight; press Ctrl-C again to quit at once.');
  stop.addEventListener('abort', announceStop, { once: true });

  const begin = () => {
    const aside = run.resume ? null : output.start();
    if (aside) progress.note(`moved what an earlier run left in ${run.out} to ${aside}`);
  };
  const checkpoints = {
    location: runtime.serveDisk(async () => {
      begin();
      return openFileDisk(output.checkpointFolder);
    }),
    resume: run.resume,
  };

  const onEvent = (event: WorkerEvent) => {
    switch (event.type) {
      case 'device':
        show(event, progress);
        begin();
        break;
      case 'restored':
        output.resume(event.step, event.records);
        for (const note of event.notes) progress.note(note);
        progress.note(`resumed from step ${event.step}`);
        break;
      case 'save-failed':
        progress.note(`The checkpoint of step ${event.step} was not written. ${event.name}: ${event.message}`);
        break;
      case 'step':
        output.log(event.record);
        finalLoss = event.record.loss;
        show(event, progress);
        break;
      case 'sample': {
        const { step } = event;
        const samples = run.config.samples!.prompts.map((prompt, i) => ({ step, prompt, text: event.texts[i]! }));
        output.samples(samples);
        for (const { prompt, text } of samples) {
          progress.note(`sample after step ${step}: ${JSON.stringify(prompt)} → ${JSON.stringify(text)}`);
        }
        break;
      }
      case 'finished':
        progress.end();
        output.writeAdapter(event.files);
        exitCode = event.stopped ? INTERRUPTED : 0;
        console.log(
          `${event.stopped ? 'stopped after' : 'finished'} ${event.steps} steps in ${progress.seconds.toFixed(1)} s, ` +
            `final loss ${finalLoss.toFixed(4)}; adapter in ${output.adapterFolder}` +
            (event.kept
              ? `, of step ${event.kept.step} with the lowest validation loss ${event.kept.loss.toFixed(4)}`
              : ''),
        );
        break;
      case 'failed':
        progress.end();
        exitCode = stop.aborted ? INTERRUPTED : 1;
        progress.note(`${event.name}: ${event.message}`);
        if (event.files) {
          output.writeAdapter(event.files);
          progress.note(`What was trained before is in ${output.adapterFolder}`);
        }
        break;
      default:
        show(event, progress);
    }
  };
  const command = {
    type: 'train' as const,
    runId: run.config.name,
    config: run.config,
    base: runtime.locate(run.directory),
    folders: locations(run.config, run.directory, runtime),
    checkpoints,
  };
  await runtime.run(command, onEvent, stop);
  stop.removeEventListener('abort', announceStop);
  return exitCode;
}

/** Every folder that the config names, wherever on this machine it lies. */
function locations(config: RunConfig, directory: string, runtime: Runtime): Record<string, FolderLocation> {
  const files = [config.data, config.eval_data ?? []].flat();
  const folders = [config.model, config.initial_adapter, ...files.map((file) => splitPath(file)[0])];
  return Object.fromEntries(
    folders
      .filter((folder) => folder !== undefined)
      .map((folder) => [folder, runtime.locate(path.resolve(directory, folder))]),
  );
}
