/**
 * Three bundles by Vite mode, each in dist/<mode>: `page` is what a visitor gets, `headless` the page behind
 * `--runtime chromium`, `node` the command line. Run by scripts/lib/build.mjs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { defineConfig, type Plugin, type UserConfig } from 'vite';
import { serveFile } from './src/cli/static_files.ts';

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

const common: UserConfig = {
  // Addresses relative to the page, so that it works below any prefix.
  base: './',
  // A missing file is 404, never the page: model folders are probed for what they have.
  appType: 'mpa',
  publicDir: false,
  worker: { format: 'es' },
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
    default:
      return { ...common, plugins: [caseFiles()], build: { outDir: 'dist/page' } };
  }
});
