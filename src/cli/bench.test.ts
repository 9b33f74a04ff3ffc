import { describe, expect, it } from 'vitest';
import type { BenchReport, Spread } from '../worker/bench_report.ts';
import { parseInvocation, UsageError } from './arguments.ts';
import { BenchFileError, compareReports, figures, parseBenchFile } from './bench_compare.ts';
import { describeBench } from './bench_tables.ts';
import { chromiumFlags, dawnToggleOptions, toggleFlags } from './chromium_flags.ts';
import { digits, percent, table } from './table.ts';

describe('the words of bench', () => {
  const bench = (...words: string[]) => {
    const invocation = parseInvocation(['bench', ...words]);
    if (invocation.command !== 'bench') throw new Error(invocation.command);
    return invocation;
  };

  it('measures everything by default', () => {
    expect(bench()).toEqual({
      command: 'bench',
      runtime: 'chromium',
      adapter: undefined,
      dawnToggles: [],
      toggles: ['-timestamp_quantization'],
      flags: [],
      json: undefined,
      compare: undefined,
      bench: {
        kinds: ['kernels', 'train', 'generate', 'load'],
        size: null,
        samples: 7,
        only: null,
        variant: {},
        tune: true,
        precision: null,
        models: null,
        batches: null,
        checkpointing: null,
        keepLayers: null,
        activationMib: null,
        steps: 8,
        rank: 16,
        targetModules: 'all-linear',
        sweep: false,
        paging: { accumulations: null, gpu: null, tiers: null },
        peakTflops: null,
      },
    });
  });

  it('takes lists with commas or repeated, and says by its options what to measure', () => {
    const words = ['train', '--model', 'tiny,SmolLM2-135M', '--batch', '1x512', '--batch', '4×512', '--steps', '5'];
    expect(bench(...words, '--checkpointing', 'both', '--target-modules', 'q_proj,v_proj').bench).toMatchObject({
      kinds: ['train'],
      models: ['tiny', 'SmolLM2-135M'],
      batches: [
        { rows: 1, length: 512 },
        { rows: 4, length: 512 },
      ],
      checkpointing: [false, true],
      steps: 5,
      targetModules: ['q_proj', 'v_proj'],
    });
    expect(bench('train', '--keep-layers', '0').bench.keepLayers).toBe(0);
    expect(bench('train', '--activation-budget', '512').bench.activationMib).toBe(512);
    expect(bench('--sweep').bench.kinds).toEqual(['train']);
    const part = bench('paging', '--accumulate', '1,4', '--gpu', '5', '--tiers', 'host', '--tiers', 'disk').bench
      .paging;
    expect(part).toEqual({ accumulations: [1, 4], gpu: [5], tiers: ['host', 'disk'] });
    expect(bench('--only', 'rms_norm', '--variant', 'tile=LARGE').bench).toMatchObject({
      kinds: ['kernels'],
      only: ['rms_norm'],
      variant: { tile: 'LARGE' },
    });
    expect(bench('--toggles', 'a,-b,timestamp_quantization', '--flags=--x --y').toggles).toEqual([
      'a',
      '-b',
      'timestamp_quantization',
    ]);
    expect(bench('--flags=--x --y', '--flags=--z').flags).toEqual(['--x', '--y', '--z']);
  });

  it.each([
    [['memory'], /bench takes kernels, train, generate, load, models/],
    [['--batch', '512'], /--batch is ROWSxLENGTH/],
    [['--batch', '0x512'], /--batch is ROWSxLENGTH/],
    [['--steps', '0'], /--steps is a number from 1/],
    [['--samples', 'many'], /--samples is a number from 1/],
    [['--size', 'huge'], /--size is small or full/],
    [['--checkpointing', 'yes'], /--checkpointing is on or off or both/],
    [['--keep-layers', 'all'], /--keep-layers is a number/],
    [['--keep-layers', '2', '--checkpointing', 'on'], /one of --checkpointing, --keep-layers and --activation-budget/],
    [['--variant', 'LARGE'], /--variant is KEY=VALUE/],
    [['--tiers', 'tape'], /--tiers takes host, tight, disk/],
    [['--gpu', 'all'], /--gpu is a number from 1/],
    [['--out', 'x'], /bench has no option --out/],
  ])('refuses %j', (words, message) => {
    expect(() => bench(...words)).toThrow(UsageError);
    expect(() => bench(...words)).toThrow(message);
  });
});

