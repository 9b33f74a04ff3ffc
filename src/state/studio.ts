/** Ties the stores to the worker and to each other: what one of them does that another has to follow. */
import type { DataLocation, DataSettings } from '../worker/studio_protocol.ts';
import { clearAdapter, receiveForAdapter, useAdapter } from './adapter_store.ts';
import { type CheckedSettings, checkSettings } from './check_settings.ts';
import { mappingError } from './columns.ts';
import { forgetTokens, prepareData, readData, receiveForData, showSelected, useData } from './data_store.ts';
import { receiveForDevice, startDevice } from './device_store.ts';
import { forgetEvaluation, receiveForEvaluation } from './evaluation_store.ts';
import { forgetModel, receiveForModel, useModel } from './model_store.ts';
import { forgetPrediction, predict, receiveForPrediction } from './prediction_store.ts';
import { forgetTuned, isActive, receiveForRun, saveTraining, useRun } from './run_store.ts';
import { receiveForSearch } from './search_store.ts';
import { resetSettings, setNumber, useSettings } from './settings_store.ts';
import { listStorage, receiveForStorage } from './storage_store.ts';
import { type StudioWorker, studioClient } from './studio_client.ts';
import { receiveForTeach } from './teach_store.ts';
import { forgetTry, receiveForTry } from './try_store.ts';
import { followWakeLock } from './wake_lock.ts';

/** Typing is over before a file is read again. */
const SETTLE_MS = 500;

export function startStudio(createWorker: () => StudioWorker): void {
  studioClient.connect(createWorker);
  studioClient.listen((signal) => {
    receiveForDevice(signal);
    receiveForSearch(signal);
    receiveForModel(signal);
    receiveForData(signal);
    receiveForAdapter(signal);
    receiveForPrediction(signal);
    receiveForRun(signal);
    receiveForTry(signal);
    receiveForTeach(signal);
    receiveForEvaluation(signal);
    receiveForStorage(signal);
    if (signal.type === 'failed' && signal.name === 'DeviceLostError') forgetModel();
  });
  followModel();
  followData();
  followPrediction();
  followLeaving();
  followWakeLock();
  startDevice();
  listStorage();
}

/** The settings as they would be used now. */
export function currentSettings(): CheckedSettings {
  return checkSettings(useSettings.getState(), useModel.getState().loaded?.info ?? null, useAdapter.getState().start);
}

/** A dataset, and the one it is validated with: read at once, tokenized as soon as there is a model. */
export function openData(location: DataLocation, validation: DataLocation | null = null): void {
  readData(location, validation);
}

/** Of the dataset that is there: with a setting changed that its files are read by, or after a failure. */
export function readAgain(): void {
  const { location, validation } = useData.getState();
  if (location) readData(location, validation);
}

/** How rows are to be read now; null while a setting of it is wrong, or there is no model. */
export function dataSettings(): DataSettings | null {
  const { data } = currentSettings();
  if (!data || !useModel.getState().loaded) return null;
  const { columns, system, table } = useData.getState();
  if (columns ? mappingError(columns) !== null : table?.shape === 'unknown' || table?.shape === 'preference')
    return null;
  return { ...data, columns, system_prompt: system };
}

export function restoreDefaults(): void {
  resetSettings();
  fitSettings();
}

/** A model for shorter texts than max_length says is no mistake of whoever has typed nothing yet. */
function fitSettings(): void {
  const most = useModel.getState().loaded?.info.maxPositions;
  const { max_length } = useSettings.getState().numbers;
  if (most !== undefined && Number(max_length) > most) setNumber('max_length', String(most));
}

/** The rows are read with the model's tokenizer, and an adapter fits one model: both follow it. */
function followModel(): void {
  useModel.subscribe(({ loaded }, before) => {
    if (loaded === before.loaded) return;
    forgetTuned();
    forgetEvaluation();
    forgetTry(loaded?.info.chatTemplate === false ? 'text' : 'chat');
    if (!loaded) {
      forgetTokens();
      clearAdapter();
      return;
    }
    fitSettings();
    prepareData(dataSettings());
    showSelected(dataSettings());
  });
}

/** What a run would take, of the model that is loaded, else of the one that is looked at; while it runs nothing is asked. */
function followPrediction(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = () => {
    const { loaded, inspection } = useModel.getState();
    const { request } = currentSettings();
    if (isActive(useRun.getState().status)) return;
    if (!loaded && inspection.status !== 'ready') forgetPrediction();
    // A model that is looked at beside the loaded one is what the user asks about.
    else if (request) predict(inspection.status === 'ready' ? 'inspected' : 'loaded', request);
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, SETTLE_MS);
  };
  useSettings.subscribe(soon);
  useAdapter.subscribe(soon);
  useData.subscribe(({ status }, before) => {
    if (status !== before.status) soon();
  });
  useModel.subscribe(({ loaded, inspection }, before) => {
    if (loaded !== before.loaded || inspection !== before.inspection) soon();
  });
}

/** Files that are read are tokenized; rows are tokenized again when what decides about it changes. */
function followData(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const settle = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const { complete, settings } = useData.getState();
      const wanted = dataSettings();
      if (isActive(useRun.getState().status) || JSON.stringify(wanted) === JSON.stringify(settings)) return;
      if (complete) prepareData(wanted);
      showSelected(wanted);
    }, SETTLE_MS);
  };
  useSettings.subscribe(settle);
  useData.subscribe((state, before) => {
    if (state.complete && !before.complete) prepareData(dataSettings());
    if (state.columns !== before.columns || state.system !== before.system) settle();
    if (state.selected !== before.selected || (state.table !== null && before.table === null)) {
      showSelected(dataSettings());
    }
    if (state.text !== before.text && state.location) readAgain();
  });
}

/**
 * What a run has trained since its last checkpoint is lost with the page: the browser asks first, and a page that is closed or
 * frozen has a moment left to write it.
 */
function followLeaving(): void {
  addEventListener('beforeunload', (event) => {
    if (isActive(useRun.getState().status)) event.preventDefault();
  });
  addEventListener('pagehide', saveTraining);
  document.addEventListener('freeze', saveTraining);
}
