import { type ReactNode, useEffect, useRef } from 'react';
import { Button } from '../primitives/button.tsx';
import { filesOfInput, type Picked } from './dropped_files.ts';

interface Props {
  readonly children: ReactNode;
  readonly onPick: (picked: Picked) => void;
  readonly accept?: string;
  readonly multiple?: boolean;
  readonly folder?: boolean;
  readonly disabled?: boolean;
  readonly kind?: 'primary' | 'plain';
}

/** Opens the system's file dialog: the way in for whoever does not drag. */
export function FileButton({ children, onPick, accept, multiple, folder = false, disabled, kind = 'plain' }: Props) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    // React has no attribute for it.
    if (input.current) input.current.webkitdirectory = folder;
  }, [folder]);
  return (
    <>
      <Button kind={kind} disabled={disabled} onClick={() => input.current?.click()}>
        {children}
      </Button>
      <input
        ref={input}
        type="file"
        hidden
        accept={accept}
        multiple={multiple}
        onChange={({ currentTarget }) => {
          if (currentTarget.files?.length) onPick(filesOfInput(currentTarget.files));
          // The same file picked again is a change too.
          currentTarget.value = '';
        }}
      />
    </>
  );
}
