/**
 * The WGSL files, and the two lines of preprocessing they use: `#include "common/x.wgsl"` and `#if FLAG … #else …
 * #endif` over a kernel's boolean constants. Resolved here rather than by a bundler plug-in, so that browser, Node and
 * tests share one path and a test can change one file (see docs/decisions).
 */

const files = import.meta.glob<string>('../../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true });

/** Sources by path below shaders/, for instance `common/matmul_tile.wgsl`. */
const sources = new Map(Object.entries(files).map(([path, text]) => [path.replace(/^.*\/shaders\//, ''), text]));

export function shaderFiles(): string[] {
  return [...sources.keys()].sort();
}

export function shaderSource(file: string): string {
  const text = sources.get(file);
  if (text === undefined) throw new Error(`no shader file ${file}`);
  return text;
}

/** Replaces a file's text until the returned function is called: for the tests that corrupt shaders on purpose. */
export function overrideShader(file: string, text: string): () => void {
  const original = shaderSource(file);
  sources.set(file, text);
  return () => sources.set(file, original);
}

/** The file with its includes in place, once each, and its conditional parts chosen. */
export function assembleShader(file: string, flags: Readonly<Record<string, boolean>>): string {
  const included = new Set<string>();
  const expand = (name: string): string[] => {
    if (included.has(name)) return [];
    included.add(name);
    return shaderSource(name)
      .split('\n')
      .flatMap((line) => {
        const include = /^#include "(.+)"/.exec(line);
        return include ? expand(include[1]) : [line];
      });
  };
  const kept: string[] = [];
  const taking: boolean[] = [];
  for (const line of expand(file)) {
    const condition = /^\s*#if (\w+)/.exec(line);
    if (condition) {
      if (!(condition[1] in flags)) throw new Error(`${file}: #if ${condition[1]}, but the kernel has no such flag`);
      taking.push(flags[condition[1]]);
    } else if (/^\s*#else/.test(line)) taking.push(!taking.pop());
    else if (/^\s*#endif/.test(line)) taking.pop();
    else if (taking.every(Boolean)) kept.push(line);
  }
  if (taking.length > 0) throw new Error(`${file}: #if without #endif`);
  return kept.join('\n');
}