describe('switches', () => {
  it('joins lists that Chromium would heed the last of', () => {
    const flags = chromiumFlags('nvidia-f16', [
      ...toggleFlags(['x', '-timestamp_quantization']),
      '--enable-features=A,B',
      '--new',
    ]);
    expect(flags).toContain('--enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,x');
    expect(flags).toContain('--disable-dawn-features=timestamp_quantization');
    expect(flags).toContain('--enable-features=Vulkan,A,B');
    expect(flags).toContain('--new');
    expect(flags.filter((flag) => flag.startsWith('--enable-features'))).toHaveLength(1);
  });

  it('leaves an adapter’s own switches as they are', () => {
    expect(chromiumFlags('swiftshader')).toEqual(chromiumFlags('swiftshader', []));
    expect(chromiumFlags('swiftshader')).toContain('--use-webgpu-adapter=swiftshader');
    expect(dawnToggleOptions([])).toEqual([]);
  });
});

const spread = (median: number): Spread => ({ median, min: median * 0.9, max: median * 1.1, samples: 7 });

function report(kernelMs: number, trainMs: number): BenchReport {
  return {
    format: 'nibble-bench',
    version: 1,
    date: '2026-01-02T03:04:05.000Z',
    size: 'full',
    device: {
      name: 'acme one',
      software: false,
      features: ['subgroups', 'depth-clip-control'],
      enabled: ['subgroups'],
      subgroupSize: 32,
      subgroupMatrixConfigs: [],
      limits: {},
      host: 'Node 20',
    },
    ceilings: {
      fma: spread(50),
      copy: spread(2700),
      dispatchGpu: spread(2),
      dispatchWall: spread(9),
      encode: spread(4.7),
      encodeBare: spread(1.25),
      matrix: { error: 'no such builtin\nat line 3' },
    },
    kernels: [
      {
        name: 'rms_norm 64×64',
        ms: spread(kernelMs),
        tflops: 0.5,
        gbs: 1300,
        bound: 'bandwidth',
        share: 0.48,
        repeats: 100,
        timer: 'gpu',
        dispatches: [{ kernel: 'rms_norm', variant: 'GROUP=64' }],
        clock: 0.5,
      },
    ],
    train: [
      {
        name: 'tiny 2×32',
        model: 'tiny',
        rows: 2,
        length: 32,
        checkpointing: false,
        precision: 'f32',
        stored: 'f32',
        keptLayers: 2,
        ms: spread(trainMs),
        tokensPerSecond: 64000 / trainMs,
        pipelinedMs: trainMs * 0.9,
        encodeMs: spread(1),
        dispatches: 120,
        dispatchesPerLayer: 60,
        tflops: 12.5,
        mfu: 0.25,
        mfuOfPeak: 0.2,
        clock: 0.95,
        firstLoss: 6,
        lastLoss: 5,
        memory: { weights: 2 ** 30, adapter: 0, activations: 2 ** 29 },
        peakBytes: 1.5 * 2 ** 30,
        createSeconds: 0.5,
        groups: [{ group: 'attention', ms: 4, share: 0.4, dispatches: 8 }],
        kernels: [{ kernel: 'attention_forward', group: 'attention', ms: 4, dispatches: 8, tflops: 1 }],
        profiledMs: 10,
        longestDispatch: { kernel: 'attention_forward', ms: 3.5 },
        attentionComputed: 0.05,
        attentionMeasured: 0.4,
      },
    ],
    load: [],
    failures: [{ name: 'adamw 8', error: 'ShaderError: adamw did not compile' }],
    stopped: false,
  };
}

