import { cases } from './low_rank.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('low_rank', cases);
