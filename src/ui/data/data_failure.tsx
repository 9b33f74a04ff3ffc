import { useData } from '../../state/data_store.ts';
import { openDataFile } from '../../state/studio.ts';
import { Button } from '../primitives/button.tsx';
import { Notice } from '../primitives/notice.tsx';

export function DataFailure() {
  const { failure, file } = useData();
  if (!failure || !file) return null;
  return (
    <Notice
      kind="bad"
      title="This file cannot be trained on as it is"
      actions={
        <Button small onClick={() => openDataFile(file)}>
          Read it again
        </Button>
      }
    >
      {failure.message}
    </Notice>
  );
}
