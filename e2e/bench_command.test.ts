import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { run } from './command_line.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'nibble-bench-'));
const report = path.join(folder, 'new/report.json');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('times a kernel in Chromium, adapter first, and writes a report that another run compares with', async () => {
  const words = ['bench', 'kernels', '--only', 'rms_norm 64', '--samples', '5', '--json', report];
  const first = await run(...words);
  expect(first.stderr).not.toContain('Error');
  expect(first.exitCode).toBe(0);
  expect(first.stdout).toMatch(/^adapter: .*swiftshader/i);
  expect(first.stdout).toMatch(/^toggles: -timestamp_quantization; flags: none$/m);
  expect(first.stdout).toMatch(/^rms_norm 64×64 +\S+ .* (gpu|clock)$/m);
  const json = JSON.parse(readFileSync(report, 'utf8'));
  expect(json).toMatchObject({
    format: 'nibble-bench',
    version: 1,
    size: 'small',
    device: { software: true, subgroupSize: 4 },
    environment: { runtime: 'chromium', adapter: 'swiftshader', toggles: ['-timestamp_quantization'] },
    train: [],
    load: [],
    failures: [],
    stopped: false,
  });
  expect(json.device.enabled).toContain('subgroups');
  expect(json.ceilings.fma.median).toBeGreaterThan(0);
  expect(json.ceilings.copy.median).toBeGreaterThan(0);
  const [line, ...others] = json.kernels;
  expect(others).toEqual([]);
  expect(line).toMatchObject({ name: 'rms_norm 64×64', bound: 'bandwidth', dispatches: [{ kernel: 'rms_norm' }] });
  expect(line.ms.samples).toBe(5);
  expect(line.ms.min).toBeGreaterThan(0);
  expect(line.ms.min).toBeLessThanOrEqual(line.ms.median);
  expect(line.gbs).toBeCloseTo((4 * 64 * (2 * 64 + 1)) / 1e6 / line.ms.median, 9);

  const second = await run(...words, '--compare', report);
  expect(second.exitCode).toBe(0);
  expect(second.stdout).toMatch(/^compared with 20\d\d-\d\d-\d\dT/m);
  expect(second.stdout).toMatch(/^rms_norm 64×64 +\S+ +\S+ +ms +\d+\.\d{3}/m);
});

it('refuses a report to compare with that is none, before it measures', async () => {
  const file = path.join(folder, 'none.json');
  writeFileSync(file, '{}');
  const { exitCode, stdout, stderr } = await run('bench', '--compare', file);
  expect(stderr).toContain('is no report of npm run bench');
  expect(stdout).toBe('');
  expect(exitCode).toBe(1);
});
