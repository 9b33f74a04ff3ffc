import { cases } from './head_norm.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('head_norm', cases);
