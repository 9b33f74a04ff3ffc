import { availableParallelism } from 'node:os';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Chromium with SwiftShader as its WebGPU adapter: the same result on any machine, with or without a GPU. */
const chromium = () => ({
  enabled: true,
  headless: true,
  screenshotFailures: false,
  provider: playwright({
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--enable-unsafe-webgpu',
        '--use-webgpu-adapter=swiftshader',
        // SwiftShader writes out a store for every word of workgroup memory that it sets to zero: nine tenths of the time
        // that our kernels took to compile. None of them needs the zeros.
        '--enable-dawn-features=disable_workgroup_init',
      ],
    },
  }),
  instances: [{ browser: 'chromium' as const }],
});

/** The longest first: as the last one it would leave the other core idle. Then by size, as by default. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const longest = ({ moduleId }: TestSpecification) => moduleId.endsWith('/e2e/demo.test.ts');
    return [...sorted.filter(longest), ...sorted.filter((file) => !longest(file))];
  }
}

const LONG = ['**/paging/moments.gpu.test.ts', '**/train/longer_batch.gpu.test.ts'];

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          // The command line and the start page, as a user starts them.
          name: 'e2e',
          environment: 'node',
          include: ['e2e/**/*.test.ts'],
          exclude: ['**/*.gpu.test.ts', '**/node_modules/**'],
          // Each leaves much of a second core idle, even where SwiftShader trains.
          maxWorkers: 2,
          testTimeout: 180_000,
          // A page that waits for its turn of the processor.
          expect: { poll: { timeout: 10_000 } },
        },
      },
      {
        test: {
          name: 'unit',
          environment: 'node',
          include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
          exclude: ['**/*.gpu.test.ts', '**/node_modules/**'],
          pool: 'threads',
          // Not one less than there are cores, as by default: two cores are what the tests are made for.
          maxWorkers: availableParallelism(),
        },
      },
      {
        test: {
          name: 'gpu',
          include: ['src/**/*.gpu.test.ts'],
          // Training at many budgets and lengths: in `npm run test:full`.
          exclude: ['**/node_modules/**', ...(process.env.NIBBLE_FULL ? [] : LONG)],
          browser: chromium(),
          // Longer tests know by it that they may run.
          env: { NIBBLE_FULL: process.env.NIBBLE_FULL ?? '' },
          // SwiftShader uses every core by itself.
          fileParallelism: false,
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'mutation',
          include: ['e2e/mutation/*.gpu.test.ts'],
          browser: chromium(),
          fileParallelism: false,
          testTimeout: 30_000,
        },
      },
    ],
  },
});
