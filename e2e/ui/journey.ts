/** The steps of a session as a person takes them, with the keyboard alone. */
import type { Page } from 'playwright';

export const DATASET = [
  ...Array.from({ length: 24 }, (_, i) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `Question ${i}: how long does tea steep?` },
        { role: 'assistant', content: `Answer ${i}: three minutes for black tea, less for green tea.` },
      ],
    }),
  ),
  '{"messages": [{"role": "user"',
  '{"instruction": "unknown shape"}',
  '',
].join('\n');

/** Presses Tab until the element with this name has the focus. */
export async function tabTo(page: Page, name: RegExp): Promise<void> {
  for (let press = 0; press < 80; press++) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return '';
      const labels = element instanceof HTMLInputElement ? [...(element.labels ?? [])] : [];
      const labelledBy = document.getElementById(element.getAttribute('aria-labelledby') ?? '');
      const named = [...labels, labelledBy, element].map((one) => one?.textContent);
      return [element.getAttribute('aria-label'), ...named].filter(Boolean).join(' ').trim();
    });
    if (name.test(focused)) return;
  }
  throw new Error(`The keyboard does not reach ${name}.`);
}

export async function press(page: Page, name: RegExp): Promise<void> {
  await tabTo(page, name);
  await page.keyboard.press('Enter');
}

export async function loadModel(page: Page, id = 'HuggingFaceTB/SmolLM2-135M-Instruct'): Promise<void> {
  await tabTo(page, /Model id, address/);
  await page.keyboard.type(id);
  await page.keyboard.press('Enter');
  await page.getByText('is supported').waitFor();
  await page.getByRole('button', { name: /Download and load/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: /Go on to/ }).waitFor();
}

export async function openDataset(page: Page, content = DATASET): Promise<void> {
  const chooser = page.waitForEvent('filechooser');
  await press(page, /^Choose a file/);
  await (await chooser).setFiles({ name: 'tea.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(content) });
  await page.getByRole('heading', { name: 'As the model sees it' }).waitFor();
}
