import { useState } from 'react';
import { closeData, useData } from '../../state/data_store.ts';
import { isActive, useRun } from '../../state/run_store.ts';
import { openData } from '../../state/studio.ts';
import type { DataLocation } from '../../worker/studio_protocol.ts';
import type { Picked } from '../files/dropped_files.ts';
import { FileButton } from '../files/file_button.tsx';
import { type Route, routeOf, takeFiles } from '../files/route_files.ts';
import { bytes, count, plural } from '../format.ts';
import { Button } from '../primitives/button.tsx';
import { Icon } from '../primitives/icon.tsx';
import { Notice } from '../primitives/notice.tsx';
import styles from './data_files.module.css';
import { DataProgress } from './data_progress.tsx';
import { ExampleData } from './example_data.tsx';

const ACCEPT = '.jsonl,.ndjson,.json,.csv,.tsv,.parquet,.txt,.md,.gz';

/** The way in; with a dataset, its files and how far they are read. */
export function DataFiles() {
  const { location, validation, status } = useData();
  const [refusal, setRefusal] = useState<string | null>(null);
  const locked = useRun((state) => isActive(state.status));
  const pick = (
    <FileButton
      accept={ACCEPT}
      multiple
      kind={location ? 'plain' : 'primary'}
      disabled={locked}
      onPick={(picked) => setRefusal(takeFiles(picked))}
    >
      {location ? 'Other files' : 'Choose a file'}
    </FileButton>
  );
  const pickValidation = (picked: Picked) => {
    const route: Route = routeOf(picked);
    if (route.kind !== 'data') setRefusal(route.kind === 'refused' ? route.reason : 'This is no dataset.');
    else if (location) openData(location, { kind: 'files', files: route.files });
  };
  return (
    <section className={location ? styles.files : styles.empty} aria-label="Dataset files">
      {location ? (
        <>
          <FileList location={location} />
          <div className={styles.buttons}>
            {pick}
            {validation ? (
              <Button disabled={locked} onClick={() => openData(location)}>
                Without {nameOf(validation)}
              </Button>
            ) : (
              <FileButton accept={ACCEPT} multiple disabled={locked} onPick={pickValidation}>
                Add a validation file
              </FileButton>
            )}
            <Button kind="quiet" disabled={locked} onClick={closeData}>
              Remove
            </Button>
          </div>
        </>
      ) : (
        <>
          <Icon name="upload" size={28} />
          <h2>Drop your data anywhere on the page</h2>
          <p className={styles.note}>
            .jsonl .json .csv .tsv .parquet .txt .md, several at once, also as .gz: it is read here and stays here
          </p>
          {pick}
          <ExampleData />
        </>
      )}
      {(status === 'reading' || status === 'tokenizing') && <DataProgress />}
      {refusal && (
        <div className={styles.whole}>
          <Notice kind="bad">{refusal}</Notice>
        </div>
      )}
    </section>
  );
}

function FileList({ location }: { readonly location: DataLocation }) {
  const table = useData((state) => state.table);
  const validation = useData((state) => state.validation);
  const given =
    location.kind === 'files'
      ? location.files.map(({ name, size }) => ({ name, size }))
      : [{ name: location.id, size: 0 }];
  return (
    <ul className={styles.list}>
      {given.map(({ name, size }, i) => {
        const read = table?.files[i];
        const what = read ? `${read.format}, ${plural(read.rows, 'row')}` : 'not read yet';
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: two files may have one name.
          <li key={i} className={styles.item}>
            <Icon name="file" size={20} />
            <span className={styles.text}>
              <h2 className={styles.name}>{name}</h2>
              <span className={styles.note}>{[size > 0 && bytes(size), what].filter(Boolean).join(', ')}</span>
            </span>
          </li>
        );
      })}
      {validation && (
        <li className={styles.item}>
          <Icon name="check" size={20} />
          <span className={styles.text}>
            <h2 className={styles.name}>{nameOf(validation)}</h2>
            <span className={styles.note}>
              for validation{table && table.validationRows > 0 ? `, ${count(table.validationRows)} rows` : ''}
            </span>
          </span>
        </li>
      )}
    </ul>
  );
}

/** A dataset in a word. */
export function nameOf(location: DataLocation): string {
  if (location.kind === 'hub') return location.id;
  const [first] = location.files;
  return location.files.length > 1 ? plural(location.files.length, 'file') : (first?.name ?? 'nothing');
}
