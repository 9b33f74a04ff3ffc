import { cases } from './attention.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('attention', cases);
