import { useEffect } from 'react';
import { showWeights, useTeach } from '../../state/teach_store.ts';
import type { ModelInfo } from '../../worker/studio_protocol.ts';
import { count } from '../format.ts';
import { Select } from '../primitives/input.tsx';
import styles from './teach_panel.module.css';

/** A frozen linear's weights on the sixteen levels of 4 bits. */
export function LevelsFigure({ info }: { readonly info: ModelInfo }) {
  const { layer, linear, weights, failure } = useTeach();
  useEffect(() => {
    const [first] = info.linearPaths;
    const at = useTeach.getState();
    const known = info.linearPaths.includes(at.linear) && at.layer < info.layers;
    if (first) showWeights(known ? at.layer : 0, known ? at.linear : first);
  }, [info]);
  const most = Math.max(1, ...(weights?.uses ?? []));
  const total = weights?.uses.reduce((sum, uses) => sum + uses, 0) ?? 0;
  const error = weights?.error ?? null;
  return (
    <figure className={styles.figure}>
      <figcaption>
        <h3>Sixteen levels</h3>
        <p>
          Each frozen weight is one of sixteen levels times the largest of its 64 neighbours. They lie close where
          weights are many.
        </p>
      </figcaption>
      <div className={styles.choice}>
        <Select
          aria-label="Layer"
          value={String(layer)}
          onChange={({ currentTarget }) => showWeights(Number(currentTarget.value), linear)}
        >
          {Array.from({ length: info.layers }, (_, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: layers have no other name.
            <option key={i} value={i}>
              layer {i}
            </option>
          ))}
        </Select>
        <Select
          aria-label="Linear"
          value={linear}
          onChange={({ currentTarget }) => showWeights(layer, currentTarget.value)}
        >
          {info.linearPaths.map((path) => (
            <option key={path}>{path}</option>
          ))}
        </Select>
      </div>
      {failure && <p role="alert">{failure}</p>}
      {weights && (
        <>
          <svg
            className={styles.levels}
            viewBox="-1.06 0 2.12 100"
            preserveAspectRatio="none"
            role="img"
            aria-label={`Uses of the sixteen levels of ${weights.linear}: ${weights.levels
              .map((level, i) => `${level.toFixed(2)} ${count(weights.uses[i] ?? 0)}`)
              .join(', ')}`}
          >
            {weights.levels.map((level, i) => {
              const height = ((weights.uses[i] ?? 0) / most) * 96;
              return (
                // biome-ignore lint/suspicious/noArrayIndexKey: FP4 has a level twice.
                <rect key={i} x={level - 0.02} width={0.04} y={100 - height} height={height} />
              );
            })}
          </svg>
          <p className={styles.axis} aria-hidden="true">
            <span>−1</span>
            <span>0</span>
            <span>1</span>
          </p>
          <p className={styles.note}>
            {count(total)} weights in {weights.quantType.toUpperCase()}
            {weights.doubleQuant && ', their scales in 8 bits'}.{' '}
            {error === null
              ? 'The error needs the weights as they were, which are not kept.'
              : `Relative error ${(100 * error).toFixed(1)} %.`}
          </p>
        </>
      )}
    </figure>
  );
}
