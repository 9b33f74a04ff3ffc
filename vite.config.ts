/**
 * Bundles by Vite mode, each in dist/<mode>: `page` is what a visitor gets, `headless` the page behind
 * `--runtime chromium`, `node` the command line, `cases` the kernels' cases for Node. Run by scripts/lib/build.mjs. `demo` is the page with a worker that
 * plays its part (`npx vite --mode demo`): for its tests and for work on its looks.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin, type UserConfig } from 'vite';
import { serveFile } from './src/cli/static_files.ts';
import { contentSecurityPolicy, headersFile } from './src/hub/hosts.ts';

const CASE = path.resolve('e2e/golden/llama-text');

/** Puts the start page's case at /case/, in the build and on the development server. */
function caseFiles(): Plugin {
  return {
    name: 'nibble:case',
    generateBundle() {
      for (const entry of readdirSync(CASE, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const file = path.join(entry.parentPath, entry.name);
        const fileName = path.posix.join('case', ...path.relative(CASE, file).split(path.sep));
        this.emitFile({ type: 'asset', fileName, source: readFileSync(file) });
      }
    },
    configureServer({ middlewares }) {
      middlewares.use('/case', (request, response) => {
        const pathname = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname).slice(1);
        void serveFile(CASE, pathname, request, response);
      });
    },
  };
}

/**
 * Puts the policy into the page, and beside it for servers that read `_headers`. NIBBLE_HUB names another Hub than
 * Hugging Face's (a mirror, a test's) and, after it, the other origins that it sends readers to.
 */
function contentPolicy(): Plugin {
  const extraConnect = (process.env.NIBBLE_HUB ?? '').split(/\s+/).filter(Boolean);
  let development = false;
  return {
    name: 'nibble:policy',
    configResolved({ command }) {
      development = command === 'serve';
    },
    transformIndexHtml(html) {
      const policy = contentSecurityPolicy({ development, extraConnect });
      const metas = [`<meta http-equiv="Content-Security-Policy" content="${policy}" />`];
      if (extraConnect[0]) metas.push(`<meta name="hub-url" content="${extraConnect[0]}" />`);
      return html.replace(/<meta charset="utf-8" \/>/, (charset) => [charset, ...metas].join('\n    '));
    },
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: '_headers', source: headersFile({ extraConnect }) });
    },
  };
}

/** In `demo` mode a worker of src/state/testing plays the real one's part; the page is the same. */
const DEMO_ALIAS = {
  find: /^.*\/state\/create_worker\.ts$/,
  replacement: path.resolve('src/state/testing/create_fake_worker.ts'),
};

/**
 * hyparquet-compressors makes a WebAssembly module as soon as it is loaded, for the one codec of it that is not used here;
 * the page's policy lets none be made. It goes when the package counts as free of side effects.
 */
const treeshake = {
  moduleSideEffects: [{ test: /node_modules\/(hyparquet-compressors|hysnappy)\//, sideEffects: false }],
};

const common: UserConfig = {
  // Addresses relative to the page, so that it works below any prefix.
  base: './',
  // A missing file is 404, never the page: model folders are probed for what they have.
  appType: 'mpa',
  publicDir: false,
  worker: { format: 'es', rolldownOptions: { treeshake } },
};

export default defineConfig(({ mode }) => {
  switch (mode) {
    case 'headless':
      return {
        ...common,
        build: { outDir: 'dist/headless', rolldownOptions: { input: 'src/cli/headless.html' } },
      };
    case 'node':
      return {
        ...common,
        build: {
          outDir: 'dist/node',
          ssr: 'src/cli/main.ts',
          target: 'node20',
          rolldownOptions: { output: { entryFileNames: 'cli.mjs' } },
        },
      };
    case 'cases':
      return {
        ...common,
        build: {
          outDir: 'dist/cases',
          ssr: 'e2e/kernel_cases.ts',
          target: 'node20',
          rolldownOptions: { output: { entryFileNames: 'cases.mjs' } },
        },
      };
    default: {
      const demo = mode === 'demo';
      return {
        ...common,
        publicDir: 'public',
        plugins: [react(), caseFiles(), contentPolicy()],
        resolve: { alias: demo ? [DEMO_ALIAS] : [] },
        build: { outDir: demo ? 'dist/demo' : 'dist/page', rolldownOptions: { treeshake } },
      };
    }
  }
});
