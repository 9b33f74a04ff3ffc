import type { RowPiece } from '../../worker/studio_protocol.ts';
import { classes } from '../primitives/classes.ts';
import { ScrollRegion } from '../primitives/scroll_region.tsx';
import styles from './row_text.module.css';

interface Props {
  /** Null while they are awaited. */
  readonly pieces: readonly RowPiece[] | null;
  readonly label: string;
}

/** A text token by token. Trained text is marked up as well as coloured, so that it is heard too. */
export function RowText({ pieces, label }: Props) {
  if (!pieces) return <div className={styles.text} aria-busy="true" />;
  return (
    <ScrollRegion className={styles.text} label={label}>
      {pieces.map((piece, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of a row never change.
        <Piece key={i} piece={piece} />
      ))}
    </ScrollRegion>
  );
}

function Piece({ piece }: { readonly piece: RowPiece }) {
  const { text, trained, special } = piece;
  const className = classes(special && styles.special, trained && styles.trained);
  if (trained) return <mark className={className}>{text}</mark>;
  return <span className={className || styles.plain}>{text}</span>;
}
