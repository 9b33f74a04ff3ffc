/**
 * The built-in demo: one press loads the model and the data that come with the page, trains, and opens what was trained. It only
 * does what a person would do step by step, and follows the other stores to know when a step is done.
 */
import { create } from 'zustand';
import type { DataLocation, ModelLocation } from '../worker/studio_protocol.ts';
import { quantizationOf } from './check_settings.ts';
import { useData } from './data_store.ts';
import { fetchBeside, openExample } from './examples.ts';
import { closeInspection, inspectModel, loadModel, useModel } from './model_store.ts';
import { goTo } from './navigation.ts';
import { closeRun, isActive, startTraining, useRun } from './run_store.ts';
import { DEFAULT_SETTINGS, type Settings, useSettings } from './settings_store.ts';
import { currentSettings, dataSettings } from './studio.ts';
import { studioClient } from './studio_client.ts';
import { forgetTry, sendDraft, setTry } from './try_store.ts';

/** What the demo is at; `done` when there is an adapter to try. */
export type DemoStage = 'off' | 'model' | 'data' | 'train' | 'done' | 'failed';

interface DemoState {
  readonly stage: DemoStage;
  /** The stage that it failed at, and why. */
  readonly failure: { readonly stage: DemoStage; readonly message: string } | null;
}

export const useDemo = create<DemoState>()(() => ({ stage: 'off', failure: null }));

/** Name of the model's folder (public/demo-model/README.md). */
export const DEMO_MODEL = 'nibble-storybook-4m';
const DEMO_FILES = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'model.safetensors',
];
const DEMO_DATA = 'tea-house.jsonl';

/**
 * Some 8,000 tokens, of which 6,400 are trained: two and a half minutes on a software GPU with two cores, seconds on a real one. The
 * learning rate is high for LoRA: the model is tiny and the run short.
 */
export const DEMO_SETTINGS: Settings = {
  ...DEFAULT_SETTINGS,
  name: 'bramble',
  numbers: {
    ...DEFAULT_SETTINGS.numbers,
    r: '8',
    lora_alpha: '16',
    max_length: '128',
    per_device_train_batch_size: '4',
    gradient_accumulation_steps: '1',
    max_steps: '48',
    learning_rate: '0.005',
    warmup_steps: '0',
    max_grad_norm: '1',
    eval_steps: '12',
    validation_share: '0.1',
  },
  flags: { ...DEFAULT_SETTINGS.flags, assistant_only_loss: true },
  lr_scheduler_type: 'linear',
};

/** Asked of base and tuned model when the run is over; not in the data. */
const QUESTION = 'I am thirsty. Who are you?';

/** Answered before the first step and every sixteen. */
const DEMO_SAMPLES = { prompts: ['Where do you live?', QUESTION], every: 16, max_new_tokens: 32 };

let location: ModelLocation | null = null;
/** What the form had before the demo. */
let before: Settings | null = null;

export async function startDemo(): Promise<void> {
  const { stage } = useDemo.getState();
  if (isRunning(stage) || isActive(useRun.getState().status)) return;
  closeRun();
  before ??= useSettings.getState();
  useSettings.setState(DEMO_SETTINGS);
  useDemo.setState({ stage: 'model', failure: null });
  try {
    const files = await Promise.all(
      DEMO_FILES.map(async (path) => ({ path, file: await fetchBeside(`demo-model/${path}`) })),
    );
    if (useDemo.getState().stage !== 'model') return;
    location = { kind: 'files', name: DEMO_MODEL, files };
    inspectModel(location);
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}

/** The page is the visitor's own again: what was loaded and trained stays, the form has what it had before. */
export function leaveDemo(): void {
  if (useDemo.getState().stage === 'off') return;
  if (before && !isActive(useRun.getState().status)) useSettings.setState(before);
  before = null;
  location = null;
  useDemo.setState({ stage: 'off', failure: null });
}

export const isRunning = (stage: DemoStage): boolean => stage === 'model' || stage === 'data' || stage === 'train';

/** Takes each next step when the one before is done. */
export function followDemo(): void {
  studioClient.listen((signal) => {
    if (signal.type === 'crashed' && isRunning(useDemo.getState().stage)) fail(signal.message);
  });
  useModel.subscribe(({ inspection, loading, loaded }) => {
    if (useDemo.getState().stage !== 'model' || !location) return;
    if (loading?.status === 'failed') return fail(loading.failure?.message ?? 'The model could not be loaded.');
    if (loaded?.location === location) return void loadData();
    if (inspection.status === 'none' || inspection.location !== location) return;
    if (inspection.status === 'failed') fail(inspection.failure.message);
    else if (inspection.status === 'ready' && !loading) {
      // The panel of a model that was looked at asks for a decision; this one is made.
      closeInspection();
      loadModel(location, inspection.info, quantizationOf(useSettings.getState()));
    }
  });
  useData.subscribe(({ status, failure, settings, location: opened }) => {
    // The dataset before it is still there while this one is fetched.
    if (useDemo.getState().stage !== 'data' || !isDemoData(opened)) return;
    if (status === 'failed') fail(failure?.message ?? 'The data could not be read.');
    if (status !== 'ready' || JSON.stringify(settings) !== JSON.stringify(dataSettings())) return;
    const { request } = currentSettings();
    const info = useModel.getState().loaded?.info;
    if (!request || !info) return fail('The settings of the demo do not fit its model.');
    useDemo.setState({ stage: 'train' });
    goTo('train');
    startTraining({ ...request, samples: DEMO_SAMPLES }, info);
  });
  useRun.subscribe(({ status, failure }, { status: previous }) => {
    if (useDemo.getState().stage !== 'train' || status === previous) return;
    if (status === 'failed') fail(failure?.message ?? 'The run failed.');
    else if (status === 'finished') {
      useDemo.setState({ stage: 'done' });
      goTo('try');
      forgetTry('chat');
      setTry({ draft: QUESTION });
      sendDraft('trained');
    }
  });
}

const isDemoData = (opened: DataLocation | null) => opened?.kind === 'files' && opened.files[0]?.name === DEMO_DATA;

async function loadData(): Promise<void> {
  useDemo.setState({ stage: 'data' });
  await openExample(DEMO_DATA).catch((error: Error) => fail(error.message));
}

function fail(message: string): void {
  useDemo.setState(({ stage }) => ({ stage: 'failed', failure: { stage, message } }));
}
