/** Puts something on the disk: straight to a file the user chose where the browser can, as a download elsewhere. */

interface SavePicker {
  showSaveFilePicker(options: {
    suggestedName: string;
    types?: { accept: Record<string, string[]> }[];
  }): Promise<FileSystemFileHandle>;
}

/** Chromium has it; the DOM's types do not. */
const picker = (): SavePicker | null => ('showSaveFilePicker' in window ? (window as unknown as SavePicker) : null);

/** False when the user closed the file dialog. */
export async function saveFile(name: string, type: string, content: Blob | Response): Promise<boolean> {
  const dialog = picker();
  if (dialog) {
    const extension = name.slice(name.lastIndexOf('.'));
    try {
      const handle = await dialog.showSaveFilePicker({
        suggestedName: name,
        types: [{ accept: { [type]: [extension] } }],
      });
      const stream = content instanceof Blob ? content.stream() : content.body;
      await stream?.pipeTo(await handle.createWritable());
      return true;
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') return false;
      // Some places offer the dialog and forbid it (a page in a frame): then it is a download.
      if (!(error instanceof DOMException && error.name === 'SecurityError')) throw error;
    }
  }
  download(name, content instanceof Blob ? content : await content.blob());
  return true;
}

function download(name: string, blob: Blob): void {
  const address = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