describe('the report', () => {
  const environment = {
    runtime: 'node',
    adapter: 'system',
    toggles: ['-timestamp_quantization'],
    flags: [],
    commit: 'abc1234',
    platform: 'linux x64',
  };

  it('begins with adapter, features and switches, and says what failed', () => {
    const lines = describeBench({ ...report(0.1, 12), environment });
    expect(lines.slice(0, 6)).toEqual([
      'adapter: acme one',
      'features in use: subgroups',
      'subgroup size 32; subgroup matrices: none',
      'runtime: node, adapter option system; Node 20; linux x64',
      'toggles: -timestamp_quantization; flags: none',
      'commit: abc1234',
    ]);
    const text = lines.join('\n');
    expect(text).toMatch(/^f32 multiply-add in registers +50 +TFLOP\/s +45 – 55$/m);
    expect(text).toMatch(/^subgroup matrices +no such builtin$/m);
    expect(text).toMatch(/^rms_norm 64×64 +0\.1 +0\.09 – 0\.11 +0\.5 +1,300 +48 % +bandwidth +gpu +clock 50 %$/m);
    expect(text).toMatch(/^tiny 2×32 +12 +10\.8 – 13\.2 +10\.8 +5,333 +25 % +20 % +120 +60 +1\.5$/m);
    expect(text).toContain('memory at the peak, MiB: weights 1,024, activations 512');
    expect(text).toContain('the step takes 2 ms more (gaps between dispatches)');
    expect(text).toContain('longest dispatch: attention_forward, 3.5 ms');
    expect(text).toContain('attention: 5.0 % of the operations, 40 % of the profiled time');
    expect(text).toContain('  adamw 8: ShaderError: adamw did not compile');
  });

  it('gives old, new and ratio of each figure, and says which way is better', () => {
    const lines = compareReports(report(0.1, 12), report(0.05, 12.1));
    expect(lines[0]).toBe('compared with 2026-01-02T03:04:05.000Z, acme one');
    const text = lines.join('\n');
    expect(text).toMatch(/^rms_norm 64×64 +0\.1 +0\.05 +ms +0\.500 +better$/m);
    expect(text).toMatch(/^tiny 2×32 +12 +12\.1 +ms +1\.008$/m);
    const slower = compareReports(report(0.1, 12), report(0.2, 12)).join('\n');
    expect(slower).toMatch(/^rms_norm 64×64 +0\.1 +0\.2 +ms +2\.000 +worse$/m);
  });

  it('names figures that one report lacks, and another device', () => {
    const old = report(0.1, 12);
    const now = { ...report(0.1, 12), kernels: [], device: { ...old.device, name: 'acme two' } };
    const lines = compareReports(old, now);
    expect(lines[0]).toContain('(another device or host: ratios say little)');
    expect(lines.at(-1)).toBe('only in the old report: rms_norm 64×64');
    expect(compareReports(now, old).at(-1)).toBe('only in the new report: rms_norm 64×64');
  });

  it('has each figure once', () => {
    const names = figures(report(1, 1)).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('reads its own files only', () => {
    const json = JSON.stringify(report(1, 1));
    expect(parseBenchFile('a.json', json).kernels).toHaveLength(1);
    expect(() => parseBenchFile('a.json', '{')).toThrow(BenchFileError);
    expect(() => parseBenchFile('a.json', 'null')).toThrow('a.json is no report of npm run bench -- --json');
    expect(() => parseBenchFile('a.json', json.replace('"version":1', '"version":9'))).toThrow('version 9');
  });
});

it('aligns columns and rounds to three digits', () => {
  expect(table(['a', 'bb'], [['ccc', '1']])).toEqual(['a    bb', '---  --', 'ccc   1']);
  expect([0, 0.012345, 1.2345, 123.45, 12345.6, Number.POSITIVE_INFINITY].map(digits)).toEqual([
    '0',
    '0.0123',
    '1.23',
    '123',
    '12,346',
    'Infinity',
  ]);
  expect([0.0345, 0.5].map(percent)).toEqual(['3.5 %', '50 %']);
});
