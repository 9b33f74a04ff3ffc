import { cases } from './dora.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('dora', cases);
