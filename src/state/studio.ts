/** Ties the stores to the worker and to each other: what one of them does that another has to follow. */
import { clearAdapter, receiveForAdapter, useAdapter } from './adapter_store.ts';
import { type CheckedSettings, checkSettings } from './check_settings.ts';
import { openData, receiveForData, useData, waitForModel } from './data_store.ts';
import { receiveForDevice, startDevice } from './device_store.ts';
import { forgetModel, receiveForModel, useModel } from './model_store.ts';
import { isActive, receiveForRun, useRun } from './run_store.ts';
import { receiveForSearch } from './search_store.ts';
import { resetSettings, setNumber, useSettings } from './settings_store.ts';
import { type StudioWorker, studioClient } from './studio_client.ts';

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
    receiveForRun(signal);
    if (signal.type === 'failed' && signal.name === 'DeviceLostError') forgetModel();
  });
  followModel();
  followDataSettings();
  followLeaving();
  startDevice();
}

/** The settings as they would be used now. */
export function currentSettings(): CheckedSettings {
  return checkSettings(useSettings.getState(), useModel.getState().loaded?.info ?? null, useAdapter.getState().start);
}

/** A dropped dataset: read at once where there is a model, else as soon as there is one. */
export function openDataFile(file: File): void {
  openData(file, currentSettings().data, useModel.getState().loaded !== null);
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
    if (!loaded) {
      waitForModel();
      clearAdapter();
      return;
    }
    fitSettings();
    const { file } = useData.getState();
    if (file) openDataFile(file);
  });
}

function followDataSettings(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  useSettings.subscribe(() => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const { file, settings, status } = useData.getState();
      const { data } = currentSettings();
      if (!file || !data || isActive(useRun.getState().status)) return;
      if (status === 'none' || JSON.stringify(data) === JSON.stringify(settings)) return;
      openDataFile(file);
    }, SETTLE_MS);
  });
}

/** A run in memory is lost with the page: the browser asks first. */
function followLeaving(): void {
  addEventListener('beforeunload', (event) => {
    if (isActive(useRun.getState().status)) event.preventDefault();
  });
}
