/** Who may import whom (DESIGN.md): ui → state → worker/protocol; worker → engine, data, hub, storage → formats. */

/** Rooms below src/ that a room may import from, beside itself. */
const MAY_IMPORT = {
  formats: [],
  data: ['formats'],
  hub: ['formats'],
  storage: ['formats'],
  engine: ['formats'],
  worker: ['engine', 'data', 'hub', 'storage', 'formats'],
  state: ['formats'],
  ui: ['state', 'formats'],
  // hub: the headers that the page is served with. storage: its page disk, on files.
  cli: ['worker', 'hub', 'storage', 'formats'],
};

/** Of the worker's room, the page's side sees the protocol only. */
const SEES_PROTOCOL = ['state', 'ui'];

/** What the engine wants others to implement: they see these files of it and no others. */
const PORTS = '^src/engine/(page_store|weight_source)\\.ts$';
const IMPLEMENT_PORTS = ['storage', 'cli'];

/** Tests and what only they use: no bundle holds them. */
const TESTS = '\\.(test|cases|reference|mutants)\\.ts$|/testing(\\.ts$|/)|/fixtures/';

const rooms = Object.entries(MAY_IMPORT).map(([room, allowed]) => ({
  name: `${room}-imports`,
  comment: `src/${room} may import ${allowed.map((one) => `src/${one}`).join(', ') || 'none of our other rooms'}.`,
  severity: 'error',
  from: { path: `^src/${room}/`, pathNot: TESTS },
  to: {
    path: '^(src|e2e|scripts)/',
    pathNot: [
      `^src/(${[room, ...allowed].join('|')})/`,
      ...(SEES_PROTOCOL.includes(room) ? ['^src/worker/(studio_)?protocol\\.ts$'] : []),
      ...(IMPLEMENT_PORTS.includes(room) ? [PORTS] : []),
      // The shaders are the engine's own files.
      '^shaders/',
    ],
  },
}));

module.exports = {
  forbidden: [
    ...rooms,
    {
      name: 'no-cycles',
      comment: 'Two files that need each other are one file, or three.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'engine-stands-alone',
      comment:
        'The engine is WebGPU and arithmetic: no packages, no Node, nothing of a page. Ports bring what it needs.',
      severity: 'error',
      from: { path: '^src/engine/', pathNot: TESTS },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'core'] },
    },
    {
      name: 'node-only-on-the-command-line',
      comment: 'Everything but src/cli runs in a browser.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli/', TESTS] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-development-packages',
      comment: 'A bundle holds dependencies only; the command line gets Dawn and Playwright from the development ones.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli/', TESTS, '\\.d\\.ts$'] },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'tests-are-not-imported',
      comment: 'What a bundle holds must not depend on a test.',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { path: TESTS },
    },
    {
      name: 'no-benches-in-the-studio',
      comment: "What measures is the command line's: a visitor does not download it.",
      severity: 'error',
      from: { path: '^src/(worker/studio_|state/|ui/)' },
      to: { path: '^src/engine/bench/|\\.bench\\.ts$|^src/worker/bench_(?!report)' },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
