// biome-ignore-all lint/a11y/useSemanticElements: rows that are placed one by one cannot be a table's own; the roles say the same.
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus, and says which row is active.
import { useVirtualizer } from '@tanstack/react-virtual';
import { type CSSProperties, type KeyboardEvent, useEffect, useRef } from 'react';
import { askForRows, selectRow, useData } from '../../state/data_store.ts';
import type { DataTable } from '../../worker/studio_protocol.ts';
import { count } from '../format.ts';
import styles from './row_table.module.css';

/** Pixels of a row, as row_table.module.css has it. */
const HEIGHT = 34;
/** Browsers stop at some 17 or 33 million pixels: beyond this, scrolling moves by more than a row at a time. */
const SCROLLED = 400_000;
/** Rows that the table has room for. */
const SHOWN = 10;
const COLUMNS = 6;
/** Rows asked for together. */
const PAGE = 100;

/** All rows as the files have them; only those in sight are in the page. */
export function RowTable({ table }: { readonly table: DataTable }) {
  const scroller = useRef<HTMLDivElement>(null);
  const rawRows = useData((state) => state.rawRows);
  const selected = useData((state) => state.selected);
  const waiting = useData((state) => state.rowsRunId !== '');
  const { rows, columns } = table;
  const scrolled = Math.min(rows, SCROLLED);
  const virtualizer = useVirtualizer({
    count: scrolled,
    getScrollElement: () => scroller.current,
    estimateSize: () => HEIGHT,
    overscan: 6,
  });
  const items = virtualizer.getVirtualItems();
  const first = items[0]?.index ?? 0;
  // The end of the scroll is the end of the rows.
  const shift = scrolled > items.length ? Math.round((first / (scrolled - items.length)) * (rows - scrolled)) : 0;
  const from = first + shift;
  const missing = !waiting && items.some(({ index }) => !rawRows.has(index + shift));
  useEffect(() => {
    if (missing) askForRows(Math.max(0, from - 20), PAGE);
  }, [missing, from]);

  const show = (row: number) => {
    const clamped = Math.min(rows - 1, Math.max(0, row));
    selectRow(clamped);
    virtualizer.scrollToIndex(rows === scrolled ? clamped : Math.round((clamped / rows) * scrolled), { align: 'auto' });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowDown: selected + 1,
      ArrowUp: selected - 1,
      PageDown: selected + 10,
      PageUp: selected - 10,
      Home: 0,
      End: rows - 1,
    };
    const row = steps[event.key];
    if (row === undefined) return;
    event.preventDefault();
    show(row);
  };
  const names = columns.slice(0, COLUMNS);
  return (
    <div
      ref={scroller}
      className={styles.scroller}
      style={{ '--rows': Math.min(rows, SHOWN) } as CSSProperties}
      role="grid"
      aria-label="Rows of the files"
      aria-rowcount={rows + 1}
      aria-colcount={names.length + 1}
      aria-activedescendant={rawRows.has(selected) ? `row-${selected}` : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div className={styles.width} data-columns={Math.max(1, names.length)}>
        <div role="rowgroup" className={styles.head}>
          <div role="row" aria-rowindex={1} className={styles.row}>
            <span role="columnheader">
              {table.files.length > 1 ? 'Row' : table.files[0]?.unit === 'row' ? 'Row' : 'Line'}
            </span>
            {(names.length > 0 ? names : ['value']).map((name) => (
              <span role="columnheader" key={name}>
                {name}
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup" className={styles.body} style={{ height: virtualizer.getTotalSize() }}>
          {items.map(({ index, start, key }) => {
            const row = index + shift;
            const raw = rawRows.get(row);
            return (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the grid takes the keys.
              <div
                key={key}
                id={`row-${row}`}
                role="row"
                tabIndex={-1}
                aria-rowindex={row + 2}
                aria-selected={row === selected}
                className={styles.row}
                style={{ transform: `translateY(${start}px)` }}
                onClick={() => selectRow(row)}
              >
                <span role="gridcell" className={styles.line}>
                  {count(table.files.length > 1 ? row + 1 : (raw?.line ?? row + 1))}
                </span>
                {raw ? (
                  raw.cells.slice(0, Math.max(1, names.length)).map((cell, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: cells have their column's place.
                    <span role="gridcell" key={i}>
                      {cell}
                    </span>
                  ))
                ) : (
                  <span role="gridcell">…</span>
                )}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
