import { expect, it } from 'vitest';
import { problemsCsv } from './problems_csv.ts';

it('writes a line a problem, and no formula', () => {
  const problem = { file: 'a.csv', line: 3, field: '', kind: 'syntax', reason: 'x' };
  expect(
    problemsCsv([
      problem,
      { ...problem, file: '=cmd|calc.csv', field: '@sum', reason: '+1, "quoted"\nand more' },
      { ...problem, file: '-2.csv', field: '\tx', reason: 'a = b' },
    ]),
  ).toBe(
    'file,line,field,kind,reason\r\n' +
      'a.csv,3,,syntax,x\r\n' +
      '\'=cmd|calc.csv,3,\'@sum,syntax,"\'+1, ""quoted""\nand more"\r\n' +
      "'-2.csv,3,'\tx,syntax,a = b\r\n",
  );
});
