/**
 * The WGSL files and the little preprocessing they use. Done here rather than by a bundler plug-in, so that browser,
 * Node and tests share one path and a test can change one file (docs/decisions).
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

/**
 * The file with its includes in place, once each, its conditional parts chosen and its repeated parts written out.
 *
 * - `#include "common/x.wgsl"`
 * - `#if FLAG` … `#else` … `#endif` over a boolean constant
 * - `#for i COUNT` … `#endfor` repeats lines with `{i}` as 0, 1, …; COUNT is a number or a numeric constant. Compilers
 *   keep accumulators in registers when they are named, not indexed.
 */
export function assembleShader(file: string, constants: Readonly<Record<string, number | boolean>>): string {
  const included = new Set<string>();
  const include = (name: string): string[] => {
    if (included.has(name)) return [];
    included.add(name);
    return shaderSource(name)
      .split('\n')
      .flatMap((line) => {
        const match = /^#include "(.+)"/.exec(line);
        return match ? include(match[1]) : [line];
      });
  };
  const constant = (name: string): number | boolean => {
    const value = /^\d+$/.test(name) ? Number(name) : constants[name];
    if (value === undefined) throw new Error(`${file} asks for ${name}, which the kernel does not define`);
    return value;
  };
  return expand(include(file), constant, file).join('\n');
}

/** Handles the directives of some lines; nested ones by recursion. */
function expand(lines: readonly string[], constant: (name: string) => number | boolean, file: string): string[] {
  const kept: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const directive = /^\s*#(if|for)\s+(\w+)(?:\s+(\w+))?/.exec(lines[at]);
    if (!directive) {
      kept.push(lines[at]);
      continue;
    }
    const { end, middle } = blockEnd(lines, at, file);
    if (directive[1] === 'if') {
      const chosen = constant(directive[2]) ? [at + 1, middle ?? end] : [(middle ?? end - 1) + 1, end];
      kept.push(...expand(lines.slice(chosen[0], chosen[1]), constant, file));
    } else {
      const body = lines.slice(at + 1, end);
      const variable = `{${directive[2]}}`;
      const count = Number(constant(directive[3]));
      for (let i = 0; i < count; i++) {
        kept.push(
          ...expand(
            body.map((line) => line.replaceAll(variable, String(i))),
            constant,
            file,
          ),
        );
      }
    }
    at = end;
  }
  return kept;
}

/** The line that closes the directive at `start`, and its #else if it has one. */
function blockEnd(lines: readonly string[], start: number, file: string): { end: number; middle: number | null } {
  let depth = 0;
  let middle: number | null = null;
  for (let i = start; i < lines.length; i++) {
    if (/^\s*#(if|for)\b/.test(lines[i])) depth++;
    else if (/^\s*#else\b/.test(lines[i]) && depth === 1) middle = i;
    else if (/^\s*#end(if|for)\b/.test(lines[i]) && --depth === 0) return { end: i, middle };
  }
  throw new Error(`${file}: ${lines[start].trim()} is not closed`);
}
