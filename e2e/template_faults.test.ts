/** What a model's chat template can do wrong, on the command line and in the page; beside each, rows that the same template takes. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Browser, chromium } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { ROOT, RunFolder, run } from './command_line.ts';
import { startHub, type TestHub } from './hub/server.ts';
import { goTo, loadFromHub, longTasks, openFiles, preparePage, serveStudio } from './studio_page.ts';

const NESTED =
  '{% for i in range(99999) %}{% for j in range(99999) %}{% if i < 0 %}x{% endif %}{% endfor %}{% endfor %}';
/** Well-behaved, but for conversations that begin with one of these words. */
const TEMPLATE =
  `{% set first = messages[0].content %}{% if first == 'loop' %}${NESTED}{% endif %}` +
  "{% if first == 'count' %}{% for i in range(1000000000) %}x{% endfor %}{% endif %}" +
  "{% if first == 'raise' %}{{ raise_exception('<img src=x onerror=\"hit=1\"> & <script>hit=1</script>') }}{% endif %}" +
  "{% if first == 'reach' %}{{ messages.constructor.constructor('return globalThis')().hit }}{% endif %}" +
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{% if first == 'prompt' %}{{ '[prompted]' }}{% endif %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const row = (first: string) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: first },
      { role: 'assistant', content: 'A fox.' },
    ],
  });
const FAULTS = ['loop', 'count', 'raise', 'reach', 'prompt'];
const ROWS = ['Who?', ...FAULTS, 'Who <script>hit=1</script>?', 'Where?'].map(row).join('\n');
const REASONS = [
  /it did not end within 1\.2 s/,
  /range\(\) of 1000000000 is longer than the 100000 that are allowed/,
  /<script>hit=1<\/script>/,
  /refuses this conversation: Cannot call something that is not a function/,
  /is not how the conversation goes on without one/,
];

const CASE = path.join(ROOT, 'e2e/golden/qwen2-chat');

describe('on the command line', () => {
  let folder: RunFolder;
  beforeEach(() => {
    folder = new RunFolder(CASE);
    folder.write('model/chat_template.jinja', TEMPLATE);
  });
  afterEach(() => folder.dispose());
  const train = () => run('train', folder.path('case.json'), '--out', folder.path('out'), '--runtime', 'node');

  it('a template that always loops ends the run', async () => {
    folder.write('data.jsonl', ['loop', 'loop', 'loop', 'loop', 'loop', 'Who?'].map(row).join('\n'));
    const { exitCode, stdout, stderr } = await train();
    expect(stderr).toMatch(/^ChatTemplateStoppedError: .*was stopped 3 times.*Choose another model/m);
    expect([exitCode, stdout]).toEqual([1, '']);
  });

  it('other faults cost their rows', async () => {
    folder.write('data.jsonl', FAULTS.map(row).join('\n'));
    const { exitCode, stderr } = await train();
    expect(stderr).toMatch(/^EmptyDatasetError: None of the 5 rows of .*data\.jsonl can be trained on/m);
    expect(exitCode).toBe(1);
  });
});

describe('in the page', () => {
  let directory: string;
  let browser: Browser;
  let hub: TestHub;
  let studio: Awaited<ReturnType<typeof serveStudio>>;
  beforeAll(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'nibble-template-'));
    cpSync(path.join(CASE, 'model'), path.join(directory, 'model'), { recursive: true });
    writeFileSync(path.join(directory, 'model/chat_template.jinja'), TEMPLATE);
    writeFileSync(path.join(directory, 'rows.jsonl'), ROWS);
    hub = await startHub({ repositories: [{ id: 'nibble/template', directory: path.join(directory, 'model') }] });
    studio = await serveStudio(hub.apiUrl, hub.cdnUrl);
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await studio?.close();
    await hub?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('every fault is a reason beside its row, told as text, while the page goes on', async () => {
    const page = await browser.newPage();
    const problems = await preparePage(page);
    await page.goto(studio.address);
    await loadFromHub(page, 'nibble/template');
    await goTo(page, 'Data');
    await page.getByRole('switch', { name: 'assistant_only_loss' }).click();
    await longTasks(page);
    const began = performance.now();
    await openFiles(page, 'Choose a file', [path.join(directory, 'rows.jsonl')]);
    await page.getByRole('heading', { name: 'rows.jsonl' }).waitFor();
    expect(performance.now() - began).toBeLessThan(10_000);
    // The looping took a worker's time, not the page's.
    expect((await longTasks(page)).filter((task) => task > 500)).toEqual([]);
    for (const reason of REASONS) await page.getByText(reason).first().waitFor({ timeout: 5000 });
    await page.getByText('<script>hit=1</script>').first().waitFor();
    expect(await page.evaluate(() => 'hit' in globalThis)).toBe(false);
    expect(problems).toEqual([]);
    await page.close();
  });
});
