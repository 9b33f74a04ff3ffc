import { describe, expect, it, vi } from 'vitest';
import { parseInvocation, UsageError } from './arguments.ts';
import { onInterrupt } from './interrupts.ts';
import { Progress, stepLine } from './progress.ts';

describe('parseInvocation', () => {
  it('reads the commands', () => {
    expect(
      parseInvocation(['parity', 'a', 'b', '--runtime', 'node', '--dawn-toggle', 'x', '--dawn-toggle', 'y']),
    ).toEqual({
      command: 'parity',
      cases: ['a', 'b'],
      variants: [{}],
      runtime: 'node',
      adapter: undefined,
      dawnToggles: ['x', 'y'],
    });
    expect(parseInvocation(['train', 'run.json', '--out', 'o', '--adapter', 'nvidia'])).toMatchObject({
      command: 'train',
      config: 'run.json',
      out: 'o',
      runtime: 'chromium',
      adapter: 'nvidia',
    });
    expect(parseInvocation(['serve', 'dist', '--no-open', '--port', '8080'])).toMatchObject({
      port: 8080,
      open: false,
    });
    expect(parseInvocation(['parity', 'a', '--variant', 'limits=default,tile=TALL'])).toMatchObject({
      variants: [{ limits: 'default', tile: 'TALL' }],
    });
    const all = parseInvocation(['parity', 'a', '--variant', 'all']);
    expect(all).toMatchObject({ variants: expect.arrayContaining([{}, { tile: 'SMALL', splits: '3' }]) });
    expect(parseInvocation(['parity', '--help'])).toEqual({ command: 'help' });
  });

  it.each([
    [['fly'], /no command "fly"/],
    [['parity'], /at least one case/],
    [['train'], /needs one RUN\.json/],
    [['train', 'a', 'b'], /needs one RUN\.json/],
    [['parity', 'a', '--resume'], /parity has no option --resume/],
    [['train', 'a', '--port', '1'], /train has no option --port/],
    [['parity', 'a', '--runtime', 'bun'], /--runtime is chromium or node, not "bun"/],
    [['parity', 'a', '--adapter', 'cuda'], /--adapter is swiftshader/],
    [['serve', 'd', '--port', 'abc'], /--port is a number/],
    [['parity', 'a', '--nonsense'], /--nonsense/],
  ])('refuses %j', (argv, message) => {
    expect(() => parseInvocation(argv)).toThrow(UsageError);
    expect(() => parseInvocation(argv)).toThrow(message);
  });
});

describe('onInterrupt', () => {
  it('asks once, takes npm’s echo for the same press, and quits at the second', () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    const first = vi.fn();
    const interrupts = onInterrupt(first);
    process.emit('SIGINT');
    now.mockReturnValue(1004);
    process.emit('SIGINT');
    expect(first).toHaveBeenCalledTimes(1);
    expect(exit).not.toHaveBeenCalled();
    now.mockReturnValue(3000);
    process.emit('SIGINT');
    expect(exit).toHaveBeenCalledWith(130);
    interrupts.dispose();
    vi.restoreAllMocks();
  });
});

describe('Progress', () => {
  const at = (step: number) => ({ step, totalSteps: 100, loss: 3.25, learningRate: 2e-4, tokensPerSecond: 1234.6 });

  it('says step, loss, rate, speed and time left', () => {
    expect(stepLine(at(25), 75_000)).toBe(
      'step  25/100 [#####---------------]  loss 3.2500  lr 2.00e-4  1,235 tok/s  1:15 left',
    );
    expect(stepLine(at(25), 3_725_000)).toMatch(/ {2}1:02:05 left$/);
    expect(stepLine(at(100), 0)).not.toMatch(/left/);
  });

  it('prints a line now and then where there is no terminal', () => {
    const written: string[] = [];
    const progress = new Progress({ isTTY: false, columns: 80, write: (text) => written.push(String(text)) > 0 });
    for (let step = 1; step <= 100; step++) progress.step(at(step));
    expect(written).toHaveLength(21);
    expect(written.every((text) => text.endsWith('\n'))).toBe(true);
    expect(written.at(-1)).toMatch(/^step 100\/100/);
  });

  it('redraws one line on a terminal, below the notes', () => {
    const written: string[] = [];
    const progress = new Progress({ isTTY: true, columns: 40, write: (text) => written.push(String(text)) > 0 });
    progress.step(at(100));
    progress.note('hello');
    progress.end();
    expect(written.join('')).toBe(
      `${stepLine(at(100), null).slice(0, 39)}\r\x1b[2Khello\n${stepLine(at(100), null).slice(0, 39)}\n`,
    );
  });
});
